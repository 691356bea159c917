//! What is written beside a cause: how it was made decides how much it can ever be worth.
//!
//! Grades from best to worst: observed, derived, analogue, guess. A hypothesis is worth its best
//! supporting observation. What an agent says is a guess, however many say it; bytes from elsewhere
//! are an analogue and never decide.

use attest::claim::Citation;
use attest::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::cited::{self, Books, Cause, CitedBytes};
use crate::event::Mechanism;
use crate::hypothesis::{STATEMENT_WORDS, citations};
use crate::model::{HypothesisId, Refusal};
use crate::state::{Hypothesis, Loop, LoopState};

/// Most bytes that a citation from elsewhere may bring.
pub const MAX_QUOTED_BYTES: u64 = 64 << 10;

/// How an observation was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservationKind {
    /// Bytes that a run or a gate printed.
    Measurement,
    /// What follows from such bytes, by a stated argument.
    Derivation,
    /// Bytes from elsewhere: a manual, an issue, somebody else's source.
    Citation,
    /// What somebody says.
    Statement,
}

/// Which memory the observed values were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// Read back from the device.
    Device,
    /// Read on the host; says nothing about the device's memory.
    Host,
    /// No memory is involved: a count, an exit code, a compiler's message.
    None,
}

/// Which way an observation speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// For the hypothesis.
    For,
    /// Against it. It dies only by `falsify_hypothesis`.
    Against,
}

/// What evidence is worth, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Somebody says so.
    Guess,
    /// Something like it is known elsewhere.
    Analogue,
    /// It follows from what was seen.
    Derived,
    /// It was seen.
    Observed,
}

impl Grade {
    /// The word used everywhere outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Analogue => "analogue",
            Self::Derived => "derived",
            Self::Observed => "observed",
        }
    }
}

/// Bytes from elsewhere, kept in the evidence store as a blob: no log can be cited from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quoted {
    /// Where they come from, in the words of who brought them.
    pub source: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// How many.
    pub bytes: u64,
}

/// One entry beside a hypothesis, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservationBody {
    /// The hypothesis it is about.
    pub hypothesis_id: HypothesisId,
    /// How it was made.
    pub kind: ObservationKind,
    /// Memory it was read from; `None` where nothing was declared.
    pub memory: Option<Memory>,
    /// Which way it speaks.
    pub bearing: Bearing,
    /// One sentence.
    pub statement: String,
    /// Log bytes it rests on.
    pub citations: Vec<Citation>,
    /// Bytes from elsewhere.
    pub quoted: Option<Quoted>,
}

/// What an observation is worth for a cause of this mechanism.
#[must_use]
pub fn grade(body: &ObservationBody, mechanism: Mechanism) -> Grade {
    match (body.kind, body.memory) {
        (ObservationKind::Measurement, Some(Memory::Host)) if lives_on_the_device(mechanism) => {
            Grade::Analogue
        }
        (ObservationKind::Measurement, _) => Grade::Observed,
        (ObservationKind::Derivation, _) => Grade::Derived,
        (ObservationKind::Citation, _) => Grade::Analogue,
        (ObservationKind::Statement, _) => Grade::Guess,
    }
}

/// Causes that act in device memory, about which host bytes prove nothing.
fn lives_on_the_device(mechanism: Mechanism) -> bool {
    match mechanism {
        Mechanism::MissingBarrier
        | Mechanism::SkippedWork
        | Mechanism::WrongLifetime
        | Mechanism::WrongUploadPath
        | Mechanism::UnregisteredSideEffect => true,
        Mechanism::StaleCacheKey
        | Mechanism::WrongConstant
        | Mechanism::Precision
        | Mechanism::WrongReference
        | Mechanism::Environment
        | Mechanism::Other => false,
    }
}

