//! A change judged on its syntax tree: hunks, declared sites, and findings with place and remedy.
//!
//! [`facts`] is the one entrance, used by the service and by the verifier. It reads the two sides of
//! every changed file and, through lookups, single files of the two trees; the same trees give the
//! same facts. A finding is a [`Refusal`] whose reason names `file:line`.
//!
//! What is *moved* is not *added*: findings compare the whole diff, so that a test or a line that
//! leaves one file and enters another is no finding. Test code is judged apart from the rest (see
//! [`test_code`]): its lines count as behavioural, and what weakens it is looked for test by test.

mod cargo_config;
mod code;
mod hunks;
mod lexical;
mod manifest;
mod nesting;
mod outside;
mod paths;
mod reports;
mod shader;
mod shape;
mod sides;
mod silenced;
mod sites;
mod switches;
mod syntax;
pub mod test_code;
mod unused;
mod walk;
mod weakened;

pub use cargo_config::hostile_cargo_config;
pub use hunks::hunks;
pub use paths::colliding;
pub(crate) use paths::{hidden_character, is_document};
pub use silenced::silenced;

use attest::claim::{ClaimBody, ClaimKind, PinnedTest, Site};
use attest::json::JsonError;

use crate::decision::DiffFacts;
use crate::diff::Diff;
use crate::model::Refusal;
use crate::policy::Policy;

/// Reads one file of one tree by its path; `None` when the tree has no such file.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// Findings of one code that are listed before the rest is only counted.
const MAX_PER_CODE: usize = 20;

/// The parts of a claim that its diff is judged against.
#[derive(Debug, Clone, Copy)]
pub struct ChangeClaim<'a> {
    /// What the push is for.
    pub kind: ClaimKind,
    /// Declared sites.
    pub sites: &'a [Site],
    /// The claim's own test.
    pub pinned_test: Option<&'a PinnedTest>,
}

impl<'a> From<&'a ClaimBody> for ChangeClaim<'a> {
    fn from(body: &'a ClaimBody) -> Self {
        Self {
            kind: body.kind,
            sites: &body.sites,
            pinned_test: body.pinned_test.as_ref(),
        }
    }
}

/// Judges a diff. `base` and `head` look up files of the two trees that the diff may not contain.
///
/// # Errors
/// When a path cannot be encoded canonically, which a diff read from git never has.
pub fn facts(
    diff: &Diff,
    claim: &ChangeClaim<'_>,
    policy: &Policy,
    base: Lookup<'_>,
    head: Lookup<'_>,
) -> Result<DiffFacts, JsonError> {
    let hunks = hunks(diff);
    let sides = sides::read(diff, &hunks, base, head);
    let mut findings = paths::findings(diff, claim.kind, policy);
    findings.extend(cargo_config::findings(diff, policy, head));
    findings.extend(manifest::findings(diff, base, head));
    findings.extend(outside::findings(diff, &sides));
    findings.extend(sides::findings(&sides));
    findings.extend(code::findings(&sides));
    if claim.kind != ClaimKind::Rollback {
        findings.extend(weakened::findings(&sides));
        findings.extend(unused::findings(&sides));
        findings.extend(switches::findings(&sides, base, head));
        findings.extend(shader::findings(&sides));
    }
    findings.extend(shape::findings(diff, &sides, claim.kind));
    findings.extend(test_code::pin_findings(diff, claim.pinned_test, base, head));
    let lines = shape::count(&sides);
    let facts = DiffFacts {
        diff_digest: diff.digest()?,
        base_tree: diff.base_tree.clone(),
        changed: diff.changed_paths(),
        conditional: shape::conditional(&sides),
        findings: tidy(findings),
        site_findings: tidy(sites::findings(diff, &hunks, claim, base)),
        behavioural_lines: lines.behavioural,
        mechanical_lines: lines.mechanical,
        tests_added: shape::tests_added(&sides),
        impure_test_files: test_code::impure_files(claim.pinned_test, head),
        pinned_test_exists: claim
            .pinned_test
            .is_some_and(|pin| test_code::pin_exists(pin, head)),
        hunks,
    };
    // The table of sources behind spans only grows; a daemon that judges many diffs empties it here,
    // where nothing that was parsed is alive any more.
    proc_macro2::extra::invalidate_current_thread_spans();
    Ok(facts)
}

/// Sorted by code and place, without repetitions, and bounded.
fn tidy(mut findings: Vec<Refusal>) -> Vec<Refusal> {
    findings.sort();
    findings.dedup();
    let mut kept: Vec<Refusal> = Vec::new();
    let mut run = 0;
    for finding in findings {
        let again = kept.last().is_some_and(|last| last.code == finding.code);
        run = if again { run + 1 } else { 0 };
        match kept.last_mut() {
            Some(last) if run == MAX_PER_CODE => last.reason.push_str(" (and more of this kind)"),
            _ if run > MAX_PER_CODE => {}
            _ => kept.push(finding),
        }
    }
    kept
}

/// A finding about the change.
fn finding(code: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal::new(code, "change", reason, remedy)
}

#[cfg(test)]
mod tests;
