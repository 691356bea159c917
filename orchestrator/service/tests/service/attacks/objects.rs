//! Objects, ids and clones that are not what they seem: the daemon reads raw objects of full ids, and
//! nothing of the clone's configuration.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use service::api;

use super::Field;
use crate::dishonest::{BLOCKS, replace};
use crate::support::{Bench, run};

/// Writes an object as it is, however wrong, and returns its id.
fn object(clone: &Path, kind: &str, bytes: &[u8]) -> String {
    let mut child = Command::new("git")
        .args(["hash-object", "-w", "--literally", "-t", kind, "--stdin"])
        .current_dir(clone)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success());
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// A tree object of these entries, in this order.
fn tree(clone: &Path, entries: &[(&str, &[u8], &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend(*name);
        bytes.push(0);
        bytes.extend(hex(id));
    }
    object(clone, "tree", &bytes)
}

fn hex(id: &str) -> Vec<u8> {
    let digits = id.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn commit_of(clone: &Path, tree: &str) -> String {
    let text = format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nattack\n");
    object(clone, "commit", text.as_bytes())
}

#[test]
fn a_clone_shows_one_thing_and_the_daemon_reads_another() {
    let field = Field::over(Bench::new());
    let clone = field.bench.clone_path();
    let git = |args: &[&str]| run(&clone, "git", args);
    let evil = field.commit(|root| {
        replace(
            root,
            BLOCKS,
            "values.chunks(BLOCK)",
            "values.chunks_exact(BLOCK + 0)",
        );
        crate::dishonest::append(root, "greenloop.toml", "\n# mine\n");
    });
    // `git show` of the honest commit shows the honest change; the objects under its id are others.
    git(&["replace", &evil, &field.honest]);
    let shown = git(&["show", "--format=", &evil]);
    assert!(!shown.contains("# mine"), "{shown}");
    let mut draft = field.declared(&evil);
    draft.sites.push(api::SiteView {
        file: "greenloop.toml".into(),
        function: None,
        line_start: 1,
        line_end: 1,
    });
    let refused = field.check(&draft).unwrap();
    assert!(
        refused
            .iter()
            .any(|refusal| refusal.code == "protected_path"
                && refusal.reason.contains("greenloop.toml")),
        "{refused:?}"
    );
    git(&["replace", "-d", &evil]);
    // A graft says that the commit has no parent; the tree is what counts.
    fs::write(
        clone.join(".git/info/grafts"),
        format!("{}\n", field.honest),
    )
    .unwrap();
    assert_eq!(field.check(&field.draft(&field.honest)).unwrap(), []);
    fs::remove_file(clone.join(".git/info/grafts")).unwrap();
    // Attributes of the clone alone, and an index that lies, change no byte of the objects.
    fs::write(
        clone.join(".git/info/attributes"),
        "*.rs -diff binary export-ignore\n",
    )
    .unwrap();
    git(&["checkout", "-q", "-f", &field.honest]);
    git(&["update-index", "--assume-unchanged", BLOCKS]);
    assert_eq!(field.check(&field.draft(&field.honest)).unwrap(), []);
}

/// Objects that are lent stay here when the lender takes them away.
#[test]
fn objects_of_an_alternate_are_kept() {
    let field = Field::over(Bench::new());
    let clone = field.bench.clone_path();
    let borrowed = field.bench.root().join("borrowed");
    run(
        &field.bench.root(),
        "git",
        &[
            "clone",
            "-q",
            "--shared",
            clone.to_str().unwrap(),
            "borrowed",
        ],
    );
    let mut draft = field.draft(&field.honest);
    draft.change = api::ChangeView::Commit {
        repo_path: borrowed.to_str().unwrap().into(),
        commit: field.honest.clone(),
    };
    assert_eq!(field.check(&draft).unwrap(), []);
    fs::remove_dir_all(&borrowed).unwrap();
    fs::rename(clone.join(".git/objects"), clone.join(".git/gone")).unwrap();
    assert_eq!(
        field.check(&draft).unwrap(),
        [],
        "the daemon has its own copy"
    );
}

/// Whatever the clone's configuration would have git run, the daemon's git does not run.
#[test]
fn a_clone_runs_nothing_in_the_daemon() {
    let field = Field::over(Bench::new());
    let clone = field.bench.clone_path();
    let seen = field.bench.root().join("seen");
    let program = field.bench.root().join("program");
    fs::write(
        &program,
        format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexit 1\n", seen.display()),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    for key in [
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.pager",
        "diff.external",
        "filter.x.smudge",
        "filter.x.clean",
        "gc.recentObjectsHook",
    ] {
        run(&clone, "git", &["config", key, program]);
    }
    let hooks = field.bench.root().join("hooks");
    fs::create_dir(&hooks).unwrap();
    for hook in [
        "post-upload-pack",
        "pre-receive",
        "reference-transaction",
        "post-checkout",
    ] {
        fs::copy(program, hooks.join(hook)).unwrap();
    }
    run(
        &clone,
        "git",
        &["config", "core.hooksPath", hooks.to_str().unwrap()],
    );
    fs::write(clone.join(".git/info/attributes"), "* filter=x\n").unwrap();
    assert_eq!(field.check(&field.draft(&field.honest)).unwrap(), []);
    assert!(!seen.exists(), "{}", fs::read_to_string(&seen).unwrap());
    // A git that obeys the clone does run it.
    run(&clone, "git", &["status"]);
    assert!(seen.exists(), "the configuration is a real one");
}

#[test]
fn names_of_commits_and_places_that_mean_more_than_they_say() {
    let field = Field::over(Bench::new());
    let clone = field.bench.clone_path().to_str().unwrap().to_owned();
    let honest = field.honest.clone();
    let upper = honest.to_ascii_uppercase();
    let places = [
        (clone.as_str(), &honest[..12]),
        (clone.as_str(), upper.as_str()),
        (clone.as_str(), "HEAD"),
        (clone.as_str(), "refs/heads/main"),
        (clone.as_str(), "--upload-pack=touch /tmp/owned"),
        (clone.as_str(), "1111111111111111111111111111111111111111"),
        ("ext::sh -c 'touch /tmp/owned'", honest.as_str()),
        ("file:///", honest.as_str()),
        ("--upload-pack=touch", honest.as_str()),
        ("", honest.as_str()),
        ("/dev/stdin", honest.as_str()),
    ];
    for (repo_path, commit) in places {
        // The daemon knows the honest commit by now; only a place is wrong then.
        let fresh = field.commit(|root| {
            crate::dishonest::append(root, BLOCKS, &format!("\n// {}\n", repo_path.len()));
        });
        let commit = if commit == honest {
            fresh
        } else {
            commit.to_owned()
        };
        let mut draft = field.draft(&commit);
        draft.change = api::ChangeView::Commit {
            repo_path: repo_path.into(),
            commit: commit.clone(),
        };
        let error = field.check(&draft).unwrap_err();
        assert_eq!((error.code(), error.fixable()), ("bad_argument", true));
        assert!(
            error.to_string().starts_with("`change`"),
            "{repo_path} {commit}: {error}"
        );
    }
    assert!(!Path::new("/tmp/owned").exists());
}

/// Trees that git itself would not write: one name twice, folders above the root, git's own folder.
#[test]
fn trees_that_git_would_not_write_are_not_taken() {
    let field = Field::over(Bench::new());
    let clone = field.bench.clone_path();
    let blob = object(&clone, "blob", b"fn main() {}\n");
    let other = object(&clone, "blob", b"fn main() { loop {} }\n");
    let inner = tree(&clone, &[("100644", b"config", &blob)]);
    let trees = [
        tree(
            &clone,
            &[("100644", b"a.rs", &blob), ("100644", b"a.rs", &other)],
        ),
        tree(
            &clone,
            &[("100644", b"b.rs", &blob), ("100644", b"a.rs", &other)],
        ),
        tree(&clone, &[("40000", b"..", &inner)]),
        tree(&clone, &[("40000", b".GIT", &inner)]),
        tree(&clone, &[("40000", b"git~1", &inner)]),
        tree(&clone, &[("40000", ".g\u{200c}it".as_bytes(), &inner)]),
        tree(&clone, &[("100644", b"x/../../y", &blob)]),
        tree(&clone, &[("100644", b"", &blob)]),
    ];
    for bad in trees {
        let commit = commit_of(&clone, &bad);
        let error = field.check(&field.draft(&commit)).unwrap_err();
        assert_eq!(error.code(), "bad_argument", "{error}");
        assert!(error.to_string().starts_with("`change`"), "{error}");
    }
}
