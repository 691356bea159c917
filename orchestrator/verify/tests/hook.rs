//! Real pushes by git against the real binary as pre-receive hook.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod support;

use std::fs;

use support::{Edits, MAIN, VERDICT, World, attest, branch, git, now_ms};

#[test]
fn an_approved_push_arrives_with_its_attestation_and_then_its_verdict() {
    let world = World::new();
    let remote = world.guarded_remote();
    let made = world.make(Edits::default());
    remote.delivers(&made);
    assert_eq!(git(&remote.path, &["rev-parse", MAIN], b""), made.commit);

    let verdict = world.verdict(&made, VERDICT, now_ms());
    let name = format!("refs/greenloop/verdict/{}", made.commit);
    let forged = world.verdict(&made, 9, now_ms());
    remote.refuses(&[], &[&format!("{forged}:{name}")], &["signer_unknown"]);
    let garbage = format!("{}:{name}", made.attestation);
    remote.refuses(&[], &[&garbage], &["verdict_malformed"]);
    remote.accepts(&[], &[&format!("{verdict}:{name}")]);
    remote.refuses(
        &["--force"],
        &[&format!("{forged}:{name}")],
        &["written_once"],
    );
    remote.refuses(&[], &[&format!(":{name}")], &["written_once"]);
}

#[test]
fn a_push_without_attestation_is_refused_in_every_disguise() {
    let world = World::new();
    let remote = world.guarded_remote();
    let made = world.make(Edits::default());
    remote.refuses(&[], &[&branch(&made)], &["attestation_missing"]);
    remote.refuses(
        &["--no-verify"],
        &[&branch(&made)],
        &["attestation_missing"],
    );
    world.git(&["config", "core.hooksPath", "/dev/null"]);
    remote.refuses(&[], &[&branch(&made)], &["attestation_missing"]);
    let sent = support::git_command(&world.work())
        .arg("send-pack")
        .arg(&remote.path)
        .arg(branch(&made))
        .output()
        .unwrap();
    assert!(!sent.status.success());
    assert_eq!(git(&remote.path, &["rev-parse", MAIN], b""), world.base);
    // First the attestation, then the commit: not one push.
    remote.refuses(&[], &[&attest(&made)], &["attestation_alone"]);
    // The commit of one claim with the attestation of another.
    let other = world.make(Edits {
        kind: |body| body.reasoning.push_str(" Again."),
        ..Edits::default()
    });
    let swapped = format!(
        "{}:refs/greenloop/attest/{}",
        other.attestation, made.commit
    );
    remote.refuses(
        &[],
        &[&branch(&made), &swapped],
        &["attestation_mismatch", "approval_mismatch"],
    );
}

#[test]
fn shapes_that_guarded_refs_do_not_take() {
    let world = World::new();
    let remote = world.guarded_remote();
    let made = world.make(Edits::default());

    let amended = world.make(Edits {
        message: |message| message.insert_str(0, "Amended "),
        ..Edits::default()
    });
    remote.refuses(
        &[],
        &[&branch(&amended), &attest(&amended)],
        &["attestation_mismatch"],
    );
    let onto = world.git(&["commit-tree", &made.tree, "-p", &made.commit, "-m", "extra"]);
    let extra = format!("{onto}:{MAIN}");
    remote.refuses(&[], &[&extra, &attest(&made)], &["more_than_one_commit"]);
    let merge = world.make(Edits {
        extra_parent: true,
        ..Edits::default()
    });
    remote.refuses(&[], &[&branch(&merge), &attest(&merge)], &["merge"]);
    let unrelated = world.git(&["commit-tree", &made.tree, "-m", "unrelated"]);
    let forced = format!("{unrelated}:{MAIN}");
    remote.refuses(&["--force"], &[&forced], &["force_push", "root_untrusted"]);
    let deleted = format!(":{MAIN}");
    git(
        &remote.path,
        &["config", "receive.denyDeleteCurrent", "ignore"],
        b"",
    );
    remote.refuses(&[], &[&deleted], &["ref_deleted"]);

    let release = "refs/heads/release/1";
    remote.refuses(
        &[],
        &[&format!("{}:{release}", made.commit)],
        &["start_untrusted"],
    );
    remote.accepts(&[], &[&format!("{}:{release}", world.base)]);
    // An attestation for main does not move another guarded ref.
    let elsewhere = format!("{}:{release}", made.commit);
    remote.refuses(
        &[],
        &[&elsewhere, &attest(&made)],
        &["attestation_mismatch"],
    );

    remote.delivers(&made);
    remote.refuses(
        &["--force"],
        &[&format!("{}:{MAIN}", world.base)],
        &["force_push"],
    );
}

#[test]
fn own_refs_have_their_shapes_and_other_branches_are_free() {
    let world = World::new();
    let remote = world.guarded_remote();
    let made = world.make(Edits::default());
    let to = |name: &str| format!("{}:{name}", made.commit);
    for name in ["refs/heads/wip/idea", "refs/heads/main2", "refs/tags/v1"] {
        remote.accepts(&[], &[&to(name)]);
        remote.accepts(&[], &[&format!(":{name}")]);
    }
    for name in [
        "refs/greenloop/other",
        "refs/greenloop/attest/short",
        "refs/greenloop/verdict/short",
        "refs/greenloop/pushed/1111111111111111111111111111111111111111",
        "refs/replace/1111111111111111111111111111111111111111",
    ] {
        remote.refuses(&[], &[&to(name)], &["ref_not_allowed"]);
    }
    let verdict = world.verdict(&made, VERDICT, now_ms());
    let early = format!("{verdict}:refs/greenloop/verdict/{}", made.commit);
    remote.refuses(
        &[],
        &[&to("refs/heads/wip/x"), &early],
        &["verdict_without_attestation"],
    );

    remote.accepts(&[], &[&format!("{}:refs/greenloop/log", world.base)]);
    remote.accepts(&[], &[&to("refs/greenloop/log")]);
    let back = format!("{}:refs/greenloop/log", world.base);
    remote.refuses(&["--force"], &[&back], &["log_rewritten"]);
    remote.refuses(&[], &[":refs/greenloop/log"], &["log_rewritten"]);

    remote.delivers(&made);
    let again = format!("{}:refs/greenloop/attest/{}", world.base_tree, made.commit);
    remote.refuses(&["--force"], &[&again], &["written_once"]);
    let gone = format!(":refs/greenloop/attest/{}", made.commit);
    remote.refuses(&[], &[&gone], &["written_once"]);
}

#[test]
fn a_hook_without_usable_policy_refuses_everything_guarded_or_not() {
    let world = World::new();
    let remote = world.guarded_remote();
    let push = |why: &str| {
        let output = remote.push(&[], &[&format!("{}:refs/heads/wip/x", world.base)]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{why}");
        assert!(said.contains(why), "{why}: {said}");
    };
    let signers = fs::read_to_string(world.path("signers")).unwrap();
    let doubled = signers.replace("greenloop-gate", "greenloop-approval,greenloop-gate");
    fs::write(world.path("signers"), doubled).unwrap();
    push("signs in both");
    fs::remove_file(world.path("signers")).unwrap();
    push("cannot be read");
    fs::write(world.path("policy.toml"), "guarded_refs = []\nunknown = 1").unwrap();
    push("unknown");
    git(
        &remote.path,
        &["config", "--unset", "greenloop.policy"],
        b"",
    );
    push("no policy is pinned");
}
