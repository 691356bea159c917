//! One commit against its attestation: everything a clone can recompute, then the decision again.

use attest::approval::CLOCK_SKEW_MS;
use attest::attestation::{ATTEST_REF_PREFIX, Attestation, VERDICT_REF_PREFIX};
use attest::json::canonical;
use discipline::decision::{
    Decision, DecisionInput, DiffFacts, PolicyFacts, RULES_VERSION, Stage, gates_digest,
};
use discipline::rules::decide;
use gitread::{CommitInfo, GitReadError, GitReader};

use crate::VerifyError;
use crate::base::{BaseFacts, base_facts, change_facts};
use crate::evidence::Evidence;
use crate::load::load_attestation;
use crate::report::{CommitReport, GateView};
use crate::reverted;
use crate::signing;
use crate::trust::Trust;

pub(crate) const UNCHANGED: &str =
    "push the commit and attestation that the daemon made, unchanged";

/// When the question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// While the push arrives: approvals must be in time now (unix milliseconds).
    Hook {
        /// The hook's clock.
        now_ms: i64,
    },
    /// Any time later: times are compared with the signed verdict.
    Audit,
}

/// What is believed, when the question is asked, and the logs at hand.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Signers and root.
    pub trust: &'a Trust,
    /// When.
    pub moment: Moment,
    /// Raw logs to re-derive observations from; `None`: evidence stays a digest.
    pub evidence: Option<&'a Evidence>,
}

/// Checks one commit. `attestation` is the object its attestation ref names (`None`: there is no
/// such ref), `ref_name` the ref that the push moves, where that is known.
///
/// # Errors
/// Only when the repository itself cannot be read; everything about the push is in the report.
pub fn check_commit(
    reader: &GitReader,
    commit: &str,
    attestation: Option<&str>,
    ref_name: Option<&str>,
    terms: &Terms<'_>,
) -> Result<CommitReport, VerifyError> {
    let info = reader.commit_info(commit)?;
    let mut report = CommitReport::new(commit);
    report.subject = info.subject().to_owned();
    report.claim_id = info.trailers("Claim-Id").first().map(|id| (*id).to_owned());
    let Some(object) = attestation else {
        refuse_missing(&mut report, commit);
        return Ok(report.finish());
    };
    let attestation = match load_attestation(reader, object)? {
        Ok(attestation) => attestation,
        Err(error) => {
            report.refuse(
                "attestation_malformed",
                "attestation",
                error.to_string(),
                UNCHANGED,
            );
            return Ok(report.finish());
        }
    };
    let case = Case {
        reader,
        info: &info,
        attestation: &attestation,
        trust: terms.trust,
        moment: terms.moment,
        evidence: terms.evidence,
    };
    case.run(ref_name, &mut report)?;
    Ok(report.finish())
}

fn refuse_missing(report: &mut CommitReport, commit: &str) {
    report.refuse(
        "attestation_missing",
        "attestation",
        format!("there is no {ATTEST_REF_PREFIX}{commit}"),
        "push through greenloop (`request_push` or `greenloop push`), which sends the attestation with the \
         commit; in a clone, `git fetch REMOTE 'refs/greenloop/*:refs/greenloop/*'`",
    );
}

/// One commit, its attestation, and what is believed.
pub(crate) struct Case<'a> {
    pub(crate) reader: &'a GitReader,
    pub(crate) info: &'a CommitInfo,
    pub(crate) attestation: &'a Attestation,
    pub(crate) trust: &'a Trust,
    pub(crate) moment: Moment,
    pub(crate) evidence: Option<&'a Evidence>,
}

