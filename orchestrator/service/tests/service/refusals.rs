//! What is refused, with its reason: drafts, callers, keys, signatures, remotes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use service::{ServiceError, api};

use crate::support::{Bench, SCOPE, codes, run};

struct Ready {
    bench: Bench,
    loop_id: String,
    draft: api::ClaimDraft,
    run: api::RunView,
}

/// A red baseline, a loop, a hypothesis and a fix.
fn ready() -> Ready {
    let bench = Bench::new();
    let red = bench.run_scope();
    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h1", "skipped_work", "the last block is skipped");
    let commit = bench.fix();
    let draft = bench.good_draft(&red, &hypothesis, &commit);
    Ready {
        bench,
        loop_id,
        draft,
        run: red,
    }
}

impl Ready {
    fn check(&self, edit: impl FnOnce(&mut api::ClaimDraft)) -> Vec<api::RefusalView> {
        let mut draft = self.draft.clone();
        edit(&mut draft);
        let request = api::CheckClaimRequest {
            loop_id: self.loop_id.clone(),
            draft,
        };
        self.bench.agent(request).unwrap().refused
    }

    fn staged(&self) -> (String, String) {
        let proposed = self.bench.propose(&self.loop_id, "c1", self.draft.clone());
        assert_eq!(proposed.refused, []);
        let claim = proposed.claim_id.unwrap();
        let gates = self.bench.gates(&self.loop_id, &claim, 300);
        assert_eq!(gates.state, "staged", "{:?}", gates.refused);
        (claim, proposed.claim_digest.unwrap())
    }
}

type Edit = fn(&mut api::ClaimDraft);

#[test]
fn each_missing_part_is_named_and_nothing_else() {
    let ready = ready();
    assert_eq!(ready.check(|_| {}), []);
    let parts: &[(&str, Edit)] = &[
        ("failing_invariant", |d| d.failing_invariant = None),
        ("prediction", |d| d.prediction.clear()),
        ("gates", |d| d.gates.clear()),
        ("rollback_if", |d| d.rollback_if.clear()),
        ("evidence", |d| d.evidence.clear()),
        ("baseline_run", |d| d.baseline_run = None),
        ("hypothesis_id", |d| d.hypothesis_id = None),
        ("sites", |d| d.sites.clear()),
        ("reasoning", |d| d.reasoning.clear()),
        ("guards", |d| d.guards.clear()),
        ("pinned_test", |d| d.pinned_test = None),
        ("message", |d| d.message.clear()),
        ("budget", |d| d.budget.runs = 0),
    ];
    for (part, edit) in parts {
        let refused = ready.check(*edit);
        assert!(!refused.is_empty(), "{part}");
        for refusal in &refused {
            assert!(refusal.field.starts_with(part), "{part}: {refusal:?}");
            assert!(!refusal.remedy.is_empty());
        }
    }
}

#[test]
fn several_faults_are_said_at_once() {
    let ready = ready();
    let refused = ready.check(|d| {
        d.prediction = vec![
            "present first_divergence".into(),
            "absent no_such_marker".into(),
        ];
        d.failing_invariant = Some("§99".into());
        d.evidence[0].line_start += 1;
        d.rollback_if.clear();
        d.sites[0].line_end = 7;
    });
    let fields: Vec<&str> = refused.iter().map(|r| r.field.as_str()).collect();
    for part in ["prediction", "failing_invariant", "evidence", "rollback_if"] {
        assert!(
            fields.iter().any(|field| field.starts_with(part)),
            "{part}: {fields:?}"
        );
    }
}

#[test]
fn malformed_arguments_say_what_to_pass() {
    let ready = ready();
    let bench = &ready.bench;
    let error = bench
        .agent(api::GetClaimRequest {
            claim_id: "C7".into(),
        })
        .unwrap_err();
    assert_eq!((error.code(), error.fixable()), ("unknown_id", true));
    let error = bench
        .agent(api::WaitForRunRequest {
            run_id: "R99".into(),
            max_wait_s: 0,
        })
        .unwrap_err();
    assert!(
        error.to_string().contains(&ready.run.run_id),
        "valid ids are named: {error}"
    );
    let page = api::ReadLogRequest {
        log_id: "sha256:zz".into(),
        offset: None,
        line: None,
        max_bytes: None,
        view: api::LogViewKind::Raw,
    };
    assert_eq!(bench.agent(page).unwrap_err().code(), "bad_argument");
    for edit in [
        (|d| d.kind = "hotfix".into()) as Edit,
        |d| {
            d.change = api::ChangeView::Commit {
                repo_path: "/nowhere".into(),
                commit: "1".repeat(40),
            }
        },
        |d| {
            d.change = api::ChangeView::Patch {
                patch: "nonsense".into(),
                base: "1".repeat(40),
            }
        },
    ] {
        let mut draft = ready.draft.clone();
        edit(&mut draft);
        let request = api::CheckClaimRequest {
            loop_id: ready.loop_id.clone(),
            draft,
        };
        let error = bench.agent(request).unwrap_err();
        assert_eq!(error.code(), "bad_argument", "{error}");
    }
    let unknown = api::OpenLoopRequest {
        goal: "g".into(),
        scopes: vec!["path_equivalense".into()],
        idempotency_key: "k".into(),
    };
    let refused = bench.agent(unknown).unwrap().refused;
    assert_eq!(codes(&refused), ["scope_unknown"]);
    assert!(refused[0].remedy.contains(SCOPE));
}

