//! What of the machine a gate may see.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::{Error, Toolchain};

/// The folders and extra variables of a clean environment.
#[derive(Clone, Copy, Debug)]
pub struct CleanEnv<'a> {
    /// Whose `bin` stands first in PATH.
    pub toolchain: &'a Toolchain,
    /// A scratch folder that serves as HOME.
    pub home: &'a Path,
    /// The daemon's own cargo home.
    pub cargo_home: &'a Path,
    /// Where cargo builds.
    pub target_dir: &'a Path,
    /// Names taken over from `source` when they are set there, for example `VK_ICD_FILENAMES`.
    pub allow: &'a [String],
    /// The environment `allow` picks from.
    pub source: &'a BTreeMap<OsString, OsString>,
}

/// Variables that decide what is built or run instead of what the tree says. Prefixes end in `*`.
const FORBIDDEN: &[(&str, &str)] = &[
    ("RUSTFLAGS", "it changes every compilation"),
    ("RUSTDOCFLAGS", "it changes every compilation"),
    ("RUSTC*", "it replaces or wraps the compiler"),
    ("RUSTUP*", "the toolchain is called by path"),
    (
        "CARGO*",
        "cargo's configuration comes from the tree and the daemon",
    ),
    ("LD_*", "it loads foreign code into every process"),
    ("GIT_*", "it redirects git"),
    ("PATH", "it is set by the daemon"),
    ("HOME", "it is set by the daemon"),
];

/// The whole environment of a gate: PATH (toolchain, `/usr/bin`, `/bin`), HOME, CARGO_HOME,
/// CARGO_TARGET_DIR, LANG and what is allowed by name. Fails on a name that could fake a gate.
pub fn clean_env(clean: &CleanEnv<'_>) -> Result<BTreeMap<OsString, OsString>, Error> {
    let mut env = BTreeMap::new();
    for name in clean.allow {
        if let Some((_, reason)) = FORBIDDEN.iter().find(|(rule, _)| covers(rule, name)) {
            let name = name.clone();
            return Err(Error::ForbiddenVariable { name, reason });
        }
        if let Some(value) = clean.source.get(OsStr::new(name)) {
            env.insert(name.into(), value.clone());
        }
    }
    let mut path = clean.toolchain.sysroot.join("bin").into_os_string();
    path.push(":/usr/bin:/bin");
    env.insert("PATH".into(), path);
    env.insert("HOME".into(), clean.home.into());
    env.insert("CARGO_HOME".into(), clean.cargo_home.into());
    env.insert("CARGO_TARGET_DIR".into(), clean.target_dir.into());
    env.insert("LANG".into(), "C.UTF-8".into());
    Ok(env)
}

fn covers(rule: &str, name: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => rule == name,
    }
}

/// The first executable called `name` in `path` (the value of a PATH variable). Relative entries
/// are passed over: they would mean something else in another directory.
pub fn find_program(name: &str, path: &OsStr) -> Result<PathBuf, Error> {
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok())
        .ok_or_else(|| Error::NotFound {
            name: name.to_owned(),
        })
}
