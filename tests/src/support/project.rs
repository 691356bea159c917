//! Scratch projects with a seeded bug, under a remote that refuses unapproved pushes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::agent::Brief;
use super::forge::Forge;
use super::git::git;
use super::{bin, keys, repository_root};

/// Which project a story plays on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Project {
    /// A clone of this repository, with a bug of the engine's bug bank.
    Engine,
    /// The small project whose gates take seconds.
    Fixture,
}

impl Project {
    /// The brief of its scripted agent.
    #[must_use]
    pub fn brief_file(self) -> PathBuf {
        let name = match self {
            Self::Engine => "engine.toml",
            Self::Fixture => "fixture.toml",
        };
        repository_root().join("tests/stories").join(name)
    }

    /// That brief, read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn brief(self) -> Result<Brief> {
        let path = self.brief_file();
        toml::from_str(&std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())
    }
}

/// Everything a story needs, on disk and on loopback.
pub struct Scene {
    /// Folder that holds everything below.
    pub work: PathBuf,
    /// Clone that the agent works in; the repository under care.
    pub repo: PathBuf,
    /// Machine settings file.
    pub config: PathBuf,
    /// Allowed-signers file that the settings pin.
    pub signers: PathBuf,
    /// The approver's private key.
    pub approver: PathBuf,
    /// Commit with the seeded bug: the remote's branch tip.
    pub base: String,
    /// The git server.
    pub forge: Forge,
    /// URL of the remote.
    pub url: String,
    /// The remote's own folder.
    pub bare: PathBuf,
    /// What the agent knows.
    pub brief: Brief,
    /// Where that stands.
    pub brief_file: PathBuf,
}

/// Who signs in a story.
pub const APPROVER: &str = "approver@example.invalid";

impl Scene {
    /// Sets the scene in `work`; sockets go to `runtime`, whose path must be short.
    ///
    /// # Errors
    /// git, ssh-keygen or the file system failed.
    pub fn set(project: Project, work: &Path, runtime: &Path) -> Result<Self> {
        Self::with(project, work, runtime, |_| Ok(()))
    }

    /// As [`Scene::set`], with the tree edited before the commit that brings the bug.
    ///
    /// # Errors
    /// As [`Scene::set`].
    pub fn with(
        project: Project,
        work: &Path,
        runtime: &Path,
        edit: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let bug_patch = project.brief()?.bug_patch;
        Self::seeded(project, (&bug_patch, 0), work, runtime, edit)
    }

    /// As [`Scene::with`], with another bug than that of the project's story, on a port of choice: scenes that follow one
    /// another in one folder on one port are one repository to the product, and can share what it has built.
    ///
    /// # Errors
    /// As [`Scene::set`].
    pub fn seeded(
        project: Project,
        (bug_patch, port): (&Path, u16),
        work: &Path,
        runtime: &Path,
        edit: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        std::fs::create_dir_all(work)?;
        let work = work.canonicalize()?;
        let brief = project.brief()?;
        let forge_root = work.join("forge");
        std::fs::create_dir_all(&forge_root)?;
        let forge = Forge::start_at(&forge_root, port)?;
        let bare = forge.create("project.git")?;
        let url = forge.url("project.git");
        let repo = work.join("clone");
        source(project, &repo)?;
        git(
            &repo,
            &["apply", "--index", &repo.join(bug_patch).to_string_lossy()],
        )?;
        edit(&repo)?;
        git(&repo, &["add", "--all"])?;
        git(&repo, &["commit", "--quiet", "-m", "Make it faster"])?;
        git(&repo, &["remote", "add", "origin", &url])?;
        git(
            &repo,
            &["push", "--quiet", "origin", "HEAD:refs/heads/main"],
        )?;
        let base = git(&repo, &["rev-parse", "HEAD"])?;
        let (approver, signers) = approver(&work)?;
        guard(&bare, &work, &base, &signers)?;
        let config = work.join("config.toml");
        std::fs::write(&config, settings(&work, runtime, &signers))?;
        let brief_file = project.brief_file();
        Ok(Self {
            work,
            repo,
            config,
            signers,
            approver,
            base,
            forge,
            url,
            bare,
            brief,
            brief_file,
        })
    }
}

