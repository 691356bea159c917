//! Bodies that end early, stall, or hold anything.

use super::*;

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
