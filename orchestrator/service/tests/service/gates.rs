//! What gates answer for: the tests they list, the code they keep, and results that are not run again.

use std::fs;
use std::path::Path;

use service::api;

use crate::support::{Bench, codes, run};

fn edit(root: &Path, file: &str, change: impl Fn(String) -> String) {
    let path = root.join(file);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(text)).unwrap();
}

/// The fix as a checked claim, after `change` was made to the tree: loop, claim, draft.
fn checked(bench: &Bench, change: impl Fn(&Path)) -> (String, String, api::ClaimDraft) {
    let (red, loop_id, hypothesis) = bench.suspected();
    bench.fix();
    change(&bench.clone_path());
    let draft = bench.good_draft(&red, &hypothesis, &committed(bench));
    let (claim, _) = bench.accepted(&loop_id, "c1", draft.clone());
    (loop_id, claim, draft)
}

fn committed(bench: &Bench) -> String {
    let clone = bench.clone_path();
    run(
        &clone,
        "git",
        &["commit", "-q", "--amend", "-a", "-m", "try"],
    );
    run(&clone, "git", &["rev-parse", "HEAD"])
}

#[test]
fn a_harness_that_reports_what_it_does_not_list_decides_nothing() {
    // The suite prints its tests' output: one line of it looks like a result.
    let bench = Bench::with(|clone| {
        edit(clone, "tests/paths.rs", |text| {
            text + "\n#[test]\nfn speaks() {\n    println!(\"\\ntest phantom ... ok\");\n}\n"
        });
    });
    let (loop_id, claim, _) = checked(&bench, |_| {});
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(gates.state, "checked");
    assert_eq!(codes(&gates.refused), ["gate_inventory_mismatch"]);
    let paths = gates
        .results
        .iter()
        .find(|r| r.gate == "paths" && r.role == "gate");
    assert!(
        paths.unwrap().refused[0].reason.contains("`phantom`"),
        "{paths:?}"
    );
    let unit = gates
        .results
        .iter()
        .find(|r| r.gate == "unit" && r.role == "gate")
        .unwrap();
    assert_eq!(unit.listed, Some(unit.passed), "{unit:?}");
}

#[test]
fn what_only_uses_itself_is_found_by_the_compiler() {
    let bench = Bench::new();
    let (loop_id, claim, _) = checked(&bench, |clone| {
        edit(clone, "src/blocks.rs", |text| {
            let pair = "    fn ping(n: usize) -> usize {\n        if n == 0 { 0 } else { pong(n - 1) }\n    }\n    \
                        fn pong(n: usize) -> usize {\n        ping(n)\n    }\n    let mut carry";
            text.replace("    let mut carry", pair)
        });
    });
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(gates.state, "checked");
    assert_eq!(codes(&gates.refused), ["symbol_unused"], "{gates:#?}");
    let reasons: Vec<&str> = gates
        .refused
        .iter()
        .map(|refusal| refusal.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "src/blocks.rs:8: rustc says that nothing uses function `ping`",
            "src/blocks.rs:11: rustc says that nothing uses function `pong`"
        ]
    );
}

#[test]
fn code_that_no_gate_keeps_is_uncovered() {
    let bench = Bench::with(|clone| {
        edit(clone, "Cargo.toml", |text| {
            text.replace("[features]\n", "[features]\ndevice = []\n")
        });
        edit(clone, "src/blocks.rs", |text| {
            text + "\n/// Values that one block of the device takes.\n#[cfg(feature = \"device\")]\npub fn room() -> usize {\n    1\n}\n"
        });
    });
    let (loop_id, claim, mut draft) = checked(&bench, |_| {});
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(
        gates.state, "staged",
        "unchanged code needs no gate: {:#?}",
        gates.refused
    );
    let rejected = api::RejectClaimRequest {
        claim_id: claim,
        reason: "the room is wrong too".into(),
    };
    bench.person(rejected).unwrap();
    edit(&bench.clone_path(), "src/blocks.rs", |text| {
        text.replace("-> usize {\n    1\n}", "-> usize {\n    2\n}")
    });
    let source = fs::read_to_string(bench.clone_path().join("src/blocks.rs")).unwrap();
    let line = source
        .lines()
        .position(|line| line.contains("fn room"))
        .unwrap();
    let line = u32::try_from(line).unwrap();
    draft.sites.push(api::SiteView {
        file: "src/blocks.rs".into(),
        function: Some("room".into()),
        line_start: line - 1,
        line_end: line + 3,
    });
    draft.change = api::ChangeView::Commit {
        repo_path: bench.clone_path().to_str().unwrap().into(),
        commit: committed(&bench),
    };
    let proposed = bench.propose(&loop_id, "c2", draft);
    assert_eq!(proposed.refused, []);
    let gates = bench.gates(&loop_id, &proposed.claim_id.unwrap(), 300);
    assert_eq!(
        codes(&gates.refused),
        ["gate_uncovered"],
        "{:#?}",
        gates.refused
    );
    let reason = &gates.refused[0].reason;
    assert!(
        reason.ends_with("src/blocks.rs [feature=\"device\"]"),
        "{reason}"
    );
}

/// A claim whose words are mended runs no gate again; one whose tree differs runs all of them.
#[test]
fn results_are_taken_over_for_the_same_tree_only() {
    let bench = Bench::new();
    let (loop_id, claim, mut draft) = checked(&bench, |_| {});
    let first = bench.gates(&loop_id, &claim, 300);
    assert_eq!(first.state, "staged", "{:#?}", first.refused);
    assert!(
        first
            .results
            .iter()
            .all(|result| result.reused_from.is_none())
    );
    let reject = |claim: String| {
        let request = api::RejectClaimRequest {
            claim_id: claim,
            reason: "say which unit it is".into(),
        };
        bench.person(request).unwrap();
    };
    reject(claim);
    draft.message = draft.message.replace("The tail", "The short tail");
    let again = bench.propose(&loop_id, "c2", draft.clone());
    assert_eq!(again.refused, []);
    let second_claim = again.claim_id.unwrap();
    let second = bench.gates(&loop_id, &second_claim, 300);
    assert_eq!(second.state, "staged", "{:#?}", second.refused);
    assert_eq!(second.results.len(), first.results.len());
    let from: Vec<_> = second
        .results
        .iter()
        .map(|result| result.reused_from.as_deref())
        .collect();
    assert!(from.iter().all(|from| *from == Some("G1")), "{from:?}");
    let transcripts = |gates: &api::RunGatesAnswer| -> Vec<_> {
        let mut of: Vec<_> = gates
            .results
            .iter()
            .map(|r| r.transcript.clone().unwrap().log_id)
            .collect();
        of.sort();
        of
    };
    assert_eq!(transcripts(&first), transcripts(&second));

    reject(second_claim);
    edit(&bench.clone_path(), "src/blocks.rs", |text| {
        text.replacen("chunks(", "chunks( ", 1)
    });
    draft.change = api::ChangeView::Commit {
        repo_path: bench.clone_path().to_str().unwrap().into(),
        commit: committed(&bench),
    };
    let third = bench.propose(&loop_id, "c3", draft);
    assert_eq!(third.refused, []);
    let third = bench.gates(&loop_id, &third.claim_id.unwrap(), 300);
    assert_eq!(third.state, "staged", "{:#?}", third.refused);
    assert!(
        third
            .results
            .iter()
            .all(|result| result.reused_from.is_none())
    );
}
