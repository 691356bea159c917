//! What stands in the repository: git, cargo, workflows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::test_functions::{self, TestFunction};
use super::{Refusals, refuse};

/// Crates whose presence means that tests want the device.
const GPU_CRATES: &[&str] = &[
    "ash", "cudarc", "cust", "metal", "ocl", "opencl3", "vulkano", "wgpu",
];

/// Facts of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Its root.
    pub root: PathBuf,
    /// Branch to put under care.
    pub(super) branch: String,
    /// Branch that is checked out.
    pub(super) current_branch: String,
    /// Remote to push to.
    pub(super) remote: Option<Remote>,
    /// Members of the workspace that have tests, by folder.
    pub(super) packages: Vec<Package>,
    /// Workflow files below `.github/workflows`, by name.
    pub(super) workflows: Vec<Workflow>,
    /// How `Cargo.lock` stands to git.
    pub(super) lock: LockFile,
    /// Cargo configuration that the clean room refuses, one sentence each.
    pub(super) hostile_config: Vec<String>,
}

/// A remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// Its name.
    pub(super) name: String,
}

/// A member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Folder from the root; empty for the root's own package.
    pub(super) folder: String,
    /// Folders of its library and binaries from the root; empty for the root itself.
    pub(super) sources: Vec<String>,
    /// Source folders of the members that it depends on, and its package folders.
    pub(super) local_sources: Vec<String>,
    /// Integration-test suites that have tests.
    pub(super) suites: Vec<Suite>,
    /// Unit tests of its library.
    pub(super) unit: Vec<TestFunction>,
    /// True when cargo finds files in `tests/` by itself, as the canary needs it to.
    pub(super) autotests: bool,
    /// True when it depends on a crate that speaks to a device.
    pub(super) gpu: bool,
}

/// An integration-test target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suite {
    /// Target name.
    pub(super) target: String,
    /// Features it needs.
    pub(super) features: Vec<String>,
    /// Its tests, as far as the syntax tree shows them.
    pub(super) tests: Vec<TestFunction>,
    /// Its files from the root.
    pub(super) files: Vec<String>,
}

/// A workflow of the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workflow {
    /// File name.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

/// How `Cargo.lock` stands to git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockFile {
    /// Committed or staged.
    Tracked,
    /// There, and unknown to git or ignored.
    Untracked,
    /// Not there.
    Missing,
}

/// A public key that may approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approver {
    principal: String,
    key: String,
}

impl Approver {
    /// Reads a public key file; the principal is git's mail address.
    ///
    /// # Errors
    /// No such file, or not one public key.
    pub(crate) fn read(path: &Path, email: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the public key {}", path.display()))?;
        let mut words = text.split_whitespace();
        let (Some(kind), Some(key)) = (words.next(), words.next()) else {
            bail!("{} holds no public key; name the .pub file", path.display());
        };
        if text.contains("PRIVATE KEY")
            || !(kind.starts_with("ssh-") || kind.contains("sha2-") || kind.starts_with("sk-"))
        {
            bail!("{} holds no public key; name the .pub file", path.display());
        }
        let principal = email.map_or_else(|| "approver@localhost".into(), str::to_owned);
        Ok(Self {
            principal,
            key: format!("{kind} {key}"),
        })
    }

    /// An allowed-signers file with its line; a key that stands there already is not added again.
    pub(super) fn added_to(&self, known: &str) -> String {
        if known.contains(&self.key) {
            return known.to_owned();
        }
        let gap = if known.is_empty() || known.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!(
            "{known}{gap}{} namespaces=\"greenloop-approval\" {}\n",
            self.principal, self.key
        )
    }
}

/// Git's mail address in the repository at `root`.
pub(crate) fn email(root: &Path) -> Option<String> {
    git(root, &["config", "user.email"]).filter(|text| !text.contains(char::is_whitespace))
}

