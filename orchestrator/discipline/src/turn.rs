//! Ways to end a turn, and what there is to do instead: the guard against paralysis.

mod next;

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::event::TurnEnd;
use crate::green::Colour;
use crate::model::{Conclusion, LoopId, Refusal, RunId};
use crate::state::{ClaimPhase, Loop, LoopState};

pub use next::{next_actions, next_write};

/// Something legal and useful to do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAction {
    /// Tool to call; `edit` stands for work in the tree, which no rule ever blocks.
    pub tool: String,
    /// Why now, with the ids it is about.
    pub why: String,
}

/// The answer to `end_turn`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnJudgement {
    /// Why the turn may not end so; empty when it may.
    pub refused: Vec<Refusal>,
    /// What can be done instead, while runs run.
    pub work: Vec<NextAction>,
}

/// Where a scope stands, from its last executed run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeSummary {
    /// The scope.
    pub scope: String,
    /// What the last signal says.
    pub colour: Colour,
    /// Run that the colour rests on.
    pub run_id: Option<RunId>,
    /// Commit of that run.
    pub commit: Option<String>,
    /// Class of that run, once classified.
    pub class: Option<String>,
    /// How long ago that run ended, milliseconds. Age blocks no local work.
    pub age_ms: Option<i64>,
    /// Runs that are queued or executing.
    pub live_runs: Vec<RunId>,
    /// Why only rollbacks may be pushed, if so.
    pub closed: Option<String>,
}

/// Answer to someone who asks where things stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orientation {
    /// True when nothing but counters changed since the caller last asked.
    pub nothing_new: bool,
    /// What to say then; `None` when there is news.
    pub note: Option<String>,
    /// What moves the loop on, when there is no news; `None` when there is.
    pub next_write: Option<NextAction>,
    /// To be handed in the next time.
    pub news_seq: u64,
}

/// Judges the end of a turn.
#[must_use]
pub fn judge_end_turn(state: &LoopState, loop_id: &LoopId, end: &TurnEnd) -> TurnJudgement {
    let Some(found) = state.loops.get(loop_id) else {
        let refusal = Refusal::new(
            "loop_unknown",
            "loop_id",
            format!("no loop `{loop_id}` exists"),
            "name one that `loop_status` lists",
        );
        return TurnJudgement {
            refused: vec![refusal],
            work: Vec::new(),
        };
    };
    let refused = match end {
        TurnEnd::Staged => not_staged(state, found),
        TurnEnd::Blocked { what, unblocked_by } => not_blocked(state, loop_id, what, unblocked_by),
        TurnEnd::Green => not_green(state, found),
    };
    let work = if refused.is_empty() {
        Vec::new()
    } else {
        next_actions(state, loop_id)
    };
    TurnJudgement { refused, work }
}

fn not_staged(state: &LoopState, found: &Loop) -> Vec<Refusal> {
    let claims = state.claims_of(&found.id);
    if claims
        .iter()
        .any(|claim| matches!(claim.phase, ClaimPhase::Staged | ClaimPhase::Approved))
    {
        return Vec::new();
    }
    let newest = claims.last().map_or_else(
        || "no claim was proposed in this loop".to_owned(),
        |claim| format!("{} is {}", claim.id, claim.phase),
    );
    vec![Refusal::new(
        "nothing_staged",
        "how",
        format!("no claim of {} is staged: {newest}", found.id),
        "propose a claim and run its gates (`propose_claim`, `run_gates`)",
    )]
}

fn not_green(state: &LoopState, found: &Loop) -> Vec<Refusal> {
    let mut refused = Vec::new();
    for scope in &found.scopes {
        let now = summary(state, scope, i64::MAX);
        let under_way = state.claims.values().find(|claim| {
            &claim.body.proof_scope == scope
                && claim.phase.holds_scope()
                && !claim.phase.before_push()
        });
        let reason = match (now.colour, &now.closed, under_way) {
            (_, Some(why), _) => format!("scope `{scope}` waits for a rollback: {why}"),
            (Colour::Green, None, None) => continue,
            (Colour::Green, None, Some(claim)) => {
                format!("{} is {} and not graded yet", claim.id, claim.phase)
            }
            (colour, ..) => match &now.run_id {
                Some(run) => format!("scope `{scope}` is {} on {run}", colour.as_str()),
                None => format!("scope `{scope}` has no executed run"),
            },
        };
        refused.push(Refusal::new(
            "not_green",
            "how",
            reason,
            format!(
                "make `{scope}` pass with its engagement proof; `classify_run` says what is missing"
            ),
        ));
    }
    refused
}

fn not_blocked(
    state: &LoopState,
    loop_id: &LoopId,
    what: &str,
    unblocked_by: &str,
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    for (code, field, text, remedy) in [
        (
            "blocker_missing",
            "what",
            what,
            "name the one thing that stands in the way, with the command that shows it",
        ),
        (
            "unblocker_missing",
            "unblocked_by",
            unblocked_by,
            "name who or what would remove it",
        ),
    ] {
        if text.split_whitespace().count() < 2 {
            refused.push(Refusal::new(
                code,
                field,
                "it is not said in words that another can act on",
                remedy,
            ));
        }
    }
    let waits = [
        ("what", WAITS_FOR.find(what)),
        ("unblocked_by", UNBLOCKED_BY_RUN.find(unblocked_by)),
    ];
    if let Some((field, found)) = waits
        .into_iter()
        .find_map(|(field, found)| Some((field, found?)))
    {
        refused.push(Refusal::new(
            "waiting_is_not_blocked",
            field,
            format!(
                "`{}` is waiting; the daemon waits, and local work is never blocked by it",
                found.as_str()
            ),
            go_on(state, loop_id),
        ));
    }
    let asks = [
        ("what", ASKS_LEAVE.find(what)),
        ("unblocked_by", ASKS_LEAVE.find(unblocked_by)),
    ];
    if let Some((field, found)) = asks
        .into_iter()
        .find_map(|(field, found)| Some((field, found?)))
    {
        refused.push(Refusal::new(
            "policy_decides",
            field,
            format!(
                "`{}` asks a person for what the rules decide; nobody has to allow reading, writing, testing or gating",
                found.as_str()
            ),
            go_on(state, loop_id),
        ));
    }
    refused
}

