//! Every lie that an attestation can tell is named, and an honest one replays from a clone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use attest::claim::ClaimKind;
use attest::digest::Digest;
use attest::namespace::Namespace;
use discipline::decision::{DecisionInput, RevertedFacts};
use discipline::model::{GateVerdict, Verdict};
use gitread::GitReader;
use support::{APPROVER, Edits, LOG, Made, VERDICT, World, git, now_ms};
use verify::{
    CommitReport, Evidence, Moment, Terms, Trust, base_facts, change_facts, check_commit,
};

fn check_at(world: &World, made: &Made, moment: Moment) -> CommitReport {
    let trust = Trust::from_signers(Some(&world.path("signers"))).unwrap();
    let terms = Terms {
        trust: &trust,
        moment,
        evidence: None,
    };
    let object = Some(made.attestation.as_str());
    check_commit(
        &world.reader(),
        &made.commit,
        object,
        Some(support::MAIN),
        &terms,
    )
    .unwrap()
}

fn check(world: &World, made: &Made) -> CommitReport {
    check_at(world, made, Moment::Hook { now_ms: now_ms() })
}

fn codes(report: &CommitReport) -> BTreeSet<String> {
    let named = report
        .refused
        .iter()
        .map(|r| format!("{} @ {}", r.code, r.field));
    named.collect()
}

#[test]
fn an_honest_attestation_is_accepted_without_a_warning() {
    let world = World::new();
    let report = check(&world, &world.make(Edits::default()));
    assert_eq!(report.refused, []);
    assert_eq!(report.warnings, []);
    assert!(report.accepted);
    assert_eq!(report.approver.unwrap().principal, "ana@example.org");
    assert!(report.decision.unwrap().allowed);
    assert_eq!(report.claim_id.as_deref(), Some("C1"));
}