/// Looks at the repository that `from` stands in.
pub(super) fn survey(from: &Path) -> Result<Result<Survey, Refusals>> {
    let Ok(root) = crate::place::toplevel(from) else {
        return Ok(Err(vec![refuse(
            "no_repository",
            "repo",
            format!("{} is in no git repository", from.display()),
            "change into one, or make one: `git init`, then commit",
        )]));
    };
    let mut refused = git_refusals(&root)?;
    if root.to_str().is_none() {
        refused.push(refuse(
            "path_not_utf8",
            "repo",
            format!("cargo cannot describe a package below {}", root.display()),
            "move the repository to a path of plain text",
        ));
    } else if !root.join("Cargo.toml").is_file() {
        refused.push(refuse(
            "no_manifest",
            "repo",
            format!("{} has no Cargo.toml at its root", root.display()),
            "greenloop drives cargo; put the crate or workspace at the repository's root, or name another with --repo",
        ));
    }
    if !refused.is_empty() {
        return Ok(Err(refused));
    }
    let packages = match packages(&root)? {
        Ok(packages) => packages,
        Err(refused) => return Ok(Err(vec![refused])),
    };
    let current = git(&root, &["symbolic-ref", "--quiet", "--short", "HEAD"]).unwrap_or_default();
    let remote = remote(&root, &current);
    let branch = remote.as_ref().and_then(|remote| {
        let head = format!("refs/remotes/{}/HEAD", remote.name);
        let full = git(&root, &["symbolic-ref", "--quiet", "--short", &head])?;
        Some(full.strip_prefix(&format!("{}/", remote.name))?.to_owned())
    });
    Ok(Ok(Survey {
        branch: branch.unwrap_or_else(|| current.clone()),
        current_branch: current,
        remote,
        packages,
        workflows: workflows(&root),
        lock: lock(&root),
        hostile_config: hostile_config(&root),
        root,
    }))
}

/// What about the repository's history keeps the loop from working.
fn git_refusals(root: &Path) -> Result<Refusals> {
    let version = Command::new("git").arg("--version").output();
    version.context("cannot run git; install it (`apt-get install git`)")?;
    let mut refused = Vec::new();
    let says = |args: &[&str], wanted: &str| git(root, args).as_deref() == Some(wanted);
    if says(&["rev-parse", "--is-bare-repository"], "true") {
        refused.push(refuse(
            "bare_repository",
            "repo",
            "a bare repository has no work tree to look at",
            "run `greenloop init` in a clone",
        ));
    } else if git(root, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).is_none() {
        refused.push(refuse(
            "no_commit",
            "repo",
            "the repository has no commit",
            "commit once: `git add --all && git commit`",
        ));
    } else if git(root, &["symbolic-ref", "--quiet", "HEAD"]).is_none() {
        refused.push(refuse(
            "detached_head",
            "repo",
            "HEAD names a commit and no branch, so there is no branch to put under care",
            "check the branch out: `git switch BRANCH`",
        ));
    }
    if says(&["rev-parse", "--is-shallow-repository"], "true") {
        refused.push(refuse(
            "shallow_clone",
            "repo",
            "the clone is shallow: history does not reach its root, by which the repository is known",
            "fetch the rest: `git fetch --unshallow`",
        ));
    }
    Ok(refused)
}

/// First line that git prints; `None` when it fails.
pub(super) fn git(root: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.trim_end_matches('\n').to_owned())
}

/// `origin`, else the branch's own, else the only one.
fn remote(root: &Path, branch: &str) -> Option<Remote> {
    let listed = git(root, &["remote"])?;
    let names: Vec<&str> = listed.lines().collect();
    let of_branch = git(root, &["config", &format!("branch.{branch}.remote")]);
    let chosen = ["origin".to_owned()]
        .into_iter()
        .chain(of_branch)
        .find(|name| names.contains(&name.as_str()))
        .or_else(|| (names.len() == 1).then(|| names[0].to_owned()))?;
    Some(Remote { name: chosen })
}

