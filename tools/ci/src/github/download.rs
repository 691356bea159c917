//! Files behind a redirect: exactly 302 from the API, then hosts that are told no credential.

use std::io::Write;

use discipline::model::WhyEmpty;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Uri};

use super::client::{Body, Client, backoff, network, pause};
use super::redirect::{next, shown};
use crate::forge::{FetchHooks, Fetched, ForgeError, SpoolWriter};

/// Largest file that is fetched.
const MAX_FILE: u64 = 64 << 30;

/// What came of one way from the API to the bytes.
enum Way {
    Arrived(Fetched),
    /// Worth another way: the signed address had expired, the body broke off.
    Again(String),
}

/// Fetches the file that the API redirects to. A way that breaks off is begun again at the API,
/// because a signed address lives a minute.
pub(super) fn fetch(
    client: &Client,
    path: &str,
    doing: &str,
    hooks: &mut FetchHooks<'_>,
) -> Result<Fetched, ForgeError> {
    let patience = client.settings().patience;
    let mut failures = 0;
    loop {
        let why = match one_way(client, path, doing, hooks) {
            Ok(Way::Arrived(fetched)) => return Ok(fetched),
            Ok(Way::Again(why)) => why,
            Err(ForgeError::Network { what, .. }) => what,
            Err(error) => return Err(error),
        };
        failures += 1;
        if failures >= patience.tries {
            return Err(network(doing, why));
        }
        pause(backoff(&patience, failures), hooks.cancel)?;
    }
}

fn one_way(
    client: &Client,
    path: &str,
    doing: &str,
    hooks: &mut FetchHooks<'_>,
) -> Result<Way, ForgeError> {
    let answer = client.ask(path, doing, hooks.cancel)?;
    if answer.status != StatusCode::FOUND {
        return Ok(Way::Arrived(match absence(answer.status) {
            Some(why) => {
                Fetched::Absent(why, format!("the API answers {}", answer.status.as_u16()))
            }
            None => {
                let what = format!("status {} instead of 302", answer.status.as_u16());
                return Err(ForgeError::malformed(doing, what));
            }
        }));
    }
    let loopback = client.settings().allow_insecure_loopback;
    let refused = |what: String| ForgeError::Redirect {
        doing: doing.to_owned(),
        what,
    };
    let mut been: Vec<Uri> = Vec::new();
    let mut headers = answer.headers;
    loop {
        let uri = next(&headers, &been, loopback).map_err(refused)?;
        let response = client.open_plain(&uri, doing, hooks.cancel)?;
        let status = response.status();
        been.push(uri.clone());
        if status.is_redirection() {
            headers = response.headers().clone();
            continue;
        }
        let at = shown(&uri);
        return match status.as_u16() {
            200 => body(client, response, doing, hooks),
            // A signed address that has expired; a new one is worth asking for.
            400 | 401 | 403 => Ok(Way::Again(format!("{at} answers {}", status.as_u16()))),
            404 => Ok(Way::Arrived(Fetched::Absent(
                WhyEmpty::Missing,
                format!("{at} answers 404"),
            ))),
            410 => Ok(Way::Arrived(Fetched::Absent(
                WhyEmpty::Expired,
                format!("{at} answers 410"),
            ))),
            code if status.is_server_error() => Ok(Way::Again(format!("{at} answers {code}"))),
            code => Err(ForgeError::malformed(doing, format!("{at} answers {code}"))),
        };
    }
}

/// Why the API has no such file.
fn absence(status: StatusCode) -> Option<WhyEmpty> {
    match status.as_u16() {
        404 => Some(WhyEmpty::Missing),
        410 => Some(WhyEmpty::Expired),
        403 => Some(WhyEmpty::Forbidden),
        451 => Some(WhyEmpty::Suppressed),
        _ => None,
    }
}

fn body(
    client: &Client,
    response: Response<Body>,
    doing: &str,
    hooks: &mut FetchHooks<'_>,
) -> Result<Way, ForgeError> {
    let (parts, mut body) = response.into_parts();
    check_kind(&parts.headers, doing)?;
    let stated = length(&parts.headers);
    let mut spool = SpoolWriter::new(hooks.spool)?;
    while let Some(bytes) = client.next_bytes(&mut body, doing, hooks.cancel)? {
        if hooks.cancel.is_cancelled() {
            return Err(ForgeError::Cancelled);
        }
        spool
            .write_all(&bytes)
            .map_err(ForgeError::io("write a temporary file"))?;
        if spool.bytes() > MAX_FILE {
            return Err(ForgeError::malformed(
                doing,
                format!("more than {MAX_FILE} bytes"),
            ));
        }
        (hooks.on_bytes)(spool.bytes(), stated);
    }
    if let Some(stated) = stated.filter(|stated| *stated != spool.bytes()) {
        let got = spool.bytes();
        return Ok(Way::Again(format!(
            "{got} bytes came, {stated} were stated"
        )));
    }
    let framed = stated.is_some() || parts.headers.contains_key(TRANSFER_ENCODING);
    Ok(Way::Arrived(match framed {
        true => Fetched::Whole(spool.finish()),
        false => Fetched::Unproven(
            spool.finish(),
            "the body has no stated length and ended with the connection".into(),
        ),
    }))
}

/// A page about an error is no log, and bytes that were packed on the way are not the source's.
fn check_kind(headers: &HeaderMap, doing: &str) -> Result<(), ForgeError> {
    let text = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(
            value
                .split(';')
                .next()
                .unwrap_or(value)
                .trim()
                .to_ascii_lowercase(),
        )
    };
    if let Some(kind) = text(CONTENT_TYPE)
        && [
            "text/html",
            "application/json",
            "application/xml",
            "text/xml",
        ]
        .contains(&kind.as_str())
    {
        return Err(ForgeError::malformed(
            doing,
            format!("{kind} instead of the file"),
        ));
    }
    match text(CONTENT_ENCODING).as_deref() {
        None | Some("" | "identity") => Ok(()),
        Some(packed) => Err(ForgeError::malformed(
            doing,
            format!("the body is packed as {packed}, which was not asked for"),
        )),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
