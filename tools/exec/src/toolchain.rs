//! The Rust toolchain, resolved once to real binaries and known by their digests.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Cancel, Command, Error, Exit, capture, find_program};

/// A toolchain by its binaries. They are called by these paths, so that no shim is asked and a
/// `rust-toolchain` file in the tree changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// What `rustc --print sysroot` says.
    pub sysroot: PathBuf,
    /// The real cargo.
    pub cargo: PathBuf,
    /// The real rustc.
    pub rustc: PathBuf,
    /// SHA-256 of the cargo binary, hex.
    pub cargo_sha256: String,
    /// SHA-256 of the rustc binary, hex.
    pub rustc_sha256: String,
    /// `cargo --version`, one line.
    pub cargo_version: String,
    /// `rustc --version`, one line.
    pub rustc_version: String,
}

/// Variables rustup needs in order to find the toolchain a person has chosen.
const RUSTUP_VARIABLES: [&str; 5] = [
    "PATH",
    "HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_HOME",
];

impl Toolchain {
    /// Resolves the toolchain of this process's environment.
    pub fn resolve() -> Result<Toolchain, Error> {
        Toolchain::resolve_in(&std::env::vars_os().collect())
    }

    /// Resolves the toolchain of `env`: `rustc` from its PATH (a rustup shim or the compiler
    /// itself), then the binaries of the sysroot that compiler names.
    pub fn resolve_in(env: &BTreeMap<OsString, OsString>) -> Result<Toolchain, Error> {
        let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let shim = find_program("rustc", &path)?;
        let rustup_env = RUSTUP_VARIABLES
            .iter()
            .filter_map(|name| Some((*name, env.get(OsStr::new(name))?.clone())))
            .map(|(name, value)| (name.into(), value))
            .collect();
        let sysroot = PathBuf::from(OsString::from_vec(ask(
            &shim,
            &["--print", "sysroot"],
            &rustup_env,
        )?));
        let rustc = real_binary(&sysroot, "rustc", &path)?;
        let cargo = real_binary(&sysroot, "cargo", &path)?;
        let no_env = BTreeMap::new();
        Ok(Toolchain {
            cargo_sha256: sha256_of_file(&cargo)?,
            rustc_sha256: sha256_of_file(&rustc)?,
            cargo_version: one_line(ask(&cargo, &["--version"], &no_env)?),
            rustc_version: one_line(ask(&rustc, &["--version"], &no_env)?),
            sysroot,
            cargo,
            rustc,
        })
    }

    /// SHA-256 (hex) over versions and digests: the key of a cache that only this toolchain may
    /// use, and what drift is measured against.
    pub fn digest(&self) -> String {
        let parts = [
            &self.cargo_version,
            &self.cargo_sha256,
            &self.rustc_version,
            &self.rustc_sha256,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        }
        hex::encode(hash.finalize())
    }
}

/// `name` in the sysroot, else (distributions split the two) the one in PATH unless it is a shim.
fn real_binary(sysroot: &Path, name: &str, path: &OsStr) -> Result<PathBuf, Error> {
    let inside = sysroot.join("bin").join(name);
    if inside.is_file() {
        return Ok(inside);
    }
    let outside = find_program(name, path)?;
    let outside = outside.canonicalize().map_err(|source| Error::Read {
        path: outside,
        source,
    })?;
    if outside.file_stem() == Some(OsStr::new("rustup")) {
        let reason = format!(
            "`{}` has no bin/{name} and the one in PATH is a rustup shim; \
             install it with `rustup component add {name}`",
            sysroot.display()
        );
        return Err(Error::Toolchain { reason });
    }
    Ok(outside)
}

/// What the program prints, without its last newline. It runs in `/`, where no toolchain file is.
fn ask(
    program: &Path,
    args: &[&str],
    env: &BTreeMap<OsString, OsString>,
) -> Result<Vec<u8>, Error> {
    let command = Command::new(program, "/")
        .args(args.iter().copied())
        .envs(env.clone())
        .wall_timeout(Duration::from_secs(60))
        .output_limit(1 << 20);
    let captured = capture(&command, &Cancel::new()?)?;
    if captured.outcome.exit != Exit::Exited(0) {
        let reason = format!(
            "`{} {}` ended with {:?}: {}",
            program.display(),
            args.join(" "),
            captured.outcome.exit,
            String::from_utf8_lossy(&captured.stderr).trim()
        );
        return Err(Error::Toolchain { reason });
    }
    let mut text = captured.stdout;
    while text.last().is_some_and(u8::is_ascii_whitespace) {
        text.pop();
    }
    Ok(text)
}

fn one_line(bytes: Vec<u8>) -> String {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

fn sha256_of_file(path: &Path) -> Result<String, Error> {
    let hash = || -> io::Result<String> {
        let mut hash = Sha256::new();
        io::copy(&mut File::open(path)?, &mut hash)?;
        Ok(hex::encode(hash.finalize()))
    };
    hash().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