/// What a hypothesis is worth: its best support. Log bytes that it was opened with count as derived,
/// because nobody declared which memory they show.
#[must_use]
pub fn grade_of(state: &LoopState, hypothesis: &Hypothesis) -> Grade {
    let opened_with = match hypothesis.body.evidence.is_empty() {
        true => Grade::Guess,
        false => Grade::Derived,
    };
    state
        .observations_of(&hypothesis.id)
        .into_iter()
        .filter(|found| found.body.bearing == Bearing::For)
        .map(|found| grade(&found.body, hypothesis.body.mechanism))
        .fold(opened_with, Grade::max)
}

/// Every reason why an observation may not stand beside its hypothesis. `bytes` are its citations,
/// each looked up in the logs of runs and gates.
#[must_use]
pub fn admit_observation(
    found: &Loop,
    hypothesis: &Hypothesis,
    body: &ObservationBody,
    bytes: &CitedBytes,
    books: Books<'_>,
) -> Vec<Refusal> {
    let mut refused = Vec::from_iter(scope(found, hypothesis));
    if body.statement.split_whitespace().count() < STATEMENT_WORDS {
        refused.push(Refusal::new(
            "statement_missing",
            "statement",
            "it does not say what was seen",
            "say in one sentence what the bytes show",
        ));
    }
    match body.kind {
        ObservationKind::Measurement | ObservationKind::Derivation => refused.extend(rests(body)),
        ObservationKind::Citation => refused.extend(quotes(body)),
        ObservationKind::Statement => {}
    }
    if body.kind != ObservationKind::Citation && body.quoted.is_some() {
        refused.push(Refusal::new(
            "bytes_not_cited",
            "bytes",
            "bytes from elsewhere come with kind `citation` alone",
            "cite log bytes under `citations`, or record the foreign text as a `citation` of its own",
        ));
    }
    refused.extend(citations("citations", &body.citations, &bytes.exists()));
    let measured = body.kind == ObservationKind::Measurement && body.bearing == Bearing::For;
    if measured {
        let cause = Cause::of(&hypothesis.body);
        refused.extend(cited::judge("citations", bytes, &cause, books));
    }
    refused
}

fn scope(found: &Loop, hypothesis: &Hypothesis) -> Option<Refusal> {
    let scope = &hypothesis.body.scope;
    (!found.scopes.contains(scope)).then(|| {
        Refusal::new(
            "scope_not_of_loop",
            "hypothesis_id",
            format!(
                "{} explains `{scope}`, on which loop {} does not work",
                hypothesis.id, found.id
            ),
            format!("name a hypothesis of one of: {}", found.scopes.join(", ")),
        )
    })
}

/// A measurement shows bytes and says which memory they were read from.
fn rests(body: &ObservationBody) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if body.citations.is_empty() {
        refused.push(Refusal::new(
            "citations_missing",
            "citations",
            "no log bytes are cited that show it",
            "copy a span that `extract_markers` or `search_log` prints, or record it as a `statement`",
        ));
    }
    if body.kind == ObservationKind::Measurement && body.memory.is_none() {
        refused.push(Refusal::new(
            "memory_missing",
            "memory",
            "it is not said which memory the values were read from",
            "say `device`, `host`, or `none` where no memory is involved",
        ));
    }
    refused
}

fn quotes(body: &ObservationBody) -> Option<Refusal> {
    let refuse = |code, field, reason: String, remedy: &str| {
        Some(Refusal::new(code, field, reason, remedy.to_owned()))
    };
    match &body.quoted {
        None => refuse(
            "bytes_missing",
            "bytes",
            "a citation brings the bytes that it cites".to_owned(),
            "pass the passage as `bytes` and where it stands as `source`",
        ),
        Some(quoted) if quoted.bytes == 0 || quoted.bytes > MAX_QUOTED_BYTES => refuse(
            "bytes_length",
            "bytes",
            format!("it brings {} bytes", quoted.bytes),
            "quote the passage alone, 1 to 65536 bytes",
        ),
        Some(quoted) if quoted.source.trim().is_empty() => refuse(
            "source_missing",
            "source",
            "it is not said where the bytes stand".to_owned(),
            "name the document and the place in it",
        ),
        Some(_) => None,
    }
}
