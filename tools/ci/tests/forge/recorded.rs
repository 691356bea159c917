//! A folder of yesterday's evidence.

use std::fs;
use std::path::{Path, PathBuf};

use ci::Recorded;
use ci::forge::{Fate, Forge, ForgeError, HarnessPattern, RunQuery, last_signal};
use discipline::model::WhyEmpty;
use exec::Cancel;
use serde_json::json;

use crate::support::{Bench, chain, fates, zip_of};

struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Shelf {
        Shelf(tempfile::tempdir().unwrap())
    }

    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn json(&self, path: &str, value: &serde_json::Value) {
        self.put(path, value.to_string());
    }

    fn forge(&self) -> Recorded {
        Recorded::open(self.0.path()).unwrap()
    }
}

fn job(id: u64, name: &str, conclusion: &str) -> serde_json::Value {
    json!({
        "id": id, "name": name, "status": "completed", "conclusion": conclusion,
        "runner_id": 7, "runner_name": "rig", "labels": ["self-hosted"], "run_attempt": 1,
        "started_at": "2026-01-02T03:00:00Z", "completed_at": "2026-01-02T03:10:00Z",
        "steps": [{"name": "test", "status": "completed", "conclusion": conclusion, "number": 1}],
    })
}

fn run(id: u64) -> serde_json::Value {
    json!({
        "id": id, "name": "gpu", "path": ".github/workflows/gpu-tests.yml@refs/heads/main",
        "event": "push", "status": "completed", "conclusion": "failure", "run_attempt": 1,
        "head_sha": "1234567890123456789012345678901234567890", "head_branch": null,
        "created_at": "2026-01-02T02:59:00Z", "updated_at": "2026-01-02T03:11:00Z",
        "workflow_id": null,
    })
}

const LOG: &[u8] = b"\xef\xbb\xbf2026-01-02T03:04:05.0000000Z [GPU SMOKE OP NORM] a=1\r\n\
    2026-01-02T03:04:06.0000000Z ##[error]Process completed with exit code 101.\n";

#[test]
fn a_described_run_comes_out_byte_exact() {
    let shelf = Shelf::new();
    shelf.json("runs/42/run.json", &run(42));
    shelf.json(
        "runs/42/jobs.json",
        &json!({"total_count": 1, "jobs": [job(9, "gpu (0)", "failure")]}),
    );
    shelf.put("runs/42/jobs/9.log", LOG);
    let mut bench = Bench::default();
    let pulled = bench.pull(&shelf.forge(), "42").unwrap();
    assert!(pulled.is_full());
    assert_eq!(pulled.run.workflow_file(), Some("gpu-tests.yml"));
    assert_eq!(bench.bytes(&pulled, "gpu (0)"), LOG);
    assert_eq!(pulled.jobs[0].exit_code, Some(101));
    assert_eq!(chain(&pulled.jobs[0]), ["job_log whole"]);
}

#[test]
fn a_bare_folder_of_logs_is_a_run() {
    let shelf = Shelf::new();
    shelf.put("yesterday/noop-0.log", LOG);
    shelf.put("yesterday/noop-50.txt", b"no newline at the end");
    shelf.put(
        "yesterday/crash.zip",
        zip_of(&[("core.dmp", b"\0\x01\x02")]),
    );
    let forge = shelf.forge();
    let listed = forge
        .runs(&RunQuery::default(), &Cancel::new().unwrap())
        .unwrap();
    assert_eq!(listed[0].name.as_deref(), Some("yesterday"));
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge, "yesterday").unwrap();
    assert_eq!(fates(&pulled), [Fate::ByteExact, Fate::ByteExact]);
    assert_eq!(bench.bytes(&pulled, "noop-50"), b"no newline at the end");
    assert_eq!(pulled.artifacts[0].artifact.name, "crash");
    assert_eq!(pulled.artifacts[0].fate, Fate::ByteExact);
    // Nobody said how it ended.
    assert_eq!(pulled.jobs[0].job.conclusion.as_deref(), Some("unknown"));
}

