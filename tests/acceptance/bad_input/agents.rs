//! Two agents at once: loops of their own, one open claim for a ref and scope.

use acceptance::story::Product;
use acceptance::support::mcp::Mcp;
use serde_json::{Value, json};

use super::{codes, fixture, place, text};

#[test]
fn two_agents_at_once_have_loops_of_their_own_and_take_turns() {
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    let said = product.agent("claim", |_| {}).unwrap();
    let first = &said
        .iter()
        .find(|said| said.step == "good_claim")
        .unwrap()
        .data;
    let second = Mcp::connect(&scene, "the second").unwrap();
    let opened = second.call(
        "open_loop",
        json!({ "goal": "the same, by another", "scopes": [scene.brief.scope], "idempotency_key": "story" }),
    );
    // One key, used by both: the loop is the first agent's, and that is said.
    let reused = opened.unwrap_err().to_string();
    assert!(reused.contains("use a new key"), "{reused}");
    let opened = second.call(
        "open_loop",
        json!({ "goal": "the same, by another", "scopes": [scene.brief.scope], "idempotency_key": "second" }),
    );
    let mine = text(&opened.unwrap()["loop_id"]);
    assert_ne!(mine, text(&first["loop_id"]));

    let proposed = second
        .call(
            "propose_claim",
            json!({ "loop_id": mine, "draft": first["draft"], "idempotency_key": "good" }),
        )
        .unwrap();
    let claim = text(&proposed["claim_id"]);
    assert_ne!(claim, text(&first["claim_id"]), "two loops share a claim");

    // The first one's gates run while the second one asks for its own.
    let request = json!({ "loop_id": mine, "claim_id": claim, "max_wait_s": 50 });
    let begin = |max_wait_s: u64| json!({ "loop_id": first["loop_id"], "claim_id": first["claim_id"], "max_wait_s": max_wait_s });
    let first_agent = Mcp::connect(&scene, "the first").unwrap();
    first_agent.call("run_gates", begin(0)).unwrap();
    let queued = |answer: &Value| {
        assert_eq!(codes(answer), ["claim_queued"], "{answer}");
        let refusal = &answer["refused"][0];
        assert!(
            text(&refusal["reason"]).contains(&text(&first["claim_id"])),
            "{refusal}"
        );
        assert!(!text(&refusal["remedy"]).is_empty(), "{refusal}");
    };
    queued(&second.call("run_gates", request.clone()).unwrap());
    let gated = first_agent.call("run_gates", begin(600)).unwrap();
    assert_eq!(gated["state"], "staged", "{gated}");
    queued(&second.call("run_gates", request.clone()).unwrap());

    // Nobody speaks for the other's claim.
    let foreign = json!({ "loop_id": mine, "claim_id": first["claim_id"], "max_wait_s": 0 });
    let complaint = second.complaint("run_gates", foreign).unwrap();
    assert!(complaint.contains(&text(&first["claim_id"])), "{complaint}");

    // What one looks at is not counted as the other's looking.
    let reorientations = |loop_id: &Value| {
        let status = product.call(&["status"]).unwrap().1;
        assert_eq!(
            status["open_loops"].as_array().unwrap().len(),
            2,
            "{status}"
        );
        let status = second
            .call("loop_status", json!({ "loop_id": loop_id }))
            .unwrap();
        status["loop"]["counters"]["reorientations"]
            .as_u64()
            .unwrap()
    };
    let (mine_before, first_before) = (
        reorientations(&json!(mine)),
        reorientations(&first["loop_id"]),
    );
    for _ in 0..3 {
        second
            .call("loop_status", json!({ "loop_id": mine }))
            .unwrap();
    }
    assert!(reorientations(&json!(mine)) >= mine_before + 3);
    assert!(reorientations(&first["loop_id"]) <= first_before + 1);

    let first_claim = text(&first["claim_id"]);
    product
        .expect(
            0,
            &[
                "reject",
                &first_claim,
                "--reason",
                "the other one goes first",
            ],
        )
        .unwrap();
    let gated = second.call("run_gates", request).unwrap();
    assert_eq!(gated["state"], "staged", "{gated}");
    product.expect(0, &["stop"]).unwrap();
}
