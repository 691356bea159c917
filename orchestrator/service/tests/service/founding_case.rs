//! The founding case, move by move: how an agent went wrong on a suite that had been dark for days, and
//! what each of its moves meets now. Wrong moves are refused by code and field; right ones pass.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use service::api;

use crate::support::{Bench, RED_TEST, SCOPE, run};

/// The scope whose green run the first push of the story killed.
const DREAM: &str = "qwen35_hybrid_vulkan_deltanet";
/// Runs that were cancelled before they reached the machine.
const STORM: u64 = 94;
const ARENA: &str = "src/arena.rs";

/// Leaves of a plan, told by their flag. The suite prints what a plan of a whole model would.
const ARENA_SOURCE: &str = r#"//! Which leaves of a plan keep their bytes for a whole pass.

/// A leaf of the graph.
pub struct Leaf {
    pub input: bool,
    pub durable: bool,
    pub bytes: u64,
}

/// Leaves of a model while it is planned: one that the host writes, and weights without storage yet.
pub fn planned() -> [Leaf; 2] {
    let leaf = |input, bytes| Leaf { input, durable: false, bytes };
    [leaf(true, 4096), leaf(false, 3_948_933_120)]
}

/// Bytes that stay for the whole pass.
pub fn pinned_bytes(leaves: &[Leaf]) -> u64 {
    let pinned = leaves.iter().filter(|leaf| leaf.input);
    pinned.map(|leaf| leaf.bytes).sum()
}
"#;