#[test]
fn the_root_itself_can_be_the_run() {
    let shelf = Shelf::new();
    shelf.put("a.log", LOG);
    let name = shelf
        .0
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let pulled = Bench::default().pull(&shelf.forge(), &name).unwrap();
    assert_eq!(fates(&pulled), [Fate::ByteExact]);
}

#[test]
fn an_archive_alone_gives_the_jobs_it_names() {
    let shelf = Shelf::new();
    let zip = zip_of(&[
        ("0_gpu.txt", LOG),
        ("gpu/1_test.txt", LOG),
        ("-1_lint.txt", b"fine\n"),
    ]);
    shelf.put("night/logs.zip", zip);
    let mut bench = Bench::default();
    let pulled = bench.pull(&shelf.forge(), "night").unwrap();
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
    assert_eq!(bench.bytes(&pulled, "lint"), b"fine\n");
    assert_eq!(
        chain(&pulled.jobs[0]),
        ["job_log absent", "attempt_logs whole"]
    );
    assert!(pulled.is_full());
}

#[test]
fn every_reason_for_an_empty_log_is_told() {
    let shelf = Shelf::new();
    shelf.json("runs/1/run.json", &run(1));
    let mut never = job(2, "never", "cancelled");
    never["runner_id"] = json!(0);
    never["steps"] = json!([]);
    let mut live = job(3, "live", "success");
    live["status"] = json!("in_progress");
    live["conclusion"] = json!(null);
    let jobs = json!([
        job(1, "missing", "failure"),
        never,
        live,
        job(4, "expired", "failure"),
        job(5, "forbidden", "failure"),
        job(6, "suppressed", "failure"),
        job(7, "zero", "failure"),
    ]);
    shelf.json("runs/1/jobs.json", &jobs);
    shelf.put("runs/1/jobs/4.why", "expired\n");
    shelf.put("runs/1/jobs/5.why", "forbidden");
    shelf.put("runs/1/jobs/6.why", "suppressed");
    shelf.put("runs/1/jobs/7.log", b"");
    let pulled = Bench::default().pull(&shelf.forge(), "1").unwrap();
    let why: Vec<_> = pulled
        .jobs
        .iter()
        .map(|job| job.why_empty.unwrap())
        .collect();
    use WhyEmpty::{Expired, Forbidden, InProgress, Missing, NeverStarted, Suppressed, ZeroBytes};
    assert_eq!(
        why,
        [
            Missing,
            NeverStarted,
            InProgress,
            Expired,
            Forbidden,
            Suppressed,
            ZeroBytes
        ]
    );
    use Fate::{Lost, Nothing, Pending};
    assert_eq!(
        fates(&pulled),
        [Lost, Nothing, Pending, Lost, Lost, Lost, Lost]
    );
    assert!(!pulled.is_full());
    assert!(pulled.jobs.iter().all(|job| job.log.is_none()));
}

#[test]
fn attempts_stand_beside_each_other() {
    let shelf = Shelf::new();
    let mut newest = run(5);
    newest["run_attempt"] = json!(2);
    shelf.json("runs/5/run.json", &newest);
    shelf.json(
        "runs/5/attempts/1/jobs.json",
        &json!([job(1, "gpu", "failure")]),
    );
    shelf.put("runs/5/attempts/1/jobs/1.log", b"first\n");
    let mut again = job(2, "gpu", "success");
    again["run_attempt"] = json!(2);
    again["started_at"] = json!("2026-01-02T05:00:00Z");
    shelf.json("runs/5/attempts/2/jobs.json", &json!([again]));
    shelf.put("runs/5/attempts/2/jobs/2.log", b"second\n");
    let mut bench = Bench::default();
    let pulled = bench.pull(&shelf.forge(), "5").unwrap();
    assert_eq!(pulled.run.attempt(), 2);
    assert_eq!(bench.bytes(&pulled, "gpu"), b"second\n");
    bench.attempt = Some(1);
    let pulled = bench.pull(&shelf.forge(), "5").unwrap();
    assert_eq!(bench.bytes(&pulled, "gpu"), b"first\n");
    assert!(pulled.is_full());
    bench.attempt = Some(3);
    assert!(matches!(
        bench.pull(&shelf.forge(), "5"),
        Err(ForgeError::NoSuchRun { .. })
    ));
}

