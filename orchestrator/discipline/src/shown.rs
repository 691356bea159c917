//! What a person is shown before signing: one card, and the digest that binds the signature to it.

use attest::claim::{ClaimBudget, ClaimKind, Guard};
use attest::digest::Digest;
use markers::{CellObservations, Truth};
use serde::{Deserialize, Serialize};

use crate::decision::{DecisionInput, Stage};
use crate::model::{ClaimId, GateRole, GateVerdict, Grade, Refusal, TestCounts};
use crate::rulebook::Rulebook;
use crate::rules::decide;
use crate::state::{Hypothesis, HypothesisStatus, LoopState};

/// Cited text beyond this many characters is cut in the card, and says so.
const EXCERPT_CHARS: usize = 2000;

/// A claim on one screen. Text that came from logs or agents has no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimCard {
    /// The claim.
    pub claim_id: ClaimId,
    /// What the push is for.
    pub kind: ClaimKind,
    /// Self-declared name of its author, unverified.
    pub author: String,
    /// Peer user id of its author.
    pub author_uid: u32,
    /// The scope whose run grades it.
    pub proof_scope: String,
    /// Id of the law that fails.
    pub failing_invariant: String,
    /// Title of that law.
    pub invariant_title: String,
    /// Ties bug to fix, in the author's words.
    pub reasoning: String,
    /// The hypothesis it acts on.
    pub hypothesis: Option<ShownHypothesis>,
    /// Its rivals, dead ones with their killers.
    pub rivals: Vec<ShownHypothesis>,
    /// What fails today.
    pub evidence: Vec<ShownEvidence>,
    /// What changes.
    pub change: ShownChange,
    /// What the telemetry shows today and is predicted to show.
    pub predictions: Vec<ShownPredicate>,
    /// What must not change.
    pub guards: Vec<ShownPredicate>,
    /// What must not change in other scopes, each graded by a run of its own scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards_elsewhere: Vec<Guard>,
    /// What means revert.
    pub rollback_if: Vec<ShownPredicate>,
    /// What the gates did.
    pub gates: Vec<ShownGate>,
    /// Things the rules allow and a person should know.
    pub labels: Vec<String>,
    /// What it may spend.
    pub budget: ClaimBudget,
    /// Commit message.
    pub message: String,
    /// Rules that refuse it now; a card with any cannot be approved into a push.
    pub refused: Vec<Refusal>,
    /// What the signature binds.
    pub binds: ShownBinding,
}

/// A hypothesis in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownHypothesis {
    /// Its id.
    pub id: String,
    /// What it says.
    pub statement: String,
    /// How it stands.
    pub status: HypothesisStatus,
    /// What killed it.
    pub killer: Option<String>,
}

/// A citation with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownEvidence {
    /// Digest of the log.
    pub log_id: Digest,
    /// First and last line, 1-based.
    pub lines: (u64, u64),
    /// The cited text, cleaned.
    pub text: String,
}

/// Size and places of the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownChange {
    /// Paths, in order.
    pub files: Vec<String>,
    /// Changed lines that can change behaviour.
    pub behavioural_lines: u32,
    /// Changed lines that cannot.
    pub mechanical_lines: u32,
    /// Findings of the syntax tree.
    pub findings: Vec<Refusal>,
}

/// One predicate with its truth today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownPredicate {
    /// Its text.
    pub predicate: String,
    /// Truth on the baseline run.
    pub today: Truth,
    /// What the baseline run shows.
    pub observed: String,
}

/// One gate process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownGate {
    /// Gate, or `pinned`.
    pub gate: String,
    /// What was asked.
    pub role: GateRole,
    /// The verdict.
    pub verdict: GateVerdict,
    /// Test counts.
    pub tests: TestCounts,
    /// Wall time.
    pub duration_ms: u64,
}

