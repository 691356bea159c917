//! The three signatures of a push: the person's approval, the gate statement, the verdict.

use attest::AttestError;
use attest::namespace::{Namespace, check_key_use};
use attest::signers::Signers;
use attest::sshsig::{self, VerifiedSignature};
use attest::statement::{Statement, TEST_RESULT, TestOutcome, TestResult};
use discipline::decision::{Decision, DecisionInput, gates_digest};
use discipline::model::Verdict;
use discipline::rules::GATE_RESULTS;
use discipline::state::guarded_scopes;

use crate::VerifyError;
use crate::base::BaseFacts;
use crate::build::gate_statement;
use crate::check::{Case, Moment, UNCHANGED};
use crate::load::{LoadedVerdict, load_verdict};
use crate::report::{ApproverView, CommitReport, VerdictView};
use crate::trust::{SignerSource, signers_of_tree};

const APPROVE: &str = "have a person approve exactly this push: `greenloop approve`";

/// Reads the verdict, if there is one. A verdict that does not verify refuses: it is a forgery.
pub(crate) fn check_verdict(
    case: &Case<'_>,
    object: Option<&str>,
    report: &mut CommitReport,
) -> Result<Option<LoadedVerdict>, VerifyError> {
    let Some(object) = object else {
        return Ok(None);
    };
    let loaded = load_verdict(case.reader, object, &case.info.id, &case.info.tree)?;
    let verdict = match loaded {
        Ok(verdict) => verdict,
        Err(error) => {
            report.refuse("verdict_malformed", "verdict", error.to_string(), UNCHANGED);
            return Ok(None);
        }
    };
    let predicate = &verdict.statement.predicate;
    report.same(
        "verdict.claim_digest",
        &predicate.claim_digest,
        &case.attestation.claim_digest,
    );
    check_other_scopes(case, &predicate.verdict, report);
    let pinned = match &case.trust.signers {
        SignerSource::Pinned(signers) => check_daemon_key(signers, &verdict.signature, report),
        SignerSource::Base => false,
    };
    report.verdict = Some(VerdictView {
        verdict: predicate.verdict.clone(),
        at_ms: predicate.at_ms,
        signed_by: verdict.signature.fingerprint.clone(),
        pinned,
        journal: predicate.journal.clone(),
    });
    Ok(Some(verdict))
}

/// A verdict is published once every scope is graded that the claim guards; one that leaves a scope out hides
/// what its guards showed.
fn check_other_scopes(case: &Case<'_>, verdict: &Verdict, report: &mut CommitReport) {
    let told = |scope: &str| verdict.other_scopes.iter().any(|told| told.scope == scope);
    let guarded = guarded_scopes(&case.attestation.claim).into_iter();
    let missing: Vec<&str> = guarded.filter(|scope| !told(scope)).collect();
    if !missing.is_empty() {
        report.refuse(
            "verdict_incomplete",
            "verdict.other_scopes",
            format!(
                "the claim guards {}, and the verdict does not say what became of it",
                missing.join(", ")
            ),
            "publish the verdict that the daemon signed: `greenloop verify` with the claim's id",
        );
    }
}

/// A key of the daemon must be listed as soon as the file lists any key for its namespace; a file
/// that lists none leaves the signature self-asserted.
fn check_daemon_key(
    signers: &Signers,
    signature: &VerifiedSignature,
    report: &mut CommitReport,
) -> bool {
    let namespace = signature.namespace;
    if !signers.has_signer_for(namespace) {
        report.warn(
            "daemon_key_self_asserted",
            format!(
                "no key is listed for {namespace}; add the daemon's public key with namespaces=\"{namespace}\""
            ),
        );
        return false;
    }
    match signers.allow(signature, None) {
        Ok(_) => true,
        Err(error) => {
            let field = format!("signature.{namespace}");
            report.refuse("signer_unknown", field, error.to_string(), UNCHANGED);
            false
        }
    }
}

