//! Listings page by page, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use exec::Cancel;
use http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::Client;
use crate::forge::ForgeError;
use crate::forge::model::typed;

/// Rows that the API gives of one listing of runs, however many there are.
pub(super) const WINDOW: u64 = 1_000;
/// Pages of one listing that are read.
const MOST_PAGES: usize = 1_000;

/// A listing as it came together.
pub(super) struct Listing<T> {
    /// Rows by the forge's id.
    pub(super) rows: BTreeMap<u64, T>,
    /// How many there are, as the forge counts.
    pub(super) total: u64,
}

/// Every row; their number must be the one that the forge counts.
pub(super) fn all<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    key: &str,
    cancel: &Cancel,
) -> Result<Vec<T>, ForgeError> {
    let doing = format!("listing {key}");
    // Rows move between pages while a run grows: what does not add up is listed once more.
    for last in [false, true] {
        let listing = some::<T>(client, path, key, 0, cancel)?;
        if listing.rows.len() as u64 == listing.total {
            return Ok(listing.rows.into_values().collect());
        }
        if last {
            return Err(ForgeError::malformed(
                &doing,
                format!(
                    "it counts {} and lists {}",
                    listing.total,
                    listing.rows.len()
                ),
            ));
        }
    }
    Err(ForgeError::malformed(&doing, "no listing"))
}

/// Rows until there are `most` (0: until the end).
pub(super) fn some<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    key: &str,
    most: usize,
    cancel: &Cancel,
) -> Result<Listing<T>, ForgeError> {
    let doing = format!("listing {key}");
    let wrong = |what: String| ForgeError::malformed(&doing, what);
    let mut listing = Listing {
        rows: BTreeMap::new(),
        total: 0,
    };
    let mut been = BTreeSet::new();
    let mut at = path.to_owned();
    loop {
        if !been.insert(at.clone()) || been.len() > MOST_PAGES {
            return Err(wrong("its pages lead in a circle".into()));
        }
        let answer = client.get(&at, &doing, cancel)?;
        let mut page: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| wrong(format!("not JSON: {error}")))?;
        let total = page.get("total_count").and_then(Value::as_u64);
        listing.total = total.ok_or_else(|| wrong("it has no total_count".into()))?;
        let Some(Value::Array(rows)) = page.get_mut(key).map(Value::take) else {
            return Err(wrong(format!("it has no `{key}`")));
        };
        let empty = rows.is_empty();
        for row in rows {
            let id = row.get("id").and_then(Value::as_u64);
            let id = id.ok_or_else(|| wrong("a row has no id".into()))?;
            listing.rows.insert(id, typed(row).map_err(&wrong)?);
        }
        let next = next_page(&answer.headers).map_err(&wrong)?;
        let enough = most > 0 && listing.rows.len() >= most;
        match next {
            // An empty page ends a listing, whatever its link says.
            Some(next) if !empty && !enough => at = client.own_path(&next).map_err(&wrong)?,
            _ => return Ok(listing),
        }
    }
}

/// Address of the next page in a `Link` header (RFC 8288).
fn next_page(headers: &HeaderMap) -> Result<Option<Uri>, String> {
    for value in headers.get_all("link") {
        let text = value.to_str().map_err(|_| "its Link header is not text")?;
        for link in text.split(',') {
            let Some((address, rest)) = link
                .trim()
                .strip_prefix('<')
                .and_then(|l| l.split_once('>'))
            else {
                continue;
            };
            let is_next = rest.split(';').any(|part| {
                let part = part.trim();
                part == "rel=\"next\"" || part == "rel=next"
            });
            if is_next {
                let uri = address.parse().map_err(|_| "its next page is no address")?;
                return Ok(Some(uri));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let next = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("link", text.parse().unwrap());
            next_page(&headers).map(|uri| uri.map(|uri| uri.to_string()))
        };
        assert_eq!(
            next("<https://a/x?page=1>; rel=\"prev\", <https://a/x?page=3>; rel=\"next\""),
            Ok(Some("https://a/x?page=3".into()))
        );
        assert_eq!(next("<https://a/x?page=9>; rel=\"last\""), Ok(None));
        assert_eq!(next("garbage"), Ok(None));
    }
}