fn edit(root: &Path, file: &str, from: &str, to: &str) {
    let path = root.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no `{from}`");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// The project of the story: an arena, a dream scope that depends on it, gates that prove nothing.
fn project(root: &Path, source: &str) {
    fs::write(root.join(ARENA), ARENA_SOURCE).unwrap();
    edit(
        root,
        "src/lib.rs",
        "pub mod blocks;",
        "pub mod arena;\npub mod blocks;",
    );
    let policy = "greenloop.toml";
    edit(root, policy, "kind = \"local\"", source);
    edit(root, policy, "passed >= 4", "passed >= 1");
    edit(
        root,
        policy,
        "guards = [\"cargo_test{name=path_equivalence_whole_blocks}.outcome == ok\"]",
        "guards = [\"cargo_test{name=path_equivalence_whole_blocks}.outcome == ok\", \"absent envelope\"]",
    );
    edit(
        root,
        policy,
        "[scope.path_equivalence]",
        "[scope.path_equivalence]\nworkflow = \"gpu-tests.yml\"",
    );
    let more = format!(
        "\n[scope.{DREAM}]\nworkflow = \"dream-vulkan-smoke.yml\"\npackage = \"tally\"\n\
         features = [\"path-tests\"]\n\
         argv = [\"cargo\", \"test\", \"-p\", \"tally\", \"--features\", \"path-tests\", \"--test\", \"paths\", \"--\", \"--test-threads=1\", \"--nocapture\"]\n\
         cells = [{{ name = \"dream\", env = {{ TALLY_CELL = \"dream\" }} }}]\nwhen = [\"{ARENA}\"]\n\
         engage = [\"all cargo_summary.passed >= 1\"]\nguards = [\"absent envelope\"]\n\n\
         [gate.cpu]\npackage = \"tally\"\nargv = [\"cargo\", \"test\", \"-p\", \"tally\", \"--test\", \"paths\"]\n\
         when = [\"nothing/**\"]\n\n\
         [gate.quick]\npackage = \"tally\"\n\
         argv = [\"cargo\", \"test\", \"-p\", \"tally\", \"--test\", \"unit\", \"--\", \"vulkan_\"]\nwhen = [\"nothing/**\"]\n"
    );
    let path = root.join(policy);
    let text = fs::read_to_string(&path).unwrap() + &more;
    fs::write(path, text).unwrap();
}

/// What the harness wrote on the machine, 6 MB: five red tests, which are two bugs, and noise.
fn harness_log() -> String {
    let mut log = String::from(
        "     Running tests/paths.rs (target/debug/deps/paths-0a1b2c3d4e5f6071)\n\nrunning 8 tests\n",
    );
    let zeros = "kind=zeros cpu=0.4375 gpu=0 op=rms_norm dispatched=false tensor_stage=attn_norm";
    let wrong_side = "kind=drift cpu=0 gpu=0.25 op=matvec dispatched=true tensor_stage=ffn_out";
    let tests = [
        (RED_TEST, Some(zeros)),
        ("path_equivalence_less_than_a_block", Some(zeros)),
        ("gpu_correctness_smoke_forward", Some(zeros)),
        ("gpu_correctness_smoke_ffn", Some(wrong_side)),
        ("gpu_path_equivalence_ffn", Some(wrong_side)),
        ("path_equivalence_whole_blocks", None),
        ("path_equivalence_empty", None),
        ("gpu_correctness_smoke_rope", None),
    ];
    for (number, (name, diverges)) in tests.iter().enumerate() {
        let mut seq = 0;
        let mut line = |tag: &str, fields: &str| {
            let text = format!("{tag} v=1 run={:08x} seq={seq} {fields}\n", number + 1);
            seq += 1;
            text
        };
        let pass = |path: &str, dispatches: u32| {
            format!(
                "role=target path={path} phase=prefill pass=0 submits=1 dispatches={dispatches} barriers=8 cb_us=100 \
                 sum_us=n/a gap_us=n/a ts=summary shader_buckets=disabled(mode=summary)"
            )
        };
        log += &format!("test {name} ... ");
        log += &line(
            "[BACKEND]",
            "backend=vulkan device=\"rig\" driver=\"amdvlk\" api=1.3.230 cpu_fallback=false mode=GpuSingleGraph",
        );
        log += &line("[GPU PERDISPATCH]", &pass("legacy_multi_submit", 37));
        let dispatches = if *diverges == Some(zeros) { 35 } else { 37 };
        log += &line("[GPU PERDISPATCH]", &pass("single_graph", dispatches));
        if let Some(what) = diverges {
            let fields = format!(
                "path=single_graph phase=prefill pass=0 layer=0 {what} inputs_ok=true last_writer=none region=arena"
            );
            log += &line("FIRST_DIVERGENCE", &in_order(&fields));
        }
        log += &line(
            "[TELEMETRY END]",
            &format!("lines={}", if diverges.is_some() { 4 } else { 3 }),
        );
        for miss in 0..18 {
            log += &format!(
                "[GPU SMOKE CACHE KEY MISS] key:{number}{miss:02}, cached:none, path:single_graph\n"
            );
        }
        log += if diverges.is_some() {
            "FAILED\n"
        } else {
            "ok\n"
        };
    }
    log += "\ntest result: FAILED. 3 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.10s\n";
    log + &"debug: arena region 7 at offset 0x3fe80 is bound\n".repeat(116_000)
}

/// Fields in the order in which the engine prints them.
fn in_order(fields: &str) -> String {
    let order = [
        "path",
        "phase",
        "pass",
        "layer",
        "tensor_stage",
        "kind",
        "cpu",
        "gpu",
        "op",
        "dispatched",
        "inputs_ok",
        "last_writer",
        "region",
    ];
    let field = |name: &&str| {
        fields
            .split(' ')
            .find(|pair| pair.starts_with(&format!("{name}=")))
    };
    order.iter().filter_map(field).collect::<Vec<_>>().join(" ")
}

fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The dark suite as the forge has it: one executed run whose logs are empty, then a storm.
fn record(bench: &Bench) {
    let head = run(&bench.clone_path(), "git", &["rev-parse", "HEAD"]);
    let put = |path: String, bytes: &[u8]| {
        let path = bench.clone_path().join("evidence/runs").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let described = |id: u64, conclusion: &str| {
        json!({
            "id": id, "path": ".github/workflows/gpu-tests.yml", "event": "push", "status": "completed",
            "conclusion": conclusion, "head_sha": head, "head_branch": "main", "run_attempt": 1,
            "created_at": format!("2026-01-0{}T03:{:02}:00Z", 2 + id / 100, id % 60),
            "updated_at": format!("2026-01-0{}T04:{:02}:00Z", 2 + id / 100, id % 60),
        })
    };
    let step =
        json!([{"name": "test", "status": "completed", "conclusion": "failure", "number": 1}]);
    let job = |id: u64, name: &str, conclusion: &str, steps: &serde_json::Value, runner: u64| {
        json!({
            "id": id, "name": name, "status": "completed", "conclusion": conclusion, "runner_id": runner,
            "runner_name": "rig", "labels": ["self-hosted"], "started_at": "2026-01-02T03:04:00Z",
            "completed_at": "2026-01-02T03:05:00Z", "steps": steps,
        })
    };
    put(
        "1/run.json".into(),
        described(1, "failure").to_string().as_bytes(),
    );
    let jobs = json!({"total_count": 2, "jobs": [
        job(1, "gpu (debug)", "failure", &step, 3), job(2, "gpu (again)", "failure", &step, 3),
    ]});
    put("1/jobs.json".into(), jobs.to_string().as_bytes());
    let log = harness_log();
    for (id, cell) in [(1, "debug"), (2, "again")] {
        put(format!("1/jobs/{id}.log"), b"");
        put(
            format!("1/artifacts/gpu-test-output-{cell}.zip"),
            &zip("gpu_test_output.log", log.as_bytes()),
        );
    }
    for id in 100..100 + STORM {
        put(
            format!("{id}/run.json"),
            described(id, "cancelled").to_string().as_bytes(),
        );
        let jobs =
            json!({"total_count": 1, "jobs": [job(id, "gpu (debug)", "cancelled", &json!([]), 0)]});
        put(format!("{id}/jobs.json"), jobs.to_string().as_bytes());
    }
}

/// The one refusal of this code, which must stand at this field.
fn refused<'a>(refused: &'a [api::RefusalView], code: &str, field: &str) -> &'a api::RefusalView {
    let found = refused
        .iter()
        .find(|refusal| refusal.code == code && refusal.field == field);
    found.unwrap_or_else(|| panic!("no {code} @ {field} in {refused:#?}"))
}

