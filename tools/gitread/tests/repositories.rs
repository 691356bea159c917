//! Reading real repositories made by the git command line.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use discipline::diff::FileMode;
use gitread::{DiffCaps, EMPTY_TREE, GitReadError, GitReader};

/// Git without any configuration but the repository's own.
fn git_in(dir: &Path, args: &[&str], input: &[u8]) -> String {
    use std::io::Write;
    let mut child = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ana"),
            ("GIT_AUTHOR_EMAIL", "ana@example.org"),
            ("GIT_AUTHOR_DATE", "1700000000 +0100"),
            ("GIT_COMMITTER_NAME", "Bo"),
            ("GIT_COMMITTER_EMAIL", "bo@example.org"),
            ("GIT_COMMITTER_DATE", "1700000001 +0000"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn git(dir: &Path, args: &str) -> String {
    let args: Vec<_> = args.split(' ').collect();
    git_in(dir, &args, b"")
}

struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), "init -q -b main .");
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn commit(&self, message: &str) -> String {
        git(self.path(), "add -A");
        git_in(
            self.path(),
            &["commit", "-q", "--allow-empty", "-m", message],
            b"",
        );
        git(self.path(), "rev-parse HEAD")
    }

    fn reader(&self) -> GitReader {
        GitReader::open(self.path()).unwrap()
    }
}

fn tree_of(reader: &GitReader, commit: &str) -> String {
    reader.commit_info(commit).unwrap().tree
}

#[test]
fn commits_refs_and_files_read_as_git_wrote_them() {
    let scratch = Scratch::new();
    scratch.write("a.txt", b"one\n");
    scratch.write("dir/b.txt", b"two\n");
    let first = scratch.commit("First\n\nBody\n\nClaim-Id: C1");
    let second = scratch.commit("Second");
    git(scratch.path(), "tag -a -m note v1 HEAD~1");
    git(scratch.path(), "pack-refs --all");
    git(scratch.path(), "branch later");

    let reader = scratch.reader();
    let info = reader.commit_info(&first).unwrap();
    assert_eq!(info.subject(), "First");
    assert_eq!(info.trailers("Claim-Id"), ["C1"]);
    assert_eq!(info.author.name, "Ana");
    assert_eq!(info.committer.email, "bo@example.org");
    assert_eq!(
        (info.author.seconds, info.committer.seconds),
        (1_700_000_000, 1_700_000_001)
    );
    assert_eq!(
        reader.commit_info(&second).unwrap().parents,
        std::slice::from_ref(&first)
    );

    for name in ["v1", "refs/tags/v1", &first, &first[..8]] {
        assert_eq!(reader.resolve_commit(name).unwrap(), first, "{name}");
    }
    for name in ["HEAD", "main", "later", "refs/heads/later"] {
        assert_eq!(reader.resolve_commit(name).unwrap(), second, "{name}");
    }
    for name in [
        "HEAD~1",
        "nothing",
        "",
        "main^{tree}",
        &first[..6],
        "refs/heads/../x",
    ] {
        let refused = reader.resolve_commit(name);
        assert!(
            matches!(refused, Err(GitReadError::Unresolved { .. })),
            "{name}"
        );
    }
    let names: Vec<_> = reader.list_refs("refs/heads/").unwrap();
    let wanted = ["refs/heads/later", "refs/heads/main"].map(|n| (n.to_owned(), second.clone()));
    assert_eq!(names, wanted);

    let paths: Vec<_> = reader.tree_entries(&info.tree).unwrap();
    let paths: Vec<_> = paths.into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, [&b"a.txt"[..], b"dir/b.txt"]);
    let read = |path| reader.blob_at(&info.tree, path).unwrap();
    assert_eq!(read("dir/b.txt").unwrap(), b"two\n");
    for nothing in ["dir", "dir/c", "a.txt/x", "", "dir//b.txt"] {
        assert_eq!(read(nothing), None, "{nothing}");
    }
    assert_eq!(reader.root_commit(&second).unwrap(), first);
    assert!(reader.is_ancestor(&first, &second).unwrap());
    assert!(reader.is_ancestor(&first, &first).unwrap());
    assert!(!reader.is_ancestor(&second, &first).unwrap());
}