#[test]
fn a_patch_is_as_good_as_a_commit() {
    let ready = ready();
    let clone = ready.bench.clone_path();
    let base = run(&clone, "git", &["rev-parse", "origin/main"]);
    let patch = run(&clone, "git", &["diff", "--binary", &base, "HEAD"]) + "\n";
    let refused = ready.check(|d| d.change = api::ChangeView::Patch { patch, base });
    assert_eq!(refused, []);
}

#[test]
fn an_agent_cannot_use_what_is_for_people() {
    let ready = ready();
    let (claim, _) = ready.staged();
    let (payload, signature) = ready.bench.sign(&claim);
    let approve = api::ApproveClaimRequest {
        claim_id: claim.clone(),
        payload,
        signature,
    };
    let error = ready.bench.agent(approve).unwrap_err();
    assert!(
        matches!(error, ServiceError::OperatorOnly { .. }),
        "{error}"
    );
    let error = ready.bench.agent(api::ShutdownRequest {}).unwrap_err();
    assert_eq!(error.code(), "operator_only");
    assert_eq!(ready.bench.claim(&claim).summary.state, "staged");
}

#[test]
fn a_key_stands_for_one_request() {
    let ready = ready();
    let bench = &ready.bench;
    let first = bench.propose(&ready.loop_id, "k", ready.draft.clone());
    let second = bench.propose(&ready.loop_id, "k", ready.draft.clone());
    assert_eq!(first, second);
    let mut other = ready.draft.clone();
    other.reasoning.push_str(" as well");
    let request = api::ProposeClaimRequest {
        loop_id: ready.loop_id.clone(),
        draft: other,
        idempotency_key: "k".into(),
    };
    assert_eq!(bench.agent(request).unwrap_err().code(), "key_reused");
}

#[test]
fn signatures_count_for_one_claim_and_by_one_key() {
    let ready = ready();
    let (claim, _) = ready.staged();
    let bench = &ready.bench;
    let (payload, signature) = bench.sign(&claim);
    let ask = |payload: &str, signature: &str| {
        let request = api::ApproveClaimRequest {
            claim_id: claim.clone(),
            payload: payload.into(),
            signature: signature.into(),
        };
        bench.person(request).unwrap()
    };
    // Another nonce: the signature is no longer over these bytes.
    let nonce = payload.find("\"nonce\":\"").unwrap() + 9;
    let mut altered = payload.clone();
    let digit = if &altered[nonce..=nonce] == "0" {
        "1"
    } else {
        "0"
    };
    altered.replace_range(nonce..=nonce, digit);
    assert_eq!(
        codes(&ask(&altered, &signature).refused),
        ["signature_refused"]
    );
    let other_tree = payload.replace("\"tree\":\"", "\"tree\":\"0000000000");
    assert_eq!(
        codes(&ask(&other_tree, &signature).refused),
        ["approval_mismatch"]
    );
    // A stranger's key, over the right bytes.
    run(
        &bench.root(),
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", "stranger"],
    );
    fs::write(bench.root().join("p"), &payload).unwrap();
    run(
        &bench.root(),
        "ssh-keygen",
        &[
            "-Y",
            "sign",
            "-n",
            "greenloop-approval",
            "-f",
            "stranger",
            "p",
        ],
    );
    let stranger = fs::read_to_string(bench.root().join("p.sig")).unwrap();
    assert_eq!(
        codes(&ask(&payload, &stranger).refused),
        ["signature_refused"]
    );
    assert_eq!(bench.claim(&claim).summary.state, "staged");
    assert_eq!(ask(&payload, &signature).state, "approved");
}

#[test]
fn a_rejected_claim_stays_rejected() {
    let ready = ready();
    let (claim, digest) = ready.staged();
    let bench = &ready.bench;
    let reject = |reason: &str| {
        let request = api::RejectClaimRequest {
            claim_id: claim.clone(),
            reason: reason.into(),
        };
        bench.person(request).unwrap()
    };
    assert_eq!(codes(&reject(" ").refused), ["reason_missing"]);
    assert_eq!(reject("fix the cause, not the test").state, "rejected");
    let pushed = bench.push(&ready.loop_id, &claim, &digest);
    assert!(!pushed.refused.is_empty() && pushed.pushed_commit.is_none());
    assert_eq!(bench.remote_refs().len(), 1);
}

