//! The log of the engine's smoke suite, as it is printed, is read without a remark and proves what it must.

use std::process::{Command, Stdio};

use acceptance::classify::{CellLog, judge};
use acceptance::support::repository_root;
use discipline::green::Colour;
use discipline::policy::Policy;
use engine::telemetry::Marker;

const SCOPE: &str = "vulkan_kernel_correctness";
const CELL: &str = "noop-0-full";

/// Markers that a suite without a fault does not print.
const OF_FAULTS: &[&str] = &["FIRST_DIVERGENCE", "[FFN DIVERGE]", "[HAZARD]"];

/// The policy of this repository with one cell of the scope.
fn policy() -> Policy {
    let text = std::fs::read_to_string(repository_root().join("greenloop.toml")).unwrap();
    let mut policy = Policy::parse(&text).unwrap();
    let scope = policy.scope.get_mut(SCOPE).unwrap();
    scope.cells.retain(|cell| cell.name == CELL);
    policy
}

/// Runs the cell as its scope says, stdout and stderr into one log.
fn run_cell(policy: &Policy) -> CellLog {
    let scope = &policy.scope[SCOPE];
    let file = tempfile::NamedTempFile::new().unwrap();
    // One open file for both, so that their lines keep their order.
    let log = file.reopen().unwrap();
    let status = Command::new(&scope.argv[0])
        .args(&scope.argv[1..])
        .current_dir(repository_root())
        .envs(&scope.cells[0].env)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    CellLog {
        cell: CELL.into(),
        log: std::fs::read(file.path()).unwrap(),
        exit: status.code().unwrap_or(-1),
    }
}

#[test]
fn the_log_of_the_smoke_suite_is_passed_with_proof() {
    let policy = policy();
    let log = run_cell(&policy);
    let text = String::from_utf8_lossy(&log.log).into_owned();
    assert_eq!(log.exit, 0, "{text}");
    for tag in Marker::TAGS {
        let printed = text
            .lines()
            .any(|line| line.contains(&format!("{tag} v=1 run=")));
        // The worker lives as long as its parent, which ends it after the last test.
        let expected = !OF_FAULTS.contains(tag) && *tag != "[WORKER EXIT]";
        assert!(printed || !expected, "nothing printed {tag}");
    }
    let judged = judge(&policy, SCOPE, std::slice::from_ref(&log)).unwrap();
    assert_eq!(
        judged.diagnostics,
        [],
        "everything is read without a remark"
    );
    assert_eq!(judged.classification.class.as_str(), "passed");
    assert_eq!(judged.report.colour, Colour::Green, "{:?}", judged.report);
    assert!(judged.engagement.len() >= 4);
    a_cut_log_and_a_silent_device_are_not_green(&policy, &log);
}

/// The proof is worth something: without its lines, the same success is no green.
fn a_cut_log_and_a_silent_device_are_not_green(policy: &Policy, log: &CellLog) {
    let text = String::from_utf8_lossy(&log.log).into_owned();
    let without = |needle: &str| {
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains(needle)).collect();
        let log = CellLog {
            log: lines.join("\n").into_bytes(),
            ..log.clone()
        };
        judge(policy, SCOPE, &[log]).unwrap()
    };
    for needle in ["[BACKEND] ", "[TELEMETRY END] ", "test result: ok"] {
        let judged = without(needle);
        let colour = judged.report.colour;
        assert_ne!(
            colour,
            Colour::Green,
            "without {needle}: {:?}",
            judged.report
        );
    }
}