#[test]
fn a_diff_shows_every_kind_of_change() {
    let scratch = Scratch::new();
    scratch.write("kept", b"same");
    scratch.write("changed", b"old\n");
    scratch.write("gone", b"x");
    scratch.write("was-file", b"y");
    scratch.write("tool", b"#!/bin/sh\n");
    scratch.write("deep/er/file", b"1");
    let base = scratch.commit("base");
    scratch.write("changed", b"new\n");
    fs::remove_file(scratch.path().join("gone")).unwrap();
    fs::remove_file(scratch.path().join("was-file")).unwrap();
    scratch.write("was-file/inner", b"z");
    std::os::unix::fs::symlink("/etc/passwd", scratch.path().join("link")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff\\name");
    fs::write(scratch.path().join(odd), b"o").unwrap();
    git(scratch.path(), "add -A");
    git(scratch.path(), "update-index --chmod=+x tool");
    let module = format!("160000,{base},module");
    git(
        scratch.path(),
        &format!("update-index --add --cacheinfo {module}"),
    );
    git(scratch.path(), "commit -q -m head");
    let head = git(scratch.path(), "rev-parse HEAD");

    let reader = scratch.reader();
    let trees = [&base, &head].map(|commit| tree_of(&reader, commit));
    let diff = reader.diff_trees(&trees[0], &trees[1]).unwrap();
    let seen: Vec<_> = diff
        .files
        .iter()
        .map(|file| {
            let mode = |side: &Option<discipline::diff::FileSide>| side.as_ref().map(|s| s.mode);
            (file.path.as_str(), mode(&file.old), mode(&file.new))
        })
        .collect();
    use FileMode::{Executable, Regular, Submodule, Symlink};
    let wanted = [
        ("changed", Some(Regular), Some(Regular)),
        ("gone", Some(Regular), None),
        ("link", None, Some(Symlink)),
        ("module", None, Some(Submodule)),
        ("odd\\xff\\\\name", None, Some(Regular)),
        ("tool", Some(Regular), Some(Executable)),
        ("was-file", Some(Regular), None),
        ("was-file/inner", None, Some(Regular)),
    ];
    assert_eq!(seen, wanted);
    let side = |index: usize| diff.files[index].new.as_ref().unwrap();
    assert_eq!(diff.files[0].old.as_ref().unwrap().content, b"old\n");
    assert_eq!(side(0).content, b"new\n");
    assert_eq!(side(2).content, b"/etc/passwd");
    assert!(side(3).content.is_empty());
    assert!(diff.files[4].path_escaped);
    assert!(!diff.files[0].path_escaped);

    let paths = reader.files_changed_between(&base, &head).unwrap();
    let wanted: Vec<_> = seen.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(paths, wanted);
    assert_eq!(
        reader
            .blob_at(&trees[1], "odd\\xff\\\\name")
            .unwrap()
            .unwrap(),
        b"o"
    );
    for elsewhere in ["link", "module"] {
        let refused = reader.blob_at(&trees[1], elsewhere);
        assert!(matches!(refused, Err(GitReadError::NotAFile { .. })));
    }
    let from_nothing = reader.diff_trees(EMPTY_TREE, &trees[0]).unwrap();
    assert_eq!(from_nothing.files.len(), 6);
    assert!(
        reader
            .diff_trees(&trees[0], &trees[0])
            .unwrap()
            .files
            .is_empty()
    );
}

#[test]
fn the_diff_agrees_with_git_diff_tree() {
    let scratch = Scratch::new();
    for index in 0..40 {
        scratch.write(&format!("d{}/f{index}", index % 7), &[index]);
    }
    let base = scratch.commit("base");
    for index in (0..40u8).step_by(3) {
        scratch.write(&format!("d{}/f{index}", index % 7), &[index, 1]);
    }
    fs::remove_dir_all(scratch.path().join("d5")).unwrap();
    scratch.write("d5", b"now a file");
    let head = scratch.commit("head");
    let raw = git(
        scratch.path(),
        &format!("diff-tree -r --no-renames {base} {head}"),
    );
    let wanted: Vec<_> = raw
        .lines()
        .map(|line| {
            let mut parts = line.split_whitespace().skip(2);
            let (old, new) = (parts.next().unwrap(), parts.next().unwrap());
            let path = line.split('\t').nth(1).unwrap();
            (path.to_owned(), old.to_owned(), new.to_owned())
        })
        .collect();
    let reader = scratch.reader();
    let trees = [&base, &head].map(|commit| tree_of(&reader, commit));
    let diff = reader.diff_trees(&trees[0], &trees[1]).unwrap();
    let zero = "0".repeat(40);
    let id = |side: Option<discipline::diff::FileSide>| side.map_or(zero.clone(), |s| s.oid);
    let mut seen: Vec<_> = diff
        .files
        .into_iter()
        .map(|file| (file.path, id(file.old), id(file.new)))
        .collect();
    let mut wanted = wanted;
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);
}

