//! Signatures and pushes that are used for something else than a person signed.

use std::fs;
use std::path::Path;

use service::api;

use super::{Field, only, remote, unmatched, words};
use crate::support::{Bench, SCOPE, codes, run};

/// A key whose time is over, and one that may only sign verdicts, stand beside the approver's.
fn more_signers(clone: &Path) {
    let root = clone.parent().unwrap();
    let mut lines = fs::read_to_string(clone.join("allowed_signers")).unwrap();
    for (name, options) in [
        (
            "retired",
            "namespaces=\"greenloop-approval\",valid-before=\"20200101Z\"",
        ),
        ("recorder", "namespaces=\"greenloop-verdict\""),
    ] {
        let args = ["-q", "-t", "ed25519", "-N", "", "-f", name];
        run(root, "ssh-keygen", &args);
        let key = fs::read_to_string(root.join(format!("{name}.pub"))).unwrap();
        lines.push_str(&format!("{name}@example.org {options} {key}"));
    }
    fs::write(clone.join("allowed_signers"), lines).unwrap();
}

/// A signature over the payload with one of the keys, in a namespace.
fn signed(bench: &Bench, payload: &str, key: &str, namespace: &str) -> String {
    let root = bench.root();
    fs::write(root.join("other"), payload).unwrap();
    let _old = fs::remove_file(root.join("other.sig"));
    let args = ["-Y", "sign", "-n", namespace, "-f", key, "other"];
    run(&root, "ssh-keygen", &args);
    fs::read_to_string(root.join("other.sig")).unwrap()
}

fn staged(field: &Field, key: &str) -> (String, String) {
    let draft = field.draft(&field.honest);
    let (claim, digest) = field.bench.accepted(&field.loop_id, key, draft);
    let gates = field.bench.gates(&field.loop_id, &claim, 300);
    assert_eq!(gates.state, "staged", "{:#?}", gates.refused);
    let transcript = gates.results[0].transcript.clone().unwrap();
    words::transcript_as_evidence(field, &transcript);
    (claim, digest)
}

fn ask(field: &Field, claim: &str, payload: &str, signature: &str) -> Vec<api::RefusalView> {
    let request = api::ApproveClaimRequest {
        claim_id: claim.into(),
        payload: payload.into(),
        signature: signature.into(),
    };
    field.bench.person(request).unwrap().refused
}

#[test]
fn an_approval_is_for_one_push_of_one_claim() {
    let field = Field::over(Bench::with(more_signers));
    let bench = &field.bench;
    let (first, _) = staged(&field, "c1");
    let (payload, signature) = bench.sign(&first);
    keys(&field, &first, &payload);
    // The claim is taken back and proposed again, word for word: the signature was over the first.
    let withdraw = api::WithdrawClaimRequest {
        loop_id: field.loop_id.clone(),
        claim_id: first.clone(),
        reason: "again".into(),
    };
    assert_eq!(bench.agent(withdraw).unwrap().refused, []);
    let (second, digest) = staged(&field, "c2");
    assert_ne!(first, second);
    let replayed = ask(&field, &second, &payload, &signature);
    assert_eq!(codes(&replayed), ["approval_mismatch"]);
    assert!(
        replayed
            .iter()
            .any(|refusal| refusal.field == "payload.commit")
    );
    // Somebody made the payload last for ten years before the person signed it.
    let (fresh, _) = bench.sign(&second);
    let at = fresh.find("\"expires_ms\":").unwrap() + "\"expires_ms\":".len();
    let end = at + fresh[at..].find([',', '}']).unwrap();
    let expires: i64 = fresh[at..end].parse().unwrap();
    let long = fresh.replace(
        &fresh[at..end],
        &(expires + 10 * 365 * 86_400_000).to_string(),
    );
    let signature = signed(bench, &long, "approver", "greenloop-approval");
    only(
        &ask(&field, &second, &long, &signature),
        ("approval_too_long", "payload.expires_ms", "24 h"),
    );
    assert_eq!(bench.approve(&second).state, "approved");
    others(&field, &second, &digest);
    remote::moves_while_it_receives(&field, &second, &digest);
    let commit = race(&field, &second, &digest);
    assert_eq!(bench.verified(&second).state, "confirmed");
    remote::tampered(&field, &commit);
}

