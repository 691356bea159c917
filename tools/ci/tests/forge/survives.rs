//! What must survive: each way in which a forge, a network or an archive can misbehave.

use std::time::Duration;

use ci::forge::{Fate, ForgeError, HarnessPattern, RunQuery, RunnerState, last_signal};
use ci::github::{Credential, Github, SecretSource};
use discipline::model::{Conclusion, WhyEmpty};
use exec::Cancel;
use proptest::prelude::*;
use serde_json::json;

use crate::fake::{
    self, Forge, REPO, Step, TOKEN, bytes, half, job, ok, reply, run, short, status, unframed,
};
use crate::support::{Bench, chain, fates, zip_of};

const LOG: &[u8] = b"2026-01-02T03:04:05.0000000Z test a ... ok\n\
    2026-01-02T03:04:06.0000000Z ##[error]Process completed with exit code 101.\n";

/// One job whose log comes by this blob answer, after any number of others.
fn pulled_by(replies: Vec<fake::Reply>) -> (Bench, ci::forge::Pulled) {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, "gpu")]);
    for reply in replies {
        forge.log_reply(1, reply);
    }
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    (bench, pulled)
}

/// One job whose log request is answered so by the API.
fn asked_by(replies: Vec<fake::Reply>) -> ci::forge::PulledJob {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, "gpu")]);
    for reply in replies {
        forge.api.on(&Forge::log_path(1), reply);
    }
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(!pulled.is_full());
    assert_eq!(pulled.jobs[0].log, None);
    pulled.jobs[0].clone()
}

fn redirected(location: &[u8]) -> fake::Reply {
    let mut answer =
        b"HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: ".to_vec();
    answer.extend_from_slice(location);
    answer.extend_from_slice(b"\r\n\r\n");
    vec![Step::Bytes(answer)]
}

#[test]
fn a_run_comes_out_byte_identical() {
    let forge = Forge::with(&[(1, "gpu", LOG), (2, "lint", b"fine\n")]);
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert!(pulled.is_full());
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
    assert_eq!(pulled.jobs[0].exit_code, Some(101));
    assert_eq!(pulled.run.workflow_file(), Some("gpu-tests.yml"));
    let last = bench.progress.last().unwrap();
    assert_eq!((last.bytes, last.of, last.total), (5, Some(5), 2));
}

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
fn an_expired_artifact_says_so() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/artifacts"));
    forge.artifacts(&[
        json!({"id": 1, "name": "told", "expired": true, "digest": null}),
        json!({"id": 2, "name": "found out", "expired": false}),
    ]);
    forge.api.on(
        &format!("{REPO}/actions/artifacts/2/zip"),
        status(410, "{}"),
    );
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    let why: Vec<_> = pulled.artifacts.iter().map(|a| a.why_empty).collect();
    assert_eq!(why, [Some(WhyEmpty::Expired); 2]);
    assert_eq!(
        forge.api.count(&format!("{REPO}/actions/artifacts/1/zip")),
        0
    );
    assert!(!pulled.is_full());
}

#[test]
fn an_expired_signature_is_asked_anew_at_the_api() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    forge.blob.forget("/log/1");
    forge
        .blob
        .on("/log/1", status(403, "<Error>AuthenticationFailed</Error>"));
    forge.blob.on("/log/1", bytes(LOG));
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
    assert_eq!(forge.api.count(&Forge::log_path(1)), 2);
}

#[test]
fn a_redirect_without_location_is_refused() {
    let job = asked_by(vec![reply(302, &[], b"")]);
    assert_eq!(job.fate, Fate::Failed);
    assert_eq!(chain(&job)[0], "job_log failed");
}

#[test]
fn redirects_that_lead_elsewhere_are_refused() {
    for location in [
        "http://blob.example.invalid/log",
        "http://user:pass@127.0.0.1:1/log",
        "ftp://127.0.0.1/log",
        "/relative",
    ] {
        let job = asked_by(vec![redirected(location.as_bytes())]);
        assert_eq!(job.fate, Fate::Failed, "{location}");
        assert!(
            job.links[0].detail.contains("redirect refused"),
            "{:?}",
            job.links
        );
    }
}

