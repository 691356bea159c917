//! The toolchain of the machine the tests run on, and the environment built from it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use exec::{CleanEnv, Error, Toolchain, clean_env, find_program};

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn the_toolchain_is_resolved_to_real_binaries() {
    let toolchain = Toolchain::resolve().unwrap();
    assert!(
        toolchain.cargo_version.starts_with("cargo "),
        "{toolchain:?}"
    );
    assert!(
        toolchain.rustc_version.starts_with("rustc "),
        "{toolchain:?}"
    );
    assert_eq!(toolchain.rustc_sha256.len(), 64);
    let real = toolchain.cargo.canonicalize().unwrap();
    assert_ne!(real.file_stem().unwrap(), "rustup");
    let mut other = toolchain.clone();
    other.rustc_sha256 = "0".repeat(64);
    assert_ne!(toolchain.digest(), other.digest());
}

#[test]
fn a_compiler_without_rustup_will_do() {
    let found = Toolchain::resolve().unwrap();
    let bin = found.sysroot.join("bin");
    let env = variables(&[("PATH", bin.to_str().unwrap())]);
    assert_eq!(Toolchain::resolve_in(&env).unwrap(), found);
}

#[test]
fn a_compiler_that_fails_is_named_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let rustc = folder.path().join("rustc");
    std::fs::write(&rustc, "#!/bin/sh\necho no override >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&rustc, PermissionsExt::from_mode(0o755)).unwrap();
    let env = variables(&[("PATH", folder.path().to_str().unwrap())]);
    let error = Toolchain::resolve_in(&env).unwrap_err().to_string();
    assert!(error.contains("no override"), "{error}");
    let nowhere = Toolchain::resolve_in(&variables(&[("PATH", "/nonexistent")]));
    assert!(matches!(nowhere, Err(Error::NotFound { .. })));
}

#[test]
fn programs_are_found_by_absolute_entries_only() {
    assert_eq!(
        find_program("sh", "/bin".as_ref()).unwrap(),
        Path::new("/bin/sh")
    );
    assert!(find_program("sh", "bin:.:".as_ref()).is_err());
}

#[test]
fn a_gate_sees_the_listed_variables_and_nothing_that_could_fake_it() {
    let toolchain = Toolchain::resolve().unwrap();
    let source = variables(&[
        ("VK_ICD_FILENAMES", "/icd.json"),
        ("RUSTFLAGS", "-C linker=evil"),
        ("SECRET", "canary"),
    ]);
    let allow = ["VK_ICD_FILENAMES".to_owned(), "DISPLAY".to_owned()];
    let clean = CleanEnv {
        toolchain: &toolchain,
        home: Path::new("/scratch/home"),
        cargo_home: Path::new("/scratch/cargo"),
        target_dir: Path::new("/scratch/target"),
        allow: &allow,
        source: &source,
    };
    let env = clean_env(&clean).unwrap();
    let mut path = toolchain.sysroot.join("bin").into_os_string();
    path.push(":/usr/bin:/bin");
    let expect = variables(&[
        ("CARGO_HOME", "/scratch/cargo"),
        ("CARGO_TARGET_DIR", "/scratch/target"),
        ("HOME", "/scratch/home"),
        ("LANG", "C.UTF-8"),
        ("PATH", path.to_str().unwrap()),
        ("VK_ICD_FILENAMES", "/icd.json"),
    ]);
    assert_eq!(env, expect);
    for name in [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "CARGO_BUILD_TARGET",
        "LD_PRELOAD",
        "GIT_DIR",
    ] {
        let allow = [name.to_owned()];
        let asking = CleanEnv {
            allow: &allow,
            ..clean
        };
        let refused = clean_env(&asking);
        assert!(
            matches!(refused, Err(Error::ForbiddenVariable { .. })),
            "{name}"
        );
    }
}
