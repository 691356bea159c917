//! The daemon's own cargo home, and what cargo says about a workspace.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exec::{Cancel, CleanEnv, Command, Exit, Toolchain, capture, clean_env};
use serde::Deserialize;

use crate::error::sanitise;
use crate::fetched::{Known, State};
use crate::lockfile::{index_path, registry_packages};
use crate::trash::remove;
use crate::{RepoError, Room};

/// Variables that a download needs.
const NETWORK_VARIABLES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Tables of the user's configuration that say where crates come from.
const REGISTRY_TABLES: [&str; 4] = ["source", "registries", "registry", "net"];

const METADATA_CAP: u64 = 64 << 20;

/// How `cargo fetch` got what the lock file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// Everything was here, and cargo has said so of this very state before.
    Known,
    /// Everything was here.
    Offline,
    /// The network was used.
    Downloaded,
}

/// A cargo home that only the daemon fills.
#[derive(Debug, Clone)]
pub struct CargoHome {
    path: PathBuf,
    user: Option<PathBuf>,
    known: Known,
}

/// One member of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Package name.
    pub name: String,
    /// Folder of its manifest, relative to the root; empty for the root itself.
    pub folder: String,
    /// Its features.
    pub features: Vec<String>,
    /// Integration-test targets.
    pub tests: Vec<String>,
}

/// The members of a workspace, sorted by name.
pub type Members = Vec<Member>;

impl CargoHome {
    /// Opens the cargo home at `path`. From the user's own it takes where crates come from, and
    /// nothing that could change how they are built.
    ///
    /// # Errors
    /// The folder or its configuration cannot be written.
    pub fn open(path: &Path, user: Option<&Path>) -> Result<CargoHome, RepoError> {
        fs::create_dir_all(path).map_err(RepoError::io("cannot create", path))?;
        let config = path.join("config.toml");
        let text = registry_tables(user);
        fs::write(&config, text).map_err(RepoError::io("cannot write", &config))?;
        Ok(CargoHome {
            path: path.to_owned(),
            user: user.map(Path::to_owned),
            known: Known::default(),
        })
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folders of packages as they were fetched; cargo does not look whether somebody has changed them since.
    #[must_use]
    pub fn packages(&self) -> Vec<PathBuf> {
        let registry = self.path.join("registry");
        ["src", "cache"].map(|part| registry.join(part)).into()
    }

    /// Removes every package, so that the next fetch gets them anew.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn forget_packages(&self) -> Result<(), RepoError> {
        for folder in self.packages() {
            remove(&folder).map_err(RepoError::io("cannot remove", &folder))?;
        }
        Ok(())
    }

    /// The user's own cargo home, which is only ever copied from.
    #[must_use]
    pub fn user(&self) -> Option<&Path> {
        self.user.as_deref()
    }

    /// Makes everything that the room's `Cargo.lock` names available offline: copies what the user
    /// already has (cargo checks the lock file's checksums when it unpacks), then asks cargo, first
    /// without network. Asks no second time while lock file, manifests, toolchain and the packages' files stay as they
    /// are: what runs later is `--locked --offline` and would say what is amiss.
    ///
    /// # Errors
    /// Cargo cannot get a package; the message is cargo's.
    pub fn fetch(
        &self,
        room: &Room,
        toolchain: &Toolchain,
        environment: &BTreeMap<OsString, OsString>,
        cancel: &Cancel,
    ) -> Result<Fetched, RepoError> {
        let state = || State::read(&self.path, &room.tree(), toolchain);
        if state().is_some_and(|state| self.known.holds(&state)) {
            return Ok(Fetched::Known);
        }
        self.copy_from_user(&room.tree());
        let fetched = self.ask(room, toolchain, environment, cancel)?;
        if let Some(state) = state() {
            self.known.keep(state);
        }
        Ok(fetched)
    }

    fn ask(
        &self,
        room: &Room,
        toolchain: &Toolchain,
        environment: &BTreeMap<OsString, OsString>,
        cancel: &Cancel,
    ) -> Result<Fetched, RepoError> {
        let plain = self.command(room, toolchain)?.args(["fetch", "--locked"]);
        let offline = plain.clone().arg("--offline");
        if capture(&offline, cancel)?.outcome.exit.success() {
            return Ok(Fetched::Offline);
        }
        let mut online = plain;
        for name in NETWORK_VARIABLES {
            if let Some(value) = environment.get(OsStr::new(name)) {
                online.env.insert(name.into(), value.clone());
            }
        }
        let captured = capture(&online, cancel)?;
        match captured.outcome.exit {
            Exit::Exited(0) => Ok(Fetched::Downloaded),
            Exit::Cancelled => Err(RepoError::Cancelled {
                doing: "fetching dependencies",
            }),
            _ => Err(RepoError::Cargo {
                doing: "cannot fetch the locked dependencies",
                message: sanitise(&captured.stderr),
            }),
        }
    }