#[test]
fn a_location_that_is_no_utf8_is_refused() {
    let job = asked_by(vec![redirected(b"http://127.0.0.1/\xff\xfe")]);
    assert_eq!(job.fate, Fate::Failed);
}

#[test]
fn a_redirect_loop_ends() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    forge.blob.forget("/log/1");
    let here = forge.signed("/log/1");
    forge
        .blob
        .on("/log/1", reply(302, &[("Location", &here)], b""));
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(
        pulled.jobs[0].links[0].detail.contains("circle"),
        "{:?}",
        pulled.jobs[0].links
    );
    assert_eq!(forge.blob.count("/log/1"), 1);
}

#[test]
fn a_to_b_to_b_ends() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    forge.blob.forget("/log/1");
    let next = forge.signed("/b");
    forge
        .blob
        .on("/log/1", reply(302, &[("Location", &next)], b""));
    forge.blob.on("/b", reply(307, &[("Location", &next)], b""));
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(pulled.jobs[0].links[0].detail.contains("circle"));
    assert_eq!(forge.blob.count("/b"), 1);
}

#[test]
fn a_second_hop_that_arrives_is_followed() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    forge.blob.forget("/log/1");
    let next = forge.signed("/b");
    forge
        .blob
        .on("/log/1", reply(307, &[("Location", &next)], b""));
    forge.blob.on("/b", bytes(LOG));
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
}

#[test]
fn an_answer_of_200_instead_of_302_is_no_log() {
    let job = asked_by(vec![bytes(LOG)]);
    assert_eq!(job.fate, Fate::Failed);
    assert!(job.links[0].detail.contains("200 instead of 302"));
}

#[test]
fn pages_about_errors_are_no_logs() {
    for kind in [
        "text/html",
        "application/json; charset=utf-8",
        "application/xml",
    ] {
        let (_, pulled) = pulled_by(vec![reply(200, &[("Content-Type", kind)], b"<html>")]);
        assert_eq!(fates(&pulled), [Fate::Failed], "{kind}");
    }
}

#[test]
fn what_is_no_zip_is_named() {
    for (body, found) in [
        ("<!DOCTYPE html><html>login</html>", "HTML"),
        ("{\"message\":\"no\"}", "JSON"),
        ("<?xml version=\"1.0\"?><Error/>", "XML"),
        ("\u{1f}\u{8b}", "raw"),
    ] {
        let forge = Forge::with(&[]);
        forge
            .api
            .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
        forge.jobs(&[job(1, "gpu")]);
        forge.attempt_logs(body.as_bytes());
        let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
        let link = &pulled.jobs[0].links[1];
        assert!(link.detail.contains(found), "{found}: {link:?}");
        assert_eq!(fates(&pulled), [Fate::Failed]);
    }
}

#[test]
fn a_short_body_is_fetched_anew() {
    let (bench, pulled) = pulled_by(vec![short(LOG.len(), &LOG[..20]), bytes(LOG)]);
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
    assert!(pulled.is_full());
}

#[test]
fn a_body_that_stays_short_is_not_published() {
    let (bench, pulled) = pulled_by(vec![short(LOG.len(), &LOG[..20])]);
    assert_eq!(fates(&pulled), [Fate::Failed]);
    assert!(bench.store.logs.borrow().is_empty());
}

#[test]
fn a_body_that_only_the_connection_ends_is_never_called_full() {
    let (bench, pulled) = pulled_by(vec![unframed(&LOG[..20])]);
    let log = pulled.jobs[0].log.clone().unwrap();
    assert!(!log.complete);
    assert_eq!(fates(&pulled), [Fate::Provisional]);
    assert_eq!(bench.bytes(&pulled, "gpu"), &LOG[..20]);
    assert!(!pulled.is_full());
}

#[test]
fn a_reset_in_the_body_is_fetched_anew() {
    let (bench, pulled) = pulled_by(vec![half(LOG, Step::Reset), bytes(LOG)]);
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
    let (bench, pulled) = pulled_by(vec![half(LOG, Step::Reset)]);
    assert_eq!(fates(&pulled), [Fate::Failed]);
    assert!(bench.store.logs.borrow().is_empty());
}

