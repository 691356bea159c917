//! What `cargo fetch` has already answered, so that it is asked once per lock file and not once per room.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attest::digest::Digest;
use exec::Toolchain;

use crate::cargo::folders;
use crate::lockfile::{Locked, index_path, registry_packages_alone};
use crate::room::MAX_DEPTH;

/// Answers that are kept; a repository needs a handful.
const MAX_KEPT: usize = 64;

/// Everything that decides what `cargo fetch --locked` would answer, in one digest: toolchain, lock file, manifests and
/// configuration of the tree, and what the cargo home holds of each locked package. A gate that takes a package out of
/// the cargo home makes another state, and cargo is asked again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State(Digest);

impl State {
    /// The state now; `None` where it cannot be told: no lock file, packages from elsewhere than a registry, or a tree
    /// that cannot be read.
    pub(crate) fn read(home: &Path, tree: &Path, toolchain: &Toolchain) -> Option<State> {
        let lock = fs::read_to_string(tree.join("Cargo.lock")).ok()?;
        let packages = registry_packages_alone(&lock)?;
        let mut text = format!("{}\n{}\n", toolchain.digest(), Digest::of(lock.as_bytes()));
        let mut files = Vec::new();
        deciding_files(tree, 0, &mut files)?;
        files.sort();
        files.push(home.join("config.toml"));
        for file in files {
            let digest = Digest::of(&fs::read(&file).ok()?);
            text.push_str(&format!("{:?} {digest}\n", file.strip_prefix(tree).ok()));
        }
        let registry = home.join("registry");
        for package in &packages {
            for file in files_of(&registry, package) {
                text.push_str(&stamp(&file));
            }
        }
        Some(State(Digest::of(text.as_bytes())))
    }
}

/// States for which cargo had everything, in this process's time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<Mutex<BTreeSet<State>>>);

impl Known {
    pub(crate) fn holds(&self, state: &State) -> bool {
        self.states().contains(state)
    }

    pub(crate) fn keep(&self, state: State) {
        let mut states = self.states();
        if states.len() >= MAX_KEPT {
            states.clear();
        }
        states.insert(state);
    }

    fn states(&self) -> MutexGuard<'_, BTreeSet<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Manifests and cargo configuration of a tree.
fn deciding_files(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    let configuration = folder.file_name().is_some_and(|name| name == ".cargo");
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        if entry.file_type().ok()?.is_dir() {
            deciding_files(&entry.path(), depth + 1, found)?;
        } else if entry.file_name() == "Cargo.toml" || configuration {
            found.push(entry.path());
        }
    }
    Some(())
}

/// Where a cargo home keeps a package: the archive, the mark of its unpacked sources, the entry of the index.
fn files_of(registry: &Path, package: &Locked) -> Vec<PathBuf> {
    let name = format!("{}-{}", package.name, package.version);
    let mut files = Vec::new();
    for (kind, file) in [
        ("cache", format!("{name}.crate")),
        ("src", format!("{name}/.cargo-ok")),
        ("index", format!(".cache/{}", index_path(&package.name))),
    ] {
        let mut registries = folders(&registry.join(kind));
        registries.sort();
        let below = registries.iter().map(|one| registry.join(kind).join(one));
        files.extend(below.map(|folder| folder.join(&file)));
    }
    files
}

/// A file without its bytes.
fn stamp(file: &Path) -> String {
    match fs::metadata(file) {
        Ok(meta) => format!(
            "{} {} {} {}.{}\n",
            meta.ino(),
            meta.mode(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec()
        ),
        Err(error) => format!("{:?}\n", error.kind()),
    }
}
