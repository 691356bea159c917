//! The claim is what it says it is: version, object ids, digests, catalogue.

use attest::approval::claim_digest;
use attest::claim::CLAIM_SCHEMA;
use attest::json::canonical;

use super::Case;
use crate::decision::RULES_VERSION;
use crate::model::Refusal;

const RE_PROPOSE: &str = "propose the claim again; the daemon computes this part from the objects";

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let (input, body) = (case.input, case.body());
    let mut refused = Vec::new();
    if input.rules_version != RULES_VERSION {
        refused.push(Refusal::new(
            "rules_version_unknown",
            "rules_version",
            format!(
                "decided by rules v{}, these are rules v{RULES_VERSION}",
                input.rules_version
            ),
            "replay it with the release of greenloop that carries those rules",
        ));
    }
    if body.schema != CLAIM_SCHEMA {
        refused.push(Refusal::new(
            "claim_schema_unknown",
            "schema",
            format!(
                "claims of schema {} are not known, {CLAIM_SCHEMA} is",
                body.schema
            ),
            format!("set `schema` to {CLAIM_SCHEMA}"),
        ));
    }
    for (field, id) in [
        ("repo", &body.repo),
        ("parent", &body.parent),
        ("tree", &body.tree),
    ] {
        if !is_object_id(id) {
            refused.push(Refusal::new(
                "object_id_malformed",
                field,
                format!(
                    "`{}` is not an object id of 40 lower-case hex digits",
                    clip(id)
                ),
                "write the full id as `git rev-parse` prints it",
            ));
        }
    }
    if !body.ref_name.starts_with("refs/heads/") || body.ref_name.len() == "refs/heads/".len() {
        refused.push(Refusal::new(
            "ref_malformed",
            "ref_name",
            format!(
                "`{}` is not the full name of a branch",
                clip(&body.ref_name)
            ),
            "write the full name, such as `refs/heads/main`",
        ));
    }
    refused.extend(digests(case));
    refused
}

fn digests(case: &Case<'_>) -> Vec<Refusal> {
    let (input, body) = (case.input, case.body());
    let mut refused = Vec::new();
    let same = canonical(body).is_ok_and(|bytes| claim_digest(&bytes) == input.claim_digest);
    if !same {
        refused.push(Refusal::new(
            "claim_digest_mismatch",
            "claim_digest",
            "the digest is not that of the canonical body",
            RE_PROPOSE,
        ));
    }
    if body.diff_digest != input.diff.diff_digest {
        refused.push(Refusal::new(
            "diff_digest_mismatch",
            "diff_digest",
            format!(
                "the body names {}, the trees differ by {}",
                body.diff_digest, input.diff.diff_digest
            ),
            RE_PROPOSE,
        ));
    }
    if case.rulebook.catalogue_digest() != input.policy.catalogue_digest {
        refused.push(Refusal::new(
            "catalogue_mismatch",
            "policy.catalogue_digest",
            "the marker catalogue at hand is not the one of the claim's parent",
            "judge with the catalogue that stands in the parent's tree",
        ));
    }
    refused
}

fn is_object_id(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}
