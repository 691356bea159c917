//! One good claim, its facts and its whole story, for tests. Change one part and see one refusal.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "fixtures are test code"
)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use attest::approval::{ApprovalSubject, claim_digest};
use attest::claim::{
    CLAIM_SCHEMA, Citation, ClaimBody, ClaimBudget, ClaimKind, Guard, PinnedTest, Site,
};
use attest::digest::Digest;
use attest::json::canonical;
use markers::CellObservations;
use playbooks::Playbooks;

use crate::decision::{
    ApprovalFacts, BaselineFacts, DecisionInput, DiffFacts, EvidenceFact, GateFacts, Hunk,
    HypothesisFacts, LawFact, PolicyFacts, RULES_VERSION, Stage, TargetFacts, gates_digest,
};
use crate::diff::{ChangedPath, FileMode};
use crate::event::{Author, Event, HypothesisBody, Mechanism, PushOutcome, QuotedSite};
use crate::model::{
    ClaimId, Conclusion, GateResult, GateRole, GateRunId, GateVerdict, HypothesisId, Job, LogRef,
    LoopId, ProcessExit, Run, RunId, RunStatus, Step, TestCounts, Trigger,
};
use crate::observation::Grade;
use crate::policy::Policy;
use crate::rulebook::Rulebook;
use crate::rules::decide;
use crate::state::ScopeClosure;

/// The moment of every decision, unix milliseconds.
pub const NOW_MS: i64 = 1_760_000_000_000;
/// Root commit of the repository.
pub const ROOT: &str = "0000000000000000000000000000000000000001";
/// Commit that the claim is made on.
pub const PARENT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Its tree.
pub const BASE_TREE: &str = "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Tree of the claim.
pub const TREE: &str = "cccccccccccccccccccccccccccccccccccccccc";
/// The daemon's commit.
pub const COMMIT: &str = "dddddddddddddddddddddddddddddddddddddddd";
/// The claim's proof scope.
pub const SCOPE: &str = "vulkan_kernel_correctness";
/// The pinned test.
pub const PINNED: &str = "attn_norm_is_dispatched";
/// The changed file.
pub const CHANGED: &str = "engine/src/graph.rs";

const POLICY: &str = r#"
schema = 1

[repo]
law = "invariants/INVARIANTS.md"

[scope.vulkan_kernel_correctness]
package = "engine"
features = ["gpu-smoke-test"]
argv = ["cargo", "test", "-p", "engine", "--features", "gpu-smoke-test", "--test", "gpu_smoke"]
cells = [
    { name = "noop-0-summary", env = { ENGINE_PERDISPATCH = "summary" } },
    { name = "noop-0-full", env = { ENGINE_PERDISPATCH = "full" } },
]
engage = ["all backend.cpu_fallback == false", "any cargo_summary.passed >= 1"]
guards = ["absent worker_exit{class=driver_crash}"]
when = ["engine/**"]

[scope.dream]
package = "engine"
argv = ["cargo", "test", "-p", "engine", "--test", "dream"]
when = ["engine/src/dream/**"]
guards = ["absent envelope"]

[gate.engine_smoke]
package = "engine"
features = ["gpu-smoke-test"]
argv = ["cargo", "test", "-p", "engine", "--features", "gpu-smoke-test"]
when = ["engine/**"]

[gate.markers]
package = "markers"
argv = ["cargo", "test", "-p", "markers"]
when = ["orchestrator/markers/**"]

[budget]
runner_minutes_per_day = 60
"#;

/// The builtin catalogue.
#[must_use]
pub fn rulebook() -> Rulebook {
    // Loading checks every example of every marker, which tests need once.
    static BUILTIN: LazyLock<Rulebook> = LazyLock::new(|| Rulebook::builtin().unwrap());
    BUILTIN.clone()
}

/// The builtin playbooks.
#[must_use]
pub fn playbooks() -> Playbooks {
    static BUILTIN: LazyLock<Playbooks> =
        LazyLock::new(|| Playbooks::builtin(&rulebook().catalogue).unwrap());
    BUILTIN.clone()
}

/// A policy with two scopes and two gates.
#[must_use]
pub fn policy() -> Policy {
    Policy::parse(POLICY).unwrap()
}

/// An unverified author.
#[must_use]
pub fn author() -> Author {
    Author {
        uid: 1000,
        name: "agent".into(),
    }
}