/// The signers in force, with a warning when they come from the repository itself.
fn signers(
    case: &Case<'_>,
    base: Option<&BaseFacts>,
    report: &mut CommitReport,
) -> Result<Option<Signers>, VerifyError> {
    let path = match (&case.trust.signers, base) {
        (SignerSource::Pinned(signers), _) => return Ok(Some(signers.clone())),
        (SignerSource::Base, Some(base)) => &base.facts.policy.repo.signers,
        // Without a base there is already a refusal that says so.
        (SignerSource::Base, None) => return Ok(None),
    };
    report.warn(
        "signers_self_asserted",
        format!("self-asserted: signers come from `{path}` of the parent commit; pass --signers FILE to pin them"),
    );
    let tree = case
        .reader
        .commit_info(&case.attestation.claim.parent)?
        .tree;
    match signers_of_tree(case.reader, &tree, path) {
        Ok(signers) => Ok(Some(signers)),
        Err(error) => {
            report.refuse(
                "signers_unreadable",
                "signers",
                error.to_string(),
                "pass --signers FILE",
            );
            Ok(None)
        }
    }
}

/// The person's signature, what it is over, and whether it was in time.
pub(crate) fn check_approval(
    case: &Case<'_>,
    input: &DecisionInput,
    base: Option<&BaseFacts>,
    verdict: Option<&LoadedVerdict>,
    report: &mut CommitReport,
) -> Result<(), VerifyError> {
    check_subject(case, input, report)?;
    let subject = &case.attestation.approval.subject;
    let signed_ms = verdict.map(|verdict| verdict.statement.predicate.at_ms);
    let at_ms = match case.moment {
        Moment::Hook { now_ms } => Some(now_ms),
        Moment::Audit => signed_ms,
    };
    if case.moment == Moment::Audit {
        warn_about_time(subject.expires_ms, signed_ms, report);
    } else if at_ms.is_some_and(|now| subject.expired_at(now)) {
        report.refuse(
            "approval_expired",
            "approval.expires_ms",
            "the approval has expired",
            "propose the claim again and have it approved",
        );
    }
    let Some(signers) = signers(case, base, report)? else {
        return Ok(());
    };
    match case.attestation.approval.verify(&signers, at_ms) {
        Err(error) => {
            let code = match error {
                AttestError::UnknownSigner { .. } => "signer_unknown",
                AttestError::NoUserPresence { .. } => "user_presence_missing",
                _ => "approval_invalid",
            };
            report.refuse(code, "approval.sig", error.to_string(), APPROVE);
        }
        Ok(approver) => {
            if let Some(stated) = &input.approval {
                report.same(
                    "decision-input.approval.signer",
                    &stated.signer,
                    &approver.principal,
                );
                report.same(
                    "decision-input.approval.key_type",
                    &stated.key_type,
                    &approver.key_type,
                );
            }
            report.approver = Some(ApproverView {
                principal: approver.principal,
                fingerprint: approver.fingerprint,
                key_type: approver.key_type,
                touched: approver.security_key.is_some(),
                shown: subject.shown_digest.clone(),
                expires_ms: subject.expires_ms,
            });
        }
    }
    Ok(())
}

/// An audit knows no clock but the signed verdict's: before the expiry it proves, later it does not.
fn warn_about_time(expires_ms: i64, signed_ms: Option<i64>, report: &mut CommitReport) {
    match signed_ms {
        Some(at) if at <= expires_ms => {}
        Some(_) => report.warn(
            "push_time_unproven",
            "the verdict was signed after the approval expired; only the daemon says that the push was in time",
        ),
        None => report.warn(
            "push_time_unproven",
            "there is no signed verdict, so only the daemon says that the approval was in time",
        ),
    }
}