/// The first row of a kind with these values, cited.
fn cite(bench: &Bench, log_id: &str, kind: &str, values: &[(&str, &str)]) -> api::CitationView {
    let wanted = values
        .iter()
        .map(|(field, value)| ((*field).to_owned(), (*value).to_owned()));
    let found = bench.agent(api::ExtractMarkersRequest {
        log_id: log_id.into(),
        kinds: Some(vec![kind.into()]),
        r#where: Some(wanted.collect()),
        cursor: None,
        limit: Some(1),
    });
    let row = found.unwrap().observations.remove(0);
    api::CitationView {
        log_id: log_id.into(),
        byte_start: row.byte_start,
        byte_end: row.byte_end,
        line_start: row.line,
        line_end: row.line,
    }
}

/// The agent at its desk: a loop on the dark suite, with what the one executed run left.
struct Desk {
    bench: Bench,
    loop_id: String,
    run: api::RunView,
    log_id: String,
    base: String,
}

impl Desk {
    fn theory(&self, key: &str, mechanism: &str, statement: &str) -> api::OpenHypothesisRequest {
        let place = format!("{}:src/blocks.rs", self.base);
        let source = run(&self.bench.clone_path(), "git", &["show", &place]);
        let line = source
            .lines()
            .position(|line| line.contains("chunks_exact"))
            .unwrap();
        api::OpenHypothesisRequest {
            loop_id: self.loop_id.clone(),
            scope: SCOPE.into(),
            mechanism: mechanism.into(),
            statement: statement.into(),
            sites: vec![api::QuotedSiteView {
                file: "src/blocks.rs".into(),
                line: u32::try_from(line).unwrap() + 1,
                quote: source.lines().nth(line).unwrap().trim().into(),
            }],
            commit: Some(self.base.clone()),
            predicts: vec!["any first_divergence{path=single_graph}.dispatched == false".into()],
            forbids: vec![],
            rivals: vec![],
            evidence: vec![],
            idempotency_key: key.into(),
        }
    }

    fn open(&self, request: api::OpenHypothesisRequest) -> api::OpenHypothesisAnswer {
        self.bench.agent(request).unwrap()
    }

    fn opened(&self, request: api::OpenHypothesisRequest) -> String {
        let answer = self.open(request);
        assert_eq!(answer.refused, []);
        answer.hypothesis.unwrap().hypothesis_id
    }

    fn observe(&self, about: &str, key: &str, kind: &str) -> api::RecordObservationRequest {
        api::RecordObservationRequest {
            loop_id: self.loop_id.clone(),
            hypothesis_id: about.into(),
            kind: kind.into(),
            bearing: "for".into(),
            statement: "this is the root cause of it all".into(),
            memory: Some("device".into()),
            citations: vec![],
            bytes: None,
            source: None,
            idempotency_key: key.into(),
        }
    }

    fn record(&self, request: api::RecordObservationRequest) -> api::RecordObservationAnswer {
        self.bench.agent(request).unwrap()
    }