#[test]
fn a_job_taken_over_by_a_rerun_has_its_log_in_the_earlier_attempt() {
    let shelf = Shelf::new();
    let mut newest = run(5);
    newest["run_attempt"] = json!(2);
    shelf.json("runs/5/run.json", &newest);
    let (mut same, mut other) = (job(3, "lint", "success"), job(4, "gpu", "failure"));
    same["run_attempt"] = json!(2);
    other["run_attempt"] = json!(2);
    other["started_at"] = json!("2026-01-02T05:00:00Z");
    shelf.json("runs/5/jobs.json", &json!([same, other]));
    shelf.json(
        "runs/5/attempts/1/jobs.json",
        &json!([job(1, "lint", "success"), job(2, "gpu", "failure")]),
    );
    shelf.put("runs/5/attempts/1/jobs/1.log", b"fine\n");
    shelf.put("runs/5/attempts/1/jobs/2.log", b"of attempt 1\n");
    let mut bench = Bench::default();
    let pulled = bench.pull(&shelf.forge(), "5").unwrap();
    assert_eq!(bench.bytes(&pulled, "lint"), b"fine\n");
    // Another execution's log is never this one's.
    let gpu = bench.job(&pulled, "gpu");
    assert_eq!(gpu.log, None);
    assert_eq!(chain(&gpu).last().unwrap(), "earlier_attempt skipped");
}

#[test]
fn harness_output_in_artifacts_becomes_logs() {
    let shelf = Shelf::new();
    shelf.json("runs/1/run.json", &run(1));
    shelf.json(
        "runs/1/jobs.json",
        &json!([job(1, "gpu (noop-50)", "failure")]),
    );
    shelf.put("runs/1/jobs/1.log", LOG);
    let zip = zip_of(&[("gpu_test_output.log", LOG), ("crash.dmp", b"\0")]);
    shelf.put("runs/1/artifacts/gpu-test-output-noop-50.zip", zip);
    let mut bench = Bench {
        harness: vec![HarnessPattern::parse("gpu-test-output-{cell}/*.log").unwrap()],
        ..Bench::default()
    };
    let pulled = bench.pull(&shelf.forge(), "1").unwrap();
    let logs = &pulled.artifacts[0].logs;
    assert_eq!(logs[0].cell.as_deref(), Some("noop-50"));
    assert_eq!(logs.len(), 1);
    assert!(logs[0].log.complete);
}

#[test]
fn steps_are_attributed_where_the_archive_covers_the_log() {
    let shelf = Shelf::new();
    shelf.json("runs/1/run.json", &run(1));
    shelf.json(
        "runs/1/jobs.json",
        &json!([job(1, "gpu", "failure"), job(2, "odd", "failure")]),
    );
    shelf.put("runs/1/jobs/1.log", "\u{feff}set up\ntest\n");
    shelf.put("runs/1/jobs/2.log", "another text\n");
    let zip = zip_of(&[
        ("gpu/1_test.txt", "\u{feff}set up\n".as_bytes()),
        ("gpu/2_test.txt", "\u{feff}test\n".as_bytes()),
        ("odd/1_test.txt", b"some text\n"),
    ]);
    shelf.put("runs/1/logs.zip", zip);
    let mut bench = Bench {
        steps: true,
        ..Bench::default()
    };
    let pulled = bench.pull(&shelf.forge(), "1").unwrap();
    let spans = bench.job(&pulled, "gpu").steps.unwrap();
    let bytes: Vec<_> = spans
        .iter()
        .map(|span| (span.byte_start, span.byte_end))
        .collect();
    assert_eq!(bytes, [(0, 10), (10, 15)]);
    assert_eq!(spans[0].name, "test");
    // Where the parts do not add up to the log, the log alone speaks.
    assert_eq!(bench.job(&pulled, "odd").steps, None);
    assert!(bench.job(&pulled, "odd").log.unwrap().complete);
}