/// (what is wrong, how to make it so, refusals that must be among those named)
type Lie = (&'static str, Edits, &'static [&'static str]);

fn lies() -> Vec<Lie> {
    let good = Edits::default;
    vec![
        (
            "a stranger approves",
            Edits {
                approver: 9,
                ..good()
            },
            &["signer_unknown @ approval.sig"],
        ),
        (
            "the daemon's gate key approves",
            Edits {
                approver: support::GATE,
                ..good()
            },
            &[
                "signer_unknown @ approval.sig",
                "key_in_two_namespaces @ signatures",
            ],
        ),
        (
            "a signature for another purpose",
            Edits {
                namespace: Namespace::Claim,
                ..good()
            },
            &["approval_invalid @ approval.sig"],
        ),
        (
            "the approver's key signs gates",
            Edits {
                gate_key: APPROVER,
                ..good()
            },
            &[
                "signer_unknown @ signature.greenloop-gate",
                "key_in_two_namespaces @ signatures",
            ],
        ),
        (
            "a stranger signs the envelope",
            Edits {
                verdict_key: 9,
                ..good()
            },
            &["signer_unknown @ signature.greenloop-verdict"],
        ),
        (
            "approved for another tip",
            Edits {
                subject: |s| s.old_tip = "9".repeat(40),
                ..good()
            },
            &[
                "approval_mismatch @ approval.old_tip",
                "decision_refuses @ decision",
            ],
        ),
        (
            "approved for another tree",
            Edits {
                subject: |s| s.tree = "9".repeat(40),
                ..good()
            },
            &["approval_mismatch @ approval.tree"],
        ),
        (
            "approved for another commit",
            Edits {
                subject: |s| s.commit = "9".repeat(40),
                ..good()
            },
            &[
                "approval_mismatch @ approval.commit",
                "attestation_mismatch @ statement.dsse",
            ],
        ),
        (
            "approved for other gates",
            Edits {
                subject: |s| s.gates_digest = Digest::of(b"x"),
                ..good()
            },
            &["approval_mismatch @ approval.gates_digest"],
        ),
        (
            "approved for another repository",
            Edits {
                subject: |s| s.repo = "9".repeat(40),
                ..good()
            },
            &["approval_mismatch @ approval.repo"],
        ),
        (
            "an approval that has expired",
            Edits {
                subject: |s| s.expires_ms = now_ms() - 3_600_000,
                ..good()
            },
            &["approval_expired @ approval.expires_ms"],
        ),
        (
            "a forged signature",
            Edits {
                files: |files| {
                    let text = files["approval.json"].clone();
                    let text = String::from_utf8(text).unwrap().replace("5eed", "5eee");
                    files.insert("approval.json".into(), text.into_bytes());
                },
                ..good()
            },
            &[
                "approval_invalid @ approval.sig",
                "attestation_mismatch @ decision-input.approval",
            ],
        ),
        (
            "a claim about another repository",
            Edits {
                kind: |b| b.repo = "9".repeat(40),
                ..good()
            },
            &["attestation_mismatch @ claim.repo"],
        ),
        (
            "a claim about another ref",
            Edits {
                kind: |b| b.ref_name = "refs/heads/wip".into(),
                ..good()
            },
            &["attestation_mismatch @ claim.ref_name"],
        ),
        (
            "a digest of another diff",
            Edits {
                kind: |b| b.diff_digest = Digest::of(b"x"),
                ..good()
            },
            &[
                "attestation_mismatch @ claim.diff_digest",
                "diff_digest_mismatch @ diff_digest",
            ],
        ),
        (
            "a claim without prediction",
            Edits {
                kind: |b| b.predictions.clear(),
                ..good()
            },
            &[
                "prediction_missing @ prediction",
                "decision_refuses @ decision",
            ],
        ),
        (
            "a law that does not fail",
            Edits {
                kind: |b| b.failing_invariant = "§2".into(),
                ..good()
            },
            &["invariant_unknown @ failing_invariant"],
        ),
        (
            "a message without trailers",
            Edits {
                message: |m| *m = "sums: count every value (§1)".into(),
                ..good()
            },
            &[
                "attestation_mismatch @ commit.Claim-Digest",
                "trailer_missing @ commit.Claim-Id",
            ],
        ),
        (
            "a message that says more",
            Edits {
                message: |m| m.insert_str(0, "Also: "),
                ..good()
            },
            &["attestation_mismatch @ claim.message"],
        ),
        (
            "a law invented for the occasion",
            Edits {
                input: |i| i.policy.law[0].id = "§9".into(),
                ..good()
            },
            &["attestation_mismatch @ policy"],
        ),
        (
            "a policy of another day",
            Edits {
                input: |i| i.policy.policy_digest = Digest::of(b"x"),
                ..good()
            },
            &["attestation_mismatch @ policy.policy_digest"],
        ),
        (
            "another catalogue",
            Edits {
                input: |i| i.policy.catalogue_digest = Digest::of(b"x"),
                ..good()
            },
            &["attestation_mismatch @ policy.catalogue_digest"],
        ),
        (
            "other playbooks",
            Edits {
                input: |i| i.policy.playbooks_digest = Digest::of(b"x"),
                ..good()
            },
            &["attestation_mismatch @ policy.playbooks_digest"],
        ),
        (
            "findings left out",
            Edits {
                input: |i| i.diff.hunks.clear(),
                ..good()
            },
            &["attestation_mismatch @ diff"],
        ),
        (
            "a decision over another claim",
            Edits {
                files: |files| {
                    let text = String::from_utf8(files["claim.json"].clone()).unwrap();
                    let text = text.replace("skips the first", "skips the last");
                    files.insert("claim.json".into(), text.into_bytes());
                },
                ..good()
            },
            &[
                "attestation_mismatch @ decision-input.body",
                "attestation_mismatch @ commit.Claim-Digest",
                "approval_mismatch @ approval.claim_digest",
            ],
        ),
        (
            "a decision about another commit",
            Edits {
                input: |i| i.target.commit = Some("9".repeat(40)),
                ..good()
            },
            &["attestation_mismatch @ decision-input.target.commit"],
        ),
        (
            "a decision made tomorrow",
            Edits {
                input: |i| i.now_ms = now_ms() + 86_400_000,
                ..good()
            },
            &["decision_from_future @ decision-input.now_ms"],
        ),
        (
            "another approver's name",
            Edits {
                input: |i| i.approval.as_mut().unwrap().signer = "bo".into(),
                ..good()
            },
            &["attestation_mismatch @ decision-input.approval.signer"],
        ),
        (
            "rules of another version",
            Edits {
                input: |i| i.rules_version = 99,
                ..good()
            },
            &["rules_version_other @ decision-input.rules_version"],
        ),
        (
            "a rule's refusal removed",
            Edits {
                kind: |b| b.rollback_if.clear(),
                decision: |d| {
                    d.allowed = true;
                    d.rules.iter_mut().for_each(|rule| rule.refused.clear());
                },
                ..good()
            },
            &[
                "decision_differs @ decision",
                "decision_refuses @ decision",
                "rollback_missing @ rollback_if",
            ],
        ),
        (
            "a rule left out",
            Edits {
                decision: |d| drop(d.rules.pop()),
                ..good()
            },
            &["decision_differs @ decision"],
        ),
        (
            "a gate that failed",
            Edits {
                gates: |g| g[2].verdict = GateVerdict::Refused,
                ..good()
            },
            &[
                "gates_not_passed @ statement.dsse",
                "gate_failed @ gates[0]",
            ],
        ),
        (
            "a gate that decided nothing",
            Edits {
                gates: |g| g[2].verdict = GateVerdict::Vacuous,
                ..good()
            },
            &[
                "gates_not_passed @ statement.dsse",
                "gate_vacuous @ gates[0]",
            ],
        ),
        (
            "results changed after the statement",
            Edits {
                input: |i| i.gates.as_mut().unwrap().results[2].duration_ms = 1,
                ..good()
            },
            &[
                "attestation_mismatch @ decision-input.gates.gates_digest",
                "approval_mismatch @ approval.gates_digest",
            ],
        ),
        (
            "a policy file of its own",
            Edits {
                files: |f| drop(f.insert("policy.json".into(), b"{}".to_vec())),
                ..good()
            },
            &["attestation_malformed @ attestation"],
        ),
        (
            "a missing file",
            Edits {
                files: |f| drop(f.remove("decision.json")),
                ..good()
            },
            &["attestation_malformed @ attestation"],
        ),
        (
            "a file too many",
            Edits {
                files: |f| drop(f.insert("hook.sh".into(), Vec::new())),
                ..good()
            },
            &["attestation_malformed @ attestation"],
        ),
        (
            "another spelling of the claim",
            Edits {
                files: |f| {
                    let text = f["claim.json"].clone();
                    f.insert("claim.json".into(), [b" ".to_vec(), text].concat());
                },
                ..good()
            },
            &["attestation_malformed @ attestation"],
        ),
    ]
}

#[test]
fn every_lie_is_named() {
    let world = World::new();
    for (name, edits, wanted) in lies() {
        let report = check(&world, &world.make(edits));
        let found = codes(&report);
        assert!(!report.accepted, "{name}");
        for code in wanted {
            assert!(found.contains(*code), "{name}: no {code} in {found:#?}");
        }
        let silent = report
            .refused
            .iter()
            .find(|r| r.remedy.is_empty() || r.reason.is_empty());
        assert_eq!(silent, None, "{name}");
    }
}

#[test]
fn code_that_rides_outside_the_claim_is_seen() {
    let world = World::new();
    // The honest fix is approved; the pushed tree also ignores a test.
    let weakened = support_tree(&world);
    let report = check(&world, &world.make_with(&weakened, Edits::default()));
    let found = codes(&report);
    assert!(
        found.iter().any(|code| code.contains("decision_refuses")),
        "{found:#?}"
    );
    let files: Vec<_> = report
        .refused
        .iter()
        .filter(|r| r.reason.contains("tests/sums.rs"))
        .collect();
    assert!(!files.is_empty(), "{found:#?}");
}

/// What would keep every later claim from being judged is refused while it is still a proposal.
#[test]
fn a_policy_change_that_nobody_could_read_is_refused() {
    const CLASS: &str = include_str!("../../../playbooks/tests/class/fan_failure.toml");
    const RULE: &str = include_str!("../../../playbooks/tests/class/reviewed_rule.toml");
    let rule = |decision: &str| {
        format!(
            "{CLASS}{}",
            RULE.replace("\"refuse\"", &format!("\"{decision}\""))
        )
    };
    let world = World::with(
        "\n[playbooks]\ndirs = [\"loop\"]\n",
        &[("loop/fan.toml", CLASS)],
    );
    let base = base_facts(&world.reader(), &world.base).unwrap();
    let mut body = check(&world, &world.make(Edits::default())).claim.unwrap();
    body.kind = ClaimKind::PolicyChange;
    let mut found = |path: &str, text: &str| -> BTreeSet<String> {
        body.tree = world.tree_with(path, text);
        let facts = change_facts(&world.reader(), &world.base_tree, &body, &base).unwrap();
        facts
            .findings
            .into_iter()
            .map(|finding| finding.code)
            .collect()
    };
    let codes = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect();
    let sound: BTreeSet<String> = codes(&[]);
    assert_eq!(found("loop/fan.toml", &rule("refuse")), sound);
    assert_eq!(
        found("loop/fan.toml", &rule("allow")),
        codes(&["policy_unusable"])
    );
    for (path, text) in [
        ("greenloop.toml", "schema = 1\nrepos = 1\n"),
        ("loop/fan.toml", "name = \"fan_failure\"\n"),
        ("INVARIANTS.md", "# Law\n\nLaws: many\n"),
    ] {
        assert_eq!(found(path, text), codes(&["policy_unusable"]), "{path}");
    }
    // The same files under a code claim are protected, wherever the policy puts them.
    body.kind = ClaimKind::Fix;
    body.tree = world.tree_with("loop/fan.toml", &rule("refuse"));
    let facts = change_facts(&world.reader(), &world.base_tree, &body, &base).unwrap();
    assert!(
        facts
            .findings
            .iter()
            .any(|finding| finding.code == "protected_path"),
        "{facts:#?}"
    );
}

fn support_tree(world: &World) -> String {
    world.tree_with(
        "tests/sums.rs",
        "//! Sums.\n\n#[test]\n#[ignore]\nfn all_values_count() {}\n",
    )
}

#[test]
fn a_missing_attestation_is_a_refusal_that_names_the_way() {
    let world = World::new();
    let made = world.make(Edits::default());
    let trust = Trust::from_signers(None).unwrap();
    let terms = Terms {
        trust: &trust,
        moment: Moment::Audit,
        evidence: None,
    };
    let report = check_commit(&world.reader(), &made.commit, None, None, &terms).unwrap();
    assert_eq!(
        codes(&report),
        ["attestation_missing @ attestation".to_owned()].into()
    );
}

#[test]
fn evidence_is_read_again_from_raw_logs() {
    let world = World::new();
    let made = world.make(Edits::default());
    let trust = Trust::from_signers(Some(&world.path("signers"))).unwrap();
    let with = |logs: Vec<Vec<u8>>| {
        let evidence = Evidence::from_logs(logs);
        let terms = Terms {
            trust: &trust,
            moment: Moment::Audit,
            evidence: Some(&evidence),
        };
        let object = Some(made.attestation.as_str());
        check_commit(&world.reader(), &made.commit, object, None, &terms).unwrap()
    };
    let honest = with(vec![LOG.as_bytes().to_vec(), b"another file".to_vec()]);
    assert!(honest.accepted, "{:?}", honest.refused);
    assert_eq!(honest.evidence, "re_derived: 1 citations, 1 baseline cells");
    let other = LOG.replace("0 passed; 1 failed", "1 passed; 0 failed");
    let wanted = [
        "evidence_missing @ evidence[0]",
        "evidence_differs @ baseline.cells.default",
    ];
    assert_eq!(
        codes(&with(vec![other.into_bytes()])),
        wanted.map(str::to_owned).into()
    );

    let invented = world.make(Edits {
        input: |i| {
            i.baseline.as_mut().unwrap().cells[0]
                .observations
                .truncate(1)
        },
        ..Edits::default()
    });
    let evidence = Evidence::from_logs([LOG.as_bytes().to_vec()]);
    let terms = Terms {
        trust: &trust,
        moment: Moment::Audit,
        evidence: Some(&evidence),
    };
    let object = Some(invented.attestation.as_str());
    let report = check_commit(&world.reader(), &invented.commit, object, None, &terms).unwrap();
    assert!(codes(&report).contains("evidence_differs @ baseline.cells.default"));
}

fn run(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_greenloop-verify"))
        .args(args)
        .current_dir(dir)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Ids, digests, keys and times as words, so that the text around them can be pinned.
fn redacted(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words = line.split_inclusive([' ', ',', '(', ')', ':', '\'']);
        for word in words {
            let body = word.trim_end_matches([' ', ',', '(', ')', ':', '\'']);
            let tail = &word[body.len()..];
            let hex = body.len() >= 12 && body.bytes().all(|b| b.is_ascii_hexdigit());
            let fingerprint = body.len() == 43 && body.is_ascii();
            out.push_str(match (hex, fingerprint) {
                (true, _) => "[id]",
                (_, true) => "[key]",
                _ if body.starts_with("/tmp") => "[dir]",
                _ if body.len() == 13 && body.starts_with('1') => "[time]",
                _ => body,
            });
            out.push_str(tail);
        }
        out.push('\n');
    }
    out
}

#[test]
fn a_fresh_clone_replays_the_push_offline() {
    let world = World::new();
    let remote = world.guarded_remote();
    let made = world.make(Edits::default());
    remote.delivers(&made);
    let verdict = world.verdict(&made, VERDICT, now_ms());
    remote.accepts(
        &[],
        &[&format!("{verdict}:refs/greenloop/verdict/{}", made.commit)],
    );
    let checkpoint = world.checkpoint(&made, 44, b"record 44", None);
    remote.accepts(&[], &[&format!("{checkpoint}:refs/greenloop/log")]);
    let url = format!("file://{}", remote.path.display());
    git(world.dir.path(), &["clone", "-q", &url, "clone"], b"");
    let clone = world.path("clone");

    // Without the refs, the way to get them is printed, and running it works.
    let missing = run(&["why", "HEAD", "--json"], &clone);
    assert_eq!(missing.status.code(), Some(3));
    let report: CommitReport = serde_json::from_slice(&missing.stdout).unwrap();
    assert_eq!(report.refused[0].code, "attestation_missing");
    assert_eq!(
        report.refused[0].remedy,
        "git -C . fetch origin 'refs/greenloop/*:refs/greenloop/*'"
    );
    git(
        &clone,
        &["fetch", "-q", "origin", "refs/greenloop/*:refs/greenloop/*"],
        b"",
    );

    fs::remove_dir_all(&remote.path).unwrap();
    let signers = world.path("signers");
    let signers = ["--signers", signers.to_str().unwrap()];
    let why = run(&["why", "HEAD", signers[0], signers[1]], &clone);
    assert_eq!(why.status.code(), Some(0), "{}", text(&why.stdout));
    insta::assert_snapshot!("why", redacted(&text(&why.stdout)));

    let audit = run(&["audit", ".", signers[0], signers[1]], &clone);
    assert_eq!(audit.status.code(), Some(0), "{}", text(&audit.stdout));
    insta::assert_snapshot!("audit", redacted(&text(&audit.stdout)));
    let policy = world.path("policy.toml");
    let pinned = run(
        &["audit", ".", "--policy", policy.to_str().unwrap(), "--json"],
        &clone,
    );
    let report: serde_json::Value = serde_json::from_slice(&pinned.stdout).unwrap();
    assert_eq!(report["accepted"], true);
    assert_eq!(report["until"], world.base);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 0);

    let unpinned = run(&["why", "HEAD"], &clone);
    assert_eq!(unpinned.status.code(), Some(0));
    assert!(text(&unpinned.stdout).contains("[signers_self_asserted] self-asserted:"));

    let logs = world.path("logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("R1.log"), LOG).unwrap();
    let with_logs = run(
        &[
            "audit",
            ".",
            "--commit",
            &made.commit[..10],
            "--evidence",
            logs.to_str().unwrap(),
        ],
        &clone,
    );
    assert_eq!(
        with_logs.status.code(),
        Some(0),
        "{}",
        text(&with_logs.stdout)
    );
    assert!(text(&with_logs.stdout).contains("re_derived: 1 citations, 1 baseline cells"));
}

#[test]
fn an_audit_refuses_a_branch_with_an_unattested_commit() {
    let world = World::new();
    let made = world.make(Edits::default());
    let extra = world.git(&["commit-tree", &made.tree, "-p", &made.commit, "-m", "extra"]);
    let name = format!("refs/greenloop/attest/{}", made.commit);
    world.git(&["update-ref", &name, &made.attestation]);
    let trust = Trust {
        trusted_root: Some(world.base.clone()),
        ..Trust::from_signers(Some(&world.path("signers"))).unwrap()
    };
    let audit = |start: &str| {
        let reader: GitReader = world.reader();
        verify::audit::audit(&reader, Some(start), &world.work(), &trust, None).unwrap()
    };
    assert!(audit(&made.commit).accepted);
    let refused = audit(&extra);
    assert!(!refused.accepted);
    let states: Vec<_> = refused
        .commits
        .iter()
        .map(|commit| commit.accepted)
        .collect();
    assert_eq!(states, [false, true]);
    let unrelated = world.git(&["commit-tree", &made.tree, "-m", "unrelated"]);
    let codes: Vec<_> = audit(&unrelated)
        .refused
        .into_iter()
        .map(|r| r.code)
        .collect();
    assert_eq!(codes, ["root_untrusted"]);
}

#[test]
fn a_verdict_is_believed_only_when_it_verifies() {
    let world = World::new();
    let made = world.make(Edits::default());
    let name = format!("refs/greenloop/verdict/{}", made.commit);
    let report = |object: &str| {
        world.git(&["update-ref", &name, object]);
        check_at(&world, &made, Moment::Audit)
    };
    let honest = report(&world.verdict(&made, VERDICT, now_ms()));
    assert!(honest.accepted, "{:?}", honest.refused);
    assert_eq!(honest.warnings, []);
    assert!(honest.verdict.unwrap().pinned);
    let late = report(&world.verdict(&made, VERDICT, now_ms() + 86_400_000));
    assert!(late.accepted);
    assert_eq!(late.warnings[0].code, "push_time_unproven");
    let forged = report(&world.verdict(&made, 9, now_ms()));
    assert_eq!(
        codes(&forged),
        ["signer_unknown @ signature.greenloop-verdict".to_owned()].into()
    );
    let other = Made {
        claim_digest: Digest::of(b"other"),
        ..made.clone()
    };
    let swapped = report(&world.verdict(&other, VERDICT, now_ms()));
    assert_eq!(
        codes(&swapped),
        ["attestation_mismatch @ verdict.claim_digest".to_owned()].into()
    );
    let garbage = report(&made.attestation);
    assert_eq!(
        codes(&garbage),
        ["verdict_malformed @ verdict".to_owned()].into()
    );
}

/// Which tests may stay red under a rollback hangs on what it takes back, so that is looked up in the clone.
#[test]
fn a_rollback_takes_back_a_commit_of_the_branch_and_no_other() {
    let world = World::new();
    let made = |input: fn(&mut DecisionInput)| {
        let made = world.make(Edits {
            kind: |body| body.kind = ClaimKind::Rollback,
            input,
            ..Edits::default()
        });
        codes(&check_at(&world, &made, Moment::Audit))
    };
    let forged = "attestation_mismatch @ decision-input.reverted".to_owned();
    let stated = |input: &mut DecisionInput| {
        input.target.scope_closed = Some("C1 broke a guard".to_owned());
        // The base has no parent, so nothing below the claim can be taken back.
        input.reverted = Some(RevertedFacts {
            claim_id: "C1".to_owned(),
            commit: input.body.parent.clone(),
            parent_tree: input.body.tree.clone(),
            changed: None,
        });
    };
    assert!(made(stated).contains(&forged));
    assert!(!made(|input| input.reverted = None).contains(&forged));
    let unreadable = |input: &mut DecisionInput| {
        input.reverted = Some(RevertedFacts {
            claim_id: "C1".to_owned(),
            commit: "not hex".to_owned(),
            parent_tree: String::new(),
            changed: None,
        });
    };
    assert!(made(unreadable).contains(&forged));
}

#[test]
fn a_verdict_that_leaves_a_guarded_scope_out_is_refused() {
    let world = World::with(
        "[scope.beside]\npackage = \"sums\"\nargv = [\"cargo\", \"test\", \"-p\", \"sums\"]\nwhen = [\"other/**\"]\n",
        &[],
    );
    let made = world.make(Edits {
        kind: |body| {
            body.guards.push(attest::claim::Guard {
                scope: "beside".to_owned(),
                predicate: "absent envelope".to_owned(),
            });
            body.budget.runs = 2;
        },
        ..Edits::default()
    });
    let name = format!("refs/greenloop/verdict/{}", made.commit);
    let report = |edit: fn(&mut Verdict)| {
        let object = world.verdict_with(&made, VERDICT, now_ms(), edit);
        world.git(&["update-ref", &name, &object]);
        check_at(&world, &made, Moment::Audit)
    };
    let silent = report(|_| ());
    assert_eq!(
        codes(&silent),
        ["verdict_incomplete @ verdict.other_scopes".to_owned()].into()
    );
    let whole = report(|verdict| {
        let unseen = discipline::verification::guards::not_seen("beside", "it never ran".into());
        verdict.other_scopes.push(unseen);
    });
    assert!(whole.accepted, "{:?}", whole.refused);
    let text = verify::why_text(&whole);
    assert!(
        text.contains("guards of beside not_seen (no run)"),
        "{text}"
    );
    assert!(text.contains("it never ran"), "{text}");
}

#[test]
fn usage_errors_have_their_own_exit_code() {
    let world = World::new();
    for args in [
        &["why", "nothing"][..],
        &["audit", "/nowhere"],
        &["why", "HEAD", "--signers", "/nowhere"],
        &["why", "HEAD", "--evidence", "/nowhere"],
        &["audit", ".", "--policy", "greenloop.toml"],
        &["frobnicate"],
    ] {
        let output = run(args, &world.work());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

/// The chain of checkpoints is part of what a clone proves: later ones prove later records, and none
/// contradicts another or a verdict.
#[test]
fn checkpoints_that_contradict_each_other_are_named() {
    let world = World::new();
    let made = world.make(Edits::default());
    let point = |name: &str, object: &str| world.git(&["update-ref", name, object]);
    point("refs/heads/main", &made.commit);
    point(
        &format!("refs/greenloop/attest/{}", made.commit),
        &made.attestation,
    );
    let told = || -> (Vec<String>, Vec<String>) {
        let trust = Trust::from_signers(Some(&world.path("signers"))).unwrap();
        let tip = Some(made.commit.as_str());
        let report =
            verify::audit::audit(&world.reader(), tip, &world.work(), &trust, None).unwrap();
        let warnings = report.warnings.into_iter().map(|warning| warning.code);
        let about = |code: &String| code.starts_with("checkpoint");
        (
            report.refused.into_iter().map(|found| found.code).collect(),
            warnings.filter(about).collect(),
        )
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(
        told(),
        (none.clone(), none.clone()),
        "nothing is graded yet"
    );
    point(
        &format!("refs/greenloop/verdict/{}", made.commit),
        &world.verdict(&made, VERDICT, now_ms()),
    );
    assert_eq!(told().1, ["checkpoints_missing"]);

    // The verdict was signed at record 41.
    let early = world.checkpoint(&made, 40, b"record 40", None);
    point("refs/greenloop/log", &early);
    assert_eq!(told(), (none.clone(), vec!["checkpoint_behind".into()]));
    let later = world.checkpoint(&made, 44, b"record 44", Some(&early));
    point("refs/greenloop/log", &later);
    assert_eq!(told(), (none.clone(), none.clone()));

    let cases: [(u64, &[u8], &str); 3] = [
        (43, b"record 43", "checkpoint_rewound"),
        (44, b"another record 44", "checkpoint_forked"),
        (41, b"another record 41", "checkpoint_forked"),
    ];
    for (seq, said, code) in cases {
        point(
            "refs/greenloop/log",
            &world.checkpoint(&made, seq, said, Some(&later)),
        );
        assert!(told().0.contains(&code.to_owned()), "{seq}: {:?}", told());
    }
    let foreign = world.git(&["commit-tree", "-m", "x", &made.tree, "-p", &later]);
    point("refs/greenloop/log", &foreign);
    assert_eq!(told(), (none, vec!["checkpoints_unreadable".into()]));
}