#[test]
fn a_stall_ends_after_the_idle_time() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    forge.blob.forget("/log/1");
    forge.blob.on("/log/1", half(LOG, Step::Stall));
    let mut settings = forge.settings();
    settings.patience.idle = Duration::from_millis(400);
    settings.patience.tries = 2;
    let client = Github::new(settings).unwrap();
    let mut bench = Bench::default();
    let pulled = bench.pull(&client, "7").unwrap();
    assert_eq!(fates(&pulled), [Fate::Failed]);
    assert!(
        pulled.jobs[0].links[0].detail.contains("nothing came"),
        "{:?}",
        pulled.jobs[0].links
    );
    assert_eq!(forge.blob.count("/log/1"), 2);
}

#[test]
fn an_empty_log_of_a_failed_job_is_a_finding() {
    let (bench, pulled) = pulled_by(vec![bytes(b"")]);
    assert_eq!(pulled.jobs[0].why_empty, Some(WhyEmpty::ZeroBytes));
    assert_eq!(fates(&pulled), [Fate::Lost]);
    assert!(bench.store.logs.borrow().is_empty());
}

/// One job without a log of its own, and this archive.
fn from_archive(name: &str, entries: &[(&str, &[u8])]) -> (Bench, ci::forge::Pulled) {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, name)]);
    forge.attempt_logs(&zip_of(entries));
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    (bench, pulled)
}

#[test]
fn an_archive_with_only_the_whole_log_gives_it() {
    let (bench, pulled) = from_archive("gpu", &[("3_gpu.txt", LOG)]);
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
    assert_eq!(
        chain(&pulled.jobs[0]),
        ["job_log absent", "attempt_logs whole"]
    );
}

#[test]
fn an_archive_with_a_negative_number_gives_it() {
    let (bench, pulled) =
        from_archive("gpu", &[("-1_gpu.txt", LOG), ("gpu/system.txt", b"runner")]);
    assert_eq!(bench.bytes(&pulled, "gpu"), LOG);
}

#[test]
fn an_archive_without_the_job_says_so() {
    let (_, pulled) = from_archive("gpu", &[("0_lint.txt", LOG), ("lint/1_Test.txt", LOG)]);
    assert_eq!(pulled.jobs[0].log, None);
    assert!(pulled.jobs[0].links[1].detail.contains("does not hold"));
}

#[test]
fn an_archive_with_step_files_alone_is_no_whole_log() {
    let (_, pulled) = from_archive("gpu", &[("gpu/2_Test.txt", LOG), ("gpu/system.txt", b"x")]);
    assert_eq!(pulled.jobs[0].log, None);
    assert!(pulled.jobs[0].links[1].detail.contains("1 step files"));
}

#[test]
fn jobs_of_one_name_are_told_by_their_own_calls() {
    let forge = Forge::with(&[(1, "gpu", LOG), (2, "gpu", b"other\n")]);
    forge.attempt_logs(&zip_of(&[
        ("0_gpu.txt", b"whose?\n"),
        ("1_gpu.txt", b"whose?\n"),
    ]));
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(pulled.is_full());
    forge.blob.forget("/log/2");
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.jobs[1].log, None);
    assert_eq!(
        chain(&pulled.jobs[1]),
        ["job_log absent", "attempt_logs uncertain"]
    );
}

#[test]
fn names_cut_inside_an_emoji_are_told_by_their_own_calls() {
    let name = format!("{}\u{1f600} more", "x".repeat(89));
    let cut = format!("0_{}\u{fffd}.txt", "x".repeat(89));
    let (_, pulled) = from_archive(&name, &[(&cut, LOG)]);
    assert_eq!(chain(&pulled.jobs[0])[1], "attempt_logs uncertain");
    assert_eq!(pulled.jobs[0].log, None);
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

/// The jobs of run 7 on these pages, linked one to the next.
fn paged(forge: &Forge, total: usize, pages: &[(Vec<serde_json::Value>, Option<String>)]) {
    let path = format!("{REPO}/actions/runs/7/attempts/1/jobs");
    forge.api.forget(&path);
    for (jobs, next) in pages {
        let body = json!({"total_count": total, "jobs": jobs}).to_string();
        let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
        let headers: Vec<(&str, &str)> = link.iter().map(|link| ("Link", link.as_str())).collect();
        forge.api.on(&path, reply(200, &headers, body.as_bytes()));
    }
}

fn page(forge: &Forge, number: u32) -> Option<String> {
    let path = format!("{REPO}/actions/runs/7/attempts/1/jobs?per_page=100&page={number}");
    Some(format!("http://127.0.0.1:{}{path}", forge.api.port))
}

#[test]
fn every_page_is_read() {
    let forge = Forge::with(&[(1, "a", LOG), (2, "b", LOG), (3, "c", LOG)]);
    let pages = [
        (vec![job(1, "a"), job(2, "b")], page(&forge, 2)),
        (vec![job(2, "b"), job(3, "c")], None),
    ];
    paged(&forge, 3, &pages);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.jobs.len(), 3);
    assert!(pulled.is_full());
}

