//! Deaths between intent and outcome of a push, and calls that are cancelled.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use service::api::{self, Command};
use service::{Caller, Cancel, NoProgress, ServiceError};

use crate::support::{Bench, SCOPE, run};

/// A claim whose gates are still to run: loop, claim, digest.
fn checked(bench: &Bench) -> (String, String, String) {
    let red = bench.run_scope();
    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h", "skipped_work", "the last block is skipped");
    let commit = bench.fix();
    let draft = bench.good_draft(&red, &hypothesis, &commit);
    let proposed = bench.propose(&loop_id, "c", draft);
    assert_eq!(proposed.refused, []);
    let (claim, digest) = (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap());
    (loop_id, claim, digest)
}

/// Installs a hook that keeps the state folder as it is at that moment: what a daemon that is
/// killed there leaves behind.
fn snapshot_in(bench: &Bench, hook: &str, when: &str, then: &str) {
    let root = bench.root().display().to_string();
    let path = bench.remote_path().join("hooks").join(hook);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\n{when}\ncp -r '{root}/state' '{root}/killed'\necho x >> '{root}/sent'\n{then}\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_push_that_arrived_before_the_death_is_found_and_not_repeated() {
    let mut bench = Bench::new();
    let (loop_id, claim, digest) = checked(&bench);
    assert_eq!(bench.gates(&loop_id, &claim, 300).state, "staged");
    bench.approve(&claim);
    let when = "[ \"$1\" = committed ] || exit 0\n[ -e sent-once ] && exit 0\n: > sent-once";
    snapshot_in(&bench, "reference-transaction", when, "");
    bench.push(&loop_id, &claim, &digest);
    let at_remote = bench.pushed_refs();
    fs::remove_file(bench.remote_path().join("hooks/reference-transaction")).unwrap();
    // Whoever sends again is seen.
    let branch_only = "grep -q refs/heads/ || exit 0";
    snapshot_in(&bench, "pre-receive", branch_only, "exit 1");
    bench.reopen_on("killed");
    let state = bench.claim(&claim).summary.state;
    assert_ne!(state, "approved", "the start has read the remote");
    let again = bench.push(&loop_id, &claim, &digest);
    assert_eq!(again.refused, []);
    assert_eq!(again.pushed_commit, bench.claim(&claim).summary.commit);
    let now = bench.pushed_refs();
    assert_eq!(now, at_remote);
    let sent = fs::read_to_string(bench.root().join("sent")).unwrap();
    assert_eq!(sent.lines().count(), 1, "nobody sent it again");
    assert!(
        now.keys()
            .any(|name| name.starts_with("refs/greenloop/attest/"))
    );
}

#[test]
fn a_push_that_never_arrived_before_the_death_is_open_again() {
    let mut bench = Bench::new();
    let (loop_id, claim, digest) = checked(&bench);
    assert_eq!(bench.gates(&loop_id, &claim, 300).state, "staged");
    bench.approve(&claim);
    let before = bench.remote_refs();
    snapshot_in(&bench, "pre-receive", "", "exit 1");
    bench.push(&loop_id, &claim, &digest);
    bench.reopen_on("killed");
    let sent = fs::read_to_string(bench.root().join("sent")).unwrap();
    assert_eq!(sent.lines().count(), 1, "the start only reads the remote");
    assert_eq!(bench.claim(&claim).summary.state, "approved");
    assert_eq!(bench.remote_refs(), before);
    fs::remove_file(bench.remote_path().join("hooks/pre-receive")).unwrap();
    assert_eq!(bench.push(&loop_id, &claim, &digest).refused, []);
}

/// Adds a test that reads a pipe, to a target of the fixture.
fn with_pipe(target: &'static str) -> Bench {
    Bench::with(|clone| {
        let pipe = clone.parent().unwrap().join("pipe");
        let file = clone.join("tests").join(target);
        let mut text = fs::read_to_string(&file).unwrap();
        text.push_str(&format!(
            "\n#[test]\nfn waits() {{\n    let read = std::fs::read({pipe:?});\n    \
             assert!(read.is_ok() || read.is_err());\n}}\n"
        ));
        fs::write(file, text).unwrap();
    })
}

/// Calls, cancels once the process blocks on the pipe, and sees it gone within two seconds.
fn cancelled<C: Command + Send>(bench: &Bench, operator: bool, request: C, pipe: &Path) {
    let cancel = Cancel::new().unwrap();
    let caller = Caller {
        uid: 1000,
        name: "someone".into(),
        operator,
    };
    std::thread::scope(|scope| {
        let request = request.into_request();
        let call = scope.spawn(|| bench.service().call(&caller, request, &NoProgress, &cancel));
        let mut open = OpenOptions::new().write(true).open(pipe).unwrap();
        let begun = Instant::now();
        cancel.cancel();
        let Err(error) = call.join().unwrap() else {
            panic!("a cancelled call answers")
        };
        assert!(matches!(error, ServiceError::Cancelled), "{error}");
        // A pipe without a reader: the whole group is gone.
        while let Err(ErrorKind::WouldBlock) | Ok(()) = open.write_all(b"x").map_err(|e| e.kind()) {
            assert!(begun.elapsed() < Duration::from_secs(2), "still reading");
            std::thread::yield_now();
        }
    });
}

#[test]
fn cancelled_gates_end_at_once_and_can_run_again() {
    let bench = with_pipe("unit.rs");
    let (loop_id, claim, _) = checked(&bench);
    run(&bench.root(), "mkfifo", &["pipe"]);
    let pipe = bench.root().join("pipe");
    let request = api::RunGatesRequest {
        loop_id: loop_id.clone(),
        claim_id: claim.clone(),
        max_wait_s: Some(300),
    };
    cancelled(&bench, false, request, &pipe);
    fs::remove_file(&pipe).unwrap();
    let begun = Instant::now();
    while bench.claim(&claim).summary.state != "checked" {
        assert!(begun.elapsed() < Duration::from_secs(2), "not checked");
        std::thread::yield_now();
    }
    let again = bench.gates(&loop_id, &claim, 300);
    assert_eq!((again.state.as_str(), again.refused), ("staged", vec![]));
}

#[test]
fn a_cancelled_run_ends_at_once() {
    let bench = with_pipe("paths.rs");
    run(&bench.root(), "mkfifo", &["pipe"]);
    let request = api::StartRunRequest {
        scope: SCOPE.into(),
        cell: None,
        commit: None,
        wait: true,
    };
    cancelled(&bench, true, request, &bench.root().join("pipe"));
    let runs = bench.agent(api::ListRunsRequest::default()).unwrap().runs;
    let request = api::WaitForRunRequest {
        run_id: runs[0].run_id.clone(),
        max_wait_s: 50,
    };
    let ended = bench.agent(request).unwrap();
    assert_eq!(ended.run.conclusion.as_deref(), Some("cancelled"));
}

#[test]
fn what_moved_since_a_claim_was_checked_is_said() {
    let bench = Bench::new();
    let (_, claim, _) = checked(&bench);
    let drift = || {
        let status = bench.agent(api::LoopStatusRequest::default());
        status.unwrap().drift
    };
    assert_eq!(drift(), Vec::<String>::new());
    let clone = bench.clone_path();
    run(&clone, "git", &["checkout", "-q", "-b", "b", "origin/main"]);
    let policy = fs::read_to_string(clone.join("greenloop.toml")).unwrap();
    let policy = policy.replace("runner_minutes_per_day = 60", "runner_minutes_per_day = 61");
    fs::write(clone.join("greenloop.toml"), policy).unwrap();
    run(&clone, "git", &["commit", "-q", "-am", "More minutes"]);
    run(&clone, "git", &["push", "-q", "origin", "HEAD:main"]);
    let tip = run(&clone, "git", &["rev-parse", "HEAD"]);
    let request = api::StartRunRequest {
        scope: SCOPE.into(),
        cell: Some("debug".into()),
        commit: None,
        wait: false,
    };
    bench.person(request).unwrap();
    let said = drift();
    assert!(
        said[0].starts_with(&format!("{claim} is made on ")),
        "{said:?}"
    );
    assert_eq!(
        said[1..],
        [format!(
            "the policy at {tip} is not the one that {claim} was checked with"
        )]
    );
}
