//! Cargo configuration that would decide what a gate builds or runs.
//!
//! An allow list, so that a key cargo learns later is refused until somebody has judged it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::git::oid;
use crate::room::MAX_DEPTH;
use crate::{DaemonRepo, RepoError};

/// Names cargo reads below a `.cargo` folder.
pub const CONFIG_NAMES: [&str; 2] = ["config.toml", "config"];

/// Keys that change neither what is built nor what is executed. `table.*` allows a whole table.
const HARMLESS: &[&str] = &[
    "alias.*",
    "build.incremental",
    "build.jobs",
    "cargo-new.*",
    "doc.*",
    "future-incompat-report.*",
    "http.*",
    "net.offline",
    "net.retry",
    "profile.*",
    "resolver.*",
    "term.*",
];

/// Refuses a tree that carries such configuration anywhere, but for the dotted keys that the policy
/// allows (`allow_cargo_config`).
///
/// # Errors
/// Names the first file and key; also when the file cannot be read as TOML.
pub fn check_tree_config(
    repo: &DaemonRepo,
    tree: &str,
    allowed: &[String],
) -> Result<(), RepoError> {
    let objects = repo.objects()?;
    let root = objects
        .find_tree(oid(tree)?)
        .map_err(RepoError::objects("cannot read the tree"))?;
    check_folder(&objects, &root, Path::new(""), 0, allowed)
}

/// Names are bytes: a tree may hold some that are no text.
fn check_folder(
    objects: &git2::Repository,
    tree: &git2::Tree<'_>,
    folder: &Path,
    depth: usize,
    allowed: &[String],
) -> Result<(), RepoError> {
    for entry in tree {
        let path = folder.join(OsStr::from_bytes(entry.name_bytes()));
        if is_config(&path) {
            let content = match entry.filemode() {
                0o100_644 | 0o100_664 | 0o100_755 => objects
                    .find_blob(entry.id())
                    .map_err(RepoError::objects("cannot read a blob"))?
                    .content()
                    .to_vec(),
                // A link or folder in place of the file is not readable as TOML.
                _ => b"\xff".to_vec(),
            };
            let remedy = "remove the key from the tree, or allow it in `[repo] allow_cargo_config`";
            check(&path, &content, &[], allowed, remedy)?;
        } else if entry.filemode() == 0o040_000 {
            if depth >= MAX_DEPTH {
                return Err(RepoError::UnsafePath {
                    path: path.to_string_lossy().escape_default().to_string(),
                    reason: "is nested too deeply",
                });
            }
            let child = objects
                .find_tree(entry.id())
                .map_err(RepoError::objects("cannot read a tree"))?;
            check_folder(objects, &child, &path, depth + 1, allowed)?;
        }
    }
    Ok(())
}

fn is_config(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    let name = path.file_name();
    folder == Some(OsStr::new(".cargo")) && CONFIG_NAMES.iter().any(|n| name == Some(OsStr::new(n)))
}

/// Refuses such configuration in any folder above `room`, which cargo would read too. The user's
/// own file may also name registries, because the daemon copies those tables anyway.
///
/// # Errors
/// Names the first file and key.
pub fn check_parent_config(room: &Path, user_cargo_home: Option<&Path>) -> Result<(), RepoError> {
    for folder in room.ancestors().skip(1) {
        for name in CONFIG_NAMES {
            let path = folder.join(".cargo").join(name);
            let content = match fs::read(&path) {
                Ok(content) => content,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(RepoError::io("cannot read", path)(source)),
            };
            let own = user_cargo_home.is_some_and(|home| path.starts_with(home));
            let extra: &[&str] = if own {
                &["source.*", "registries.*", "registry.*", "net.*"]
            } else {
                &[]
            };
            check(
                &path,
                &content,
                extra,
                &[],
                "put the state folder elsewhere with `--state DIR`",
            )?;
        }
    }
    Ok(())
}

