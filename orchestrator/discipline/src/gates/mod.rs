//! Judges finished gate processes. A gate can only pass, refuse, or be vacuous; a gate that cannot
//! decide refuses, and exit status 0 alone proves nothing.
//!
//! [`judge`] reads one process as facts ([`GateRun`]); [`uncovered`] reads all results of a claim and
//! lists the changed files that none of its gates compiled.

pub mod argv;
mod canary;
mod coverage;
pub mod dep_info;
mod observed;

pub use argv::{PINNED_GATE, PinnedGate, canary_argv, pinned_gate};
pub use canary::{CANARY_STEM, CANARY_TEST, canary_test_source};
pub use coverage::{needs_coverage, uncovered};

use attest::digest::Digest;
use markers::Observation;

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
    /// Full name of the test that decides, for the two runs of the pinned test.
    pub test: Option<&'a str>,
    /// Files that rustc compiled, from its dep-info, relative to the root of the tree.
    pub compiled: &'a [String],
    /// Files or folders whose change re-runs a build script, relative to the root of the tree.
    pub build_inputs: &'a [String],
    /// Changed files that exist in this tree and that some gate has to compile.
    pub changed: &'a [String],
    /// Globs of the gate's `when`: it must compile at least one changed file that they match. Empty:
    /// it answers for no file in particular.
    pub when: &'a [String],
}

