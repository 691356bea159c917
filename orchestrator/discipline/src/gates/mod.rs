//! Judges finished gate processes. A gate can only pass, refuse, or be vacuous; a gate that cannot
//! decide refuses, and exit status 0 alone proves nothing.
//!
//! [`judge`] reads one process as facts ([`GateRun`]); [`uncovered`] reads all results of a claim and
//! lists the changed files that none of its gates compiled.

pub mod argv;
mod canary;
mod condition;
mod coverage;
pub mod dep_info;
mod inventory;
mod observed;
mod room;
mod verdicts;

pub use argv::{PINNED_GATE, PinnedGate, canary_argv, pinned_gate};
pub use canary::{CANARY_STEM, CANARY_TEST, canary_test_source};
pub use condition::Conditions;
pub(crate) use condition::parts_of;
pub use coverage::{needs_coverage, uncovered};
pub use inventory::{Listed, list_argv};
pub use room::{Disturbance, disturbed};

use attest::digest::Digest;
use markers::Observation;

use crate::decision::ConditionalCode;
use crate::model::{GateResult, GateRole, GateVerdict, LogRef, ProcessExit, Refusal};
use observed::Observed;

/// One finished process of a gate run, as the caller saw it.
#[derive(Debug, Clone)]
pub struct GateRun<'a> {
    /// Gate name of the policy, or [`PINNED_GATE`].
    pub gate: &'a str,
    /// What was asked.
    pub role: GateRole,
    /// Argument vector that ran.
    pub argv: &'a [String],
    /// Tree it ran on.
    pub tree: &'a str,
    /// How the process ended.
    pub exit: ProcessExit,
    /// Wall time.
    pub duration_ms: u64,
    /// Transcript in the evidence store.
    pub transcript: Option<LogRef>,
    /// Digest of the environment and toolchain it ran with.
    pub environment: Digest,
    /// What the marker scanner read in the transcript.
    pub observations: &'a [Observation],
    /// Last lines of the transcript as text, for messages that no marker describes.
    pub tail: &'a str,
    /// Full name of the test that decides, for the runs of the pinned test.
    pub test: Option<&'a str>,
    /// Files that rustc compiled, from its dep-info, relative to the root of the tree.
    pub compiled: &'a [String],
    /// Files or folders whose change re-runs a build script, relative to the root of the tree.
    pub build_inputs: &'a [String],
    /// Changed files that exist in this tree and that some gate has to compile.
    pub changed: &'a [String],
    /// Changed code in them that is compiled only under conditions.
    pub conditional: &'a [ConditionalCode],
    /// What decides those conditions in this build.
    pub conditions: &'a Conditions,
    /// What its binaries list; `None` when they were not asked.
    pub listed: Option<&'a Listed>,
    /// Globs of the gate's `when`: it must compile at least one changed file that they match. Empty:
    /// it answers for no file in particular.
    pub when: &'a [String],
}

/// Judges one gate process.
#[must_use]
pub fn judge(run: &GateRun<'_>) -> GateResult {
    let seen = Observed::of(run.observations);
    let covered = coverage::covered(
        run.changed,
        run.conditional,
        run.conditions,
        run.compiled,
        run.build_inputs,
    );
    let judged = match ended_badly(run) {
        Some(refusal) => Err((GateVerdict::Refused, vec![refusal])),
        None => match run.role {
            GateRole::PinOnBase => verdicts::pin_on_base(run, &seen),
            GateRole::PinOnHead => verdicts::pin_on_head(run, &seen),
            GateRole::PinOnAttempt => verdicts::pin_on_attempt(run, &seen),
            GateRole::Gate => verdicts::gate(run, &seen, &covered),
            GateRole::GateOnParent => verdicts::gate_on_parent(run, &seen),
            GateRole::Canary => verdicts::canary(run, &seen),
        },
    };
    let (verdict, refused) = match judged {
        Ok(()) => (GateVerdict::Passed, Vec::new()),
        Err((verdict, refused)) => (verdict, refused),
    };
    GateResult {
        gate: run.gate.to_owned(),
        role: run.role,
        verdict,
        refused,
        argv: run.argv.to_vec(),
        tree: run.tree.to_owned(),
        exit: run.exit,
        tests: seen.counts,
        failed_tests: seen.failed.iter().cloned().collect(),
        compile_error: seen.compile_error,
        dead_code: seen.dead_code.into_iter().collect(),
        covered,
        listed: match run.listed {
            Some(Listed::Names(names)) => u64::try_from(names.len()).ok(),
            _ => None,
        },
        reused_from: None,
        transcript: run.transcript.clone(),
        duration_ms: run.duration_ms,
        environment: run.environment.clone(),
    }
}

/// True for a gate that is red because tests failed, each by name, and for no other reason.
#[must_use]
pub(crate) fn failed_by_tests(result: &GateResult) -> bool {
    result.role == GateRole::Gate
        && result.verdict == GateVerdict::Refused
        && matches!(result.exit, ProcessExit::Code(_))
        && !result.compile_error
        && !result.failed_tests.is_empty()
        && result.refused.iter().all(|said| said.code == "gate_failed")
}

type Judged = Result<(), (GateVerdict, Vec<Refusal>)>;

fn refuse(
    run: &GateRun<'_>,
    code: &str,
    reason: impl Into<String>,
    remedy: impl Into<String>,
) -> Judged {
    Err((
        GateVerdict::Refused,
        vec![refusal(run, code, reason, remedy)],
    ))
}

fn vacuous(
    run: &GateRun<'_>,
    code: &str,
    reason: impl Into<String>,
    remedy: impl Into<String>,
) -> Judged {
    Err((
        GateVerdict::Vacuous,
        vec![refusal(run, code, reason, remedy)],
    ))
}

fn refusal(
    run: &GateRun<'_>,
    code: &str,
    reason: impl Into<String>,
    remedy: impl Into<String>,
) -> Refusal {
    let field = if run.gate == PINNED_GATE {
        "pinned_test".to_owned()
    } else {
        format!("gates[{}]", run.gate)
    };
    Refusal::new(code, field, reason, remedy)
}

fn command(run: &GateRun<'_>) -> String {
    format!("`{}`", run.argv.join(" "))
}

/// Ends that say nothing about the tests, whatever was asked.
fn ended_badly(run: &GateRun<'_>) -> Option<Refusal> {
    let command = command(run);
    match run.exit {
        ProcessExit::Code(_) => None,
        ProcessExit::TimedOut => Some(refusal(
            run,
            "gate_timeout",
            format!("{command} was stopped after {} s", run.duration_ms / 1000),
            "make the test finish, or raise timeout_s of the gate by a policy_change claim",
        )),
        ProcessExit::Cancelled => Some(refusal(
            run,
            "gate_cancelled",
            format!("{command} was cancelled before its end"),
            "run the gates again",
        )),
        ProcessExit::Signal(signal) => Some(refusal(
            run,
            "gate_crashed",
            format!("{command} was killed by signal {signal}, so no assertion decided"),
            "let the test fail by an assertion; run what may crash in a child process",
        )),
    }
}

#[cfg(test)]
mod tests;
