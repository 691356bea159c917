//! Approvals and whole attestations, written and read back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;

use attest::AttestError;
use attest::approval::{Approval, ApprovalSubject, CLOCK_SKEW_MS, claim_digest};
use attest::attestation::{
    Attestation, AttestationParts, EXCERPTS, MAX_EXCERPT_BYTES, REQUIRED_FILES, attestation_files,
};
use attest::claim::{CLAIM_SCHEMA, ClaimBody, ClaimBudget, ClaimKind};
use attest::digest::Digest;
use attest::dsse::{Envelope, IN_TOTO};
use attest::json;
use attest::namespace::Namespace;
use attest::signers::Signers;
use attest::sshsig::SigningKey;
use serde_json::{Value, json as value};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32], "")
}

fn subject() -> ApprovalSubject {
    ApprovalSubject {
        claim_digest: Digest::of(b"claim"),
        repo: "1".repeat(40),
        ref_name: "refs/heads/main".to_owned(),
        old_tip: "2".repeat(40),
        commit: "3".repeat(40),
        tree: "4".repeat(40),
        diff_digest: Digest::of(b"diff"),
        gates_digest: Digest::of(b"gates"),
        shown_digest: Digest::of(b"shown"),
        expires_ms: 1_700_000_000_000,
        nonce: "n0".to_owned(),
    }
}

fn approval(by: &SigningKey, namespace: Namespace) -> Approval {
    let subject = subject();
    let signature = by
        .sign(namespace, &subject.signed_bytes().unwrap())
        .unwrap();
    Approval { subject, signature }
}

fn signers() -> Signers {
    let public = key(1).public_openssh();
    let text = format!("ana@example.org namespaces=\"greenloop-approval\" {public}\n");
    Signers::parse(text.as_bytes()).unwrap()
}

#[test]
fn the_signed_bytes_are_pinned() {
    let bytes = String::from_utf8(subject().signed_bytes().unwrap()).unwrap();
    insta::assert_snapshot!(bytes);
}

#[test]
fn an_approval_names_its_approver() {
    let approver = approval(&key(1), Namespace::Approval)
        .verify(&signers(), None)
        .unwrap();
    assert_eq!(approver.principal, "ana@example.org");
    assert_eq!(approver.key_type, "ssh-ed25519");
    assert_eq!(approver.fingerprint, key(1).fingerprint());
}

/// One change of the subject.
type Edit = fn(&mut ApprovalSubject);

#[test]
fn any_changed_field_voids_the_signature() {
    let edits: [Edit; 11] = [
        |s| s.claim_digest = Digest::of(b"x"),
        |s| s.repo = "x".into(),
        |s| s.ref_name = "refs/heads/other".into(),
        |s| s.old_tip = "x".into(),
        |s| s.commit = "x".into(),
        |s| s.tree = "x".into(),
        |s| s.diff_digest = Digest::of(b"x"),
        |s| s.gates_digest = Digest::of(b"x"),
        |s| s.shown_digest = Digest::of(b"x"),
        |s| s.expires_ms += 1,
        |s| s.nonce = "x".into(),
    ];
    for (index, edit) in edits.iter().enumerate() {
        let mut approval = approval(&key(1), Namespace::Approval);
        edit(&mut approval.subject);
        let refused = approval.verify(&signers(), None);
        assert_eq!(refused, Err(AttestError::BadSignature), "field {index}");
    }
}

#[test]
fn strangers_and_other_namespaces_do_not_approve() {
    let stranger = approval(&key(2), Namespace::Approval).verify(&signers(), None);
    assert!(matches!(stranger, Err(AttestError::UnknownSigner { .. })));
    let gate = approval(&key(1), Namespace::Gate).verify(&signers(), None);
    assert!(matches!(gate, Err(AttestError::WrongNamespace { .. })));
}

#[test]
fn expiry_tolerates_the_skew_and_no_more() {
    let subject = subject();
    assert!(!subject.expired_at(subject.expires_ms + CLOCK_SKEW_MS));
    assert!(subject.expired_at(subject.expires_ms + CLOCK_SKEW_MS + 1));
    let mut eternal = subject;
    eternal.expires_ms = i64::MAX;
    assert!(!eternal.expired_at(i64::MAX));
}

