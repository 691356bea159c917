//! Rate limits, failures of the API, answers that did not change.

use super::*;

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