    fn falsify(&self, id: &str, killer: api::CitationView, reason: &str) {
        let answer = self.bench.agent(api::FalsifyHypothesisRequest {
            loop_id: self.loop_id.clone(),
            hypothesis_id: id.into(),
            killer: vec![killer],
            reason: reason.into(),
        });
        assert_eq!(answer.unwrap().refused, []);
    }

    fn check(&self, draft: api::ClaimDraft) -> Vec<api::RefusalView> {
        let request = api::CheckClaimRequest {
            loop_id: self.loop_id.clone(),
            draft,
        };
        self.bench.agent(request).unwrap().refused
    }

    fn end(&self, end: api::EndHow) -> api::EndTurnAnswer {
        let request = api::EndTurnRequest {
            loop_id: self.loop_id.clone(),
            end,
        };
        self.bench.agent(request).unwrap()
    }

    /// A commit on the base with one edit.
    fn commit(&self, edit: impl FnOnce(&Path)) -> String {
        commit(&self.bench, &self.base, edit)
    }

    /// The honest claim, as it would be made of this commit.
    fn draft(&self, hypothesis: &str, commit: &str) -> api::ClaimDraft {
        let mut draft = self.bench.good_draft(&self.run, hypothesis, commit);
        draft.evidence = vec![cite(
            &self.bench,
            &self.log_id,
            "first_divergence",
            &[("kind", "zeros")],
        )];
        draft.rollback_if = vec!["present worker_exit{class=driver_crash}".into()];
        draft.guards.push(api::GuardView {
            scope: SCOPE.into(),
            predicate: "absent envelope".into(),
        });
        draft
    }
}

fn commit(bench: &Bench, base: &str, edit: impl FnOnce(&Path)) -> String {
    let clone = bench.clone_path();
    run(&clone, "git", &["checkout", "-q", "-f", "-B", "try", base]);
    edit(&clone);
    run(&clone, "git", &["add", "-A", "--", "src", "tests"]);
    run(&clone, "git", &["commit", "-q", "-m", "try"]);
    run(&clone, "git", &["rev-parse", "HEAD"])
}

fn surgical(root: &Path) {
    edit(
        root,
        "src/blocks.rs",
        "chunks_exact(BLOCK)",
        "chunks(BLOCK)",
    );
}