#[test]
fn a_remote_that_moved_or_refuses_keeps_what_it_has() {
    let ready = ready();
    let (claim, digest) = ready.staged();
    let bench = &ready.bench;
    bench.approve(&claim);
    let hook = bench.remote_path().join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho no entry >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let before = bench.remote_refs();
    let refused = bench.push(&ready.loop_id, &claim, &digest);
    assert_eq!(codes(&refused.refused), ["remote_refused"]);
    assert!(refused.refused[0].reason.contains("no entry"));
    assert_eq!(
        (refused.state.as_str(), bench.remote_refs()),
        ("approved", before.clone())
    );
    // A remote whose receiving side dies: unknown, then read, and nothing was sent twice.
    fs::write(&hook, "#!/bin/sh\nkill -9 $PPID\n").unwrap();
    let refused = bench.push(&ready.loop_id, &claim, &digest);
    assert!(!refused.refused.is_empty());
    assert_eq!(
        (refused.state.as_str(), bench.remote_refs()),
        ("approved", before)
    );
    fs::remove_file(&hook).unwrap();
    // Somebody else moves the branch.
    let clone = bench.clone_path();
    run(
        &clone,
        "git",
        &["checkout", "-q", "-b", "other", "origin/main"],
    );
    run(
        &clone,
        "git",
        &["commit", "-q", "--allow-empty", "-m", "elsewhere"],
    );
    run(&clone, "git", &["push", "-q", "origin", "HEAD:main"]);
    let moved = bench.push(&ready.loop_id, &claim, &digest);
    assert_eq!(codes(&moved.refused), ["remote_moved"]);
    assert_eq!(
        moved.state, "invalidated",
        "its scope is free for the next claim"
    );
}

#[test]
fn gates_refuse_a_change_that_fixes_nothing() {
    let bench = Bench::new();
    let red = bench.run_scope();
    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h1", "skipped_work", "the last block is skipped");
    let clone = bench.clone_path();
    run(
        &clone,
        "sed",
        &[
            "-i",
            "s/let mut carry = 0;/let mut carry = 0_i64;/",
            "src/blocks.rs",
        ],
    );
    run(&clone, "git", &["commit", "-q", "-am", "nothing"]);
    let commit = run(&clone, "git", &["rev-parse", "HEAD"]);
    let draft = bench.good_draft(&red, &hypothesis, &commit);
    let proposed = bench.propose(&loop_id, "c", draft);
    assert_eq!(proposed.refused, []);
    let claim = proposed.claim_id.unwrap();
    let gates = bench.gates(&loop_id, &claim, 300);
    let found = codes(&gates.refused);
    assert!(
        found.contains(&"pinned_test_not_green") && found.contains(&"gate_failed"),
        "{found:?}"
    );
    assert_eq!((gates.state.as_str(), gates.done), ("checked", true));
    assert!(bench.claim(&claim).card.is_none(), "no commit, no card");
}

#[test]
fn one_service_holds_the_state() {
    let bench = Bench::new();
    let Err(error) = bench.open_again() else {
        panic!("two writers")
    };
    assert!(error.to_string().contains("is held by process"), "{error}");
}

#[test]
fn a_cell_that_the_scope_lacks_is_named_with_those_it_has() {
    let bench = Bench::new();
    let asked = bench.person(api::StartRunRequest {
        scope: crate::support::SCOPE.into(),
        cell: Some("relase".into()),
        commit: None,
        wait: false,
    });
    let Err(error) = asked else {
        panic!("a run of no cell")
    };
    assert_eq!((error.code(), error.fixable()), ("unknown_id", true));
    assert_eq!(error.to_string(), "no cell `relase`; valid: again, debug");
}

#[test]
fn of_two_callers_at_once_one_gets_the_run() {
    let bench = Bench::new();
    let begin = std::sync::Barrier::new(8);
    let ask = || {
        begin.wait();
        let request = api::StartRunRequest {
            scope: crate::support::SCOPE.into(),
            cell: Some("debug".into()),
            commit: None,
            wait: false,
        };
        bench.person(request).unwrap()
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let started = answers.iter().filter(|answer| answer.run.is_some()).count();
    assert_eq!(started, 1);
    let refused = answers.iter().filter(|answer| answer.run.is_none());
    for answer in refused {
        assert_eq!(codes(&answer.refused), ["run_live"]);
    }
}
