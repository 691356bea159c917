//! Minutes on the ledger, and a person's word against a rule of cost.

use std::fs;

use service::api;

use crate::support::{Bench, SCOPE, codes};

#[test]
fn a_person_passes_over_a_budget_and_the_push_says_so_for_ever() {
    let bench = Bench::with(|clone| {
        let path = clone.join("greenloop.toml");
        let policy = fs::read_to_string(&path).unwrap();
        let tight = policy.replace("runner_minutes_per_day = 60", "runner_minutes_per_day = 4");
        assert_ne!(tight, policy);
        fs::write(path, tight).unwrap();
    });
    let red = bench.run_scope();
    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h", "skipped_work", "the last block is skipped");
    let draft = bench.good_draft(&red, &hypothesis, &bench.fix());
    let refused = bench.propose(&loop_id, "c1", draft.clone()).refused;
    assert_eq!(codes(&refused), ["budget_exceeded"]);
    assert!(
        refused[0]
            .remedy
            .contains("greenloop override budget_exceeded")
    );

    let word = |code: &str, reason: &str| api::OverrideRuleRequest {
        code: code.into(),
        scope: SCOPE.into(),
        reason: reason.into(),
        hours: 2,
    };
    let why = "the night shift pays for it";
    let by_agent = bench.agent(word("budget_exceeded", why));
    assert!(by_agent.is_err(), "an agent overrides nothing");
    let proof = bench.person(word("pin_green_on_base", why)).unwrap();
    assert_eq!(codes(&proof.refused), ["not_overridable"]);
    let mute = bench.person(word("budget_exceeded", "")).unwrap();
    assert_eq!(codes(&mute.refused), ["reason_missing"]);
    let granted = bench.person(word("budget_exceeded", why)).unwrap();
    assert_eq!(granted.granted.unwrap().override_id, "V1");

    let proposed = bench.propose(&loop_id, "c2", draft);
    assert_eq!(proposed.refused, []);
    let (claim, digest) = (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap());
    assert_eq!(bench.gates(&loop_id, &claim, 300).state, "staged");
    let card = bench.claim(&claim).card.unwrap();
    let labels = card["labels"].as_array().unwrap();
    let told = labels
        .iter()
        .any(|label| label.as_str().unwrap().contains("V1 passes over"));
    assert!(told, "{labels:?}");
    bench.approve(&claim);
    let status = || bench.agent(api::LoopStatusRequest::default()).unwrap();
    let row = status().spending.remove(0);
    assert_eq!((row.state.as_str(), row.reserved_minutes), ("reserved", 5));
    assert_eq!(bench.push(&loop_id, &claim, &digest).refused, []);
    assert_eq!(bench.verified(&claim).state, "confirmed");

    let explained = bench
        .agent(api::ExplainPushRequest {
            commit: None,
            claim_id: Some(claim.clone()),
        })
        .unwrap();
    assert!(explained.allowed && explained.identical, "{explained:#?}");
    assert_eq!(explained.overrides[0].reason, why);
    let passed: Vec<&String> = explained
        .rules
        .iter()
        .flat_map(|rule| &rule.overridden)
        .collect();
    assert_eq!(passed, ["V1 passes over budget_exceeded"]);

    let after = status();
    let row = &after.spending[0];
    assert_eq!(row.claim_id.as_deref(), Some(claim.as_str()));
    assert_eq!((row.state.as_str(), row.empty), ("settled", false));
    assert_eq!(row.bought.as_deref(), Some("confirmed: 2 predictions held"));
    let rate = &after.hit_rates[0];
    assert_eq!(
        (rate.author.as_str(), rate.hits, rate.percent),
        ("agent", 2, Some(100))
    );
    // The same tree was proposed twice and written once.
    let counters = after.r#loop.unwrap().counters;
    assert_eq!((counters.lines_written, counters.proposals), (2, 2));
    let listed = api::ListClaimsRequest {
        all: true,
        ..Default::default()
    };
    let ids: Vec<String> = bench
        .person(listed)
        .unwrap()
        .claims
        .into_iter()
        .map(|claim| claim.claim_id)
        .collect();
    assert_eq!(ids, ["C2", "C1"]);
}