    /// The members of the workspace in the room, by `cargo metadata`.
    ///
    /// # Errors
    /// The manifests or the lock file do not hold together; the message is cargo's.
    pub fn members(
        &self,
        room: &Room,
        toolchain: &Toolchain,
        cancel: &Cancel,
    ) -> Result<Members, RepoError> {
        let command = self.command(room, toolchain)?.args([
            "metadata",
            "--offline",
            "--locked",
            "--no-deps",
            "--format-version",
            "1",
        ]);
        let captured = capture(&command, cancel)?;
        let refuse = |message: String| RepoError::Cargo {
            doing: "cannot read the workspace",
            message,
        };
        if !captured.outcome.exit.success() {
            return Err(refuse(sanitise(&captured.stderr)));
        }
        let metadata: Metadata =
            serde_json::from_slice(&captured.stdout).map_err(|error| refuse(error.to_string()))?;
        let root = room.tree();
        let mut members: Members = metadata
            .packages
            .into_iter()
            .map(|package| package.member(&root))
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(members)
    }

    /// The pinned cargo in the room, with a clean environment and no arguments yet.
    ///
    /// # Errors
    /// The environment cannot be made.
    pub fn command(&self, room: &Room, toolchain: &Toolchain) -> Result<Command, RepoError> {
        let env = clean_env(&CleanEnv {
            toolchain,
            home: &room.home(),
            cargo_home: &self.path,
            target_dir: &room.target(),
            allow: &[],
            source: &BTreeMap::new(),
        })?;
        Ok(Command::new(&toolchain.cargo, room.tree())
            .envs(env)
            .output_limit(METADATA_CAP)
            .wall_timeout(Duration::from_secs(900)))
    }

    /// Copies crates and index entries of the locked packages. Whatever cannot be copied is left
    /// to cargo, which then uses the network.
    fn copy_from_user(&self, tree: &Path) {
        let Some(user) = &self.user else { return };
        let Ok(lock) = fs::read_to_string(tree.join("Cargo.lock")) else {
            return;
        };
        let packages = registry_packages(&lock);
        let (from, to) = (user.join("registry"), self.path.join("registry"));
        for registry in folders(&from.join("cache")) {
            for package in &packages {
                let file = format!("{}-{}.crate", package.name, package.version);
                let relative = Path::new("cache").join(&registry).join(file);
                copy_once(&from.join(&relative), &to.join(&relative));
            }
        }
        for registry in folders(&from.join("index")) {
            let index = Path::new("index").join(&registry);
            copy_once(
                &from.join(&index).join("config.json"),
                &to.join(&index).join("config.json"),
            );
            for package in &packages {
                let relative = index.join(".cache").join(index_path(&package.name));
                copy_once(&from.join(&relative), &to.join(&relative));
            }
        }
    }
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
}

#[derive(Deserialize)]
struct MetadataTarget {
    name: String,
    kind: Vec<String>,
}

impl MetadataPackage {
    fn member(self, root: &Path) -> Member {
        let folder = self.manifest_path.parent().unwrap_or(root);
        // Cargo canonicalises; a link above the state folder must not hide the prefix.
        let canonical = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let relative = folder
            .strip_prefix(root)
            .or_else(|_| folder.strip_prefix(&canonical))
            .unwrap_or(folder);
        let is_test = |target: &MetadataTarget| target.kind.iter().any(|kind| kind == "test");
        Member {
            name: self.name,
            folder: relative.to_string_lossy().into_owned(),
            features: self.features.into_keys().collect(),
            tests: self
                .targets
                .into_iter()
                .filter(is_test)
                .map(|target| target.name)
                .collect(),
        }
    }
}

/// The configuration of the daemon's cargo home.
fn registry_tables(user: Option<&Path>) -> String {
    let mut kept = toml::Table::new();
    let path = user.map(|user| user.join("config.toml"));
    let text = path.and_then(|path| fs::read_to_string(path).ok());
    if let Some(theirs) = text.and_then(|text| toml::from_str::<toml::Table>(&text).ok()) {
        for name in REGISTRY_TABLES {
            if let Some(table) = theirs.get(name) {
                kept.insert(name.to_owned(), table.clone());
            }
        }
    }
    toml::to_string(&kept).unwrap_or_default()
}

pub(crate) fn folders(path: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.file_name()).collect()
}

/// Copies a file that exists there and not here, in whole or not at all.
fn copy_once(from: &Path, to: &Path) {
    if to.exists() || !from.is_file() {
        return;
    }
    let copy = || -> std::io::Result<()> {
        let folder = to.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let half = tempfile::NamedTempFile::new_in(folder)?;
        fs::copy(from, half.path())?;
        half.persist(to)?;
        Ok(())
    };
    if let Err(error) = copy() {
        tracing::debug!(path = %from.display(), %error, "not copied; cargo will fetch it");
    }
}
