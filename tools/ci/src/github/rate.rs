//! When the forge may be asked again. Source: "Rate limits for the REST API" of GitHub's
//! documentation: `retry-after` first, else `x-ratelimit-reset` when nothing remains, else at
//! least a minute.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

/// Shortest pause that the forge's own times can ask for: clocks are not finer.
const LEAST: Duration = Duration::from_secs(1);

/// The pause that an answer asks for; `None` when it is no matter of rates.
pub(super) fn pause(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secondary: Duration,
) -> Option<Duration> {
    if !matches!(status.as_u16(), 403 | 429) {
        return None;
    }
    let text = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = text("retry-after") {
        return Some(Duration::from_secs(seconds).max(LEAST));
    }
    if text("x-ratelimit-remaining") == Some(0)
        && let Some(reset) = text("x-ratelimit-reset")
    {
        return Some(until(reset, headers));
    }
    let speaks_of_rates = || {
        let text = String::from_utf8_lossy(body.get(..4096).unwrap_or(body)).to_lowercase();
        text.contains("rate limit") || text.contains("abuse detection")
    };
    (status == StatusCode::TOO_MANY_REQUESTS || speaks_of_rates()).then_some(secondary)
}

/// From the forge's own clock to the reset; one that has passed asks for the shortest pause.
fn until(reset: u64, headers: &HeaderMap) -> Duration {
    let date = headers.get("date").and_then(|date| date.to_str().ok());
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let now = now.and_then(|now| now.duration_since(SystemTime::UNIX_EPOCH).ok());
    match now {
        Some(now) => Duration::from_secs(reset).saturating_sub(now).max(LEAST),
        // Without its clock the reset says nothing.
        None => Duration::from_secs(60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDARY: Duration = Duration::from_secs(60);

    fn asked(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        pause(status, &map, body.as_bytes(), SECONDARY).map(|pause| pause.as_secs())
    }

    const DATE: (&str, &str) = ("date", "Fri, 02 Jan 2026 00:00:00 GMT");

    #[test]
    fn retry_after_comes_first() {
        let headers = [
            ("retry-after", "7"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1"),
            DATE,
        ];
        assert_eq!(asked(403, &headers, ""), Some(7));
        assert_eq!(asked(429, &[("retry-after", "0")], ""), Some(1));
    }

    #[test]
    fn the_reset_counts_from_the_forges_clock() {
        // 2026-01-02T00:00:00Z is 1767312000.
        let ahead = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1767312090"),
            DATE,
        ];
        assert_eq!(asked(403, &ahead, ""), Some(90));
        let past = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1767311000"),
            DATE,
        ];
        assert_eq!(asked(403, &past, ""), Some(1));
        let clockless = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1767312090"),
        ];
        assert_eq!(asked(403, &clockless, ""), Some(60));
    }

    #[test]
    fn without_a_time_it_is_a_minute() {
        assert_eq!(asked(429, &[], ""), Some(60));
        assert_eq!(
            asked(
                403,
                &[],
                "{\"message\":\"You have exceeded a secondary rate limit\"}"
            ),
            Some(60)
        );
    }

    #[test]
    fn a_refusal_is_no_matter_of_rates() {
        assert_eq!(
            asked(403, &[], "{\"message\":\"Resource not accessible\"}"),
            None
        );
        assert_eq!(asked(403, &[("x-ratelimit-remaining", "4999")], ""), None);
        assert_eq!(asked(404, &[("retry-after", "5")], ""), None);
    }
}
