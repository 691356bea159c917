//! The legal way to look: a diagnostic decides between two theories at the runner, strikes one out,
//! and has to leave the tree.

use std::fs;

use service::api;

use crate::support::{Bench, SCOPE, codes, run};

/// The defect shows at the runner alone, so that no local gate can see it.
fn only_at_the_runner(root: &std::path::Path) {
    let path = root.join("src/blocks.rs");
    let text = fs::read_to_string(&path).unwrap();
    let bug = "for (index, block) in values.chunks_exact(BLOCK).enumerate() {\n";
    assert!(text.contains(bug));
    let hidden = "let whole = values.len() / BLOCK * BLOCK;\n    \
                  let seen = if std::env::var_os(\"TALLY_CELL\").is_some() { whole } else { values.len() };\n    \
                  for (index, block) in values[..seen].chunks(BLOCK).enumerate() {\n";
    fs::write(path, text.replace(bug, hidden)).unwrap();
}

fn site(line_start: u32, line_end: u32) -> api::SiteView {
    api::SiteView {
        file: "src/blocks.rs".into(),
        function: None,
        line_start,
        line_end,
    }
}

#[test]
fn a_diagnostic_decides_and_then_has_to_go() {
    let bench = Bench::with(only_at_the_runner);
    let red = bench.run_scope();
    assert_eq!(red.conclusion.as_deref(), Some("failure"));
    let loop_id = bench.open_loop();
    let theory = |key: &str, mechanism: &str, statement: &str| {
        bench.hypothesis(&loop_id, key, mechanism, statement)
    };
    let cut = theory(
        "h1",
        "skipped_work",
        "the runner hands over a shorter slice of values",
    );
    let whole = theory(
        "h2",
        "wrong_constant",
        "every value is handed over and totalled wrongly",
    );
    let clone = bench.clone_path();
    let path = clone.join("src/blocks.rs");
    let text = fs::read_to_string(&path).unwrap();
    let looks = "    if seen < values.len() {\n        \
                 println!(\"ABORT: only {seen}/{} chunks allocated\", values.len());\n    }\n    for (index";
    fs::write(&path, text.replacen("    for (index", looks, 1)).unwrap();
    run(&clone, "git", &["commit", "-q", "-am", "look"]);
    let commit = run(&clone, "git", &["rev-parse", "HEAD"]);

    let mut draft = bench.good_draft(&red, &cut, &commit);
    draft.sites = vec![site(6, 16)];
    draft.prediction.clear();
    draft.pinned_test = None;
    draft.message = draft.message.replace(
        "total the last, short block",
        "show how many values are totalled",
    );
    let as_fix = bench.agent(api::CheckClaimRequest {
        loop_id: loop_id.clone(),
        draft: draft.clone(),
    });
    let as_fix = as_fix.unwrap().refused;
    let offered = as_fix
        .iter()
        .find(|refusal| refusal.code == "instrumentation_only")
        .unwrap();
    assert!(offered.remedy.contains("diagnostic"), "{offered:?}");

    draft.kind = "diagnostic".into();
    draft.hypothesis_id = None;
    draft.rollback_if.clear();
    let outcome = |predicate: &str, kills: &str| api::OutcomeView {
        predicate: predicate.into(),
        kills: vec![kills.into()],
    };
    draft.outcomes = vec![
        outcome("any chunk_abort.allocated > 0", &whole),
        outcome("absent chunk_abort", &cut),
    ];
    // Its absence is no news: the tree without the line does not print it either.
    let known = bench.propose(&loop_id, "c1", draft.clone());
    assert_eq!(codes(&known.refused), ["outcome_already_known"]);
    draft.outcomes[1] = outcome("all cargo_summary.failed == 0", &cut);
    let proposed = bench.propose(&loop_id, "c2", draft);
    assert_eq!(proposed.refused, []);
    let (claim, digest) = (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap());
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(
        (gates.state.as_str(), gates.refused.len()),
        ("staged", 0),
        "{gates:#?}"
    );
    bench.approve(&claim);
    assert_eq!(bench.push(&loop_id, &claim, &digest).refused, []);
    let verified = bench.verified(&claim);
    assert_eq!(verified.state, "confirmed", "{verified:#?}");

    let status = bench
        .agent(api::LoopStatusRequest {
            loop_id: Some(loop_id.clone()),
        })
        .unwrap();
    let text = serde_json::to_string(&status).unwrap();
    assert!(text.contains("leaves the tree once it has run"), "{text}");
    let fix = bench.good_draft(&red, &whole, &commit);
    let refused = bench
        .agent(api::CheckClaimRequest {
            loop_id,
            draft: fix,
        })
        .unwrap()
        .refused;
    let dead = refused
        .iter()
        .find(|refusal| refusal.code == "hypothesis_falsified");
    assert!(dead.is_some(), "{refused:#?}");
    assert_eq!(status.scopes[0].scope, SCOPE);
}