#[test]
fn the_dark_suite_move_by_move() {
    let source = "kind = \"recorded\"\npath = \"evidence\"\nharness = [\"gpu-test-output-{cell}/gpu_test_output.log\"]";
    let bench = Bench::with(|root| project(root, source));
    record(&bench);
    let base = run(&bench.clone_path(), "git", &["rev-parse", "HEAD"]);
    let loop_id = bench.agent(api::OpenLoopRequest {
        goal: "the suite is green again".into(),
        scopes: vec![SCOPE.into(), DREAM.into()],
        idempotency_key: "loop".into(),
    });
    let loop_id = loop_id.unwrap().loop_id.unwrap();

    // A right move: the logs are empty, so the artifacts are read. Past 94 cancelled runs stands one
    // that executed.
    let pulled = bench.agent(api::PullFullLogRequest {
        run_id: "latest".into(),
        scope: Some(SCOPE.into()),
        artifacts: true,
        ..Default::default()
    });
    let pulled = pulled.unwrap();
    assert_eq!(pulled.source_run_id.as_deref(), Some("1"), "{pulled:#?}");
    let told = pulled.notes.join("\n");
    assert!(told.contains(&STORM.to_string()), "{told}");
    let api_log = &pulled.logs[0].links[0];
    assert_eq!(api_log.link, "job_log");
    assert_eq!(api_log.detail, "it has no bytes");
    let log_id = pulled.logs[0].log.clone().unwrap().log_id;
    assert_eq!(pulled.logs[0].marker_counts["cache_key_miss"], 144);
    let class = bench.agent(api::ClassifyRunRequest {
        run_id: pulled.run_id.clone(),
    });
    let class = class.unwrap();
    assert_eq!(
        (class.class.as_str(), class.groups.len()),
        ("test", 2),
        "5 failures are 2 bugs: {class:#?}"
    );
    let runs = bench.agent(api::ListRunsRequest::default()).unwrap().runs;
    let desk = Desk {
        run: runs[0].clone(),
        bench,
        loop_id,
        log_id,
        base,
    };
    let log_id = desk.log_id.as_str();

    // 1. It derives the state again, and again: the state it has, and what there is to do.
    let status = || desk.bench.agent(api::LoopStatusRequest::default()).unwrap();
    assert!(!status().unchanged_since_last_call);
    for _ in 0..2 {
        let again = status();
        assert!(again.unchanged_since_last_call);
        assert!(!again.next_actions.is_empty());
    }

    // 2. It pushes an unchanged tree as a "baseline", although a run of that commit has executed.
    let mut baseline = desk.draft("", &desk.base);
    baseline.kind = "baseline".into();
    refused(&desk.check(baseline), "signal_exists", "kind");

    // 3. It holds a fix back that the CPU can test, because the signal is stale, and waits.
    let waits = desk.end(api::EndHow::Blocked {
        what: "waiting on the runner".into(),
        unblocked_by: "the runner becomes free".into(),
    });
    assert!(!waits.accepted);
    let refusal = refused(&waits.refused, "waiting_is_not_blocked", "what");
    assert!(refusal.remedy.contains("go on with"), "{refusal:?}");
    assert!(!waits.work.is_empty());

    // 4. It blames the device by a comparison whose reference is all zeros.
    let zeros = cite(
        &desk.bench,
        log_id,
        "first_divergence",
        &[("kind", "drift")],
    );
    let mut blamed = desk.theory(
        "ffn",
        "wrong_upload_path",
        "the device's ffn output is wrong",
    );
    blamed.evidence = vec![zeros.clone()];
    refused(
        &desk.open(blamed.clone()).refused,
        "reference_is_zeros",
        "evidence[0]",
    );
    // The right move: the reference is what is wrong there.
    blamed.mechanism = "wrong_reference".into();
    blamed.predicts = vec!["any first_divergence{kind=drift}.cpu == 0".into()];
    desk.opened(blamed);

    // 5. It pins leaves by what they lack, and names no guard of the scope that the planner serves.
    let cause = desk.opened(desk.theory(
        "tail",
        "skipped_work",
        "the block path skips the last short block",
    ));
    let proxy = desk.commit(pin_by_proxy);
    let mut draft = proxy_draft(&desk.draft(&cause, &proxy));
    draft.guards.retain(|guard| guard.scope == SCOPE);
    let refusals = desk.check(draft);
    let refusal = refused(&refusals, "guard_missing", "guards");
    assert!(
        refusal.reason.contains(DREAM) && refusal.remedy.contains("absent envelope"),
        "{refusal:?}"
    );

    // 7. A cache-key miss is the smoking gun. It fires 144 times, also where the output is right.
    let stale = desk.opened(desk.theory(
        "cache",
        "stale_cache_key",
        "a stale graph answers for another length",
    ));
    let miss = cite(&desk.bench, log_id, "cache_key_miss", &[]);
    let gun = api::RecordObservationRequest {
        citations: vec![miss],
        ..desk.observe(&stale, "gun", "measurement")
    };
    let refusals = desk.record(gun).refused;
    let refusal = refused(&refusals, "fires_on_good_path", "citations[0]");
    assert!(
        refusal.reason.contains("108×"),
        "three right tests, two cells: {refusal:?}"
    );

    // 8. It reads a histogram out of a log of summary mode, and takes data of another path.
    let fix = desk.commit(surgical);
    let mut histogram = desk.draft(&cause, &fix);
    histogram.prediction =
        vec!["any gpu_perdispatch{path=single_graph}.shader_buckets.rms_norm.count == 5".into()];
    refused(
        &desk.check(histogram),
        "prediction_unobservable",
        "prediction[0]",
    );
    let legacy = cite(
        &desk.bench,
        log_id,
        "gpu_perdispatch",
        &[("path", "legacy_multi_submit")],
    );
    let other = api::RecordObservationRequest {
        citations: vec![legacy.clone()],
        ..desk.observe(&cause, "other", "measurement")
    };
    refused(
        &desk.record(other).refused,
        "observation_other_path",
        "citations[0]",
    );

    // 9. It "recovers at call 5", where the output is merely not zero.
    let mut recovers = desk.draft(&cause, &fix);
    recovers.prediction = vec!["all first_divergence{kind=zeros}.gpu != 0".into()];
    let refusals = desk.check(recovers);
    let refusal = refused(&refusals, "recovery_is_not_equality", "prediction[0]");
    assert!(
        refusal.remedy.contains("absent first_divergence"),
        "{refusal:?}"
    );

    // 10. Five agents agree, and an upstream issue that nobody fetched proves it.
    let mut driver = desk.theory(
        "driver",
        "environment",
        "the driver drops submits under load",
    );
    driver.predicts = vec!["present device_lost".into()];
    driver.forbids = vec![];
    let driver = desk.opened(driver);
    for agent in 0..5 {
        let answer = desk.record(desk.observe(&driver, &format!("agent{agent}"), "statement"));
        assert_eq!(answer.refused, []);
        assert_eq!(answer.hypothesis_grade.as_deref(), Some("guess"));
    }
    let issue = desk.observe(&driver, "issue", "citation");
    refused(&desk.record(issue).refused, "bytes_missing", "bytes");
    refused(
        &desk.check(desk.draft(&driver, &fix)),
        "hypothesis_unproven",
        "hypothesis_id",
    );

    // 11. Two theories die by the working path, which is right, and come back in new words.
    for (key, mechanism, says, again) in [
        (
            "barrier",
            "missing_barrier",
            "the norm's write is not ordered before its readers",
            "missing_barrier",
        ),
        (
            "upload",
            "wrong_upload_path",
            "weights of the block reach the device by another way",
            "other",
        ),
    ] {
        let dead = desk.opened(desk.theory(key, mechanism, says));
        desk.falsify(
            &dead,
            legacy.clone(),
            "the working path goes the same way and is right",
        );
        let words = desk.theory(
            &format!("{key} again"),
            again,
            "a subtle synchronisation race garbles it",
        );
        let answer = desk.open(words);
        let refusal = refused(&answer.refused, "resembles_dead_hypothesis", "statement");
        let died = "which died of: the working path";
        assert!(refusal.reason.contains(died), "{refusal:?}");
    }

    // 12. It commits an instrumentation stub that nothing calls, and takes host bytes for the device's.
    let stub = desk.commit(|root| {
        let path = root.join("src/blocks.rs");
        let text = fs::read_to_string(&path).unwrap();
        let stub = "\nfn dump_device(out: &[i64]) {\n    eprintln!(\"{out:?}\");\n}\n";
        fs::write(path, text + stub).unwrap();
    });
    let mut probe = desk.draft(&cause, &stub);
    probe.sites[0] = api::SiteView {
        file: "src/blocks.rs".into(),
        function: None,
        line_start: 1,
        line_end: 28,
    };
    let refusals = desk.check(probe);
    let refusal = refused(&refusals, "symbol_unused", "change");
    assert!(refusal.reason.contains("dump_device"), "{refusal:?}");
    refused(&refusals, "instrumentation_only", "change");
    let zeros = cite(
        &desk.bench,
        log_id,
        "first_divergence",
        &[("kind", "zeros")],
    );
    let host = api::RecordObservationRequest {
        memory: Some("host".into()),
        citations: vec![zeros.clone()],
        ..desk.observe(&cause, "host", "measurement")
    };
    let graded = desk.record(host);
    assert_eq!(graded.hypothesis_grade.as_deref(), Some("analogue"));
    // The right move: what was read back from the device, on the failing path.
    let device = api::RecordObservationRequest {
        citations: vec![zeros],
        ..desk.observe(&cause, "device", "measurement")
    };
    assert_eq!(
        desk.record(device).hypothesis_grade.as_deref(),
        Some("observed")
    );

    // 13. It asks the person what the policy decides already.
    let asks = desk.end(api::EndHow::Blocked {
        what: "should I run the gates of the fix now".into(),
        unblocked_by: "the person answers".into(),
    });
    let refusal = refused(&asks.refused, "policy_decides", "what");
    assert!(refusal.remedy.contains("go on with"), "{refusal:?}");

    // 14. It ends with a plan: nothing is staged.
    let plan = desk.end(api::EndHow::Staged);
    refused(&plan.refused, "nothing_staged", "how");

    // The right move: a surgical diff with a real test is accepted at once.
    assert_eq!(desk.check(desk.draft(&cause, &fix)), []);
}

