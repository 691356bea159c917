//! Commits and trees that the daemon makes itself.

use crate::git::oid;
use crate::{DaemonRepo, RepoError};

/// Name and mail address in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
}

/// Everything a commit consists of; the same plan always gives the same commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPlan {
    /// Tree, 40 hex digits.
    pub tree: String,
    /// The one parent; none begins a history.
    pub parent: Option<String>,
    /// Message without trailers.
    pub message: String,
    /// Trailers in order, such as `("Claim-Id", "C1")`.
    pub trailers: Vec<(String, String)>,
    /// Author and committer.
    pub identity: Identity,
    /// Author and committer time, unix seconds, written as UTC.
    pub time_s: i64,
}

impl CommitPlan {
    /// The message as it stands in the commit.
    #[must_use]
    pub fn full_message(&self) -> String {
        let mut text = self.message.trim().to_owned();
        text.push_str("\n\n");
        for (name, value) in &self.trailers {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }
}

impl DaemonRepo {
    /// Writes the commit object and returns its id. No ref moves.
    ///
    /// # Errors
    /// Tree or parent is not here, or the identity holds characters that git refuses.
    pub fn make_commit(&self, plan: &CommitPlan) -> Result<String, RepoError> {
        let objects = self.objects()?;
        let doing = "cannot make the commit";
        let tree = objects
            .find_tree(oid(&plan.tree)?)
            .map_err(RepoError::objects(doing))?;
        let parent = match &plan.parent {
            Some(parent) => Some(
                objects
                    .find_commit(oid(parent)?)
                    .map_err(RepoError::objects(doing))?,
            ),
            None => None,
        };
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        let time = git2::Time::new(plan.time_s, 0);
        let who = git2::Signature::new(&plan.identity.name, &plan.identity.email, &time)
            .map_err(RepoError::objects("cannot use the configured identity"))?;
        let commit = objects
            .commit(None, &who, &who, &plan.full_message(), &tree, &parents)
            .map_err(RepoError::objects(doing))?;
        Ok(commit.to_string())
    }

    /// Writes a flat tree of files and returns its id; names have no `/`.
    ///
    /// # Errors
    /// Objects cannot be written, or a name is one that git refuses in a tree.
    pub fn write_files(&self, files: &[(String, Vec<u8>)]) -> Result<String, RepoError> {
        let objects = self.objects()?;
        let doing = "cannot write the attestation's tree";
        let mut builder = objects
            .treebuilder(None)
            .map_err(RepoError::objects(doing))?;
        for (name, content) in files {
            let blob = objects.blob(content).map_err(RepoError::objects(doing))?;
            builder
                .insert(name, blob, 0o100_644)
                .map_err(RepoError::objects(doing))?;
        }
        let tree = builder.write().map_err(RepoError::objects(doing))?;
        Ok(tree.to_string())
    }

    /// Points a ref of this repository at an object, so that git keeps it.
    ///
    /// # Errors
    /// The object is not here or the name is not a ref's.
    pub fn keep(&self, ref_name: &str, object: &str) -> Result<(), RepoError> {
        let objects = self.objects()?;
        objects
            .reference(ref_name, oid(object)?, true, "greenloop")
            .map_err(RepoError::objects("cannot write a ref"))?;
        Ok(())
    }
}