#[test]
fn an_empty_page_with_a_next_one_ends_the_listing() {
    let forge = Forge::with(&[(1, "a", LOG)]);
    let pages = [
        (vec![job(1, "a")], page(&forge, 2)),
        (vec![], page(&forge, 3)),
    ];
    paged(&forge, 1, &pages);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(pulled.is_full());
}

#[test]
fn fewer_rows_than_are_counted_are_no_listing() {
    let forge = Forge::with(&[(1, "a", LOG)]);
    paged(&forge, 2, &[(vec![job(1, "a")], None)]);
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(
        error.to_string().contains("counts 2 and lists 1"),
        "{error}"
    );
}

#[test]
fn a_next_page_on_a_foreign_host_is_refused() {
    let forge = Forge::with(&[(1, "a", LOG)]);
    let foreign = format!("http://127.0.0.1:{}/steal", forge.blob.port);
    paged(&forge, 2, &[(vec![job(1, "a")], Some(foreign))]);
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
    assert_eq!(forge.blob.asked().len(), 0);
}

#[test]
fn digests_of_artifacts_are_checked() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/artifacts"));
    let zip = zip_of(&[("a.txt", b"a")]);
    let right = attest::digest::Digest::of(&zip).to_string();
    let wrong = attest::digest::Digest::of(b"other").to_string();
    forge.artifacts(&[
        json!({"id": 1, "name": "right", "digest": right}),
        json!({"id": 2, "name": "null", "digest": null}),
        json!({"id": 3, "name": "wrong", "digest": wrong}),
    ]);
    for id in 1..=3 {
        forge.artifact(id, &zip);
    }
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    let fates: Vec<Fate> = pulled.artifacts.iter().map(|a| a.fate).collect();
    assert_eq!(fates, [Fate::ByteExact, Fate::ByteExact, Fate::Failed]);
    assert!(pulled.artifacts[1].detail.contains("states no digest"));
    assert_eq!(pulled.artifacts[2].blob, None);
    assert!(!pulled.is_full());
}

#[test]
fn an_artifact_that_was_overwritten_keeps_both_and_trusts_the_newest() {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/artifacts"));
    forge.artifacts(&[
        json!({"id": 5, "name": "out-a"}),
        json!({"id": 9, "name": "out-a"}),
    ]);
    forge.artifact(5, &zip_of(&[("t.log", b"old\n")]));
    forge.artifact(9, &zip_of(&[("t.log", b"new\n")]));
    let mut bench = Bench {
        harness: vec![HarnessPattern::parse("out-{cell}/*.log").unwrap()],
        ..Bench::default()
    };
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.artifacts[0].logs, []);
    assert!(pulled.artifacts[0].detail.contains("newer artifact"));
    let log = pulled.artifacts[1].logs[0].log.log_id.to_string();
    assert_eq!(bench.store.logs.borrow()[&log], b"new\n");
}

#[test]
fn bytes_of_any_kind_come_out_as_they_are() {
    let odd: &[&[u8]] = &[
        b"\xff\xfe invalid \xc3\x28 utf-8\n",
        b"NUL \0 in the middle\n",
        b"CRLF\r\nand CR\rand LF\n",
        b"no final newline",
        b"\xef\xbb\xbfmark\n\xef\xbb\xbfmark again\n",
    ];
    for log in odd {
        let (bench, pulled) = pulled_by(vec![bytes(log)]);
        assert_eq!(&bench.bytes(&pulled, "gpu"), log);
        assert!(pulled.is_full());
    }
}

