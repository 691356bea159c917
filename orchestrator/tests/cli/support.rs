//! Repositories and a command line that touch nothing of this account's.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a repository and everything that a user has around it.
pub struct Home {
    dir: tempfile::TempDir,
    // Socket paths are short, so sockets get a folder of their own.
    runtime: tempfile::TempDir,
    /// The repository's root.
    pub repo: PathBuf,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().canonicalize().unwrap().join("project");
        std::fs::create_dir_all(&repo).unwrap();
        Self {
            dir,
            runtime: tempfile::Builder::new().prefix("gl-").tempdir().unwrap(),
            repo,
        }
    }

    /// A committed repository of these files, on `main`.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let home = Self::new();
        home.git(&["init", "--quiet", "--initial-branch=main", "."]);
        home.write(files);
        home.git(&["add", "--all"]);
        home.git(&["commit", "--quiet", "-m", "Begin"]);
        home
    }

    pub fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.repo.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repo.join(path)).unwrap()
    }

    /// The folder around the repository.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn git(&self, args: &[&str]) -> String {
        let output = self.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn greenloop(&self, args: &[&str]) -> Said {
        Said::of(self.command(env!("CARGO_BIN_EXE_greenloop")).args(args))
    }

    /// A line typed into a shell, with `greenloop` on the path.
    pub fn shell(&self, line: &str) -> Said {
        Said::of(self.command("sh").args(["-c", line]))
    }

    /// A program in the repository, in a user's environment of its own.
    pub fn command(&self, program: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_greenloop"));
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let mut path = vec![binary.parent().unwrap().to_owned()];
        path.extend(std::env::split_paths(&inherited));
        let user = std::env::var_os("HOME")
            .map(PathBuf::from)
            .unwrap_or_default();
        let or = |name: &str, below: &str| {
            std::env::var_os(name).unwrap_or_else(|| user.join(below).into_os_string())
        };
        let mut command = Command::new(program);
        command
            .current_dir(&self.repo)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.dir.path())
            .env("CARGO_HOME", or("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", or("RUSTUP_HOME", ".rustup"))
            .env("XDG_RUNTIME_DIR", self.runtime.path())
            .env("XDG_DATA_HOME", self.dir.path().join("data"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("RUST_LOG")
            .env_remove("NO_COLOR");
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "A Developer")
                .env(format!("GIT_{role}_EMAIL"), "developer@example.invalid");
        }
        command
    }
}

impl Drop for Home {
    /// No daemon outlives its test.
    fn drop(&mut self) {
        if self.repo.join(".git").exists() {
            let _ = self.greenloop(&["stop"]);
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        Self {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A crate with one suite that has a failing test.
pub const ADDER: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[package]\nname = \"adder\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
    ),
    (".gitignore", "/target\nCargo.lock\n"),
    (
        "src/lib.rs",
        "pub fn add(a: i32, b: i32) -> i32 {\n    a - b\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn unit() {}\n}\n",
    ),
    (
        "tests/sums.rs",
        "#[test]\nfn sums_are_sums() {\n    assert_eq!(adder::add(2, 2), 4);\n}\n\n#[test]\nfn zero_is_neutral() {\n    assert_eq!(adder::add(2, 0), 2);\n}\n",
    ),
];
