//! Artifacts that expired, differ from their digest or were overwritten.

use super::*;

#[test]
fn an_expired_artifact_says_so() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/artifacts"));
    forge.artifacts(&[
        json!({"id": 1, "name": "told", "expired": true, "digest": null}),
        json!({"id": 2, "name": "found out", "expired": false}),
    ]);
    forge.api.on(
        &format!("{REPO}/actions/artifacts/2/zip"),
        status(410, "{}"),
    );
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    let why: Vec<_> = pulled.artifacts.iter().map(|a| a.why_empty).collect();
    assert_eq!(why, [Some(WhyEmpty::Expired); 2]);
    assert_eq!(
        forge.api.count(&format!("{REPO}/actions/artifacts/1/zip")),
        0
    );
    assert!(!pulled.is_full());
}

#[test]
fn digests_of_artifacts_are_checked() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/artifacts"));
    let zip = zip_of(&[("a.txt", b"a")]);
    let right = attest::digest::Digest::of(&zip).to_string();
    let wrong = attest::digest::Digest::of(b"other").to_string();
    forge.artifacts(&[
        json!({"id": 1, "name": "right", "digest": right}),
        json!({"id": 2, "name": "null", "digest": null}),
        json!({"id": 3, "name": "wrong", "digest": wrong}),
    ]);
    for id in 1..=3 {
        forge.artifact(id, &zip);
    }
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    let fates: Vec<Fate> = pulled.artifacts.iter().map(|a| a.fate).collect();
    assert_eq!(fates, [Fate::ByteExact, Fate::ByteExact, Fate::Failed]);
    assert!(pulled.artifacts[1].detail.contains("states no digest"));
    assert_eq!(pulled.artifacts[2].blob, None);
    assert!(!pulled.is_full());
}

#[test]
fn an_artifact_that_was_overwritten_keeps_both_and_trusts_the_newest() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/artifacts"));
    forge.artifacts(&[
        json!({"id": 5, "name": "out-a"}),
        json!({"id": 9, "name": "out-a"}),
    ]);
    forge.artifact(5, &zip_of(&[("t.log", b"old\n")]));
    forge.artifact(9, &zip_of(&[("t.log", b"new\n")]));
    let mut bench = Bench {
        harness: vec![HarnessPattern::parse("out-{cell}/*.log").unwrap()],
        ..Bench::default()
    };
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.artifacts[0].logs, []);
    assert!(pulled.artifacts[0].detail.contains("newer artifact"));
    let log = pulled.artifacts[1].logs[0].log.log_id.to_string();
    assert_eq!(bench.store.logs.borrow()[&log], b"new\n");
}
