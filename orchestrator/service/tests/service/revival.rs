//! A dead theory lives again by newer evidence that contradicts its killer, and a person's signature.

use std::fs;

use service::api;

use crate::support::{Bench, codes, run};

fn prepare(bench: &Bench, id: &str, reason: &str) -> api::PrepareRevivalAnswer {
    let request = api::PrepareRevivalRequest {
        hypothesis_id: id.into(),
        reason: reason.into(),
    };
    bench.person(request).unwrap()
}

fn signed(bench: &Bench, payload: &str, key: &str) -> String {
    fs::write(bench.root().join("revival"), payload).unwrap();
    let _old = fs::remove_file(bench.root().join("revival.sig"));
    let args = [
        "-Y",
        "sign",
        "-n",
        "greenloop-approval",
        "-f",
        key,
        "revival",
    ];
    run(&bench.root(), "ssh-keygen", &args);
    fs::read_to_string(bench.root().join("revival.sig")).unwrap()
}

#[test]
fn a_dead_theory_lives_again_by_newer_bytes_and_a_signature() {
    let bench = Bench::new();
    let (first, loop_id, id) = bench.suspected();
    let why = "the newer run shows the tail again, as it predicts";
    assert_eq!(
        codes(&prepare(&bench, &id, why).refused),
        ["hypothesis_not_dead"]
    );
    let measure = |about: &str, key: &str, seen: &api::RunView| {
        let answer = bench.agent(api::RecordObservationRequest {
            loop_id: loop_id.clone(),
            hypothesis_id: about.into(),
            kind: "measurement".into(),
            bearing: "for".into(),
            statement: "the slots behind the last block are zero".into(),
            memory: Some("device".into()),
            citations: vec![bench.citation(seen)],
            bytes: None,
            source: None,
            idempotency_key: key.into(),
        });
        assert_eq!(answer.unwrap().refused, []);
    };
    measure(&id, "old", &first);
    let killed = bench.agent(api::FalsifyHypothesisRequest {
        loop_id: loop_id.clone(),
        hypothesis_id: id.clone(),
        killer: vec![bench.citation(&first)],
        reason: "a reading of the wrong log".into(),
    });
    assert_eq!(killed.unwrap().refused, []);
    // What was known when it died does not bring it back.
    assert_eq!(
        codes(&prepare(&bench, &id, why).refused),
        ["evidence_not_newer"]
    );

    // A newer log, whose bytes differ because the tree does.
    let clone = bench.clone_path();
    run(
        &clone,
        "sed",
        &["-i", "s/compare(3)/compare(2)/", "tests/paths.rs"],
    );
    run(&clone, "git", &["commit", "-q", "-am", "another length"]);
    run(&clone, "git", &["push", "-q", "origin", "main"]);
    let second = bench.run_scope();
    measure(&id, "new", &second);
    assert_eq!(
        codes(&prepare(&bench, &id, "so there").refused),
        ["reason_missing"]
    );
    let prepared = prepare(&bench, &id, why);
    assert_eq!(
        (codes(&prepared.refused), prepared.observations.len()),
        (vec![], 1)
    );
    let payload = prepared.payload.unwrap();
    let revive = |payload: &str, signature: &str| {
        bench.person(api::ReviveHypothesisRequest {
            hypothesis_id: id.clone(),
            payload: payload.into(),
            signature: signature.into(),
        })
    };
    // A stranger's key, another reason under the same signature, and no tool of an agent.
    run(
        &bench.root(),
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", "stranger"],
    );
    let stranger = signed(&bench, &payload, "stranger");
    assert_eq!(
        codes(&revive(&payload, &stranger).unwrap().refused),
        ["signature_refused"]
    );
    let signature = signed(&bench, &payload, "approver");
    let altered = payload.replace("shows the tail", "shows a tail!");
    assert_eq!(
        codes(&revive(&altered, &signature).unwrap().refused),
        ["signature_refused"]
    );
    let by_agent = bench.agent(api::ReviveHypothesisRequest {
        hypothesis_id: id.clone(),
        payload: payload.clone(),
        signature: signature.clone(),
    });
    assert_eq!(by_agent.unwrap_err().code(), "operator_only");

    let revived = revive(&payload, &signature).unwrap();
    assert_eq!(
        (codes(&revived.refused), revived.hypothesis.status.as_str()),
        (vec![], "open")
    );
    assert_eq!(revived.signer.as_deref(), Some("ana@example.org"));
    // Once: the signature names the death that it undid.
    let again = revive(&payload, &signature).unwrap();
    assert!(
        codes(&again.refused).contains(&"hypothesis_not_dead"),
        "{again:?}"
    );
}

#[test]
fn newer_evidence_that_shows_something_else_brings_nothing_back() {
    let bench = Bench::new();
    let (first, loop_id, id) = bench.suspected();
    let killed = bench.agent(api::FalsifyHypothesisRequest {
        loop_id: loop_id.clone(),
        hypothesis_id: id.clone(),
        killer: vec![bench.citation(&first)],
        reason: "a reading of the wrong log".into(),
    });
    assert_eq!(killed.unwrap().refused, []);
    // The newer run is green: it forbids that, and predicts the opposite.
    let fix = bench.fix();
    run(
        &bench.clone_path(),
        "git",
        &["push", "-q", "origin", "HEAD:main"],
    );
    let green = bench.run_scope();
    assert_eq!(green.head_sha, fix);
    let log = green.jobs[0].log.clone().unwrap();
    let found = bench.agent(api::ExtractMarkersRequest {
        log_id: log.log_id.clone(),
        kinds: Some(vec!["gpu_perdispatch".into()]),
        r#where: None,
        cursor: None,
        limit: Some(1),
    });
    let row = found.unwrap().observations.remove(0);
    let seen = bench.agent(api::RecordObservationRequest {
        loop_id,
        hypothesis_id: id.clone(),
        kind: "measurement".into(),
        bearing: "for".into(),
        statement: "a pass was submitted after all".into(),
        memory: Some("none".into()),
        citations: vec![api::CitationView {
            log_id: log.log_id,
            byte_start: row.byte_start,
            byte_end: row.byte_end,
            line_start: row.line,
            line_end: row.line,
        }],
        bytes: None,
        source: None,
        idempotency_key: "new".into(),
    });
    assert_eq!(seen.unwrap().refused, []);
    let refused = prepare(&bench, &id, "it was a pass after all").refused;
    assert_eq!(
        codes(&refused),
        ["evidence_does_not_contradict"],
        "{refused:#?}"
    );
}
