//! Yesterday's evidence through the whole loop: pulled, typed, classified, cited, never pushed on.

use std::fs;

use service::ServiceError;
use service::api;

use crate::support::{Bench, SCOPE, codes, run};

const LOG: &str = "\u{feff}2026-01-02T03:04:05.0000000Z ##[group]Run cargo test\n\
2026-01-02T03:04:05.1000000Z ##[endgroup]\n\
2026-01-02T03:04:06.0000000Z running 2 tests\n\
2026-01-02T03:04:06.1000000Z test path_equivalence_whole_blocks ... ok\n\
2026-01-02T03:04:06.2000000Z test path_equivalence_partial_block ... FIRST_DIVERGENCE v=1 run=0a1b2c3d seq=1 path=single_graph phase=prefill pass=0 layer=0 tensor_stage=attn_norm kind=zeros cpu=0.5 gpu=0 op=rms_norm dispatched=false inputs_ok=true last_writer=none region=arena\n\
2026-01-02T03:04:06.3000000Z FAILED\n\
2026-01-02T03:04:06.4000000Z test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
2026-01-02T03:04:06.5000000Z ##[error]Process completed with exit code 101.\n";

/// A project whose source is the folder `evidence/` of its work tree.
fn bench() -> Bench {
    Bench::with(|tree| {
        let path = tree.join("greenloop.toml");
        let policy = fs::read_to_string(&path).unwrap();
        let policy = policy.replace(
            "kind = \"local\"",
            "kind = \"recorded\"\npath = \"evidence\"\nharness = [\"out-{cell}/*.log\"]",
        );
        let policy = policy.replace(
            "[scope.path_equivalence]",
            "[scope.path_equivalence]\nworkflow = \"paths.yml\"",
        );
        fs::write(&path, policy).unwrap();
    })
}

