//! Runs and jobs that never ran, go on, end oddly or change meanwhile.

use super::*;

#[test]
fn a_queued_job_is_not_asked_for_its_log() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    let mut queued = job(1, "gpu");
    queued["status"] = json!("queued");
    queued["conclusion"] = json!(null);
    queued["steps"] = json!([]);
    queued["runner_id"] = json!(null);
    forge.jobs(&[queued]);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.jobs[0].why_empty, Some(WhyEmpty::InProgress));
    assert_eq!(fates(&pulled), [Fate::Pending]);
    assert_eq!(forge.api.count(&Forge::log_path(1)), 0);
}

#[test]
fn blob_not_found_is_a_missing_log() {
    let xml = b"<?xml version=\"1.0\"?><Error><Code>BlobNotFound</Code></Error>";
    let (_, pulled) = pulled_by(vec![reply(
        404,
        &[("Content-Type", "application/xml")],
        xml,
    )]);
    assert_eq!(pulled.jobs[0].why_empty, Some(WhyEmpty::Missing));
    assert_eq!(fates(&pulled), [Fate::Lost]);
}

#[test]
fn an_unknown_job_id_is_a_missing_log() {
    let job = asked_by(vec![status(404, "{\"message\":\"Not Found\"}")]);
    assert_eq!(job.why_empty, Some(WhyEmpty::Missing));
    assert_eq!(chain(&job), ["job_log absent", "attempt_logs absent"]);
}

#[test]
fn an_expired_log_says_so() {
    let job = asked_by(vec![status(410, "{\"message\":\"Gone\"}")]);
    assert_eq!(job.why_empty, Some(WhyEmpty::Expired));
}

#[test]
fn a_withheld_log_says_so() {
    assert_eq!(
        asked_by(vec![status(451, "{}")]).why_empty,
        Some(WhyEmpty::Suppressed)
    );
}

#[test]
fn a_job_that_was_never_dispatched_has_nothing() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    let (mut zero, mut null) = (job(1, "zero"), job(2, "null"));
    for (job, runner) in [(&mut zero, json!(0)), (&mut null, json!(null))] {
        job["runner_id"] = runner;
        job["conclusion"] = json!("cancelled");
    }
    zero["steps"] = json!([]);
    null["steps"] = json!(null);
    forge.jobs(&[zero, null]);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(fates(&pulled), [Fate::Nothing; 2]);
    assert_eq!(pulled.jobs[0].why_empty, Some(WhyEmpty::NeverStarted));
}

#[test]
fn a_completed_run_without_jobs_says_so() {
    let pulled = Bench::default()
        .pull(&Forge::with(&[]).client(), "7")
        .unwrap();
    assert!(pulled.jobs.is_empty());
    assert!(pulled.notes[0].contains("without a job"));
}

#[test]
fn a_rerun_while_fetching_leaves_the_pinned_attempt() {
    let forge = Forge::start();
    forge.run(&run(7));
    forge.jobs(&[job(1, "gpu")]);
    forge.artifacts(&[]);
    forge.log(1, LOG);
    let mut again = run(7);
    again["run_attempt"] = json!(2);
    again["status"] = json!("in_progress");
    forge.api.on(&format!("{REPO}/actions/runs/7"), ok(&again));
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.run.attempt(), 1);
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
    assert!(pulled.provisional.as_deref().unwrap().contains("attempt 2"));
    assert!(!pulled.is_full());
}

#[test]
fn a_finished_job_of_a_live_run_is_readable_and_provisional() {
    let forge = Forge::start();
    let mut live = run(7);
    live["status"] = json!("in_progress");
    live["conclusion"] = json!(null);
    forge.run(&live);
    forge.jobs(&[job(1, "gpu")]);
    forge.artifacts(&[]);
    forge.log(1, LOG);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(fates(&pulled), [Fate::Provisional]);
    assert!(!pulled.is_full());
}

#[test]
fn words_that_are_not_known_are_kept() {
    let forge = Forge::start();
    let mut odd = run(7);
    odd["conclusion"] = json!("half_baked");
    odd["head_branch"] = json!(null);
    odd["workflow_id"] = json!(null);
    odd["path"] = json!(null);
    odd["name"] = json!(null);
    forge.run(&odd);
    forge.jobs(&[]);
    forge.artifacts(&[]);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    let word = pulled.run.conclusion.as_deref().unwrap();
    assert_eq!(
        ci::forge::model::conclusion(word),
        Conclusion::Unknown("half_baked".into())
    );
    assert_eq!(pulled.run.workflow_file(), None);
}

#[test]
fn an_answer_about_another_run_is_refused() {
    let forge = Forge::start();
    forge.api.on(&format!("{REPO}/actions/runs/7"), ok(&run(8)));
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(matches!(error, ForgeError::Malformed { .. }), "{error}");
}

#[test]
fn run_ids_are_never_parts_of_paths() {
    let forge = Forge::start();
    for id in ["../../user", "7/../8", "", "7?x=1", "seven"] {
        let error = Bench::default().pull(&forge.client(), id).unwrap_err();
        assert!(
            matches!(error, ForgeError::NoSuchRun { .. }),
            "{id}: {error}"
        );
    }
    assert_eq!(forge.api.asked().len(), 0);
}

#[test]
fn a_pull_that_was_stopped_goes_on_with_the_rest() {
    let forge = Forge::with(&[(1, "a", LOG), (2, "b", b"second\n"), (3, "c", b"third\n")]);
    let client = forge.client();
    let mut bench = Bench {
        cancel_after: Some(1),
        ..Bench::default()
    };
    let stopped = bench.pull(&client, "7").unwrap_err();
    assert!(matches!(stopped, ForgeError::Cancelled));
    assert_eq!(bench.kept.keys().copied().collect::<Vec<_>>(), [1]);
    bench.cancel = Cancel::new().unwrap();
    bench.cancel_after = None;
    let pulled = bench.pull(&client, "7").unwrap();
    assert!(pulled.is_full());
    assert_eq!(chain(&pulled.jobs[0]), ["store whole"]);
    assert_eq!(forge.blob.count("/log/1"), 1);
}

#[test]
fn runners_are_optional() {
    let forge = Forge::start();
    let path = format!("{REPO}/actions/runners");
    let cancel = Cancel::new().unwrap();
    forge.api.on(
        &path,
        status(403, "{\"message\":\"Resource not accessible\"}"),
    );
    assert_eq!(forge.client().runners(&cancel).unwrap(), None);
    forge.api.forget(&path);
    let labels = json!([{"id": 1, "name": "self-hosted", "type": "read-only"}]);
    let rig = json!({
        "id": 4, "name": "rig", "os": "windows", "status": "offline", "busy": false, "labels": labels,
    });
    forge
        .api
        .on(&path, ok(&json!({"total_count": 1, "runners": [rig]})));
    let runners = forge.client().runners(&cancel).unwrap().unwrap();
    let wanted = ["self-hosted".to_owned()];
    let state = RunnerState::of(Some(&runners), &wanted);
    assert_eq!(
        state,
        RunnerState::Offline {
            names: vec!["rig".into()]
        }
    );
}