#[test]
fn caps_are_errors_and_never_shorter_answers() {
    let scratch = Scratch::new();
    scratch.write("a", &[b'x'; 100]);
    scratch.write("b", &[b'y'; 100]);
    let head = scratch.commit("head");
    let reader = scratch.reader();
    let tree = tree_of(&reader, &head);
    let fits = DiffCaps {
        files: 2,
        blob_bytes: 100,
        total_bytes: 200,
    };
    assert!(reader.diff_trees_within(EMPTY_TREE, &tree, fits).is_ok());
    for caps in [
        DiffCaps { files: 1, ..fits },
        DiffCaps {
            blob_bytes: 99,
            ..fits
        },
        DiffCaps {
            total_bytes: 199,
            ..fits
        },
    ] {
        let refused = reader.diff_trees_within(EMPTY_TREE, &tree, caps);
        assert!(
            matches!(refused, Err(GitReadError::TooLarge { .. })),
            "{caps:?}"
        );
    }
}

#[test]
fn replace_refs_and_grafts_change_nothing() {
    let scratch = Scratch::new();
    scratch.write("a", b"honest");
    let first = scratch.commit("first");
    scratch.write("a", b"second");
    let second = scratch.commit("second");
    let honest = scratch.reader().commit_info(&second).unwrap();

    scratch.write("a", b"forged");
    let forged = scratch.commit("forged");
    let blob = honest_blob(&scratch, &first);
    let forged_blob = git(scratch.path(), &format!("rev-parse {forged}:a"));
    git(scratch.path(), &format!("replace {second} {forged}"));
    git_in(scratch.path(), &["replace", &blob, &forged_blob], b"");
    scratch.write(
        ".git/info/grafts",
        format!("{second} {forged}\n").as_bytes(),
    );

    // Git itself is fooled, which is what makes the rest a test.
    assert_eq!(git(scratch.path(), &format!("show {first}:a")), "forged");
    let reader = scratch.reader();
    assert_eq!(reader.commit_info(&second).unwrap(), honest);
    assert_eq!(reader.blob(&blob, 100).unwrap(), b"honest");
    assert!(reader.is_ancestor(&first, &second).unwrap());
    assert!(!reader.is_ancestor(&forged, &second).unwrap());
}

fn honest_blob(scratch: &Scratch, commit: &str) -> String {
    git(scratch.path(), &format!("rev-parse {commit}:a"))
}