/// What to do in place of ending.
fn go_on(state: &LoopState, loop_id: &LoopId) -> String {
    let first = next_actions(state, loop_id).into_iter().next();
    first.map_or_else(
        || "work on: `edit`".to_owned(),
        |action| format!("go on with `{}`: {}", action.tool, action.why),
    )
}

/// Leave that nobody has to give: for work that no rule constrains, and for what a claim asks by itself.
static ASKS_LEAVE: LazyLock<Regex> = LazyLock::new(|| {
    let asks = r"(?:whether (?:i|we|to)|(?:may|should|shall|can|could) (?:i|we)|permission to|go[- ]ahead to|allows? (?:me|us) to|tells? (?:me|us) to|which \w+ to)";
    let work = r"(?:gate|push|pull|run|propose|fix|edit|test|commit|revert|read|write)\w*";
    pattern(&format!(r"(?i)\b{asks}\b[^.;]{{0,40}}?\b{work}\b"))
});

/// What only the daemon waits for.
const THE_MACHINE: &str = r"(?:runner|ci|queue|pipeline|nightly|forge|build farm|hardware results?|remote machine|github actions|gpu lease|gate run|gates? (?:to )?(?:finish|pass|complet|end)\w*|workflows? (?:runs?|results?|to|complet\w+|finish\w*)|(?:the|a|next|this|that|current|live|baseline|verification)\s+(?:\w+\s+)?(?:run|job)|runs? (?:r?\d+|to)|R\d+|job completion)";

static WAITS_FOR: LazyLock<Regex> = LazyLock::new(|| {
    let wait = r"(?:wait(?:s|ing|ed)?|await(?:s|ing)?|pending|blocked (?:on|by)|stuck behind)\b[^.;]{0,60}?";
    let until = r"(?:until|once|as soon as)\s+(?:\w+\s+){0,2}?";
    pattern(&format!(
        r"(?i)\b(?:{wait}|{until})\b{THE_MACHINE}\b|\b(?:signal|log)s? (?:is|are) (?:stale|old)\b|\bnot ended yet\b|\b(?:results?|verdicts?|answers?|signals?)\b[^.;]{{0,40}}?\b(?:not arrived|not come|not back|outstanding|missing so far)\b|\b{THE_MACHINE}\b[^.;]{{0,20}}?\b(?:is|are|has|have)\b[^.;]{{0,12}}?\b(?:slow|busy|down|late|not answered|not replied)\b|\bbefore (?:the |tonight's )?{THE_MACHINE}\b"
    ))
});

static UNBLOCKED_BY_RUN: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"(?i)\b{THE_MACHINE}\b|\b(?:waiting|more time)\b")));

/// The patterns are fixed; one that would not compile must refuse everything rather than nothing.
fn pattern(text: &str) -> Regex {
    #[allow(clippy::unwrap_used, reason = "the empty pattern compiles")]
    Regex::new(text).unwrap_or_else(|_| Regex::new("").unwrap())
}

/// Where a scope stands. Without a classification a success is unproven and anything else is red.
#[must_use]
pub fn summary(state: &LoopState, scope: &str, now_ms: i64) -> ScopeSummary {
    let signal = state.last_signal(scope);
    let classified = signal.and_then(|run| state.classifications.get(&run.run_id));
    let colour = match (signal, classified) {
        (None, _) => Colour::NoSignal,
        (Some(_), Some(classified)) if classified.green => Colour::Green,
        (Some(run), _) => match &run.conclusion {
            Some(Conclusion::Success) => Colour::GreenUnproven,
            Some(Conclusion::Cancelled) => Colour::NoSignal,
            _ => Colour::Red,
        },
    };
    ScopeSummary {
        scope: scope.to_owned(),
        colour,
        run_id: signal.map(|run| run.run_id.clone()),
        commit: signal.map(|run| run.head_sha.clone()),
        class: classified.map(|classified| classified.classification.class.to_string()),
        age_ms: signal
            .and_then(|run| run.finished_ms)
            .map(|ended| now_ms.saturating_sub(ended).max(0)),
        live_runs: state.live_runs(scope),
        closed: state
            .closed_scopes
            .get(scope)
            .map(|closure| closure.reason.clone()),
    }
}

/// Compares with what the caller saw last (`None`: it never asked).
#[must_use]
pub fn orient(state: &LoopState, loop_id: &LoopId, seen_news_seq: Option<u64>) -> Orientation {
    let nothing_new = seen_news_seq == Some(state.news_seq);
    let next_write = nothing_new.then(|| next_write(state, loop_id)).flatten();
    let note = nothing_new.then(|| {
        let next = next_write.as_ref();
        let next = next.map_or_else(String::new, |next| {
            format!(" Looking again finds nothing; go on with `{}`: {}.", next.tool, next.why)
        });
        format!("Nothing has changed since you last asked: no new bytes, runs, commits or decisions.{next}")
    });
    Orientation {
        nothing_new,
        note,
        next_write,
        news_seq: state.news_seq,
    }
}