#[test]
fn long_lines_come_out_whole() {
    for length in [70 << 10, 50 << 20] {
        let mut log = vec![b'x'; length];
        log.push(b'\n');
        let (bench, pulled) = pulled_by(vec![bytes(&log)]);
        assert!(bench.bytes(&pulled, "gpu") == log, "{length}");
        assert_eq!(pulled.jobs[0].log.as_ref().unwrap().lines, 1);
    }
}

#[test]
fn an_archive_of_tens_of_megabytes_comes_out_byte_identical() {
    // Digits of a fixed sequence: packs to about half, as real logs do not.
    let mut state = 1u64;
    let mut log = Vec::with_capacity(40 << 20);
    while log.len() < 40 << 20 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        log.extend_from_slice(format!("{state:x}\n").as_bytes());
    }
    let zip = zip_of(&[("0_gpu.txt", &log), ("gpu/1_Test.txt", b"x")]);
    assert!(zip.len() > 15 << 20);
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, "gpu")]);
    forge.attempt_logs(&zip);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/artifacts"));
    forge.artifacts(&[json!({"id": 1, "name": "all"})]);
    forge.artifact(1, &zip);
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert!(pulled.is_full());
    assert!(bench.bytes(&pulled, "gpu") == log);
    let blob = pulled.artifacts[0].blob.clone().unwrap().to_string();
    assert!(bench.store.blobs.borrow()[&blob] == zip);
}

#[test]
fn a_token_that_is_refused_is_read_anew_once() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge
        .api
        .on(&path, status(401, "{\"message\":\"Bad credentials\"}"));
    forge.api.on(&path, ok(&run(7)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    // Each reading gives another token.
    let script = format!("echo x >> {0}; wc -l < {0}", file.display());
    let mut settings = forge.settings();
    settings
        .environment
        .insert("PATH".into(), std::env::var_os("PATH").unwrap());
    settings.credential = Credential::Token(SecretSource::Command(vec![
        "sh".into(),
        "-c".into(),
        script,
    ]));
    let client = Github::new(settings).unwrap();
    assert!(Bench::default().pull(&client, "7").unwrap().is_full());
    let first: Vec<String> = forge.api.asked()[..2].iter().map(authorization).collect();
    assert_eq!(first, ["Bearer 1", "Bearer 3"]);
}

fn authorization(asked: &fake::Asked) -> String {
    let header = asked
        .headers
        .iter()
        .find_map(|line| line.strip_prefix("authorization: "));
    header.unwrap().to_owned()
}

#[test]
fn a_token_that_stays_refused_is_an_error() {
    let forge = Forge::with(&[]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge.api.on(&path, status(401, "{}"));
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(matches!(error, ForgeError::Unauthorised { .. }));
    assert!(error.to_string().contains("machine settings"), "{error}");
    assert_eq!(forge.api.count(&path), 1);
}

#[test]
fn a_bare_403_is_a_refusal_and_not_asked_again() {
    let forge = Forge::with(&[]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge.api.on(&path, reply(403, &[], b""));
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    assert_eq!(forge.api.count(&path), 1);
    assert_eq!(
        asked_by(vec![reply(403, &[], b"")]).why_empty,
        Some(WhyEmpty::Forbidden)
    );
}

#[test]
fn a_reset_in_the_past_waits_the_least_and_goes_on() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    let headers = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1"),
        ("Date", "Fri, 02 Jan 2026 00:00:00 GMT"),
    ];
    forge.api.on(&path, reply(403, &headers, b"{}"));
    forge.api.on(&path, ok(&run(7)));
    assert!(
        Bench::default()
            .pull(&forge.client(), "7")
            .unwrap()
            .is_full()
    );
    assert_eq!(forge.api.count(&path), 3);
}

#[test]
fn a_secondary_limit_is_waited_for() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge.api.on(&path, status(429, "{}"));
    forge.api.on(&path, ok(&run(7)));
    assert!(
        Bench::default()
            .pull(&forge.client(), "7")
            .unwrap()
            .is_full()
    );
}