#[test]
fn a_damaged_object_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("a", b"honest");
    let head = scratch.commit("head");
    let blob = honest_blob(&scratch, &head);
    let other = git_in(scratch.path(), &["hash-object", "-w", "--stdin"], b"forged");
    let file = |id: &str| {
        scratch
            .path()
            .join(format!(".git/objects/{}/{}", &id[..2], &id[2..]))
    };
    fs::remove_file(file(&blob)).unwrap();
    fs::copy(file(&other), file(&blob)).unwrap();
    assert!(scratch.reader().blob(&blob, 100).is_err());
}

#[test]
fn nothing_above_the_path_is_found() {
    let scratch = Scratch::new();
    scratch.write("sub/file", b"x");
    let refused = GitReader::open(&scratch.path().join("sub"));
    assert!(matches!(refused, Err(GitReadError::Open { .. })));
    assert!(GitReader::open(&scratch.path().join(".git")).is_ok());
}

#[test]
fn a_shallow_clone_says_what_is_missing() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    scratch.commit("second");
    let clone = tempfile::tempdir().unwrap();
    let url = format!("file://{}", scratch.path().display());
    git(clone.path(), &format!("clone -q --depth 1 {url} c"));
    let reader = GitReader::open(&clone.path().join("c")).unwrap();
    let error = reader.is_ancestor(&first, &reader.resolve_commit("HEAD").unwrap());
    let text = error.unwrap_err().to_string();
    assert!(text.contains("--unshallow"), "{text}");
}

#[test]
fn own_configuration_is_read_from_the_repository_alone() {
    let scratch = Scratch::new();
    git(scratch.path(), "config greenloop.policy /etc/policy.toml");
    let reader = scratch.reader();
    let read = |key| reader.own_config(key).unwrap();
    assert_eq!(read("greenloop.policy").unwrap(), "/etc/policy.toml");
    assert_eq!(read("greenloop.other"), None);
}

/// A pre-receive hook that keeps what it saw: its environment and a copy of the quarantine.
const HOOK: &str = "#!/bin/sh
{ echo GIT_DIR=$PWD
  echo GIT_OBJECT_DIRECTORY=$PWD/kept
  echo GIT_ALTERNATE_OBJECT_DIRECTORIES=$GIT_ALTERNATE_OBJECT_DIRECTORIES
} > seen
cp -r \"$GIT_OBJECT_DIRECTORY\" kept
exit 1
";

#[test]
fn a_push_is_readable_while_it_is_in_quarantine() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    scratch.write("a", b"pushed");
    let head = scratch.commit("head");
    let bare = tempfile::tempdir().unwrap();
    git(bare.path(), "init -q --bare .");
    let hook = bare.path().join("hooks/pre-receive");
    fs::write(&hook, HOOK).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let push = Command::new("git")
        .args(["push", "-q", bare.path().to_str().unwrap(), "main"])
        .current_dir(scratch.path())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!push.success(), "the hook refuses");

    let seen = fs::read_to_string(bare.path().join("seen")).unwrap();
    let variable = |name: &str| -> Option<OsString> {
        let value = seen
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")))?;
        Some(bare.path().join(value).into_os_string())
    };
    let without = GitReader::open(bare.path()).unwrap();
    assert!(!without.has_object(&head).unwrap());
    let reader = GitReader::open_quarantine_from(variable).unwrap();
    let tree = tree_of(&reader, &head);
    assert_eq!(reader.blob_at(&tree, "a").unwrap().unwrap(), b"pushed");

    let nowhere = GitReader::open_quarantine_from(|_| None);
    assert!(matches!(nowhere, Err(GitReadError::Environment { .. })));
    let bad_folder = GitReader::open_quarantine_from(|name| match name {
        "GIT_OBJECT_DIRECTORY" => Some("/nowhere".into()),
        other => variable(other),
    });
    assert!(matches!(bad_folder, Err(GitReadError::Environment { .. })));
}