fn put(bench: &Bench, path: &str, bytes: impl AsRef<[u8]>) {
    let path = bench.clone_path().join("evidence").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn job(id: u64, name: &str) -> serde_json::Value {
    serde_json::json!({
        "id": id, "name": name, "status": "completed", "conclusion": "failure", "runner_id": 3,
        "runner_name": "rig", "labels": ["self-hosted"],
        "started_at": "2026-01-02T03:04:00Z", "completed_at": "2026-01-02T03:05:00Z",
        "steps": [{"name": "test", "status": "completed", "conclusion": "failure", "number": 1}],
    })
}

/// Run 77 of the branch's tip, with two cells.
fn record(bench: &Bench) {
    let head = run(&bench.clone_path(), "git", &["rev-parse", "HEAD"]);
    let described = serde_json::json!({
        "id": 77, "path": ".github/workflows/paths.yml", "event": "push", "status": "completed",
        "conclusion": "failure", "head_sha": head, "head_branch": "main", "run_attempt": 1,
        "created_at": "2026-01-02T03:03:00Z", "updated_at": "2026-01-02T03:06:00Z",
    });
    put(bench, "runs/77/run.json", described.to_string());
    let jobs = serde_json::json!({
        "total_count": 2, "jobs": [job(1, "paths (debug)"), job(2, "paths (again)")],
    });
    put(bench, "runs/77/jobs.json", jobs.to_string());
    put(bench, "runs/77/jobs/1.log", LOG);
    put(
        bench,
        "runs/77/jobs/2.log",
        LOG.replace("path_equivalence_partial_block", "path_equivalence_other"),
    );
}

fn pull(bench: &Bench, id: &str) -> Result<api::PullFullLogAnswer, ServiceError> {
    bench.agent(api::PullFullLogRequest {
        run_id: id.into(),
        artifacts: true,
        ..Default::default()
    })
}

#[test]
fn a_recorded_run_feeds_the_loop() {
    let bench = bench();
    record(&bench);
    let listed = bench
        .agent(api::ListRunsRequest {
            source: true,
            ..Default::default()
        })
        .unwrap();
    assert_eq!(listed.runs, []);
    assert_eq!(listed.of_source[0].source_run_id, "77");
    assert_eq!(listed.of_source[0].scope.as_deref(), Some(SCOPE));

    let pulled = pull(&bench, "77").unwrap();
    assert!(pulled.complete, "{pulled:?}");
    assert_eq!(pulled.scope, SCOPE);
    let cells: Vec<&str> = pulled.logs.iter().map(|log| log.job.as_str()).collect();
    assert_eq!(cells, ["debug", "again"]);
    assert_eq!(pulled.logs[0].marker_counts["first_divergence"], 1);
    let log = pulled.logs[0].log.clone().unwrap();
    assert_eq!(log.total_bytes, LOG.len() as u64);
    // The same run by its id here, from the store.
    assert_eq!(pull(&bench, &pulled.run_id).unwrap().logs, pulled.logs);

    let class = bench
        .agent(api::ClassifyRunRequest {
            run_id: pulled.run_id.clone(),
        })
        .unwrap();
    assert_eq!(class.class, "test");
    assert!(!class.green);
    let runs = bench.agent(api::ListRunsRequest::default()).unwrap().runs;
    assert_eq!((runs[0].source.as_str(), runs.len()), ("recorded", 1));
    assert_eq!(runs[0].conclusion.as_deref(), Some("failure"));

    // A claim can rest on it, and is refused a push: nothing would run the commit.
    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h", "wrong_constant", "the tail is left out");
    let fix = bench.fix();
    let draft = bench.good_draft(&runs[0], &hypothesis, &fix);
    let proposed = bench.propose(&loop_id, "c", draft);
    assert_eq!(codes(&proposed.refused), [] as [&str; 0]);
    let (claim, digest) = (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap());
    let pushed = bench.push(&loop_id, &claim, &digest);
    assert_eq!(codes(&pushed.refused), ["source_starts_no_runs"]);
    let started = bench
        .person(api::StartRunRequest {
            scope: SCOPE.into(),
            cell: None,
            commit: None,
            wait: true,
        })
        .unwrap();
    assert_eq!(codes(&started.refused), ["source_is_not_local"]);
}

#[test]
fn what_was_pulled_outlives_its_source() {
    let mut bench = bench();
    record(&bench);
    let pulled = pull(&bench, "77").unwrap();
    fs::remove_dir_all(bench.clone_path().join("evidence")).unwrap();
    bench.reopen();
    let again = pull(&bench, "77").unwrap();
    assert_eq!(again.logs, pulled.logs);
    let log = pulled.logs[0].log.clone().unwrap();
    let page = bench
        .agent(api::ReadLogRequest {
            log_id: log.log_id,
            offset: None,
            line: None,
            max_bytes: Some(65_536),
            view: api::LogViewKind::Raw,
        })
        .unwrap();
    assert_eq!(page.data, LOG);
    let gone = bench.agent(api::PullFullLogRequest {
        run_id: "77".into(),
        refresh: true,
        ..Default::default()
    });
    assert!(matches!(gone, Err(ServiceError::Ci(_))), "{gone:?}");
}

#[test]
fn a_pull_goes_on_with_what_was_missing() {
    let bench = bench();
    record(&bench);
    let second = bench.clone_path().join("evidence/runs/77/jobs/2.log");
    let kept = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    let pulled = pull(&bench, "77").unwrap();
    assert!(!pulled.complete);
    assert_eq!(pulled.logs[1].fate, "lost");
    assert_eq!(pulled.logs[1].why_empty.as_deref(), Some("missing"));
    assert_eq!(pulled.logs[1].links[0].outcome, "absent");
    fs::write(&second, kept).unwrap();
    let again = bench
        .agent(api::PullFullLogRequest {
            run_id: "77".into(),
            refresh: true,
            artifacts: true,
            ..Default::default()
        })
        .unwrap();
    assert!(again.complete, "{again:?}");
    assert_eq!(again.run_id, pulled.run_id);
    assert_eq!(again.logs[0].links[0].link, "store");
}

#[test]
fn a_bare_folder_needs_to_be_told_its_commit() {
    let bench = bench();
    put(&bench, "night/debug.log", LOG);
    let told = |commit: Option<&str>, scope: Option<&str>| {
        bench.agent(api::PullFullLogRequest {
            run_id: "night".into(),
            commit: commit.map(str::to_owned),
            scope: scope.map(str::to_owned),
            ..Default::default()
        })
    };
    assert!(matches!(
        told(None, Some("nonsense")),
        Err(ServiceError::BadArgument { field: "scope", .. })
    ));
    let head = run(&bench.clone_path(), "git", &["rev-parse", "HEAD"]);
    let pulled = told(Some(&head), None).unwrap();
    assert_eq!(
        (pulled.scope.as_str(), pulled.head_sha.as_str()),
        (SCOPE, head.as_str())
    );
    assert_eq!(pulled.logs[0].job, "debug");
}

#[test]
fn artifacts_are_unpacked_into_logs_and_blobs() {
    let bench = bench();
    record(&bench);
    put(&bench, "runs/77/artifacts/notes.txt", "uploaded as it is\n");
    let pulled = pull(&bench, "77").unwrap();
    assert_eq!(pulled.artifacts[0].fate, "byte_exact");
    let artifact = bench
        .agent(api::PullArtifactRequest {
            run_id: pulled.run_id.clone(),
            name: "notes.txt".into(),
            attempt: None,
        })
        .unwrap();
    assert!(artifact.complete);
    assert_eq!(artifact.entries[0].blob, artifact.sha256);
    let unknown = bench.agent(api::PullArtifactRequest {
        run_id: pulled.run_id,
        name: "../notes".into(),
        attempt: None,
    });
    assert!(matches!(
        unknown,
        Err(ServiceError::UnknownId {
            kind: "artifact",
            ..
        })
    ));
}

#[test]
fn a_class_tells_how_waiting_grows_with_noops() {
    let bench = bench();
    record(&bench);
    let timed = |noops: u32, wait: &str| {
        format!(
            "{LOG}2026-01-02T03:04:07.0000000Z [GPU TIMING BREAKDOWN] path=single_graph phase=decode noops={noops} wait_us={wait}\n"
        )
    };
    put(&bench, "runs/77/jobs/1.log", timed(0, "100"));
    let class = |bench: &Bench| {
        let pulled = pull(bench, "77").unwrap();
        let request = api::ClassifyRunRequest {
            run_id: pulled.run_id,
        };
        bench.agent(request).unwrap()
    };
    put(&bench, "runs/77/jobs/2.log", timed(100, "250.5"));
    let slopes = class(&bench).slopes;
    assert_eq!(slopes.len(), 1);
    assert_eq!(slopes[0].us_per_noop, "1.505");
    assert_eq!(slopes[0].of, "path=single_graph phase=decode");
    assert_eq!((slopes[0].rows, slopes[0].steps), (2, 2));
}
