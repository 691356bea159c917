//! What a clone can recompute about a claim: policy and law of the base commit, facts of the diff.

use std::cell::RefCell;

use attest::claim::ClaimBody;
use attest::digest::Digest;
use discipline::change;
use discipline::decision::{DiffFacts, PolicyFacts};
use discipline::model::Refusal;
use discipline::policy::Policy;
use discipline::rulebook::Rulebook;
use gitread::{GitReadError, GitReader};
use markers::Catalogue;
use playbooks::Playbooks;

use crate::VerifyError;
use crate::law::law_facts;

/// Path of the policy in every tree.
const POLICY_PATH: &str = "greenloop.toml";

/// Policy and law of a commit, with the data that rules judge with.
#[derive(Debug, Clone)]
pub struct BaseFacts {
    /// As it stands in a decision's input; its policy holds the rules of the playbooks too.
    pub facts: PolicyFacts,
    /// Rules over the commit's catalogue.
    pub rulebook: Rulebook,
    /// Playbooks in force.
    pub playbooks: Playbooks,
}

/// The laws of a tree, and the digest of their file.
pub(crate) struct LawFacts {
    pub(crate) facts: Vec<discipline::decision::LawFact>,
    pub(crate) digest: Digest,
}

/// Reads policy, law, catalogue and playbooks from the tree of `commit`. The daemon fills decision
/// inputs with this and the verifier recomputes it, so both read alike.
///
/// # Errors
/// A missing or malformed policy, law, catalogue or playbook, and unreadable objects.
pub fn base_facts(reader: &GitReader, commit: &str) -> Result<BaseFacts, VerifyError> {
    let tree = reader.commit_info(commit)?.tree;
    tree_facts(reader, &tree, commit)
}

/// As [`base_facts`], of a tree; `commit` is what errors call it.
fn tree_facts(reader: &GitReader, tree: &str, commit: &str) -> Result<BaseFacts, VerifyError> {
    let failed = |what: &'static str, detail: String| VerifyError::Base {
        what,
        commit: commit.to_owned(),
        detail,
    };
    let policy_bytes = reader
        .blob_at(tree, POLICY_PATH)?
        .ok_or_else(|| failed(POLICY_PATH, "there is none; add one".to_owned()))?;
    let policy_text = std::str::from_utf8(&policy_bytes)
        .map_err(|_| failed(POLICY_PATH, "it is not utf-8".to_owned()))?;
    let policy =
        Policy::parse(policy_text).map_err(|error| failed(POLICY_PATH, error.to_string()))?;
    let law = law_facts(reader, tree, &policy.repo.law)?.map_err(|detail| failed("law", detail))?;

    let marker_files = data_files(reader, tree, &policy.markers.dirs)?;
    let catalogue = Catalogue::with_project(borrowed(&marker_files))
        .map_err(|error| failed("marker catalogue", error.to_string()))?;
    let playbook_files = data_files(reader, tree, &policy.playbooks.dirs)?;
    let playbooks = Playbooks::with_project(borrowed(&playbook_files), &catalogue)
        .map_err(|error| failed("playbooks", error.to_string()))?;
    let policy = policy
        .with_claim_rules(borrowed(playbooks.claim_rule_files()))
        .map_err(|error| failed("playbooks", error.to_string()))?;
    let playbooks_digest = playbooks
        .digest()
        .parse()
        .map_err(|error: attest::AttestError| failed("playbooks", error.to_string()))?;
    let rulebook = Rulebook::new(catalogue);
    Ok(BaseFacts {
        facts: PolicyFacts {
            policy_digest: Digest::of(&policy_bytes),
            law: law.facts,
            law_digest: law.digest,
            catalogue_digest: rulebook.catalogue_digest(),
            playbooks_digest,
            policy,
        },
        rulebook,
        playbooks,
    })
}

/// `*.toml` below the folders, as (path, text), sorted by path.
fn data_files(
    reader: &GitReader,
    tree: &str,
    dirs: &[String],
) -> Result<Vec<(String, String)>, VerifyError> {
    if dirs.is_empty() {
        return Ok(Vec::new());
    }
    let below = |path: &str| {
        dirs.iter().any(|dir| {
            let dir = dir.trim_end_matches('/');
            path.strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let mut files = Vec::new();
    for entry in reader.tree_entries(tree)? {
        let (path, _) = gitread::path::escape(&entry.path);
        if !path.ends_with(".toml") || !below(&path) {
            continue;
        }
        let bytes = reader.blob_at(tree, &path)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|_| VerifyError::Base {
            what: "data file",
            commit: tree.to_owned(),
            detail: format!("`{path}` is not utf-8"),
        })?;
        files.push((path, text));
    }
    Ok(files)
}

fn borrowed(files: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
}

/// The change between two trees as facts, judged against the claim.
///
/// # Errors
/// Unreadable objects and diffs beyond the reader's caps.
pub fn change_facts(
    reader: &GitReader,
    base_tree: &str,
    body: &ClaimBody,
    base_facts: &BaseFacts,
) -> Result<DiffFacts, VerifyError> {
    let policy = &base_facts.facts.policy;
    let diff = reader.diff_trees(base_tree, &body.tree)?;
    // The judge asks for files and takes no error, so the first one is kept and refuses afterwards.
    let failure: RefCell<Option<GitReadError>> = RefCell::new(None);
    let look = |tree: &str, path: &str| match reader.blob_at(tree, path) {
        Ok(found) => found,
        Err(GitReadError::NotAFile { .. }) => None,
        Err(error) => {
            failure.borrow_mut().get_or_insert(error);
            None
        }
    };
    let base = |path: &str| look(base_tree, path);
    let head = |path: &str| look(&body.tree, path);
    let mut facts = change::facts(&diff, &body.into(), policy, &base, &head)?;
    if let Some(error) = failure.into_inner() {
        return Err(error.into());
    }
    if diff.files.iter().any(|file| file.old.is_none()) {
        let paths = reader.tree_entries(&body.tree)?.into_iter();
        let paths = paths.map(|entry| gitread::path::escape(&entry.path).0);
        facts.findings.extend(change::colliding(&diff, paths));
    }
    facts.findings.extend(change::silenced(
        &diff,
        body,
        &base_facts.rulebook.catalogue,
    ));
    facts.findings.sort();
    let of_policy = |path: &str| policy.is_protected(path);
    if facts.changed.iter().any(|changed| of_policy(&changed.path)) {
        facts.findings.extend(unusable(reader, &body.tree)?);
        facts.findings.sort();
    }
    Ok(facts)
}

/// Why the policy of a tree could not be used once it is the base: then no claim could ever mend it.
fn unusable(reader: &GitReader, tree: &str) -> Result<Option<Refusal>, VerifyError> {
    match tree_facts(reader, tree, "the proposed tree") {
        Ok(_) => Ok(None),
        Err(error @ VerifyError::Base { .. }) => Ok(Some(Refusal::new(
            "policy_unusable",
            "change",
            error.to_string(),
            "correct what it names, so that the next claim can be judged by this policy",
        ))),
        Err(error) => Err(error),
    }
}
