//! The daemon's repository against real clones, and rooms against hostile trees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use exec::{Cancel, Command, capture};
use repo::{CommitPlan, DaemonRepo, Identity, RepoError, Rooms, Transport, check_tree_config};

struct Bench {
    folder: tempfile::TempDir,
    repo: DaemonRepo,
    cancel: Cancel,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let transport = Transport::new(&std::env::vars_os().collect()).unwrap();
    let repo = DaemonRepo::open_or_init(&folder.path().join("repo.git"), transport).unwrap();
    Bench {
        folder,
        repo,
        cancel: Cancel::new().unwrap(),
    }
}

fn git(cwd: &Path, args: &[&str]) -> String {
    let path = exec::find_program("git", &std::env::var_os("PATH").unwrap()).unwrap();
    let env: BTreeMap<&str, &str> = [
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ]
    .into();
    let command = Command::new(path, cwd).args(args.iter().copied()).envs(env);
    let captured = capture(&command, &Cancel::new().unwrap()).unwrap();
    let said = String::from_utf8_lossy(&captured.stderr).into_owned();
    assert!(captured.outcome.exit.success(), "git {args:?}: {said}");
    String::from_utf8(captured.stdout)
        .unwrap()
        .trim()
        .to_owned()
}

impl Bench {
    fn clone_with(&self, files: &[(&str, &str)]) -> (PathBuf, String) {
        let clone = self.folder.path().join("clone");
        if !clone.exists() {
            fs::create_dir(&clone).unwrap();
            git(&clone, &["init", "-q", "-b", "main"]);
        }
        for (path, content) in files {
            let file = clone.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        git(&clone, &["add", "-A", "-f"]);
        git(&clone, &["commit", "-q", "-m", "x"]);
        let head = git(&clone, &["rev-parse", "HEAD"]);
        (clone, head)
    }
}

#[test]
fn imports_the_tree_of_a_commit_and_nothing_of_the_clone() {
    let bench = bench();
    let (clone, head) = bench.clone_with(&[("a.txt", "one\n"), ("b/c.txt", "two\n")]);
    // A hostile clone: hooks and configuration that would run if anybody asked them.
    let flag = bench.folder.path().join("was-run");
    for hook in [
        "post-upload-pack",
        "pre-upload-pack",
        "reference-transaction",
    ] {
        let file = clone.join(".git/hooks").join(hook);
        fs::write(&file, format!("#!/bin/sh\ntouch {}\n", flag.display())).unwrap();
        let mut mode = fs::metadata(&file).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        fs::set_permissions(&file, mode).unwrap();
    }
    let hook = format!("touch {}", flag.display());
    git(&clone, &["config", "uploadpack.packObjectsHook", &hook]);
    git(&clone, &["config", "core.fsmonitor", &hook]);
    let tree = bench.repo.import(&clone, &head, &bench.cancel).unwrap();
    assert_eq!(tree, git(&clone, &["rev-parse", "HEAD^{tree}"]));
    assert!(!flag.exists());
    assert_eq!(bench.repo.root_commit(&head).unwrap(), head);
    let again = bench.repo.import(&clone, &head, &bench.cancel).unwrap();
    assert_eq!(tree, again);
}

#[test]
fn importing_says_what_is_wrong() {
    let bench = bench();
    let (clone, _) = bench.clone_with(&[("a", "1")]);
    let absent = "0123456789012345678901234567890123456789";
    let error = bench
        .repo
        .import(&clone, absent, &bench.cancel)
        .unwrap_err();
    assert!(matches!(error, RepoError::NoSuchCommit { .. }), "{error}");
    let error = bench
        .repo
        .import(bench.folder.path(), absent, &bench.cancel)
        .unwrap_err();
    assert!(matches!(error, RepoError::NotARepository { .. }), "{error}");
    for bad in ["HEAD", "--upload-pack=x", "ABCDEF", ""] {
        let error = bench.repo.import(&clone, bad, &bench.cancel).unwrap_err();
        assert!(matches!(error, RepoError::BadObjectId { .. }), "{error}");
    }
}

#[test]
fn a_patch_gives_the_tree_that_the_commit_would_have() {
    let bench = bench();
    let (clone, base) = bench.clone_with(&[("a.txt", "one\ntwo\n"), ("bin", "\0\u{1}")]);
    bench.repo.import(&clone, &base, &bench.cancel).unwrap();
    let (_, head) = bench.clone_with(&[("a.txt", "one\n2\n"), ("bin", "\0\u{2}"), ("new", "n")]);
    let patch = git(&clone, &["diff", "--binary", &base, &head]) + "\n";
    let tree = bench
        .repo
        .import_patch(&base, patch.as_bytes(), &bench.cancel)
        .unwrap();
    assert_eq!(tree, git(&clone, &["rev-parse", "HEAD^{tree}"]));
    let outside = "--- a/x\n+++ b/../../x\n@@ -0,0 +1 @@\n+evil\n";
    for bad in [outside, "nonsense", patch.replace("one", "uno").as_str()] {
        let error = bench
            .repo
            .import_patch(&base, bad.as_bytes(), &bench.cancel)
            .unwrap_err();
        assert!(matches!(error, RepoError::Patch { .. }), "{error}");
    }
}

#[test]
fn the_same_plan_makes_the_same_commit() {
    let bench = bench();
    let (clone, head) = bench.clone_with(&[("a", "1")]);
    let tree = bench.repo.import(&clone, &head, &bench.cancel).unwrap();
    let plan = CommitPlan {
        tree,
        parent: Some(head.clone()),
        message: "Fix it\n\nBecause.\n".into(),
        trailers: vec![
            ("Claim-Id".into(), "C1".into()),
            ("Claim-Digest".into(), "sha256:00".into()),
        ],
        identity: Identity {
            name: "greenloop".into(),
            email: "loop@example.org".into(),
        },
        time_s: 1_700_000_000,
    };
    let first = bench.repo.make_commit(&plan).unwrap();
    assert_eq!(first, bench.repo.make_commit(&plan).unwrap());
    let text = git(bench.repo.path(), &["cat-file", "commit", &first]);
    assert!(
        text.ends_with("Fix it\n\nBecause.\n\nClaim-Id: C1\nClaim-Digest: sha256:00"),
        "{text}"
    );
    let trailers = git(
        bench.repo.path(),
        &[
            "log",
            "-1",
            "--format=%(trailers:key=Claim-Id,valueonly)",
            &first,
        ],
    );
    assert_eq!(trailers, "C1");
}

#[test]
fn a_room_holds_raw_blobs_whatever_attributes_say() {
    let bench = bench();
    let (clone, head) = bench.clone_with(&[
        (
            ".gitattributes",
            "hidden export-ignore\n*.txt text eol=crlf ident\n",
        ),
        ("hidden", "here"),
        ("a.txt", "$Id$\nline\n"),
        ("run.sh", "#!/bin/sh\n"),
    ]);
    let tree = bench.repo.import(&clone, &head, &bench.cancel).unwrap();
    let room = Rooms::open(&bench.folder.path().join("rooms"))
        .unwrap()
        .room("main");
    room.fill(&bench.repo, &tree).unwrap();
    assert_eq!(fs::read(room.tree().join("hidden")).unwrap(), b"here");
    assert_eq!(
        fs::read(room.tree().join("a.txt")).unwrap(),
        b"$Id$\nline\n"
    );
    fs::write(room.tree().join("left-over"), "x").unwrap();
    room.fill(&bench.repo, &tree).unwrap();
    assert!(!room.tree().join("left-over").exists());

    let (_, other) = bench.clone_with(&[("a.txt", "new\n"), ("tests/t.rs", "t")]);
    let other = bench.repo.import(&clone, &other, &bench.cancel).unwrap();
    let files = ["a.txt".to_owned(), "tests/t.rs".to_owned()];
    room.overlay(&bench.repo, &other, &files).unwrap();
    assert_eq!(fs::read(room.tree().join("tests/t.rs")).unwrap(), b"t");
    for bad in [
        "../x",
        "/etc/passwd",
        "tests",
        "absent",
        "tests/../a.txt",
        ".git/config",
    ] {
        let error = room
            .overlay(&bench.repo, &other, &[bad.to_owned()])
            .unwrap_err();
        assert!(
            matches!(error, RepoError::UnsafePath { .. }),
            "{bad}: {error}"
        );
    }
}

#[test]
fn links_out_of_the_tree_are_refused() {
    let bench = bench();
    let (clone, _) = bench.clone_with(&[("a", "1")]);
    let rooms = Rooms::open(&bench.folder.path().join("rooms")).unwrap();
    for (target, fine) in [("a", true), ("../outside", false), ("/etc/passwd", false)] {
        let link = clone.join("link");
        let _absent = fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        let (_, head) = bench.clone_with(&[("touched", target)]);
        let tree = bench.repo.import(&clone, &head, &bench.cancel).unwrap();
        let filled = rooms.room("main").fill(&bench.repo, &tree);
        assert_eq!(filled.is_ok(), fine, "{target}: {filled:?}");
    }
}

#[test]
fn cargo_configuration_in_the_tree_is_judged() {
    let bench = bench();
    let (clone, head) = bench.clone_with(&[(".cargo/config.toml", "[alias]\nx='run'\n")]);
    let tree = bench.repo.import(&clone, &head, &bench.cancel).unwrap();
    check_tree_config(&bench.repo, &tree, &[]).unwrap();
    let (_, head) = bench.clone_with(&[("sub/.cargo/config", "[build]\nrustc-wrapper='/x'\n")]);
    let tree = bench.repo.import(&clone, &head, &bench.cancel).unwrap();
    let error = check_tree_config(&bench.repo, &tree, &[]).unwrap_err();
    assert!(error.to_string().contains("sub/.cargo/config"), "{error}");
    assert!(error.to_string().contains("build.rustc-wrapper"), "{error}");
    let by_policy = ["build.rustc-wrapper".to_owned()];
    check_tree_config(&bench.repo, &tree, &by_policy).unwrap();
}