#[test]
fn a_limit_that_nobody_would_wait_for_is_named() {
    let forge = Forge::with(&[]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge
        .api
        .on(&path, reply(429, &[("retry-after", "3600")], b"{}"));
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(matches!(error, ForgeError::RateLimited { wait_s: 3600 }));
}

#[test]
fn failures_of_the_api_are_asked_again() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge.api.on(&path, status(502, "<html>"));
    forge.api.on(&path, vec![Step::Reset]);
    forge.api.on(&path, ok(&run(7)));
    assert!(
        Bench::default()
            .pull(&forge.client(), "7")
            .unwrap()
            .is_full()
    );
}

#[test]
fn answers_that_did_not_change_are_not_sent_again() {
    let forge = Forge::with(&[]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    let body = run(7).to_string();
    forge
        .api
        .on(&path, reply(200, &[("ETag", "\"v1\"")], body.as_bytes()));
    forge.api.on(
        &path,
        vec![Step::Bytes(
            b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: \"v1\"\r\n\r\n".to_vec(),
        )],
    );
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.run.id, 7);
    let asked = forge.api.asked();
    let last = asked.iter().rfind(|asked| asked.path == path);
    assert!(
        last.unwrap()
            .headers
            .contains(&"if-none-match: \"v1\"".to_owned())
    );
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

#[test]
fn listings_beyond_a_thousand_go_on_by_date() {
    let forge = Forge::start();
    let listed = |ids: std::ops::Range<u64>, total: usize| {
        let rows: Vec<_> = ids
            .rev()
            .map(|id| {
                let mut run = run(id);
                run["created_at"] = json!(format!("2026-01-02T{:02}:{:02}:00Z", id / 60, id % 60));
                run
            })
            .collect();
        ok(&json!({"total_count": total, "workflow_runs": rows}))
    };
    let path = format!("{REPO}/actions/workflows/gpu-tests.yml/runs");
    forge.api.on(&path, listed(200..1200, 1200));
    forge.api.on(&path, listed(1..201, 200));
    forge.api.on(&path, listed(1..2, 1));
    let query = RunQuery {
        workflow: Some("gpu-tests.yml".into()),
        ..RunQuery::default()
    };
    let cancel = Cancel::new().unwrap();
    let runs = ci::forge::Forge::runs(&forge.client(), &query, &cancel).unwrap();
    assert_eq!(runs.len(), 1199);
    assert_eq!((runs[0].id, runs[1198].id), (1199, 1));
    let asked = forge.api.asked();
    assert!(
        asked[1]
            .path
            .contains("created=%3C%3D2026-01-02T03%3A20%3A00Z"),
        "{:?}",
        asked[1].path
    );
}

#[test]
fn the_walk_back_passes_a_storm() {
    let forge = Forge::with(&[]);
    let mut rows = Vec::new();
    for id in (7..=101u64).rev() {
        let mut row = run(id);
        row["conclusion"] = json!(if id == 7 { "failure" } else { "cancelled" });
        row["created_at"] = json!(format!("2026-01-02T{:02}:{:02}:00Z", id / 60, id % 60));
        rows.push(row);
        if id > 7 {
            let path = format!("{REPO}/actions/runs/{id}/attempts/1/jobs");
            forge
                .api
                .on(&path, ok(&json!({"total_count": 0, "jobs": []})));
        }
    }
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, "gpu")]);
    let total = rows.len();
    forge.api.on(
        &format!("{REPO}/actions/runs"),
        ok(&json!({"total_count": total, "workflow_runs": rows})),
    );
    let cancel = Cancel::new().unwrap();
    let found = last_signal(&forge.client(), &RunQuery::default(), 0, &cancel)
        .unwrap()
        .unwrap();
    assert_eq!((found.run.id, found.passed.len()), (7, 94));
}

