//! Rate limits, failures of the API, answers that did not change.

use super::*;

fn path() -> String {
    format!("{REPO}/actions/runs/7")
}

/// A forge that answers questions about run 7 so, one after the other.
fn answering(jobs: &[(u64, &str, &[u8])], replies: Vec<fake::Reply>) -> Forge {
    let forge = Forge::with(jobs);
    forge.api.forget(&path());
    for reply in replies {
        forge.api.on(&path(), reply);
    }
    forge
}

/// A forge of one job that answers so at first; how often it was asked until the run was pulled in full.
fn asked_until_full(mut replies: Vec<fake::Reply>) -> usize {
    replies.push(ok(&run(7)));
    let forge = answering(&[(1, "gpu", LOG)], replies);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(pulled.is_full());
    forge.api.count(&path())
}

#[test]
fn a_reset_in_the_past_waits_the_least_and_goes_on() {
    let headers = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1"),
        ("Date", "Fri, 02 Jan 2026 00:00:00 GMT"),
    ];
    assert_eq!(asked_until_full(vec![reply(403, &headers, b"{}")]), 3);
}

#[test]
fn a_secondary_limit_is_waited_for() {
    assert_eq!(asked_until_full(vec![status(429, "{}")]), 3);
}

#[test]
fn a_limit_that_nobody_would_wait_for_is_named() {
    let forge = answering(&[], vec![reply(429, &[("retry-after", "3600")], b"{}")]);
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(matches!(error, ForgeError::RateLimited { wait_s: 3600 }));
}

#[test]
fn failures_of_the_api_are_asked_again() {
    let failures = vec![status(502, "<html>"), vec![Step::Reset]];
    assert_eq!(asked_until_full(failures), 4);
}

#[test]
fn answers_that_did_not_change_are_not_sent_again() {
    let body = run(7).to_string();
    let unchanged = b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: \"v1\"\r\n\r\n";
    let forge = answering(
        &[],
        vec![
            reply(200, &[("ETag", "\"v1\"")], body.as_bytes()),
            vec![Step::Bytes(unchanged.to_vec())],
        ],
    );
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.run.id, 7);
    let asked = forge.api.asked();
    let last = asked.iter().rfind(|asked| asked.path == path());
    assert!(
        last.unwrap()
            .headers
            .contains(&"if-none-match: \"v1\"".to_owned())
    );
}

#[test]
fn a_bare_403_is_a_refusal_and_not_asked_again() {
    let forge = answering(&[], vec![reply(403, &[], b"")]);
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    assert_eq!(forge.api.count(&path()), 1);
    assert_eq!(
        asked_by(vec![reply(403, &[], b"")]).why_empty,
        Some(WhyEmpty::Forbidden)
    );
}