/// Every field of what was signed, recomputed.
fn check_subject(
    case: &Case<'_>,
    input: &DecisionInput,
    report: &mut CommitReport,
) -> Result<(), VerifyError> {
    let (claim, subject) = (&case.attestation.claim, &case.attestation.approval.subject);
    let gates = match &input.gates {
        Some(gates) => gates_digest(&gates.results)?.to_string(),
        None => "nothing".to_owned(),
    };
    let pairs = [
        (
            "claim_digest",
            subject.claim_digest.to_string(),
            case.attestation.claim_digest.to_string(),
        ),
        ("repo", subject.repo.clone(), claim.repo.clone()),
        ("ref", subject.ref_name.clone(), claim.ref_name.clone()),
        (
            "old_tip",
            subject.old_tip.clone(),
            case.info.parents.join(" "),
        ),
        ("commit", subject.commit.clone(), case.info.id.clone()),
        ("tree", subject.tree.clone(), case.info.tree.clone()),
        (
            "diff_digest",
            subject.diff_digest.to_string(),
            claim.diff_digest.to_string(),
        ),
        ("gates_digest", subject.gates_digest.to_string(), gates),
    ];
    for (field, signed, found) in pairs {
        if signed != found {
            report.refuse(
                "approval_mismatch",
                format!("approval.{field}"),
                format!("the signature is over {signed}, the push has {found}"),
                APPROVE,
            );
        }
    }
    if input
        .approval
        .as_ref()
        .is_none_or(|stated| &stated.subject != subject)
    {
        report.refuse(
            "attestation_mismatch",
            "decision-input.approval",
            "the decision was made over another approval",
            UNCHANGED,
        );
    }
    Ok(())
}

/// The gate statement: its signatures, and that it says what the decision's input says.
pub(crate) fn check_statement(
    case: &Case<'_>,
    input: &DecisionInput,
    decision: &Decision,
    base: Option<&BaseFacts>,
    report: &mut CommitReport,
) -> Result<(), VerifyError> {
    let opened = Statement::<TestResult>::open(&case.attestation.statement, TEST_RESULT);
    let (statement, signatures) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.refuse(
                "statement_invalid",
                "statement.dsse",
                error.to_string(),
                UNCHANGED,
            );
            return Ok(());
        }
    };
    let journal = statement.predicate.greenloop.journal.clone();
    let wanted = gate_statement(input, decision, &case.info.id, journal);
    if wanted.as_ref() != Ok(&statement) {
        report.refuse(
            "attestation_mismatch",
            "statement.dsse",
            "it does not say what the decision's input says",
            UNCHANGED,
        );
    }
    // A rollback does not wait for tests that were red before the commit it takes back: its rules let those pass.
    let gates_stand = decision
        .rules
        .iter()
        .any(|rule| rule.rule == GATE_RESULTS && rule.refused.is_empty());
    if statement.predicate.result != TestOutcome::Passed && !gates_stand {
        report.refuse(
            "gates_not_passed",
            "statement.dsse",
            "some gate did not pass",
            "make every gate pass, then have the claim approved",
        );
    }
    check_statement_keys(case, &signatures, base, report);
    Ok(())
}

fn approver_key(case: &Case<'_>) -> Option<String> {
    let approval = &case.attestation.approval;
    let bytes = approval.subject.signed_bytes().ok()?;
    let signature = sshsig::verify(&approval.signature, Namespace::Approval, &bytes).ok()?;
    Some(signature.fingerprint)
}

fn check_statement_keys(
    case: &Case<'_>,
    signatures: &[VerifiedSignature],
    base: Option<&BaseFacts>,
    report: &mut CommitReport,
) {
    let Some(gate) = signatures.iter().find(|s| s.namespace == Namespace::Gate) else {
        report.refuse(
            "statement_invalid",
            "statement.dsse",
            "no signature is in namespace greenloop-gate",
            UNCHANGED,
        );
        return;
    };
    if let SignerSource::Pinned(signers) = &case.trust.signers {
        check_daemon_key(signers, gate, report);
        for signature in signatures
            .iter()
            .filter(|s| s.namespace == Namespace::Verdict)
        {
            check_daemon_key(signers, signature, report);
        }
    } else if base.is_some() {
        report.warn(
            "daemon_key_self_asserted",
            "self-asserted: no file pins the daemon's keys; pass --signers FILE",
        );
    }
    // A key that signs in two namespaces is told as such even where it is no allowed signer.
    let approver = approver_key(case).map(|fingerprint| (fingerprint, Namespace::Approval));
    let verdict = report
        .verdict
        .as_ref()
        .map(|v| (v.signed_by.clone(), Namespace::Verdict));
    let daemon = signatures
        .iter()
        .map(|s| (s.fingerprint.clone(), s.namespace));
    if let Err(error) = check_key_use(daemon.chain(approver).chain(verdict)) {
        report.refuse(
            "key_in_two_namespaces",
            "signatures",
            error.to_string(),
            "give each purpose its own key",
        );
    }
}