#[test]
fn names_reach_no_file_outside_the_folder() {
    let shelf = Shelf::new();
    shelf.put("secret.log", "token");
    shelf.json("in/runs/1/run.json", &run(1));
    shelf.json("in/runs/1/jobs.json", &json!([job(1, "gpu", "failure")]));
    std::os::unix::fs::symlink(
        shelf.0.path().join("secret.log"),
        shelf
            .put("in/runs/1/jobs/2.log", "")
            .with_file_name("1.log"),
    )
    .unwrap();
    let artifacts = json!([{"id": 1, "name": "../../../secret.log"}]);
    shelf.json("in/runs/1/artifacts.json", &artifacts);
    let forge = Recorded::open(&shelf.0.path().join("in")).unwrap();
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge, "1").unwrap();
    assert_eq!(pulled.jobs[0].why_empty, Some(WhyEmpty::Missing));
    assert_eq!(pulled.artifacts[0].why_empty, Some(WhyEmpty::Missing));
    assert!(matches!(
        bench.pull(&forge, "../in/runs/1"),
        Err(ForgeError::NoSuchRun { .. })
    ));
    assert!(bench.store.logs.borrow().is_empty());
}

#[test]
fn a_listing_that_counts_more_than_it_lists_is_refused() {
    let shelf = Shelf::new();
    shelf.json("runs/1/run.json", &run(1));
    shelf.json(
        "runs/1/jobs.json",
        &json!({"total_count": 2, "jobs": [job(1, "gpu", "failure")]}),
    );
    let error = Bench::default().pull(&shelf.forge(), "1").unwrap_err();
    assert!(error.to_string().contains("counts 2"), "{error}");
}

#[test]
fn descriptions_that_cannot_be_read_are_errors() {
    for text in ["", "{", "[1]", "{\"head_sha\": 5}"] {
        let shelf = Shelf::new();
        shelf.put("runs/1/run.json", text);
        let error = Bench::default().pull(&shelf.forge(), "1").unwrap_err();
        assert!(
            matches!(error, ForgeError::Malformed { .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn the_walk_back_passes_silent_runs() {
    let shelf = Shelf::new();
    for id in 1..=4u64 {
        let mut described = run(id);
        described["created_at"] = json!(format!("2026-01-0{id}T00:00:00Z"));
        described["conclusion"] = json!(if id == 1 { "failure" } else { "cancelled" });
        shelf.json(&format!("runs/{id}/run.json"), &described);
        let mut only = job(id, "gpu", "failure");
        if id > 1 {
            only["steps"] = json!([]);
            only["runner_id"] = json!(null);
        }
        shelf.json(&format!("runs/{id}/jobs.json"), &json!([only]));
    }
    let query = RunQuery {
        workflow: Some("gpu-tests.yml".into()),
        ..RunQuery::default()
    };
    let now = 1_767_500_000_000;
    let found = last_signal(&shelf.forge(), &query, now, &Cancel::new().unwrap());
    let found = found.unwrap().unwrap();
    assert_eq!(found.run.id, 1);
    let passed: Vec<_> = found.passed.iter().map(|p| p.run_id.as_str()).collect();
    assert_eq!(passed, ["4", "3", "2"]);
    assert!(found.passed.iter().all(|p| p.word == "cancelled"));
    assert!(found.age_ms.unwrap() > 0);
}

#[test]
fn a_folder_that_is_not_there_says_what_to_do() {
    let error = Recorded::open(Path::new("/nonexistent")).unwrap_err();
    assert!(error.to_string().contains("`path`"), "{error}");
}