/// A run log of one cell: red with a divergence, or green.
#[must_use]
pub fn log(cell: &str, green: bool) -> String {
    let mode = match cell.ends_with("full") {
        true => "sum_us=90 gap_us=10 ts=full shader_buckets=[rms_norm:2:30,matvec_f32:7:60]",
        false => "sum_us=n/a gap_us=n/a ts=summary shader_buckets=disabled(mode=summary)",
    };
    let pass = format!(
        "[GPU PERDISPATCH] v=1 run=0a1b2c3d seq=1 role=target path=single_graph phase=prefill pass=0 submits=1 \
         dispatches=9 barriers=8 cb_us=100 {mode}"
    );
    let divergence = "FIRST_DIVERGENCE v=1 run=0a1b2c3d seq=2 path=single_graph phase=prefill pass=0 layer=0 \
                      tensor_stage=attn_norm kind=zeros cpu=0.4375 gpu=0 op=rms_norm dispatched=false inputs_ok=true \
                      last_writer=none region=arena";
    let mut lines = vec![
        "running 2 tests".to_owned(),
        "[BACKEND] v=1 run=0a1b2c3d seq=0 backend=vulkan device=\"llvmpipe\" driver=\"Mesa\" api=1.3.230 \
         cpu_fallback=false mode=GpuSingleGraph"
            .to_owned(),
        pass,
    ];
    match green {
        true => lines.extend(
            [
                "[TELEMETRY END] v=1 run=0a1b2c3d seq=2 lines=2",
                "test gpu_correctness_smoke_forward ... ok",
                "test gpu_correctness_smoke_rope ... ok",
                "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            ]
            .map(String::from),
        ),
        false => lines.extend(
            [
                divergence,
                "[TELEMETRY END] v=1 run=0a1b2c3d seq=3 lines=3",
                "test gpu_correctness_smoke_forward ... FAILED",
                "test gpu_correctness_smoke_rope ... ok",
                "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            ]
            .map(String::from),
        ),
    }
    lines.join("\n") + "\n"
}

/// The log of a cell, with this line added before the results of the tests.
#[must_use]
pub fn log_with(name: &str, green: bool, line: &str) -> String {
    let running = "running 2 tests\n";
    log(name, green).replacen(running, &format!("{running}{line}\n"), 1)
}

/// What a cell with this whole log showed.
#[must_use]
pub fn cell(name: &str, log: &str) -> CellObservations {
    CellObservations {
        cell: name.to_owned(),
        complete: true,
        observations: markers::scan(&rulebook().catalogue, log.as_bytes()).observations,
    }
}

/// What both cells of a run showed.
#[must_use]
pub fn cells(green: bool) -> Vec<CellObservations> {
    ["noop-0-summary", "noop-0-full"]
        .map(|name| cell(name, &log(name, green)))
        .to_vec()
}

/// A reference to a stored log of this text.
#[must_use]
pub fn log_ref(text: &str) -> LogRef {
    LogRef {
        log_id: Digest::of(text.as_bytes()),
        bytes: text.len() as u64,
        lines: text.lines().count() as u64,
        complete: true,
    }
}

/// A completed run of both cells.
#[must_use]
pub fn run(run_id: &str, head_sha: &str, trigger: Trigger, green: bool) -> Run {
    let conclusion = Some(if green {
        Conclusion::Success
    } else {
        Conclusion::Failure
    });
    let exit = ProcessExit::Code(if green { 0 } else { 101 });
    let jobs = ["noop-0-summary", "noop-0-full"].map(|cell| Job {
        cell: cell.to_owned(),
        status: RunStatus::Completed,
        conclusion: conclusion.clone(),
        steps: vec![Step {
            name: "cargo test".into(),
            exit,
            duration_ms: 60_000,
        }],
        log: Some(log_ref(&log(cell, green))),
        why_empty: None,
        outranked: Vec::new(),
        forge: None,
    });
    Run {
        run_id: run_id.into(),
        source: "local".into(),
        scope: SCOPE.into(),
        attempt: 1,
        head_sha: head_sha.into(),
        tree: if head_sha == PARENT {
            BASE_TREE.into()
        } else {
            TREE.into()
        },
        trigger,
        status: RunStatus::Completed,
        conclusion,
        jobs: jobs.to_vec(),
        created_ms: NOW_MS - 600_000,
        finished_ms: Some(NOW_MS - 480_000),
        forge: None,
        artifacts: Vec::new(),
    }
}

/// The citation of the divergence in the baseline's full cell.
#[must_use]
pub fn citation() -> Citation {
    let text = log("noop-0-full", false);
    let start = text.find("FIRST_DIVERGENCE").unwrap() as u64;
    let end = text.find("[TELEMETRY END]").unwrap() as u64 - 1;
    Citation {
        log_id: Digest::of(text.as_bytes()),
        byte_start: start,
        byte_end: end,
        line_start: 4,
        line_end: 4,
    }
}

/// A hypothesis that quotes the changed line.
#[must_use]
pub fn hypothesis_body() -> HypothesisBody {
    HypothesisBody {
        scope: SCOPE.into(),
        mechanism: Mechanism::SkippedWork,
        statement: "The builder of a layer never records the norm before attention".into(),
        commit: PARENT.into(),
        sites: vec![QuotedSite {
            file: CHANGED.into(),
            line: 42,
            quote: "let normed = layer.attn_norm.skip_dispatch(input);".into(),
        }],
        predicts: vec!["any first_divergence.tensor_stage == attn_norm".into()],
        forbids: vec!["any first_divergence.dispatched == true".into()],
        rivals: Vec::new(),
        evidence: vec![citation()],
    }
}

/// The changed path.
#[must_use]
pub fn changed() -> Vec<ChangedPath> {
    vec![
        ChangedPath {
            path: CHANGED.into(),
            old: Some((FileMode::Regular, "e0".repeat(20))),
            new: Some((FileMode::Regular, "e1".repeat(20))),
        },
        ChangedPath {
            path: "engine/tests/attn_norm.rs".into(),
            old: None,
            new: Some((FileMode::Regular, "e2".repeat(20))),
        },
    ]
}

/// A claim body that every rule allows.
#[must_use]
pub fn good_body() -> ClaimBody {
    ClaimBody {
        schema: CLAIM_SCHEMA,
        repo: ROOT.into(),
        ref_name: "refs/heads/main".into(),
        kind: ClaimKind::Fix,
        proof_scope: SCOPE.into(),
        failing_invariant: "§4".into(),
        parent: PARENT.into(),
        tree: TREE.into(),
        diff_digest: Digest::of(&canonical(&changed()).unwrap()),
        evidence: vec![citation()],
        baseline_run: "R1".into(),
        sites: vec![
            Site { file: CHANGED.into(), function: Some("build_layer".into()), line_start: 40, line_end: 44 },
            Site { file: "engine/tests/attn_norm.rs".into(), function: None, line_start: 0, line_end: 0 },
        ],
        reasoning: "build_layer skips the dispatch of attn_norm, so attention reads an arena that nothing wrote".into(),
        hypothesis_id: "H1".into(),
        predictions: vec!["absent first_divergence".into(), "all cargo_summary.failed == 0".into()],
        outcomes: Vec::new(),
        guards: vec![Guard { scope: SCOPE.into(), predicate: "absent worker_exit{class=driver_crash}".into() }],
        gates: vec!["engine_smoke".into()],
        pinned_test: Some(PinnedTest {
            package: "engine".into(),
            target: "attn_norm".into(),
            name: PINNED.into(),
            files: vec!["engine/tests/attn_norm.rs".into()],
        }),
        rollback_if: vec!["present worker_exit{class=driver_crash}".into(), "present envelope".into()],
        budget: ClaimBudget { runner_minutes: 5, runs: 1, cancels: Vec::new() },
        message: "engine: dispatch attn_norm in prefill (§4)\n\nThe builder skipped it.".into(),
        author: "agent".into(),
    }
}

/// Digest of a body.
#[must_use]
pub fn digest_of(body: &ClaimBody) -> Digest {
    claim_digest(&canonical(body).unwrap())
}

/// A gate process that passed with what its role demands.
#[must_use]
pub fn gate_result(gate: &str, role: GateRole) -> GateResult {
    let red = matches!(
        role,
        GateRole::PinOnBase | GateRole::PinOnAttempt | GateRole::Canary
    );
    let failed = match role {
        GateRole::PinOnBase | GateRole::PinOnAttempt => vec![PINNED.to_owned()],
        GateRole::Canary => vec!["greenloop_canary_must_fail".to_owned()],
        GateRole::PinOnHead | GateRole::Gate | GateRole::GateOnParent => Vec::new(),
    };
    GateResult {
        gate: gate.into(),
        role,
        verdict: GateVerdict::Passed,
        refused: Vec::new(),
        argv: ["cargo", "test", "-p", "engine"].map(String::from).to_vec(),
        tree: if role == GateRole::PinOnBase {
            BASE_TREE.into()
        } else {
            TREE.into()
        },
        exit: ProcessExit::Code(if red { 101 } else { 0 }),
        tests: TestCounts {
            passed: u64::from(!red) * 3,
            failed: u64::from(red),
            ignored: 0,
            filtered_out: 0,
        },
        failed_tests: failed,
        compile_error: false,
        dead_code: Vec::new(),
        listed: None,
        reused_from: None,
        covered: changed().into_iter().map(|changed| changed.path).collect(),
        transcript: None,
        duration_ms: 1500,
        environment: Digest::of(b"environment"),
    }
}

/// Results of a gate run that gates the good claim.
#[must_use]
pub fn gate_results() -> Vec<GateResult> {
    vec![
        gate_result("pinned", GateRole::PinOnBase),
        gate_result("pinned", GateRole::PinOnHead),
        gate_result("engine_smoke", GateRole::Gate),
        gate_result("engine_smoke", GateRole::Canary),
    ]
}

/// What a person signs.
#[must_use]
pub fn subject() -> ApprovalSubject {
    let body = good_body();
    ApprovalSubject {
        claim_digest: digest_of(&body),
        repo: body.repo,
        ref_name: body.ref_name,
        old_tip: body.parent,
        commit: COMMIT.into(),
        tree: body.tree,
        diff_digest: body.diff_digest,
        gates_digest: gates_digest(&gate_results()).unwrap(),
        shown_digest: Digest::of(b"shown"),
        expires_ms: NOW_MS + 3_600_000,
        nonce: "nonce".into(),
    }
}

/// The facts of the good claim at the moment of its push: every rule allows it.
#[must_use]
pub fn good_input() -> DecisionInput {
    let body = good_body();
    let hunk = |file: &str, old_start, old_len, new_len| Hunk {
        file: file.into(),
        old_start,
        old_len,
        new_start: old_start.max(1),
        new_len,
    };
    DecisionInput {
        rules_version: RULES_VERSION,
        now_ms: NOW_MS,
        claim_digest: digest_of(&body),
        policy: PolicyFacts {
            policy: policy(),
            policy_digest: Digest::of(POLICY.as_bytes()),
            law: vec![LawFact {
                id: "§4".into(),
                title: "Every node of the graph is dispatched".into(),
                pins: vec!["test attn_norm::attn_norm_is_dispatched".into()],
                missing_pins: Vec::new(),
            }],
            law_digest: Digest::of(b"law"),
            catalogue_digest: rulebook().catalogue_digest(),
            playbooks_digest: Digest::of(b"playbooks"),
        },
        diff: DiffFacts {
            base_tree: BASE_TREE.into(),
            diff_digest: body.diff_digest.clone(),
            changed: changed(),
            hunks: vec![
                hunk(CHANGED, 42, 1, 1),
                hunk("engine/tests/attn_norm.rs", 0, 0, 12),
            ],
            conditional: Vec::new(),
            findings: Vec::new(),
            site_findings: Vec::new(),
            behavioural_lines: 14,
            mechanical_lines: 0,
            tests_added: 1,
            impure_test_files: Vec::new(),
            pinned_test_exists: true,
        },
        evidence: vec![EvidenceFact {
            citation: citation(),
            run_id: Some("R1".into()),
            scope: Some(SCOPE.into()),
            commit: Some(PARENT.into()),
            exists: true,
            complete: true,
            current: true,
            shows_failure: true,
            blames_reference: None,
        }],
        exhibits: Vec::new(),
        baseline: Some(BaselineFacts {
            run_id: "R1".into(),
            scope: SCOPE.into(),
            head_sha: PARENT.into(),
            executed: true,
            current: true,
            cells: cells(false),
        }),
        hypothesis: Some(HypothesisFacts {
            id: "H1".into(),
            scope: SCOPE.into(),
            mechanism: Mechanism::SkippedWork,
            alive: true,
            status: "open".into(),
            grade: Grade::Derived,
            predicts: hypothesis_body().predicts,
            forbids: hypothesis_body().forbids,
        }),
        reverted: None,
        rivals: Vec::new(),
        overrides: Vec::new(),
        attempts: Vec::new(),
        gates: Some(GateFacts {
            results: gate_results(),
            gates_digest: gates_digest(&gate_results()).unwrap(),
        }),
        approval: Some(ApprovalFacts {
            subject: subject(),
            signer: "ana@example.org".into(),
            key_type: "ssh-ed25519".into(),
        }),
        target: TargetFacts {
            commit: Some(COMMIT.into()),
            remote_tip: Some(PARENT.into()),
            scope_closed: None,
            live_runs: Vec::new(),
            minutes_left: 58,
            diagnostics_left: None,
            forecast: crate::forecast::ForecastFacts::default(),
            empty_results: Vec::new(),
            already_pushed: false,
            signal_exists: true,
        },
        body,
    }
}

/// Makes digests follow an edited body, as the service does before it decides.
#[must_use]
pub fn redigested(mut input: DecisionInput) -> DecisionInput {
    input.claim_digest = digest_of(&input.body);
    if let Some(approval) = &mut input.approval {
        approval.subject.claim_digest = input.claim_digest.clone();
    }
    input
}

/// What closes the proof scope on account of the good claim.
#[must_use]
pub fn closure() -> ScopeClosure {
    ScopeClosure {
        claim_id: ClaimId::nth(1),
        reason: "a guard broke".into(),
    }
}

/// The events of one loop from the first to the push of the good claim, every one legal.
#[must_use]
pub fn story() -> Vec<Event> {
    let (claim_id, gate_run_id) = (ClaimId::nth(1), GateRunId::nth(1));
    let decision = decide(&good_input(), &rulebook(), Stage::Push);
    let mut events = vec![
        Event::StateCreated {
            root_commit: ROOT.into(),
            remote: "https://example.org/repo.git".into(),
        },
        Event::LoopOpened {
            loop_id: LoopId::nth(1),
            goal: "turn the scope green".into(),
            scopes: vec![SCOPE.into()],
            idempotency_key: "open".into(),
            author: author(),
        },
        Event::RunChanged {
            run: run("R1", PARENT, Trigger::Manual, false),
        },
        Event::HypothesisOpened {
            hypothesis_id: HypothesisId::nth(1),
            loop_id: LoopId::nth(1),
            body: hypothesis_body(),
            idempotency_key: "h1".into(),
            author: author(),
        },
        proposal(),
        Event::GatesStarted {
            claim_id: claim_id.clone(),
            gate_run_id: gate_run_id.clone(),
        },
    ];
    events.extend(
        gate_results()
            .into_iter()
            .map(|result| Event::GateFinished {
                gate_run_id: gate_run_id.clone(),
                result: Box::new(result),
            }),
    );
    events.extend([
        Event::GatesFinished {
            gate_run_id,
            gates_digest: subject().gates_digest,
            refused: Vec::new(),
        },
        Event::ClaimStaged {
            claim_id: claim_id.clone(),
            commit: COMMIT.into(),
            shown_digest: subject().shown_digest,
        },
        Event::ClaimApproved {
            claim_id: claim_id.clone(),
            subject: Box::new(subject()),
            signature: "-----BEGIN SSH SIGNATURE-----".into(),
            signer: "ana@example.org".into(),
        },
        Event::PushIntended {
            claim_id: claim_id.clone(),
            commit: COMMIT.into(),
            old_tip: PARENT.into(),
            attestation: "f".repeat(40),
            decision: decision.digest().unwrap(),
            overrides: Vec::new(),
        },
        Event::PushSettled {
            claim_id: claim_id.clone(),
            outcome: PushOutcome::Pushed,
        },
        Event::RunChanged {
            run: run(
                "R2",
                COMMIT,
                Trigger::Push {
                    claim: claim_id.clone(),
                },
                true,
            ),
        },
        Event::VerificationStarted {
            claim_id,
            run_id: RunId::nth(2),
        },
    ]);
    events
}

/// The proposal of the good claim.
#[must_use]
pub fn proposal() -> Event {
    let body = good_body();
    Event::ClaimProposed {
        claim_id: ClaimId::nth(1),
        loop_id: LoopId::nth(1),
        claim_digest: digest_of(&body),
        body: Box::new(body),
        refused: Vec::new(),
        idempotency_key: "c1".into(),
        author: author(),
    }
}

/// Counters to add to a loop.
#[must_use]
pub fn counted(name: &str, by: u64) -> Event {
    Event::Counted {
        loop_id: LoopId::nth(1),
        grew: BTreeMap::from([(name.to_owned(), by)]),
    }
}
