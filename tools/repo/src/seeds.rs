//! Dependencies built once, cloned for every room, so that no room sees another's output.

use std::fs;
use std::path::{Path, PathBuf};

use attest::digest::Digest;
use exec::{Cancel, Command, Exit, Outcome, Toolchain, capture};

use crate::copy::copy_folder;
use crate::error::sanitise;
use crate::trash::remove;
use crate::{CargoHome, RepoError, Room};

/// What a seed depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedKey {
    /// [`Toolchain::digest`].
    pub toolchain: String,
    /// Digest of `Cargo.lock`.
    pub lock: Digest,
}

impl SeedKey {
    fn folder(&self) -> String {
        let digest = Digest::of_parts(&[self.toolchain.as_bytes(), b"\n", self.lock.as_bytes()]);
        digest.to_hex()[..16].to_owned()
    }
}

/// Runs a long command; the caller journals its process group and keeps its transcript.
pub type RunCommand<'a> = &'a mut dyn FnMut(&Command, &str) -> Result<Outcome, RepoError>;

/// The folder of seeds. A seed is `target/` (dependencies only) and one empty file below `shapes/`
/// per kind of build that it holds the dependencies of.
#[derive(Debug, Clone)]
pub struct Seeds {
    root: PathBuf,
}

impl Seeds {
    /// Seeds below `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Seeds {
        Seeds { root }
    }

    /// Removes every seed, so that the next gate builds its dependencies anew.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn forget(&self) -> Result<(), RepoError> {
        remove(&self.root).map_err(RepoError::io("cannot remove", &self.root))
    }

    /// True when the seed holds the dependencies of `argv`'s build, or there is nothing to build
    /// ahead.
    #[must_use]
    pub fn ready(&self, key: &SeedKey, argv: &[String]) -> bool {
        shape(argv).is_none_or(|shape| self.shape_file(key, &shape).is_file())
    }

    /// Makes sure that the seed holds the dependencies of `argv`'s build. `room` must be filled
    /// with the **base** tree, so that head's build scripts never touch a seed; its target is used
    /// up.
    ///
    /// # Errors
    /// Cancelled, or the folders cannot be moved. A build that fails is not an error: what it
    /// built is kept, and the gate itself will say what is wrong.
    pub fn prepare(
        &self,
        key: &SeedKey,
        argv: &[String],
        room: &Room,
        cargo: (&CargoHome, &Toolchain),
        build: RunCommand<'_>,
        cancel: &Cancel,
    ) -> Result<(), RepoError> {
        let Some(ahead) = build_only(argv).filter(|_| !self.ready(key, argv)) else {
            return Ok(());
        };
        let (home, toolchain) = cargo;
        self.clone_into(key, room, cancel)?;
        let command = home.command(room, toolchain)?.args(&ahead[1..]);
        let outcome = build(&command, "dependencies")?;
        if outcome.exit == Exit::Cancelled {
            return Err(RepoError::Cancelled {
                doing: "building dependencies",
            });
        }
        self.harvest(key, argv, room, cargo, cancel)
    }

    /// Keeps the dependencies that `argv` has built in the room, whose tree must be the **base**
    /// tree, and uses up its target. Nothing is kept when cargo cannot clean up after the members.
    ///
    /// # Errors
    /// The folders cannot be moved.
    pub fn harvest(
        &self,
        key: &SeedKey,
        argv: &[String],
        room: &Room,
        (home, toolchain): (&CargoHome, &Toolchain),
        cancel: &Cancel,
    ) -> Result<(), RepoError> {
        let (Some(ahead), Some(shape)) = (build_only(argv), shape(argv)) else {
            return Ok(());
        };
        if clean_members(&ahead, room, home, toolchain, cancel)? {
            self.keep(key, &shape, room)?;
        }
        Ok(())
    }

    /// Clones the seed's target into the room; false when there is no seed.
    ///
    /// # Errors
    /// The copy fails.
    pub fn clone_into(
        &self,
        key: &SeedKey,
        room: &Room,
        cancel: &Cancel,
    ) -> Result<bool, RepoError> {
        let seed = self.root.join(key.folder()).join("target");
        let target = room.target();
        if !seed.is_dir() {
            remove(&target).map_err(RepoError::io("cannot remove", &target))?;
            fs::create_dir_all(&target).map_err(RepoError::io("cannot create", &target))?;
            return Ok(false);
        }
        // Never hard links: a gate that writes into its target must not write into the seed.
        room.with_space(|| {
            remove(&target).map_err(RepoError::io("cannot remove", &target))?;
            copy_folder(&seed, &target, cancel)
        })?;
        Ok(true)
    }

    fn shape_file(&self, key: &SeedKey, shape: &str) -> PathBuf {
        let digest = Digest::of(shape.as_bytes());
        self.root
            .join(key.folder())
            .join("shapes")
            .join(&digest.to_hex()[..16])
    }

    /// The room's target becomes the seed's; the shape's file comes last.
    fn keep(&self, key: &SeedKey, shape: &str, room: &Room) -> Result<(), RepoError> {
        let folder = self.root.join(key.folder());
        let shapes = folder.join("shapes");
        fs::create_dir_all(&shapes).map_err(RepoError::io("cannot create", &shapes))?;
        let target = folder.join("target");
        remove(&target).map_err(RepoError::io("cannot remove", &target))?;
        fs::rename(room.target(), &target).map_err(RepoError::io("cannot keep", &target))?;
        let file = self.shape_file(key, shape);
        fs::write(&file, shape).map_err(RepoError::io("cannot write", &file))
    }
}