/// Leaves are told by what they lack. While a model is planned its weights lack it too.
fn pin_by_proxy(root: &Path) {
    edit(
        root,
        ARENA,
        "let pinned = leaves.iter().filter(|leaf| leaf.input);",
        "let pinned = leaves.iter().filter(|leaf| pins(leaf));",
    );
    let path = root.join(ARENA);
    let text = fs::read_to_string(&path).unwrap();
    let helper = "\n/// A leaf without storage of its own stays.\npub fn pins(leaf: &Leaf) -> bool {\n    !leaf.durable\n}\n";
    fs::write(path, text + helper).unwrap();
    let test = "//! The helper.\n\nuse tally::arena::{Leaf, pins};\n\n#[test]\nfn leaves_without_identity_are_pinned() {\n    \
                assert!(pins(&Leaf { input: true, durable: false, bytes: 1 }));\n}\n";
    fs::write(root.join("tests/arena.rs"), test).unwrap();
}

/// The claim of that change: its test pins the helper, and not the zeros that are red.
fn proxy_draft(honest: &api::ClaimDraft) -> api::ClaimDraft {
    let site = |file: &str, line_end: u32| api::SiteView {
        file: file.into(),
        function: None,
        line_start: line_end.min(1),
        line_end,
    };
    let lines = u32::try_from(ARENA_SOURCE.lines().count()).unwrap();
    let mut draft = honest.clone();
    draft.sites = vec![site(ARENA, lines), site("tests/arena.rs", 0)];
    draft.pinned_test = Some(api::PinnedTestView {
        package: "tally".into(),
        target: "arena".into(),
        name: "leaves_without_identity_are_pinned".into(),
        files: vec!["tests/arena.rs".into()],
    });
    draft.prediction = vec!["absent first_divergence".into()];
    draft.guards.push(api::GuardView {
        scope: DREAM.into(),
        predicate: "absent envelope".into(),
    });
    draft.budget.runs = 2;
    draft
}

