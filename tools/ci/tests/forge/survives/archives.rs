//! Archives of logs: hostile, partial, with names that fit no job.

use super::*;

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