/// Removes what the members of the workspace built; only dependencies stay.
fn clean_members(
    ahead: &[String],
    room: &Room,
    home: &CargoHome,
    toolchain: &Toolchain,
    cancel: &Cancel,
) -> Result<bool, RepoError> {
    let members = home.members(room, toolchain, cancel)?;
    let mut clean = home.command(room, toolchain)?.args([
        "clean",
        "--offline",
        "--locked",
        "--profile",
        profile(ahead),
    ]);
    for member in &members {
        clean = clean.arg("-p").arg(&member.name);
    }
    let captured = capture(&clean, cancel)?;
    if !captured.outcome.exit.success() {
        tracing::warn!(
            said = sanitise(&captured.stderr),
            "dependencies are not kept"
        );
        let target = room.target();
        remove(&target).map_err(RepoError::io("cannot remove", &target))?;
        return Ok(false);
    }
    Ok(true)
}

/// The argument vector that builds what `argv` would build and executes none of it, or `None` when
/// it is not a cargo command that builds.
#[must_use]
pub fn build_only(argv: &[String]) -> Option<Vec<String>> {
    let (program, rest) = argv.split_first()?;
    if Path::new(program).file_name()? != "cargo" {
        return None;
    }
    let before_dashes = rest.iter().take_while(|arg| *arg != "--");
    let mut ahead: Vec<String> = std::iter::once("cargo".to_owned())
        .chain(before_dashes.cloned())
        .collect();
    let command = ahead[1..].iter().position(|arg| !arg.starts_with('-'))? + 1;
    match ahead[command].as_str() {
        "test" | "t" | "bench" => ahead.push("--no-run".into()),
        "run" | "r" => ahead[command] = "build".into(),
        "build" | "b" | "check" | "c" | "clippy" => {}
        _ => return None,
    }
    for flag in ["--offline", "--locked"] {
        if !ahead.iter().any(|arg| arg == flag) {
            ahead.insert(command + 1, flag.into());
        }
    }
    Some(ahead)
}

/// What decides which dependencies a build needs, in one line: kind of build, packages, features,
/// profile, platform. Targets and filters only choose among what the packages hold.
fn shape(argv: &[String]) -> Option<String> {
    const WITH_VALUE: [&str; 6] = [
        "-p",
        "--package",
        "-F",
        "--features",
        "--profile",
        "--target",
    ];
    const ALONE: [&str; 6] = [
        "--workspace",
        "--all",
        "--all-features",
        "--no-default-features",
        "--release",
        "-r",
    ];
    let ahead = build_only(argv)?;
    let kind = match ahead.iter().any(|arg| arg == "--no-run") {
        true => "test",
        false => ahead[1..].iter().find(|arg| !arg.starts_with('-'))?,
    };
    let mut words = Vec::new();
    let mut args = ahead[1..].iter();
    while let Some(arg) = args.next() {
        let joined = arg.split_once('=').map(|(flag, _)| flag);
        if WITH_VALUE.contains(&arg.as_str()) {
            words.push(format!("{arg}={}", args.next()?));
        } else if ALONE.contains(&arg.as_str())
            || joined.is_some_and(|flag| WITH_VALUE.contains(&flag))
        {
            words.push(arg.clone());
        }
    }
    words.sort();
    Some(format!("{kind} {}", words.join(" ")))
}

fn profile(ahead: &[String]) -> &str {
    let mut args = ahead.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--release" | "-r" => return "release",
            "--profile" => return args.next().unwrap_or("dev"),
            _ => {
                if let Some(name) = arg.strip_prefix("--profile=") {
                    return name;
                }
            }
        }
    }
    "dev"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn building_ahead_executes_nothing() {
        for (argv, ahead) in [
            (
                "cargo test -p engine --release --test gpu_smoke -- --nocapture",
                Some("cargo test --locked --offline -p engine --release --test gpu_smoke --no-run"),
            ),
            (
                "cargo run -p x -- a b",
                Some("cargo build --locked --offline -p x"),
            ),
            (
                "cargo clippy -p x -- -D warnings",
                Some("cargo clippy --locked --offline -p x"),
            ),
            ("cargo publish", None),
            ("make test", None),
        ] {
            assert_eq!(
                build_only(&words(argv)).map(|a| a.join(" ")),
                ahead.map(str::to_owned)
            );
        }
    }

    #[test]
    fn targets_and_filters_need_no_seed_of_their_own() {
        let shape_of = |text: &str| shape(&words(text));
        let gate = shape_of("cargo test -p e --release --features g --test smoke -- --nocapture");
        assert_eq!(
            gate,
            shape_of("cargo test --features=g --release -p e --test pin -- --exact x")
        );
        for other in [
            "cargo test -p e --features g --test smoke",
            "cargo test -p e --release --test smoke",
            "cargo build -p e --release --features g",
            "cargo test -p f --release --features g",
        ] {
            assert_ne!(gate, shape_of(other), "{other}");
        }
        assert_eq!(shape_of("make"), None);
    }

    #[test]
    fn the_profile_is_read_from_the_flags() {
        for (argv, name) in [
            ("cargo test", "dev"),
            ("cargo test --release", "release"),
            ("cargo test --profile bench", "bench"),
            ("cargo test --profile=x", "x"),
        ] {
            assert_eq!(profile(&words(argv)), name);
        }
    }
}