/// What the approval binds, besides expiry and nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownBinding {
    /// Digest of the claim.
    pub claim_digest: Digest,
    /// Root commit of the repository.
    pub repo: String,
    /// Ref that moves.
    pub ref_name: String,
    /// From this commit.
    pub old_tip: String,
    /// To this commit.
    pub commit: String,
    /// With this tree.
    pub tree: String,
    /// Digest of the diff.
    pub diff_digest: Digest,
    /// Digest of the gate results.
    pub gates_digest: Option<Digest>,
    /// Digest of the policy in force.
    pub policy_digest: Digest,
}

/// Makes the card of a claim whose gates passed. `input` is the input of its gates stage with
/// `target.commit` set; `cited` is the text of each citation, in claim order.
#[must_use]
pub fn card(
    claim_id: &ClaimId,
    author_uid: u32,
    input: &DecisionInput,
    cited: &[String],
    state: &LoopState,
    rulebook: &Rulebook,
) -> ClaimCard {
    let body = &input.body;
    let law = input
        .policy
        .law
        .iter()
        .find(|law| law.id == body.failing_invariant);
    let hypothesis = state
        .hypotheses
        .values()
        .find(|h| h.id.as_str() == body.hypothesis_id);
    let alarm = today(input, rulebook, Rulebook::grade_alarm);
    let today = today(input, rulebook, Rulebook::grade);
    let (own, elsewhere): (Vec<&Guard>, Vec<&Guard>) = body
        .guards
        .iter()
        .partition(|guard| guard.scope == body.proof_scope);
    let elsewhere = elsewhere.into_iter().map(|guard| Guard {
        scope: clean(&guard.scope),
        predicate: clean(&guard.predicate),
    });
    ClaimCard {
        claim_id: claim_id.clone(),
        kind: body.kind,
        author: clean(&body.author),
        author_uid,
        proof_scope: body.proof_scope.clone(),
        failing_invariant: body.failing_invariant.clone(),
        invariant_title: law.map(|law| clean(&law.title)).unwrap_or_default(),
        reasoning: clean(&body.reasoning),
        hypothesis: hypothesis.map(shown_hypothesis),
        rivals: hypothesis.map(|h| rivals(state, h)).unwrap_or_default(),
        evidence: evidence(input, cited),
        change: ShownChange {
            files: input
                .diff
                .changed
                .iter()
                .map(|changed| clean(&changed.path))
                .collect(),
            behavioural_lines: input.diff.behavioural_lines,
            mechanical_lines: input.diff.mechanical_lines,
            findings: input.diff.findings.clone(),
        },
        predictions: body.predictions.iter().map(|text| today(text)).collect(),
        guards: own
            .into_iter()
            .map(|guard| today(&guard.predicate))
            .collect(),
        guards_elsewhere: elsewhere.collect(),
        rollback_if: body.rollback_if.iter().map(|text| alarm(text)).collect(),
        gates: gates(input),
        labels: labels(input),
        budget: body.budget.clone(),
        message: clean(&body.message),
        refused: decide(input, rulebook, Stage::Gates)
            .refused()
            .cloned()
            .collect(),
        binds: ShownBinding {
            claim_digest: input.claim_digest.clone(),
            repo: body.repo.clone(),
            ref_name: body.ref_name.clone(),
            old_tip: body.parent.clone(),
            commit: input.target.commit.clone().unwrap_or_default(),
            tree: body.tree.clone(),
            diff_digest: body.diff_digest.clone(),
            gates_digest: input.gates.as_ref().map(|gates| gates.gates_digest.clone()),
            policy_digest: input.policy.policy_digest.clone(),
        },
    }
}

/// The digest that the approval's subject carries.
///
/// # Errors
/// When the card has no canonical form.
pub fn shown_digest(card: &ClaimCard) -> Result<Digest, attest::AttestError> {
    Ok(Digest::of(&attest::json::canonical(card)?))
}

/// How a kind of rule reads its predicates.
type Reading = fn(&Rulebook, &str, &str, &[CellObservations]) -> Grade;