/// The right bytes under the wrong key or in the wrong namespace.
fn keys(field: &Field, claim: &str, payload: &str) {
    let bench = &field.bench;
    let agent = ["-q", "-t", "ed25519", "-N", "", "-f", "agent"];
    run(&bench.root(), "ssh-keygen", &agent);
    // The agent's own key stands in the work tree and on a branch of the remote, not on base.
    let clone = bench.clone_path();
    let key = fs::read_to_string(bench.root().join("agent.pub")).unwrap();
    let line = format!("agent@example.org namespaces=\"greenloop-approval\" {key}");
    run(
        &clone,
        "git",
        &["checkout", "-q", "-f", "-B", "mine", "origin/main"],
    );
    fs::write(clone.join("allowed_signers"), line).unwrap();
    run(&clone, "git", &["commit", "-q", "-am", "mine"]);
    run(&clone, "git", &["push", "-q", "origin", "mine"]);
    for (key, namespace) in [
        ("agent", "greenloop-approval"),
        ("retired", "greenloop-approval"),
        ("recorder", "greenloop-approval"),
        ("recorder", "greenloop-verdict"),
        ("approver", "greenloop-verdict"),
        ("approver", "git"),
    ] {
        let signature = signed(bench, payload, key, namespace);
        let refused = ask(field, claim, payload, &signature);
        assert_eq!(
            codes(&refused),
            ["signature_refused"],
            "{key} in {namespace}"
        );
        assert_eq!(refused[0].field, "signature", "{key} in {namespace}");
    }
    assert_eq!(bench.claim(claim).summary.state, "staged");
}

/// What another loop, an agent and a second gate run may do to an approved claim: nothing.
fn others(field: &Field, claim: &str, digest: &str) {
    let bench = &field.bench;
    let before = bench.claim(claim);
    let again = bench.gates(&field.loop_id, claim, 60);
    assert_eq!(again.state, "approved", "{:?}", again.refused);
    let other = api::OpenLoopRequest {
        goal: "something else".into(),
        scopes: vec![SCOPE.into()],
        idempotency_key: "other".into(),
    };
    let other = bench.agent(other).unwrap().loop_id.unwrap();
    let push = api::RequestPushRequest {
        loop_id: other.clone(),
        claim_id: claim.into(),
        claim_digest: digest.into(),
    };
    let error = bench.agent(push).unwrap_err();
    assert_eq!(
        (error.code(), error.fixable()),
        ("unknown_id", true),
        "{error}"
    );
    let withdraw = api::WithdrawClaimRequest {
        loop_id: other.clone(),
        claim_id: claim.into(),
        reason: "mine now".into(),
    };
    assert_eq!(bench.agent(withdraw).unwrap_err().code(), "unknown_id");
    let gates = api::RunGatesRequest {
        loop_id: other,
        claim_id: claim.into(),
        max_wait_s: Some(1),
    };
    assert_eq!(bench.agent(gates).unwrap_err().code(), "unknown_id");
    operators(field, claim);
    assert_eq!(bench.claim(claim), before);
}

/// No word of a person is taken from the agent's socket.
fn operators(field: &Field, claim: &str) {
    fn only_people<C: api::Command>(field: &Field, request: C)
    where
        C::Answer: std::fmt::Debug,
    {
        let error = field.bench.agent(request).unwrap_err();
        assert_eq!(error.code(), "operator_only", "{error}");
    }
    let (claim, scope) = (claim.to_owned(), SCOPE.to_owned());
    let reason = "because".to_owned();
    for code in ["scope_closed", "empty_results_in_a_row", "runner_offline"] {
        let request = api::OverrideRuleRequest {
            code: code.into(),
            scope: scope.clone(),
            reason: reason.clone(),
            hours: 9000,
        };
        only_people(field, request);
    }
    only_people(
        field,
        api::ReopenScopeRequest {
            scope: scope.clone(),
            reason: reason.clone(),
            hours: 9000,
        },
    );
    only_people(
        field,
        api::StartRunRequest {
            scope,
            cell: None,
            commit: Some(field.honest.clone()),
            wait: false,
        },
    );
    only_people(
        field,
        api::RerunRequest {
            run_id: field.red.run_id.clone(),
            reason: reason.clone(),
            failed_only: false,
        },
    );
    only_people(
        field,
        api::CancelRunRequest {
            run_id: field.red.run_id.clone(),
            reason: reason.clone(),
            claim_id: Some(claim.clone()),
        },
    );
    only_people(
        field,
        api::PrepareApprovalRequest {
            claim_id: claim.clone(),
        },
    );
    only_people(
        field,
        api::PrepareRollbackRequest {
            claim_id: claim.clone(),
        },
    );
    only_people(
        field,
        api::RejectClaimRequest {
            claim_id: claim,
            reason,
        },
    );
}

/// Eight callers push one claim at the same moment: one commit arrives, once.
fn race(field: &Field, claim: &str, digest: &str) -> String {
    let bench = &field.bench;
    let before = bench.pushed_refs();
    let begin = std::sync::Barrier::new(8);
    let answers: Vec<api::RequestPushAnswer> = std::thread::scope(|scope| {
        let push = || {
            begin.wait();
            bench.push(&field.loop_id, claim, digest)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(push)).collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let commit = answers[0].pushed_commit.clone().unwrap();
    for answer in &answers {
        assert_eq!(unmatched(&answer.refused, &[]), None);
        assert_eq!(answer.pushed_commit.as_ref(), Some(&commit));
    }
    let after = bench.pushed_refs();
    assert_eq!(after.len(), before.len() + 1, "one attestation: {after:?}");
    assert_eq!(after["refs/heads/main"], commit);
    let parent = run(&bench.remote_path(), "git", &["rev-parse", "main^"]);
    assert_eq!(parent, before["refs/heads/main"]);
    commit
}