impl Drop for Scene {
    /// Stops the scene's daemon, also when a test failed half-way.
    fn drop(&mut self) {
        let Ok(greenloop) = bin("greenloop") else {
            return;
        };
        // None may run, or the settings may have been broken on purpose.
        let _ = Command::new(greenloop)
            .args(["stop", "--json", "--repo"])
            .arg(&self.repo)
            .arg("--config")
            .arg(&self.config)
            .output();
    }
}

/// The project's tree as a repository of its own, on `main`, before the bug.
fn source(project: Project, repo: &Path) -> Result<()> {
    let root = repository_root();
    match project {
        Project::Engine => {
            git(
                &root,
                &[
                    "clone",
                    "--quiet",
                    "--no-hardlinks",
                    "--no-tags",
                    ".",
                    &repo.to_string_lossy(),
                ],
            )?;
            git(repo, &["remote", "remove", "origin"])?;
            git(repo, &["checkout", "--quiet", "-B", "main"])?;
        }
        Project::Fixture => {
            copy_tree(&root.join("tests/fixture-project"), repo)?;
            git(repo, &["init", "--quiet", "--initial-branch=main", "."])?;
            git(repo, &["add", "--all"])?;
            git(
                repo,
                &["commit", "--quiet", "-m", "Two ways to the same totals"],
            )?;
        }
    }
    git(repo, &["config", "user.name", "A Developer"])?;
    git(repo, &["config", "user.email", "developer@example.invalid"])?;
    Ok(())
}

/// Copies a folder of plain files, without `target`.
///
/// # Errors
/// The file system failed.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if !entry.file_type()?.is_dir() {
            std::fs::copy(&path, &target)?;
        } else if entry.file_name() != "target" {
            copy_tree(&path, &target)?;
        }
    }
    Ok(())
}

fn approver(work: &Path) -> Result<(PathBuf, PathBuf)> {
    let dir = work.join("keys");
    std::fs::create_dir_all(&dir)?;
    let key = dir.join("approver");
    if !key.exists() {
        keys::make(&dir, "approver")?;
    }
    let signers = dir.join("allowed_signers");
    std::fs::write(
        &signers,
        keys::signer_line(&key, APPROVER, "greenloop-approval")?,
    )?;
    Ok((key, signers))
}

/// Makes the remote refuse every push to `main` that is not an approved claim.
fn guard(bare: &Path, work: &Path, root_commit: &str, signers: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let policy = work.join("verify.toml");
    std::fs::write(&policy, verify_policy(root_commit, signers))?;
    let hook = bare.join("hooks/pre-receive");
    let verify = bin("greenloop-verify")?;
    let script = format!(
        "#!/bin/sh\nexec '{}' pre-receive --policy '{}'\n",
        verify.display(),
        policy.display()
    );
    std::fs::create_dir_all(bare.join("hooks"))?;
    std::fs::write(&hook, script)?;
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// What the remote pins: guarded refs, where their history starts, who may approve.
fn verify_policy(root_commit: &str, signers: &Path) -> String {
    format!(
        "guarded_refs = [\"refs/heads/main\"]\ntrusted_root = \"{root_commit}\"\nsigners = \"{}\"\n",
        signers.display()
    )
}

fn settings(work: &Path, runtime: &Path, signers: &Path) -> String {
    format!(
        "state_root = \"{}\"\nruntime_dir = \"{}\"\nsigners = \"{}\"\n\n[identity]\nname = \"greenloop\"\nemail = \"greenloop@example.invalid\"\n",
        work.join("state").display(),
        runtime.display(),
        signers.display()
    )
}
