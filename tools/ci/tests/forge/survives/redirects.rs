//! Where a redirect may lead, and where not.

use super::*;

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
fn an_answer_of_200_instead_of_302_is_no_log() {
    let job = asked_by(vec![bytes(LOG)]);
    assert_eq!(job.fate, Fate::Failed);
    assert!(job.links[0].detail.contains("200 instead of 302"));
}