fn today<'a>(
    input: &'a DecisionInput,
    rulebook: &'a Rulebook,
    grade: Reading,
) -> impl Fn(&str) -> ShownPredicate + 'a {
    let names: Vec<_> = input
        .policy
        .policy
        .effective_cells(&input.body.proof_scope)
        .into_iter()
        .map(|cell| cell.name)
        .collect();
    let shown = input
        .baseline
        .as_ref()
        .map(|facts| facts.cells.as_slice())
        .unwrap_or_default();
    let cells: Vec<CellObservations> = rulebook.whole_matrix(&names, shown);
    move |text| {
        let Grade {
            truth, observed, ..
        } = grade(rulebook, "", text, &cells);
        ShownPredicate {
            predicate: clean(text),
            today: truth,
            observed: clean(&observed),
        }
    }
}

fn rivals(state: &LoopState, of: &Hypothesis) -> Vec<ShownHypothesis> {
    let rival = |other: &&Hypothesis| {
        other.body.rivals.contains(&of.id.0) || of.body.rivals.contains(&other.id.0)
    };
    state
        .hypotheses
        .values()
        .filter(rival)
        .map(shown_hypothesis)
        .collect()
}

fn shown_hypothesis(hypothesis: &Hypothesis) -> ShownHypothesis {
    ShownHypothesis {
        id: hypothesis.id.to_string(),
        statement: clean(&hypothesis.body.statement),
        status: hypothesis.status,
        killer: hypothesis
            .killer
            .as_ref()
            .map(|killer| clean(&killer.reason)),
    }
}

fn evidence(input: &DecisionInput, cited: &[String]) -> Vec<ShownEvidence> {
    let text = |index: usize| {
        cited
            .get(index)
            .map(|text| excerpt(text))
            .unwrap_or_default()
    };
    let cites = input.body.evidence.iter().enumerate();
    cites
        .map(|(index, cite)| ShownEvidence {
            log_id: cite.log_id.clone(),
            lines: (cite.line_start, cite.line_end),
            text: text(index),
        })
        .collect()
}

fn gates(input: &DecisionInput) -> Vec<ShownGate> {
    let results = input.gates.iter().flat_map(|gates| &gates.results);
    results
        .map(|result| ShownGate {
            gate: result.gate.clone(),
            role: result.role,
            verdict: result.verdict,
            tests: result.tests,
            duration_ms: result.duration_ms,
        })
        .collect()
}

fn labels(input: &DecisionInput) -> Vec<String> {
    let mut labels = Vec::new();
    let results = input.gates.iter().flat_map(|gates| &gates.results);
    let weak = results
        .filter(|r| r.role == GateRole::PinOnBase && r.compile_error && r.failed_tests.is_empty());
    labels.extend(
        weak.map(|_| {
            "weak proof: the pinned test is red on base by a compile error only".to_owned()
        }),
    );
    if !input.body.budget.cancels.is_empty() {
        labels.push(format!(
            "cancels live runs: {}",
            input.body.budget.cancels.join(", ")
        ));
    }
    let (policy, kind) = (&input.policy.policy, input.body.kind);
    let paths: Vec<&str> = input
        .diff
        .changed
        .iter()
        .map(|changed| changed.path.as_str())
        .collect();
    let told = policy.judged(kind, &input.diff.findings, &paths).1;
    let told = told.into_iter().chain(policy.judged_paths(kind, &paths).1);
    labels.extend(told.map(|said| clean(&said)));
    labels.extend(input.overrides.iter().map(|granted| {
        format!(
            "{} passes over `{}`, on the word of {}: {}",
            granted.id,
            granted.code,
            clean(&granted.author.name),
            clean(&granted.reason)
        )
    }));
    labels.extend(
        input
            .target
            .forecast
            .sentences()
            .iter()
            .map(|said| clean(said)),
    );
    labels
}

fn excerpt(text: &str) -> String {
    let cut: String = clean(text).chars().take(EXCERPT_CHARS).collect();
    match cut.chars().count() < clean(text).chars().count() {
        true => format!("{cut} … (cut)"),
        false => cut,
    }
}

/// Without control and bidirectional characters, so that no text can paint over another.
fn clean(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars()
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect()
}
