//! What a lock file names, made available once for all rooms, with the real cargo.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use exec::{Cancel, Command, Toolchain, capture};
use repo::{CargoHome, Fetched, Room, Rooms};

/// A crate with a dependency that this workspace has too, so that it is at hand offline.
const MANIFEST: &str =
    "[package]\nname='mine'\nversion='1.0.0'\nedition='2024'\n[dependencies]\nhex='0.4'\n";

struct Bench {
    folder: tempfile::TempDir,
    home: CargoHome,
    toolchain: Toolchain,
    environment: BTreeMap<OsString, OsString>,
    cancel: Cancel,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let user = set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        let home = CargoHome::open(&folder.path().join("cargo-home"), user.as_deref()).unwrap();
        Bench {
            home,
            folder,
            toolchain: Toolchain::resolve().unwrap(),
            environment: std::env::vars_os().collect(),
            cancel: Cancel::new().unwrap(),
        }
    }

    /// A room as it is after it was filled with the crate.
    fn room(&self) -> Room {
        let room = Rooms::open(&self.folder.path().join("rooms"))
            .unwrap()
            .room("main");
        fs::create_dir_all(room.home()).unwrap();
        fs::create_dir_all(room.tree().join("src")).unwrap();
        fs::write(room.tree().join("src/lib.rs"), "").unwrap();
        self.write_manifest(&room, MANIFEST);
        room
    }

    fn write_manifest(&self, room: &Room, text: &str) {
        fs::write(room.tree().join("Cargo.toml"), text).unwrap();
        let lock = Command::new(&self.toolchain.cargo, room.tree())
            .args(["generate-lockfile", "--offline"])
            .envs(std::env::vars_os());
        let captured = capture(&lock, &self.cancel).unwrap();
        let said = String::from_utf8_lossy(&captured.stderr).into_owned();
        assert!(captured.outcome.exit.success(), "{said}");
    }

    fn fetch(&self, room: &Room) -> Result<Fetched, repo::RepoError> {
        let (toolchain, environment) = (&self.toolchain, &self.environment);
        self.home.fetch(room, toolchain, environment, &self.cancel)
    }

    /// Files of the cargo home whose path ends so.
    fn kept(&self, end: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.home.path().join("registry")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with(Path::new(end)) {
                    found.push(path);
                } else if path.is_dir() {
                    open.push(path);
                }
            }
        }
        found
    }
}

#[test]
fn cargo_is_asked_once_for_the_same_packages() {
    let bench = Bench::new();
    let room = bench.room();
    assert_ne!(bench.fetch(&room).unwrap(), Fetched::Known);
    assert_eq!(bench.fetch(&room).unwrap(), Fetched::Known);
    fs::write(room.tree().join("src/lib.rs"), "pub fn new() {}").unwrap();
    assert_eq!(bench.fetch(&room).unwrap(), Fetched::Known, "code is free");
    let more = format!("{MANIFEST}[features]\nmore=[]\n");
    bench.write_manifest(&room, &more);
    assert_eq!(bench.fetch(&room).unwrap(), Fetched::Offline);
    assert_eq!(bench.fetch(&room).unwrap(), Fetched::Known);
    bench.write_manifest(&room, MANIFEST);
    assert_eq!(bench.fetch(&room).unwrap(), Fetched::Known, "as before");
}

#[test]
fn cargo_is_asked_again_when_a_package_has_left_the_cargo_home() {
    let bench = Bench::new();
    let room = bench.room();
    bench.fetch(&room).unwrap();
    let archives = || {
        let all = bench.kept("cache").into_iter();
        let files = all.flat_map(|cache| fs::read_dir(cache).unwrap());
        let below = files.flat_map(|one| fs::read_dir(one.unwrap().path()).unwrap());
        let paths = below.map(|entry| entry.unwrap().path());
        paths.collect::<Vec<PathBuf>>()
    };
    for archive in archives() {
        fs::remove_file(archive).unwrap();
    }
    assert_ne!(bench.fetch(&room).unwrap(), Fetched::Known);
    assert_eq!(archives().len(), 1, "hex is here again");
    let marks = bench.kept(".cargo-ok");
    assert_eq!(marks.len(), 1);
    // What a hostile build script may do: sources that are not whole.
    fs::remove_file(&marks[0]).unwrap();
    assert_ne!(bench.fetch(&room).unwrap(), Fetched::Known);
    assert!(marks[0].exists(), "unpacked anew");
}

#[test]
fn a_lock_file_that_does_not_fit_is_refused_each_time() {
    let bench = Bench::new();
    let room = bench.room();
    bench.fetch(&room).unwrap();
    let lock = fs::read(room.tree().join("Cargo.lock")).unwrap();
    bench.write_manifest(&room, &MANIFEST.replace("1.0.0", "2.0.0"));
    fs::write(room.tree().join("Cargo.lock"), lock).unwrap();
    for _ in 0..2 {
        let refused = bench.fetch(&room);
        let right = matches!(refused, Err(repo::RepoError::Cargo { .. }));
        assert!(right, "{refused:?}");
    }
}
