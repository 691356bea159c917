//! The pinned test: a test of its own file, red on base by assertion, green on head.

use attest::claim::PinnedTest;

use super::Case;
use crate::model::{GateResult, GateRole, GateVerdict, Refusal};

const FIELD: &str = "pinned_test";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let Some(pin) = &case.body().pinned_test else {
        return match case.demands().pinned_test {
            false => Vec::new(),
            true => vec![Refusal::new(
                "pinned_test_missing",
                FIELD,
                "no test is named that is red without the fix and green with it",
                "name package, target, name and files of an integration test in `tests/`",
            )],
        };
    };
    let mut refused = Vec::new();
    let parts = [
        ("package", &pin.package),
        ("target", &pin.target),
        ("name", &pin.name),
    ];
    let empty: Vec<_> = parts
        .iter()
        .filter(|(_, text)| text.trim().is_empty())
        .map(|(part, _)| *part)
        .collect();
    refused.extend(empty.iter().map(|part| {
        Refusal::new(
            "pinned_test_incomplete",
            format!("{FIELD}.{part}"),
            format!("`{part}` is empty, so the test cannot be run"),
            "write package, target (`--test TARGET`) and the name as libtest prints it",
        )
    }));
    if empty.is_empty() && !case.input.diff.pinned_test_exists {
        refused.push(Refusal::new(
            "pinned_test_not_found",
            format!("{FIELD}.name"),
            format!(
                "no integration test `{}` stands in target `{}` of the claim's tree",
                pin.name, pin.target
            ),
            "move it to `tests/` of the package and name its target",
        ));
    }
    refused.extend(case.input.diff.impure_test_files.iter().map(|file| {
        Refusal::new(
            "pinned_test_impure",
            format!("{FIELD}.files"),
            format!("`{file}` holds more than test code, so it cannot be laid over the base tree"),
            "move the test to `tests/`, in a file that holds nothing else",
        )
    }));
    refused
}

pub(super) fn judge_results(case: &Case<'_>) -> Vec<Refusal> {
    let (Some(gates), Some(pin)) = (&case.input.gates, &case.body().pinned_test) else {
        return Vec::new();
    };
    let of = |role| {
        gates
            .results
            .iter()
            .filter(move |result| result.role == role)
            .collect::<Vec<_>>()
    };
    let mut refused = Vec::new();
    match of(GateRole::PinOnBase).as_slice() {
        [] => refused.push(not_run("the base commit")),
        runs => refused.extend(runs.iter().filter_map(|run| red_on_base(pin, run))),
    }
    match of(GateRole::PinOnHead).as_slice() {
        [] => refused.push(not_run("this claim")),
        runs => refused.extend(runs.iter().filter_map(|run| green_on_head(pin, run))),
    }
    let attempts = of(GateRole::PinOnAttempt);
    let base = &case.input.diff.base_tree;
    let elsewhere = case
        .input
        .attempts
        .iter()
        .filter(|attempt| &attempt.tree != base && !attempt.predictions_held);
    for attempt in elsewhere {
        match attempts.iter().find(|run| run.tree == attempt.tree) {
            None => refused.push(not_run(&attempt.claim_id)),
            Some(run) => refused.extend(red_on_attempt(pin, run, &attempt.claim_id)),
        }
    }
    refused
}

/// A test that passes on a tree that failed at the runner pins something else.
fn red_on_attempt(pin: &PinnedTest, run: &GateResult, attempt: &str) -> Option<Refusal> {
    let asserted = run.failed_tests.contains(&pin.name);
    let red = run.verdict == GateVerdict::Passed && (asserted || run.compile_error);
    (!red).then(|| {
        Refusal::new(
            "pinned_test_green_on_attempt",
            FIELD,
            format!(
                "`{}` is not seen failing on the tree of {attempt}, which failed at the same invariant{}",
                pin.name,
                because(run)
            ),
            format!("assert the behaviour that {attempt} left broken; its verdict names what the run showed"),
        )
    })
}

fn not_run(side: &str) -> Refusal {
    Refusal::new(
        "pinned_test_not_run",
        FIELD,
        format!("the pinned test has no result on the tree of {side}"),
        "run the gates again with `run_gates`",
    )
}

/// Red by assertion is proof; red by a compile error is weak, allowed, and labelled for the person.
fn red_on_base(pin: &PinnedTest, run: &GateResult) -> Option<Refusal> {
    let asserted = run.failed_tests.contains(&pin.name);
    let red = run.verdict == GateVerdict::Passed && (asserted || run.compile_error);
    (!red).then(|| {
        Refusal::new(
            "pinned_test_not_red",
            FIELD,
            format!(
                "`{}` is not seen failing on the base tree{}",
                pin.name,
                because(run)
            ),
            "write a test that fails without the fix, by an assertion on the behaviour",
        )
    })
}

fn green_on_head(pin: &PinnedTest, run: &GateResult) -> Option<Refusal> {
    let green =
        run.verdict == GateVerdict::Passed && run.failed_tests.is_empty() && run.tests.passed > 0;
    (!green).then(|| {
        Refusal::new(
            "pinned_test_not_green",
            FIELD,
            format!(
                "`{}` is not seen passing on the claim's tree{}",
                pin.name,
                because(run)
            ),
            "make it pass locally, then propose the new tree",
        )
    })
}

fn because(run: &GateResult) -> String {
    run.refused
        .first()
        .map_or_else(String::new, |refusal| format!(": {}", refusal.reason))
}