/// Judges one gate process.
#[must_use]
pub fn judge(run: &GateRun<'_>) -> GateResult {
    let seen = Observed::of(run.observations);
    let covered = coverage::covered(run.changed, run.compiled, run.build_inputs);
    let judged = match ended_badly(run) {
        Some(refusal) => Err((GateVerdict::Refused, vec![refusal])),
        None => match run.role {
            GateRole::PinOnBase => pin_on_base(run, &seen),
            GateRole::PinOnHead => pin_on_head(run, &seen),
            GateRole::Gate => gate(run, &seen, &covered),
            GateRole::Canary => canary(run, &seen),
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
        covered,
        transcript: run.transcript.clone(),
        duration_ms: run.duration_ms,
        environment: run.environment.clone(),
    }
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

/// The reasons why a test run decided nothing, in the order in which they explain each other.
fn decided_nothing(run: &GateRun<'_>, seen: &Observed) -> Option<Judged> {
    let counts = seen.counts;
    if let Some(line) = run
        .tail
        .lines()
        .find(|line| line.contains("requires the features"))
    {
        return Some(vacuous(
            run,
            "gate_vacuous_features",
            line.trim(),
            "give the gate the features that the target requires",
        ));
    }
    if seen.compile_error || counts.passed + counts.failed > 0 {
        return None;
    }
    let command = command(run);
    if counts.filtered_out > 0 {
        return Some(vacuous(
            run,
            "gate_vacuous_filter",
            format!(
                "the filter of {command} matched none of {} tests",
                counts.filtered_out
            ),
            "name a test that `cargo test -- --list` prints",
        ));
    }
    if counts.ignored > 0 {
        return Some(vacuous(
            run,
            "gate_vacuous_no_tests",
            format!("all {} tests of {command} are ignored", counts.ignored),
            "remove #[ignore], or choose tests that run",
        ));
    }
    let exited_well = run.exit == ProcessExit::Code(0);
    exited_well.then(|| {
        vacuous(
            run,
            "gate_vacuous_no_tests",
            format!("{command} ran 0 tests"),
            "choose a target that holds tests, with the features they are compiled under",
        )
    })
}

fn pin_on_base(run: &GateRun<'_>, seen: &Observed) -> Judged {
    if let Some(judged) = decided_nothing(run, seen) {
        return judged;
    }
    wrong_test(run, seen)?;
    match run.exit {
        ProcessExit::Code(0) if seen.failed.is_empty() => refuse(
            run,
            "pin_green_on_base",
            format!(
                "{} passes on the base tree, so it does not show the defect",
                named(run)
            ),
            "assert the behaviour that fails today, and see the test fail before the change",
        ),
        ProcessExit::Code(0) => contradiction(run, seen),
        _ if seen.compile_error || seen.counts.failed > 0 => Ok(()),
        _ => unexplained(run),
    }
}

fn pin_on_head(run: &GateRun<'_>, seen: &Observed) -> Judged {
    if let Some(judged) = decided_nothing(run, seen) {
        return judged;
    }
    wrong_test(run, seen)?;
    must_be_green(run, seen, "pin_red_on_head")
}

/// The process decided, but about another test.
fn wrong_test(run: &GateRun<'_>, seen: &Observed) -> Judged {
    let Some(test) = run.test else { return Ok(()) };
    let others: Vec<&str> = seen
        .names
        .iter()
        .map(String::as_str)
        .filter(|name| *name != test)
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    refuse(
        run,
        "pin_wrong_test",
        format!("{} also ran {}", command(run), others.join(", ")),
        format!("let the run select `{test}` alone"),
    )
}

fn gate(run: &GateRun<'_>, seen: &Observed, covered: &[String]) -> Judged {
    if argv::runs_tests(run.argv)
        && let Some(judged) = decided_nothing(run, seen)
    {
        return judged;
    }
    must_be_green(run, seen, "gate_failed")?;
    let missing = coverage::answerable(run.changed, run.when, covered);
    if missing.is_empty() {
        return Ok(());
    }
    vacuous(
        run,
        "gate_uncovered",
        format!("{} does not compile: {}", command(run), missing.join(", ")),
        "use a gate that builds these files, with the features they are compiled under",
    )
}

fn must_be_green(run: &GateRun<'_>, seen: &Observed, code: &str) -> Judged {
    match run.exit {
        ProcessExit::Code(0) if seen.counts.failed > 0 || !seen.failed.is_empty() => {
            contradiction(run, seen)
        }
        ProcessExit::Code(0) if seen.unfinished => refuse(
            run,
            "gate_incomplete",
            format!(
                "{} announced tests whose result it never printed",
                command(run)
            ),
            "run the gates again; if it repeats, a test ends the process early",
        ),
        ProcessExit::Code(0) => Ok(()),
        _ if seen.compile_error => refuse(
            run,
            "gate_compile_error",
            format!(
                "{} does not compile: {}",
                command(run),
                last_error(run.tail)
            ),
            "make it compile, then propose again",
        ),
        _ if !seen.failed.is_empty() || seen.counts.failed > 0 => refuse(
            run,
            code,
            format!("{} failed: {}", command(run), list(seen)),
            "read the transcript, correct the change, and propose again",
        ),
        _ => refuse(
            run,
            code,
            format!(
                "{} ended with {}: {}",
                command(run),
                status(run.exit),
                last_error(run.tail)
            ),
            "read the transcript, correct the change, and propose again",
        ),
    }
}

fn canary(run: &GateRun<'_>, seen: &Observed) -> Judged {
    let canary_failed = seen
        .failed
        .iter()
        .any(|name| name == CANARY_TEST || name.ends_with(&format!("::{CANARY_TEST}")));
    let not_seen = |reason: String| {
        refuse(
            run,
            "canary_not_seen",
            reason,
            "let the gate run every integration test of the package, or name its `canary` arguments in the policy",
        )
    };
    match run.exit {
        ProcessExit::Code(0) => not_seen(format!(
            "{} passes although {CANARY_TEST} must fail in it, so it can pass anything",
            command(run)
        )),
        _ if canary_failed => Ok(()),
        _ if seen.compile_error => refuse(
            run,
            "canary_broken",
            format!(
                "{} does not compile with the canary: {}",
                command(run),
                last_error(run.tail)
            ),
            "make the tree compile with an added integration test, then propose again",
        ),
        _ => not_seen(format!(
            "{} failed, but not by {CANARY_TEST}: {}",
            command(run),
            last_error(run.tail)
        )),
    }
}

fn contradiction(run: &GateRun<'_>, seen: &Observed) -> Judged {
    refuse(
        run,
        "gate_contradiction",
        format!(
            "{} ended with status 0 although tests failed: {}",
            command(run),
            list(seen)
        ),
        "let the command return the status of its tests",
    )
}

fn unexplained(run: &GateRun<'_>) -> Judged {
    refuse(
        run,
        "gate_undecided",
        format!(
            "{} ended with {} before any test decided: {}",
            command(run),
            status(run.exit),
            last_error(run.tail)
        ),
        "read the transcript; the package, target and features of the pinned test must exist on both trees",
    )
}

fn named(run: &GateRun<'_>) -> String {
    run.test
        .map_or_else(|| command(run), |test| format!("`{test}`"))
}

fn list(seen: &Observed) -> String {
    let names: Vec<_> = seen.failed.iter().take(10).cloned().collect();
    if names.is_empty() {
        format!("{} tests", seen.counts.failed)
    } else {
        names.join(", ")
    }
}

fn status(exit: ProcessExit) -> String {
    match exit {
        ProcessExit::Code(code) => format!("status {code}"),
        ProcessExit::Signal(signal) => format!("signal {signal}"),
        ProcessExit::TimedOut => "a time limit".into(),
        ProcessExit::Cancelled => "a cancellation".into(),
    }
}

/// The first line of the tail that names an error, else its last line.
fn last_error(tail: &str) -> String {
    let lines = || tail.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().find(|line| line.starts_with("error"));
    error
        .or_else(|| lines().next_back())
        .unwrap_or("it printed nothing")
        .chars()
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests;