fn workflows(root: &Path) -> Vec<Workflow> {
    let folder = root.join(".github/workflows");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<Workflow> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_workflow = name.ends_with(".yml") || name.ends_with(".yaml");
            let small = entry.metadata().ok()?.len() <= 1 << 20;
            let text =
                (is_workflow && small).then(|| std::fs::read_to_string(entry.path()).ok())??;
            Some(Workflow { name, text })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn lock(root: &Path) -> LockFile {
    if git(root, &["ls-files", "--error-unmatch", "--", "Cargo.lock"]).is_some() {
        LockFile::Tracked
    } else if root.join("Cargo.lock").is_file() {
        LockFile::Untracked
    } else {
        LockFile::Missing
    }
}

fn hostile_config(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in [".cargo/config.toml", ".cargo/config"] {
        if let Ok(content) = std::fs::read(root.join(path)) {
            let refused = discipline::change::hostile_cargo_config(path, &content, &[]);
            found.extend(refused.into_iter().map(|refusal| refusal.reason));
        }
    }
    found
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    features: BTreeMap<String, Vec<String>>,
    targets: Vec<MetadataTarget>,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    #[serde(default)]
    path: Option<PathBuf>,
}

impl MetadataTarget {
    fn is(&self, kinds: &[&str]) -> bool {
        self.kind.iter().any(|kind| kinds.contains(&kind.as_str()))
    }
}

const LIBRARY: &[&str] = &["lib", "rlib", "dylib", "cdylib", "staticlib", "proc-macro"];

fn packages(root: &Path) -> Result<Result<Vec<Package>, service::api::RefusalView>> {
    let output = Command::new("cargo")
        .current_dir(root)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .output()
        .context("cannot run cargo; install Rust (rustup, or your distribution's package)")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        return Ok(Err(refuse(
            "manifest_unreadable",
            "Cargo.toml",
            format!("cargo cannot read the workspace: {}", said.join("; ")),
            "correct the manifest until `cargo metadata` passes",
        )));
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata printed something else")?;
    // Cargo canonicalises nothing, git does: both spellings of the root may stand before a path.
    let mut packages: Vec<Package> = metadata
        .packages
        .iter()
        .map(|package| look_at(package, &metadata.packages, root))
        .collect();
    packages.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    packages.retain(|package| !package.suites.is_empty() || !package.unit.is_empty());
    if packages.is_empty() {
        return Ok(Err(refuse(
            "no_tests",
            "repo",
            "no package of the workspace has a test, so nothing could be red or green",
            "write one that states what must hold, in `tests/NAME.rs` of the package, and commit it",
        )));
    }
    Ok(Ok(packages))
}

fn look_at(package: &MetadataPackage, all: &[MetadataPackage], root: &Path) -> Package {
    let folder = package.manifest_path.parent().unwrap_or(root);
    let library = package.targets.iter().find(|target| target.is(LIBRARY));
    let unit = library.map(|target| test_functions::find(&target.src_path).tests);
    let mut suites: Vec<Suite> = package
        .targets
        .iter()
        .filter(|target| target.is(&["test"]))
        .map(|target| suite(target, package, root))
        .filter(|suite| !suite.tests.is_empty())
        .collect();
    suites.sort_by(|a, b| a.target.cmp(&b.target));
    Package {
        name: package.name.clone(),
        folder: relative(folder, root),
        sources: sources(package, root),
        local_sources: local_sources(package, all, root),
        suites,
        unit: unit.unwrap_or_default(),
        autotests: autotests(&package.manifest_path),
        gpu: package
            .dependencies
            .iter()
            .any(|dependency| GPU_CRATES.contains(&dependency.name.as_str())),
    }
}

fn suite(target: &MetadataTarget, package: &MetadataPackage, root: &Path) -> Suite {
    let found = test_functions::find(&target.src_path);
    let mut features = target.required_features.clone();
    let known = found
        .features
        .into_iter()
        .filter(|feature| package.features.contains_key(feature));
    features.extend(known);
    features.sort();
    features.dedup();
    Suite {
        target: target.name.clone(),
        features,
        tests: found.tests,
        files: found
            .files
            .iter()
            .map(|file| relative(file, root))
            .collect(),
    }
}

/// Folders of the library and the binaries.
fn sources(package: &MetadataPackage, root: &Path) -> Vec<String> {
    let own = package
        .targets
        .iter()
        .filter(|target| target.is(LIBRARY) || target.is(&["bin"]));
    let mut folders: Vec<String> = own
        .filter_map(|target| target.src_path.parent())
        .map(|folder| relative(folder, root))
        .collect();
    folders.sort();
    folders.dedup();
    // `src/bin` lies below `src`.
    let all = folders.clone();
    folders.retain(|folder| {
        let below = |other: &&String| folder.starts_with(&format!("{other}/"));
        !all.iter().any(|other| below(&other))
    });
    folders
}

/// Source folders of the members that the package is built from besides its own.
fn local_sources(package: &MetadataPackage, all: &[MetadataPackage], root: &Path) -> Vec<String> {
    let mut open = vec![package];
    let mut seen: Vec<&Path> = vec![&package.manifest_path];
    let mut folders = Vec::new();
    while let Some(next) = open.pop() {
        let paths = next
            .dependencies
            .iter()
            .filter_map(|dependency| dependency.path.as_ref());
        for path in paths {
            let manifest = path.join("Cargo.toml");
            let member = all.iter().find(|member| member.manifest_path == manifest);
            if let Some(member) = member.filter(|member| !seen.contains(&&*member.manifest_path)) {
                seen.push(&member.manifest_path);
                folders.extend(sources(member, root));
                open.push(member);
            }
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

fn autotests(manifest: &Path) -> bool {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let said = table
        .get("package")
        .and_then(|package| package.get("autotests"));
    said.and_then(toml::Value::as_bool).unwrap_or(true)
}

/// Path from the root, with `/`.
fn relative(path: &Path, root: &Path) -> String {
    let canonical = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let inside = path
        .strip_prefix(root)
        .or_else(|_| path.strip_prefix(&canonical))
        .unwrap_or(path);
    inside.to_string_lossy().into_owned()
}