impl Case<'_> {
    fn run(&self, ref_name: Option<&str>, report: &mut CommitReport) -> Result<(), VerifyError> {
        let claim = &self.attestation.claim;
        report.ref_name = Some(claim.ref_name.clone());
        report.claim_digest = Some(self.attestation.claim_digest.clone());
        report.claim = Some(claim.clone());
        report.rules_version = self.attestation.rules_version();
        self.check_commit_object(ref_name, report)?;
        let verdict = signing::check_verdict(self, self.verdict_object()?.as_deref(), report)?;

        if report.rules_version != Some(u64::from(RULES_VERSION)) {
            let by = report
                .rules_version
                .map_or_else(|| "?".to_owned(), |v| v.to_string());
            report.refuse(
                "rules_version_other",
                "decision-input.rules_version",
                format!("decided by rules v{by}; this verifier knows rules v{RULES_VERSION}"),
                "replay it with a greenloop-verify that carries those rules",
            );
            return Ok(());
        }
        let Some((input, decision)) = self.read_decision(report) else {
            return Ok(());
        };
        let base = self.check_base(&input, report)?;
        self.check_change(&input, base.as_ref(), report)?;
        self.check_input(&input, report)?;
        reverted::check(self.reader, &input, report);
        signing::check_approval(self, &input, base.as_ref(), verdict.as_ref(), report)?;
        signing::check_statement(self, &input, &decision, base.as_ref(), report)?;
        if let Some(base) = &base {
            replay(&input, &decision, base, report);
            if let Some(evidence) = self.evidence {
                evidence.check(&input, base, report);
            }
        }
        report.hypothesis = input.hypothesis;
        report.overrides = input.overrides;
        Ok(())
    }

    fn verdict_object(&self) -> Result<Option<String>, VerifyError> {
        let name = format!("{VERDICT_REF_PREFIX}{}", self.info.id);
        Ok(self.reader.read_ref(&name)?)
    }

    /// Ids, parent, ref and message of the commit against the claim.
    fn check_commit_object(
        &self,
        ref_name: Option<&str>,
        report: &mut CommitReport,
    ) -> Result<(), VerifyError> {
        let (claim, info) = (&self.attestation.claim, self.info);
        report.same("claim.tree", &claim.tree, &info.tree);
        let parents = info.parents.join(" ");
        report.same("claim.parent", &claim.parent, &parents);
        if let Some(ref_name) = ref_name {
            report.same("claim.ref_name", &claim.ref_name, &ref_name.to_owned());
        }
        match self.reader.root_commit(&info.id) {
            Ok(root) => report.same("claim.repo", &claim.repo, &root),
            Err(GitReadError::Missing { .. }) => report.warn(
                "history_incomplete",
                "the clone is shallow, so the repository's identity was not recomputed",
            ),
            Err(error) => return Err(error.into()),
        }
        let digests = info.trailers("Claim-Digest").join(" ");
        report.same(
            "commit.Claim-Digest",
            &self.attestation.claim_digest.to_string(),
            &digests,
        );
        if info.trailers("Claim-Id").len() != 1 {
            report.refuse(
                "trailer_missing",
                "commit.Claim-Id",
                "the commit message has not exactly one Claim-Id trailer",
                UNCHANGED,
            );
        }
        let message = info.message.trim_end();
        let without_trailers = message
            .rsplit_once("\n\n")
            .map_or(message, |(text, _)| text);
        report.same(
            "claim.message",
            &claim.message.trim().to_owned(),
            &without_trailers.trim().to_owned(),
        );
        Ok(())
    }

    fn read_decision(&self, report: &mut CommitReport) -> Option<(DecisionInput, Decision)> {
        let input = self.attestation.decision_input::<DecisionInput>();
        let decision = self.attestation.decision::<Decision>();
        let policy = self.attestation.policy::<PolicyFacts>();
        let errors = [
            input.as_ref().err(),
            decision.as_ref().err(),
            policy.as_ref().err(),
        ];
        for error in errors.into_iter().flatten() {
            report.refuse(
                "attestation_malformed",
                "attestation",
                error.to_string(),
                UNCHANGED,
            );
        }
        let (input, decision) = (input.ok()?, decision.ok()?);
        if policy.ok()? != input.policy {
            report.refuse(
                "attestation_mismatch",
                "policy.json",
                "it is not the policy of the decision's input",
                UNCHANGED,
            );
        }
        Some((input, decision))
    }

    /// Policy, law, catalogue and playbooks of the parent commit.
    fn check_base(
        &self,
        input: &DecisionInput,
        report: &mut CommitReport,
    ) -> Result<Option<BaseFacts>, VerifyError> {
        let base = match base_facts(self.reader, &self.attestation.claim.parent) {
            Ok(base) => base,
            Err(error) => {
                report.refuse(
                    "base_unreadable",
                    "policy",
                    error.to_string(),
                    "fetch the parent commit, or repair its policy with a `policy_change` claim",
                );
                return Ok(None);
            }
        };
        let (stated, found) = (&input.policy, &base.facts);
        report.same(
            "policy.policy_digest",
            &stated.policy_digest,
            &found.policy_digest,
        );
        report.same("policy.law_digest", &stated.law_digest, &found.law_digest);
        report.same(
            "policy.catalogue_digest",
            &stated.catalogue_digest,
            &found.catalogue_digest,
        );
        report.same(
            "policy.playbooks_digest",
            &stated.playbooks_digest,
            &found.playbooks_digest,
        );
        if stated.policy != found.policy || stated.law != found.law {
            report.refuse(
                "attestation_mismatch",
                "policy",
                "policy or law read otherwise than they stand in the parent's tree",
                UNCHANGED,
            );
        }
        Ok(Some(base))
    }

    /// The diff and everything judged from it.
    fn check_change(
        &self,
        input: &DecisionInput,
        base: Option<&BaseFacts>,
        report: &mut CommitReport,
    ) -> Result<(), VerifyError> {
        let claim = &self.attestation.claim;
        let Some(base) = base else {
            return Ok(());
        };
        let recomputed = self
            .reader
            .commit_info(&claim.parent)
            .map_err(VerifyError::from)
            .and_then(|parent| change_facts(self.reader, &parent.tree, claim, base));
        let found: DiffFacts = match recomputed {
            Ok(found) => found,
            Err(error) => {
                report.refuse(
                    "change_unreadable",
                    "diff",
                    error.to_string(),
                    "push every object of the change, in pieces that can be read",
                );
                return Ok(());
            }
        };
        report.same("claim.diff_digest", &claim.diff_digest, &found.diff_digest);
        report.same(
            "diff.diff_digest",
            &input.diff.diff_digest,
            &found.diff_digest,
        );
        if input.diff != found {
            report.refuse(
                "attestation_mismatch",
                "diff",
                "the facts of the diff are not those of the two trees",
                UNCHANGED,
            );
        }
        Ok(())
    }

    /// The decision's input against claim, gates and commit.
    fn check_input(
        &self,
        input: &DecisionInput,
        report: &mut CommitReport,
    ) -> Result<(), VerifyError> {
        if input.body != self.attestation.claim {
            report.refuse(
                "attestation_mismatch",
                "decision-input.body",
                "the decision was made over another claim",
                UNCHANGED,
            );
        }
        report.same(
            "decision-input.claim_digest",
            &input.claim_digest,
            &self.attestation.claim_digest,
        );
        let commit = input.target.commit.clone().unwrap_or_default();
        report.same("decision-input.target.commit", &commit, &self.info.id);
        if let Some(gates) = &input.gates {
            report.same(
                "decision-input.gates.gates_digest",
                &gates.gates_digest,
                &gates_digest(&gates.results)?,
            );
            report.gates = gates.results.iter().map(GateView::from).collect();
        }
        if let Moment::Hook { now_ms } = self.moment
            && input.now_ms > now_ms.saturating_add(CLOCK_SKEW_MS)
        {
            report.refuse(
                "decision_from_future",
                "decision-input.now_ms",
                "the decision was made later than it is now here",
                "set the clocks of daemon and server",
            );
        }
        Ok(())
    }
}

/// Decides again and demands the stored answer, and that it allows.
fn replay(input: &DecisionInput, stored: &Decision, base: &BaseFacts, report: &mut CommitReport) {
    let replayed = decide(input, &base.rulebook, Stage::Push);
    let same_bytes =
        canonical(&replayed).is_ok_and(|now| canonical(stored).is_ok_and(|then| now == then));
    if !same_bytes {
        report.refuse(
            "decision_differs",
            "decision",
            "deciding again over the same input gives another decision",
            "push the decision that the daemon stored, or replay it with the release that made it",
        );
    }
    if !replayed.allowed {
        report.refuse(
            "decision_refuses",
            "decision",
            "the rules refuse this push",
            "do what stands under each rule below, then ask for the push again",
        );
        report.refused.extend(replayed.refused().cloned());
    }
    report.decision = Some(replayed);
}