/// Everything that is traced, at every level.
#[derive(Clone, Default)]
struct Traces(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_token_is_told_to_the_api_alone() {
    let traces = Traces::default();
    let writer = traces.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let forge = Forge::with(&[(1, "gpu", LOG), (2, "lost", LOG)]);
    forge.blob.forget("/log/2");
    forge.blob.on("/log/2", status(403, "{}"));
    forge.attempt_logs(b"no archive");
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert!(
        forge
            .api
            .asked()
            .iter()
            .all(|asked| authorization(asked) == format!("Bearer {TOKEN}"))
    );
    let at_blobs = forge.blob.asked();
    assert!(at_blobs.len() >= 4);
    for asked in &at_blobs {
        let said = format!("{asked:?}");
        assert!(
            !said.contains(TOKEN) && !said.to_lowercase().contains("authorization"),
            "{said}"
        );
    }
    assert!(!format!("{pulled:?}").contains("SIGNATURE"));
    assert!(!format!("{pulled:?}").contains(TOKEN));
    let traced = String::from_utf8_lossy(&traces.0.lock().unwrap()).into_owned();
    assert!(traced.contains("requesting"), "nothing was traced");
    assert!(
        !traced.contains(TOKEN) && !traced.contains("SIGNATURE"),
        "{traced}"
    );
    for file in bench.store.logs.borrow().values() {
        assert!(!String::from_utf8_lossy(file).contains(TOKEN));
    }
}

#[test]
fn tokens_go_to_https_alone() {
    let forge = Forge::start();
    for (url, loopback) in [
        ("http://api.example.invalid", true),
        ("http://127.0.0.1:1", false),
        ("https://user@api.example.invalid", true),
        ("ftp://127.0.0.1", true),
        ("nonsense", true),
    ] {
        let mut settings = forge.settings();
        settings.api_url = url.into();
        settings.allow_insecure_loopback = loopback;
        let error = Github::new(settings).err().expect(url).to_string();
        assert!(error.contains("api_url"), "{url}: {error}");
    }
    let mut settings = forge.settings();
    settings
        .environment
        .insert("FORGE_TOKEN".into(), "two words\nand a line".into());
    let error = Bench::default()
        .pull(&Github::new(settings).unwrap(), "7")
        .unwrap_err();
    assert!(error.to_string().contains("no token has"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever happens to an answer of the API: no panic, and a run that is called full is whole.
    #[test]
    fn random_corruptions_of_answers_never_make_a_run_full(
        which in 0usize..3,
        cut in proptest::option::of(0.0f64..1.0),
        flips in proptest::collection::vec((0.0f64..1.0, any::<u8>()), 1..5),
    ) {
        let files = ["run.json", "jobs.json", "artifacts.json"];
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("runs/7");
        std::fs::create_dir_all(root.join("jobs")).unwrap();
        std::fs::create_dir_all(root.join("artifacts")).unwrap();
        let zip = zip_of(&[("a", b"a")]);
        let digest = attest::digest::Digest::of(&zip).to_string();
        let artifacts = json!([{"id": 5, "name": "out", "digest": digest}]);
        let mut answers = [
            run(7).to_string().into_bytes(),
            json!({"total_count": 2, "jobs": [job(1, "gpu"), job(2, "lint")]}).to_string().into_bytes(),
            json!({"total_count": 1, "artifacts": artifacts}).to_string().into_bytes(),
        ];
        let place = |part: f64, length: usize| ((part * length as f64) as usize).min(length - 1);
        for (part, value) in flips {
            let at = place(part, answers[which].len());
            answers[which][at] = value;
        }
        if let Some(part) = cut {
            let at = place(part, answers[which].len());
            answers[which].truncate(at);
        }
        for (name, answer) in files.iter().zip(&answers) {
            std::fs::write(root.join(name), answer).unwrap();
        }
        std::fs::write(root.join("jobs/1.log"), LOG).unwrap();
        std::fs::write(root.join("jobs/2.log"), b"fine\n").unwrap();
        std::fs::write(root.join("artifacts/out.zip"), &zip).unwrap();
        let recorded = ci::Recorded::open(folder.path()).unwrap();
        let mut bench = Bench::default();
        if let Ok(pulled) = bench.pull(&recorded, "7")
            && pulled.is_full()
        {
            // A job that became one that never ran is not there to be whole.
            let logs = pulled.jobs.iter().filter(|job| job.log.is_some()).count();
            let never = pulled.jobs.iter().filter(|job| job.fate == Fate::Nothing).count();
            prop_assert_eq!(logs + never, 2);
            for log in bench.store.logs.borrow().values() {
                prop_assert!(log == LOG || log == b"fine\n");
            }
        }
    }
}
