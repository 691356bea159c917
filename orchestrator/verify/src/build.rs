//! The daemon's side: the statement, attestation and verdict files that the verifier recomputes.

use attest::AttestError;
use attest::approval::Approval;
use attest::attestation::{self, AttestationParts, attestation_files};
use attest::digest::Digest;
use attest::json::{self, Value};
use attest::namespace::Namespace;
use attest::sshsig::SigningKey;
use attest::statement::{
    Binding, CHECKPOINT, CheckpointPredicate, JournalHead, Resource, Statement, Subject,
    TEST_RESULT, TestOutcome, TestResult, VERDICT, VerdictPredicate,
};
use discipline::decision::{Decision, DecisionInput};
use discipline::model::{GateVerdict, Verdict};

use crate::report::gate_name;

/// The daemon's keys. They differ: no key signs in two namespaces.
#[derive(Clone, Copy, Debug)]
pub struct DaemonKeys<'a> {
    /// Signs gate results, namespace `greenloop-gate`.
    pub gate: &'a SigningKey,
    /// Signs envelopes and verdicts, namespace `greenloop-verdict`.
    pub verdict: &'a SigningKey,
}

/// The gate statement over a commit: a function of decision and journal head, so that the verifier
/// compares it as a whole.
///
/// # Errors
/// When a part has no canonical form or the input names no gates.
pub fn gate_statement(
    input: &DecisionInput,
    decision: &Decision,
    commit: &str,
    journal: JournalHead,
) -> Result<Statement<TestResult>, AttestError> {
    let gates = input.gates.as_ref().ok_or_else(|| AttestError::Envelope {
        detail: "the decision's input holds no gate results".to_owned(),
    })?;
    let named = |wanted: GateVerdict| -> Vec<String> {
        let results = gates
            .results
            .iter()
            .filter(|result| result.verdict == wanted);
        results.map(gate_name).collect()
    };
    let failed_tests = named(GateVerdict::Refused);
    let warned_tests = named(GateVerdict::Vacuous);
    let result = match (failed_tests.is_empty(), warned_tests.is_empty()) {
        (false, _) => TestOutcome::Failed,
        (true, false) => TestOutcome::Warned,
        (true, true) => TestOutcome::Passed,
    };
    let policy = &input.policy;
    let body = &input.body;
    let predicate = TestResult {
        result,
        configuration: vec![
            Resource::new("greenloop.toml", &policy.policy_digest),
            Resource::new(&policy.policy.repo.law, &policy.law_digest),
            Resource::new("markers", &policy.catalogue_digest),
            Resource::new("playbooks", &policy.playbooks_digest),
        ],
        passed_tests: named(GateVerdict::Passed),
        warned_tests,
        failed_tests,
        greenloop: Binding {
            claim_digest: input.claim_digest.clone(),
            gates_digest: gates.gates_digest.clone(),
            decision_input: Digest::of(&json::canonical(input)?),
            decision: Digest::of(&json::canonical(decision)?),
            policy: Digest::of(&json::canonical(policy)?),
            journal,
        },
    };
    let subject = Subject::commit(&body.ref_name, commit, &body.tree);
    Ok(Statement::new(subject, TEST_RESULT, predicate))
}

/// Names and bytes of the tree behind `refs/greenloop/attest/<commit>`.
///
/// # Errors
/// When a part has no canonical form, a key cannot sign, or the excerpts are too large.
pub fn attestation(
    input: &DecisionInput,
    decision: &Decision,
    approval: &Approval,
    excerpts: Option<&Value>,
    journal: JournalHead,
    keys: DaemonKeys<'_>,
) -> Result<Vec<(&'static str, Vec<u8>)>, AttestError> {
    let statement = gate_statement(input, decision, &approval.subject.commit, journal)?;
    let mut envelope = statement.seal(keys.gate, Namespace::Gate)?;
    envelope.add_signature(keys.verdict, Namespace::Verdict)?;
    attestation_files(&AttestationParts {
        claim: &input.body,
        decision_input: input,
        decision,
        policy: &input.policy,
        approval,
        statement: &envelope,
        excerpts,
    })
}

/// Name and bytes of the tree behind `refs/greenloop/verdict/<commit>`.
///
/// # Errors
/// When the verdict has no canonical form or the key cannot sign.
pub fn verdict(
    ref_name: &str,
    tree: &str,
    claim_digest: &Digest,
    verdict: &Verdict,
    at_ms: i64,
    journal: JournalHead,
    key: &SigningKey,
) -> Result<Vec<(&'static str, Vec<u8>)>, AttestError> {
    let subject = Subject::commit(ref_name, &verdict.commit, tree);
    let predicate = VerdictPredicate {
        claim_digest: claim_digest.clone(),
        at_ms,
        verdict: verdict.clone(),
        journal,
    };
    let envelope = Statement::new(subject, VERDICT, predicate).seal(key, Namespace::Verdict)?;
    Ok(vec![(attestation::VERDICT, envelope.to_bytes()?)])
}

/// Name and bytes of the tree of a checkpoint: `journal` was the head once `commit` on `ref_name`
/// had been graded.
///
/// # Errors
/// When the key cannot sign.
pub fn checkpoint(
    ref_name: &str,
    commit: &str,
    tree: &str,
    at_ms: i64,
    journal: JournalHead,
    key: &SigningKey,
) -> Result<Vec<(&'static str, Vec<u8>)>, AttestError> {
    let subject = Subject::commit(ref_name, commit, tree);
    let predicate = CheckpointPredicate { at_ms, journal };
    let envelope = Statement::new(subject, CHECKPOINT, predicate).seal(key, Namespace::Verdict)?;
    Ok(vec![(attestation::CHECKPOINT, envelope.to_bytes()?)])
}
