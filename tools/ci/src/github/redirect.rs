//! Where a download may be sent. Signed addresses carry their signature in the query, so a query
//! never leaves this module in a message.

use http::{HeaderMap, Uri};

/// Redirects that are followed for one file.
pub(super) const MOST_HOPS: usize = 5;

/// The next address, if it may be followed.
pub(super) fn next(
    headers: &HeaderMap,
    been: &[Uri],
    insecure_loopback: bool,
) -> Result<Uri, String> {
    let location = headers.get("location").ok_or("it names no location")?;
    let text = location.to_str().map_err(|_| "its location is not text")?;
    let uri: Uri = text.parse().map_err(|_| "its location is no address")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("its location is not absolute".into());
    };
    if authority.as_str().contains('@') {
        return Err("its location carries a user name".into());
    }
    let loopback = is_loopback(authority.host());
    match scheme {
        "https" if !loopback || insecure_loopback => {}
        "https" => return Err("its location is this machine itself".into()),
        "http" if loopback && insecure_loopback => {}
        _ => return Err(format!("its location is {scheme}, not https")),
    }
    if been.contains(&uri) {
        return Err("it leads in a circle".into());
    }
    if been.len() >= MOST_HOPS {
        return Err(format!("it leads on after {MOST_HOPS} hops"));
    }
    Ok(uri)
}

/// This machine itself, by name or address.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// Host and path, for messages.
pub(super) fn shown(uri: &Uri) -> String {
    format!("{}{}", uri.host().unwrap_or_default(), uri.path())
}

/// Text of somebody else's error without what could be signed: queries of addresses.
pub(super) fn scrubbed(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('?') {
        Some((before, _)) if before.contains('/') => format!("{before}?…"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(location: &[u8], been: &[&str], insecure: bool) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert("location", http::HeaderValue::from_bytes(location).unwrap());
        let been: Vec<Uri> = been.iter().map(|uri| uri.parse().unwrap()).collect();
        next(&headers, &been, insecure).map(|uri| uri.to_string())
    }

    #[test]
    fn only_https_elsewhere_is_followed() {
        let good = "https://blob.example/log?sig=abc";
        assert_eq!(led(good.as_bytes(), &[], false).as_deref(), Ok(good));
        for bad in [
            "http://blob.example/log",
            "https://user:pass@blob.example/log",
            "https://127.0.0.1/log",
            "https://localhost/log",
            "https://[::1]/log",
            "https://0.0.0.0/log",
            "http://127.0.0.1/log",
            "file:///etc/passwd",
            "/relative",
            "ftp://blob.example/log",
            "",
        ] {
            assert!(led(bad.as_bytes(), &[], false).is_err(), "{bad}");
        }
        assert!(led(b"https://blob.example/\xff", &[], false).is_err());
        assert!(next(&HeaderMap::new(), &[], false).is_err());
    }

    #[test]
    fn a_flag_allows_this_machine() {
        assert!(led(b"http://127.0.0.1:8080/log", &[], true).is_ok());
        assert!(led(b"http://blob.example/log", &[], true).is_err());
    }

    #[test]
    fn circles_and_long_chains_end() {
        let (a, b) = ("https://a.example/", "https://b.example/");
        assert!(led(b.as_bytes(), &[a, b], false).is_err());
        let been: Vec<String> = (0..MOST_HOPS)
            .map(|n| format!("https://h{n}.example/"))
            .collect();
        let been: Vec<&str> = been.iter().map(String::as_str).collect();
        assert!(led(b.as_bytes(), &been, false).is_err());
    }

    #[test]
    fn queries_are_scrubbed() {
        let text = scrubbed("error for https://blob.example/log?sig=SECRET (broken)");
        assert_eq!(text, "error for https://blob.example/log?… (broken)");
    }
}