/// The dream plans a whole model, and prints what that needs where it is too much.
fn prints_its_envelope(root: &Path) {
    edit(
        root,
        "tests/paths.rs",
        "    telemetry.pass(\"legacy_multi_submit\", len);\n",
        "    let need = tally::arena::pinned_bytes(&tally::arena::planned());\n    \
         if std::env::var_os(\"TALLY_CELL\").is_some_and(|cell| cell == \"dream\") && need > 1 << 20 {\n        \
         println!(\"canonical envelope needs {need} B but only 100741120 B remain\");\n        \
         println!(\"ABORT: only 0/15 chunks allocated\");\n    }\n    \
         telemetry.pass(\"legacy_multi_submit\", len);\n",
    );
}

#[test]
fn the_push_that_killed_a_green_scope() {
    // The defect shows at the machine alone, so that gates which prove nothing would let all of it by.
    let bench = Bench::with(|root| {
        project(root, "kind = \"local\"");
        prints_its_envelope(root);
        edit(
            root,
            "src/blocks.rs",
            "values.chunks_exact(BLOCK).enumerate()",
            "seen(values).chunks(BLOCK).enumerate()",
        );
        let path = root.join("src/blocks.rs");
        let text = fs::read_to_string(&path).unwrap();
        let seen = "\nfn seen(values: &[i64]) -> &[i64] {\n    let whole = values.len() / BLOCK * BLOCK;\n    \
                    let cut = std::env::var_os(\"TALLY_CELL\").is_some();\n    \
                    if cut { &values[..whole] } else { values }\n}\n";
        fs::write(path, text + seen).unwrap();
    });
    let base = run(&bench.clone_path(), "git", &["rev-parse", "HEAD"]);
    let (red, loop_id, cause) = bench.suspected();
    // The dream is not of this claim's scope, and was well.
    let dream = bench.person(api::StartRunRequest {
        scope: DREAM.into(),
        cell: None,
        commit: None,
        wait: true,
    });
    let dream = dream.unwrap().run.unwrap();
    let change = commit(&bench, &base, pin_by_proxy);
    let mut honest = bench.good_draft(&red, &cause, &change);
    honest.rollback_if = vec!["present worker_exit{class=driver_crash}".into()];
    honest.guards.push(api::GuardView {
        scope: SCOPE.into(),
        predicate: "absent envelope".into(),
    });
    let draft = proxy_draft(&honest);

    // 6. "0 CPU tests, no regression", and a build without the feature that compiles the change.
    let mut vacuous = draft.clone();
    vacuous.gates.extend(["cpu".into(), "quick".into()]);
    let (claim, _) = bench.accepted(&loop_id, "vacuous", vacuous);
    let gates = bench.gates(&loop_id, &claim, 300);
    refused(&gates.refused, "gate_vacuous_features", "gates[2]");
    refused(&gates.refused, "gate_vacuous_filter", "gates[3]");

    // 5, as it went on: with every guard named it is pushed. That its test pins a helper is said.
    let (claim, digest) = bench.accepted(&loop_id, "proxy", draft);
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(gates.refused, [], "{:#?}", gates.results);
    let card = serde_json::to_string(&bench.claim(&claim).card).unwrap();
    assert!(card.contains("weak proof"), "{card}");
    bench.approve(&claim);

    // 2, the other half: a push while a run is live would cancel it.
    let live = bench.person(api::StartRunRequest {
        scope: SCOPE.into(),
        cell: None,
        commit: None,
        wait: false,
    });
    let live = live.unwrap().run.unwrap();
    let early = bench.push(&loop_id, &claim, &digest);
    let refusal = refused(&early.refused, "run_live", "budget.cancels");
    assert!(refusal.reason.contains(&live.run_id), "{refusal:?}");
    let waited = bench.agent(api::WaitForRunRequest {
        run_id: live.run_id,
        max_wait_s: 50,
    });
    assert!(waited.unwrap().done);

    // The push: not a byte of the zeros changes, and in the dream the envelope of a whole model is asked for.
    assert_eq!(bench.push(&loop_id, &claim, &digest).refused, []);
    let verdict = bench.verified(&claim).verdict.unwrap();
    assert_eq!(verdict.kind, "refuted", "{verdict:#?}");
    let own_guards = verdict.grades.iter().filter(|grade| grade.role == "guard");
    assert!(
        own_guards.clone().all(|grade| grade.truth == "holds"),
        "{verdict:#?}"
    );
    let killed = &verdict.other_scopes[0];
    assert_eq!(
        (killed.scope.as_str(), killed.outcome.as_str()),
        (DREAM, "broke")
    );
    assert!(killed.reasons[0].contains("absent envelope"), "{killed:#?}");
    assert_ne!(killed.run_id.as_ref(), Some(&dream.run_id));
    assert!(verdict.rollback_due, "{verdict:#?}");

    // Nothing else is pushed until that is taken back, here or there.
    let tip = bench.agent(api::LoopStatusRequest::default()).unwrap();
    let closed = tip.scopes.iter().filter(|scope| scope.closed.is_some());
    let closed: Vec<&str> = closed.map(|scope| scope.scope.as_str()).collect();
    assert_eq!(closed, [SCOPE, DREAM]);

    // The right move: reverting a proven regression at once passes, and has predictions of its own.
    let prepared = bench.person(api::PrepareRollbackRequest {
        claim_id: claim.clone(),
    });
    let prepared = prepared.unwrap();
    assert_eq!(prepared.refused, []);
    assert!(
        prepared.predictions.contains(&"absent envelope".to_owned()),
        "{prepared:#?}"
    );
    let back = prepared.claim_id.unwrap();
    assert_eq!(bench.claim(&back).body["proof_scope"], DREAM);
    let gates = bench.gates(&loop_id, &back, 300);
    assert_eq!(gates.refused, [], "{:#?}", gates.results);
    bench.approve(&back);
    let digest = bench.claim(&back).summary.claim_digest;
    assert_eq!(bench.push(&loop_id, &back, &digest).refused, []);
    let verdict = bench.verified(&back).verdict.unwrap();
    assert!(!verdict.rollback_due, "{verdict:#?}");
    let status = bench.agent(api::LoopStatusRequest::default()).unwrap();
    assert!(status.scopes.iter().all(|scope| scope.closed.is_none()));

    // The same change again meets its own fingerprint.
    let clone = bench.clone_path();
    run(&clone, "git", &["fetch", "-q", "origin"]);
    let tip = run(&clone, "git", &["rev-parse", "origin/main"]);
    let again = commit(&bench, &tip, pin_by_proxy);
    let mut second = bench.good_draft(&red, &cause, &again);
    second.rollback_if = vec!["present worker_exit{class=driver_crash}".into()];
    second.guards = honest.guards;
    let request = api::CheckClaimRequest {
        loop_id,
        draft: proxy_draft(&second),
    };
    let refusals = bench.agent(request).unwrap().refused;
    let refusal = refused(&refusals, "attempt_unanswered", "reasoning");
    assert!(refusal.reason.contains(&claim), "{refusal:?}");
}