fn check(
    path: &Path,
    content: &[u8],
    extra: &[&str],
    by_policy: &[String],
    remedy: &str,
) -> Result<(), RepoError> {
    let refuse = |key: String| RepoError::CargoConfig {
        path: path.to_owned(),
        key,
        remedy: remedy.to_owned(),
    };
    let text = std::str::from_utf8(content).map_err(|_| refuse("(not readable)".into()))?;
    let table: toml::Table = toml::from_str(text).map_err(|_| refuse("(not TOML)".into()))?;
    for (name, value) in &table {
        if allowed(&format!("{name}.*"), extra) {
            continue;
        }
        if listed(name, value, by_policy) {
            continue;
        }
        let toml::Value::Table(inner) = value else {
            return Err(refuse(name.clone()));
        };
        for (key, value) in inner {
            let full = format!("{name}.{key}");
            if !allowed(&full, extra) && !listed(&full, value, by_policy) {
                return Err(refuse(full));
            }
        }
    }
    Ok(())
}

fn allowed(key: &str, extra: &[&str]) -> bool {
    HARMLESS.contains(&key) || extra.contains(&key)
}

/// The policy lists the key, a table around it, or every key below it.
fn listed(key: &str, value: &toml::Value, by_policy: &[String]) -> bool {
    let around = |entry: &String| key == entry || key.starts_with(&format!("{entry}."));
    let below = || match value {
        toml::Value::Table(inner) if !inner.is_empty() => inner
            .iter()
            .all(|(name, value)| listed(&format!("{key}.{name}"), value, by_policy)),
        _ => false,
    };
    by_policy.iter().any(around) || below()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Option<String> {
        under(text, &[])
    }

    fn under(text: &str, policy: &[&str]) -> Option<String> {
        let policy: Vec<String> = policy.iter().map(|key| (*key).to_owned()).collect();
        match check(Path::new("config.toml"), text.as_bytes(), &[], &policy, "x") {
            Ok(()) => None,
            Err(RepoError::CargoConfig { key, .. }) => Some(key),
            Err(other) => Some(other.to_string()),
        }
    }

    #[test]
    fn the_policy_allows_what_it_names_and_no_more() {
        let two = "[env]\nA='1'\nB='2'\n";
        assert_eq!(under(two, &["env.A"]).as_deref(), Some("env.B"));
        assert_eq!(under(two, &["env.A", "env.B"]), None);
        assert_eq!(under(two, &["env"]), None);
        assert_eq!(
            under(two, &["en", "env.", "env.A.x"]).as_deref(),
            Some("env.A")
        );
        let deep = "[target.x]\nrunner='/x'\nlinker='/y'\n";
        assert_eq!(
            under(deep, &["target.x.runner"]).as_deref(),
            Some("target.x")
        );
        assert_eq!(under(deep, &["target.x.runner", "target.x.linker"]), None);
    }

    #[test]
    fn everything_that_decides_a_build_is_refused() {
        for (text, key) in [
            ("[build]\nrustc-wrapper='/x'\n", "build.rustc-wrapper"),
            ("[build]\nrustflags=['-A']\n", "build.rustflags"),
            (
                "[target.x86_64-unknown-linux-gnu]\nrunner='/x'\n",
                "target.x86_64-unknown-linux-gnu",
            ),
            ("paths=['/x']\n", "paths"),
            ("[patch.crates-io]\na={path='/x'}\n", "patch.crates-io"),
            ("[source.crates-io]\nreplace-with='x'\n", "source.crates-io"),
            ("[env]\nA='1'\n", "env.A"),
            ("include='other.toml'\n", "include"),
            (
                "[registry]\nglobal-credential-providers=['x']\n",
                "registry.global-credential-providers",
            ),
            ("[a-table-of-the-future]\nx=1\n", "a-table-of-the-future.x"),
            ("not toml", "(not TOML)"),
        ] {
            assert_eq!(verdict(text).as_deref(), Some(key), "{text}");
        }
    }

    #[test]
    fn aliases_and_appearance_are_free() {
        assert_eq!(
            verdict("[alias]\nxtask='run -p xtask --'\n[term]\ncolor='never'\n[build]\njobs=2\n"),
            None
        );
    }
}