fn body() -> ClaimBody {
    ClaimBody {
        schema: CLAIM_SCHEMA,
        repo: "1".repeat(40),
        ref_name: "refs/heads/main".to_owned(),
        kind: ClaimKind::Fix,
        proof_scope: "smoke".to_owned(),
        failing_invariant: "§4".to_owned(),
        parent: "2".repeat(40),
        tree: "4".repeat(40),
        diff_digest: Digest::of(b"diff"),
        evidence: Vec::new(),
        baseline_run: "R1".to_owned(),
        sites: Vec::new(),
        reasoning: "the copy is skipped".to_owned(),
        hypothesis_id: "H1".to_owned(),
        predictions: vec!["present backend{}".to_owned()],
        outcomes: vec![],
        guards: Vec::new(),
        gates: vec!["unit".to_owned()],
        pinned_test: None,
        rollback_if: Vec::new(),
        budget: ClaimBudget {
            runner_minutes: 1,
            runs: 1,
            cancels: Vec::new(),
        },
        message: "Dispatch the copy".to_owned(),
        author: "agent".to_owned(),
    }
}

fn files(excerpts: Option<&Value>) -> Result<BTreeMap<String, Vec<u8>>, AttestError> {
    let statement = Envelope::sign(IN_TOTO, b"{}", &key(3), Namespace::Gate)?;
    let files = attestation_files(&AttestationParts {
        claim: &body(),
        decision_input: &value!({"rules_version": 1, "b": [1, 2]}),
        decision: &value!({"allowed": true}),
        policy: &value!({"law": "x"}),
        approval: &approval(&key(1), Namespace::Approval),
        statement: &statement,
        excerpts,
    })?;
    Ok(files
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect())
}

#[test]
fn an_attestation_reads_back_as_what_was_written() {
    let files = files(None).unwrap();
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, REQUIRED_FILES);
    let read = Attestation::from_files(&files).unwrap();
    assert_eq!(read.claim, body());
    assert_eq!(
        read.claim_digest,
        claim_digest(&json::canonical(&body()).unwrap())
    );
    assert_eq!(read.approval, approval(&key(1), Namespace::Approval));
    assert_eq!(read.rules_version(), Some(1));
    let decision: Value = read.decision().unwrap();
    assert_eq!(decision, value!({"allowed": true}));
    assert_eq!(
        read.bound_digests().decision,
        Digest::of(b"{\"allowed\":true}")
    );
}

#[test]
fn each_missing_file_is_named() {
    for file in REQUIRED_FILES {
        let mut files = files(None).unwrap();
        files.remove(file);
        let refused = Attestation::from_files(&files);
        assert_eq!(refused, Err(AttestError::MissingFile { file }));
    }
}

#[test]
fn each_damaged_file_is_named() {
    for file in REQUIRED_FILES {
        let mut files = files(None).unwrap();
        // Not UTF-8 and not JSON, so that every kind of file refuses it.
        files.insert(file.to_owned(), vec![b' ', 0xff]);
        let error = Attestation::from_files(&files).unwrap_err();
        assert!(error.to_string().contains(file), "{file}: {error}");
    }
}

#[test]
fn extra_files_and_large_excerpts_are_refused() {
    let mut extra = files(None).unwrap();
    extra.insert("run.sh".to_owned(), Vec::new());
    let refused = Attestation::from_files(&extra);
    assert!(matches!(refused, Err(AttestError::UnexpectedFile { .. })));

    let excerpts = value!([{"log": "x", "text": "line"}]);
    let with = files(Some(&excerpts)).unwrap();
    assert!(with.contains_key(EXCERPTS));
    let read = Attestation::from_files(&with).unwrap();
    assert_eq!(read.excerpts, Some(excerpts));
    let large = value!("x".repeat(MAX_EXCERPT_BYTES));
    assert!(matches!(
        files(Some(&large)),
        Err(AttestError::TooLarge { .. })
    ));
}

#[test]
fn the_claim_digest_is_pinned() {
    // sha256 of "greenloop-claim/v1\n{}", computed with sha256sum.
    let wanted = "sha256:9b4eaa67fa2042076c42c44c92be23b915bdd5f926406cedf90cda161c418c67";
    assert_eq!(claim_digest(b"{}").to_string(), wanted);
}
