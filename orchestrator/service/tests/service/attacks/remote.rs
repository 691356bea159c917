//! The remote is the agent's to write: what it moves there is refused, or seen by who audits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gitread::GitReader;
use verify::Trust;

use super::Field;
use crate::support::{codes, run};

/// A hook of the remote moves the branch between the lease and the update, and puts it back later.
pub(super) fn moves_while_it_receives(field: &Field, claim: &str, digest: &str) {
    let bench = &field.bench;
    let remote = bench.remote_path();
    let before = bench.pushed_refs();
    let base = before["refs/heads/main"].clone();
    let elsewhere = run(
        &remote,
        "git",
        &[
            "commit-tree",
            "-p",
            &base,
            "-m",
            "elsewhere",
            &format!("{base}^{{tree}}"),
        ],
    );
    let hook = remote.join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(
        &hook,
        format!(
            "#!/bin/sh\nenv -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {elsewhere}\n"
        ),
    )
    .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let pushed = bench.push(&field.loop_id, claim, digest);
    assert_eq!(codes(&pushed.refused), ["remote_refused"], "{pushed:?}");
    assert_eq!(
        (pushed.state.as_str(), pushed.pushed_commit),
        ("approved", None)
    );
    let after = bench.pushed_refs();
    assert_eq!(after["refs/heads/main"], elsewhere);
    assert_eq!(
        after.len(),
        before.len(),
        "no attestation came alone: {after:?}"
    );
    fs::remove_file(&hook).unwrap();
    run(&remote, "git", &["update-ref", "refs/heads/main", &base]);
}

/// A clone of the remote with everything that greenloop keeps there.
fn cloned(field: &Field, name: &str) -> PathBuf {
    let root = field.bench.root();
    let url = format!("file://{}", field.bench.remote_path().display());
    run(&root, "git", &["clone", "-q", &url, name]);
    let clone = root.join(name);
    run(
        &clone,
        "git",
        &["fetch", "-q", "origin", "refs/greenloop/*:refs/greenloop/*"],
    );
    clone
}

/// Codes of everything that an audit of the branch refuses.
fn audited(clone: &Path) -> Vec<String> {
    let trust = Trust::from_signers(None).unwrap();
    let reader = GitReader::open(clone).unwrap();
    let report = verify::audit::audit(&reader, None, clone, &trust, None).unwrap();
    let commits = report.commits.iter().flat_map(|commit| &commit.refused);
    let mut found: Vec<String> = report
        .refused
        .iter()
        .chain(commits)
        .map(|refusal| refusal.code.clone())
        .collect();
    found.sort();
    found.dedup();
    assert_eq!(found.is_empty(), report.accepted, "{report:#?}");
    found
}

/// What a writer of the remote can do to a push that was honest, and what an audit says of it.
pub(super) fn tampered(field: &Field, commit: &str) {
    let attest = format!("refs/greenloop/attest/{commit}");
    let verdict = format!("refs/greenloop/verdict/{commit}");
    let clone = cloned(field, "audit");
    let git = |args: &[&str]| run(&clone, "git", args);
    assert_eq!(audited(&clone), Vec::<String>::new());
    // The attestation is gone, or is that of nothing.
    let object = git(&["rev-parse", &attest]);
    git(&["update-ref", "-d", &attest]);
    assert_eq!(audited(&clone), ["attestation_missing"]);
    git(&["update-ref", &attest, &git(&["rev-parse", "HEAD^{tree}"])]);
    assert_eq!(audited(&clone), ["attestation_malformed"]);
    git(&["update-ref", &attest, &object]);
    // The verdict is another object.
    let said = git(&["rev-parse", &verdict]);
    git(&["update-ref", &verdict, &object]);
    assert_eq!(audited(&clone), ["verdict_malformed"]);
    git(&["update-ref", &verdict, &said]);
    assert_eq!(audited(&clone), Vec::<String>::new());
    // A commit of the agent's own, pushed past the daemon, under the attestation of the honest one.
    git(&["config", "user.email", "agent@example.org"]);
    git(&["config", "user.name", "agent"]);
    let text = fs::read_to_string(clone.join("src/lib.rs")).unwrap();
    fs::write(
        clone.join("src/lib.rs"),
        format!("{text}\n/// Mine.\npub mod mine {{}}\n"),
    )
    .unwrap();
    git(&["commit", "-q", "-a", "-C", commit]);
    let own = git(&["rev-parse", "HEAD"]);
    assert_eq!(audited(&clone), ["attestation_missing"]);
    git(&[
        "update-ref",
        &format!("refs/greenloop/attest/{own}"),
        &object,
    ]);
    let found = audited(&clone);
    assert!(
        found.contains(&"attestation_mismatch".to_owned()),
        "{found:?}"
    );
    assert!(found.contains(&"approval_mismatch".to_owned()), "{found:?}");
    // A replacement makes the agent's commit look like the honest one to git, and not to the audit.
    git(&["replace", &own, commit]);
    assert_eq!(audited(&clone), found);
}
