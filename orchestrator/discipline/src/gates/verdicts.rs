//! What each role has to show, once the process has ended by itself.

use super::observed::Observed;
use super::{
    CANARY_TEST, GateRun, Judged, Listed, argv, command, coverage, inventory, refuse, vacuous,
};
use crate::model::ProcessExit;

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

pub(super) fn pin_on_base(run: &GateRun<'_>, seen: &Observed) -> Judged {
    must_be_red(
        run,
        seen,
        "pin_green_on_base",
        "passes on the base tree, so it does not show the defect",
        "assert the behaviour that fails today, and see the test fail before the change",
    )
}

pub(super) fn pin_on_attempt(run: &GateRun<'_>, seen: &Observed) -> Judged {
    must_be_red(
        run,
        seen,
        "pin_green_on_attempt",
        "passes on the tree of an attempt that failed, so it would have let that one through",
        "assert the behaviour that the attempt left broken; the run that refuted it shows which",
    )
}

fn must_be_red(run: &GateRun<'_>, seen: &Observed, code: &str, why: &str, remedy: &str) -> Judged {
    if let Some(judged) = decided_nothing(run, seen) {
        return judged;
    }
    wrong_test(run, seen)?;
    match run.exit {
        ProcessExit::Code(0) if seen.failed.is_empty() => {
            refuse(run, code, format!("{} {why}", named(run)), remedy)
        }
        ProcessExit::Code(0) => contradiction(run, seen),
        _ if seen.compile_error || seen.counts.failed > 0 => Ok(()),
        _ => unexplained(run),
    }
}

pub(super) fn pin_on_head(run: &GateRun<'_>, seen: &Observed) -> Judged {
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

pub(super) fn gate(run: &GateRun<'_>, seen: &Observed, covered: &[String]) -> Judged {
    if argv::runs_tests(run.argv)
        && let Some(judged) = decided_nothing(run, seen)
    {
        return judged;
    }
    must_be_green(run, seen, "gate_failed")?;
    same_inventory(run, seen)?;
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

/// Red or green are both answers here; only a run that decided nothing is none.
pub(super) fn gate_on_parent(run: &GateRun<'_>, seen: &Observed) -> Judged {
    decided_nothing(run, seen).unwrap_or(Ok(()))
}

/// What ran must be what the binaries hold: a harness that reports less, or more, decides nothing.
fn same_inventory(run: &GateRun<'_>, seen: &Observed) -> Judged {
    let (code, why) = match run.listed {
        None => return Ok(()),
        Some(Listed::Unreadable(why)) => ("gate_inventory_unreadable", why.clone()),
        Some(Listed::Names(names)) => match inventory::mismatch(names, seen) {
            None => return Ok(()),
            Some(why) => ("gate_inventory_mismatch", why),
        },
    };
    refuse(
        run,
        code,
        format!("{}: {why}", command(run)),
        "run it with `-- --list` and without; let every listed test report its own result through libtest",
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

pub(super) fn canary(run: &GateRun<'_>, seen: &Observed) -> Judged {
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
