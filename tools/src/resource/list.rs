//! What there is to read.

use rmcp::model::{ListResourcesResult, Resource, ResourceTemplate};
use service::Ids;

use super::Address;

/// Resources of one page.
const PAGE: usize = 100;

/// The page of resources after `cursor`: the law, loops, claims, audits, runs and logs, the newest
/// of each kind first. `None` for a cursor that was not given out.
pub(crate) fn list(ids: &Ids, cursor: Option<&str>) -> Option<ListResourcesResult> {
    let start: usize = match cursor {
        Some(text) => text.parse().ok()?,
        None => 0,
    };
    let all = addresses(ids);
    if start > all.len() {
        return None;
    }
    let page: Vec<Resource> = all.iter().skip(start).take(PAGE).map(describe).collect();
    let end = start + page.len();
    let mut result = ListResourcesResult::with_all_items(page);
    result.next_cursor = (end < all.len()).then(|| end.to_string());
    Some(result)
}

fn addresses(ids: &Ids) -> Vec<Address> {
    let newest = |ids: &[String], make: fn(String) -> Address| -> Vec<Address> {
        ids.iter().rev().cloned().map(make).collect()
    };
    let mut all = vec![Address::Law];
    all.extend(newest(&ids.loops, Address::Brief));
    all.extend(newest(&ids.claims, Address::Claim));
    all.extend(newest(&ids.pushed, Address::Audit));
    all.extend(newest(&ids.runs, Address::Run));
    all.extend(newest(&ids.logs, |log_id| Address::Log {
        log_id,
        offset: None,
        len: None,
    }));
    all
}

fn describe(address: &Address) -> Resource {
    let (kind, id) = match address {
        Address::Log { log_id, .. } => ("log", log_id.as_str()),
        Address::Run(id) => ("run", id.as_str()),
        Address::Claim(id) => ("claim", id.as_str()),
        Address::Brief(id) => ("brief", id.as_str()),
        Address::Law => ("law", "current"),
        Address::Audit(commit) => ("audit", commit.as_str()),
    };
    let resource = Resource::new(address.uri(), format!("{kind} {id}"));
    match prompts::resource_text(kind) {
        Some(text) => resource
            .with_title(format!("{}: {id}", text.title))
            .with_description(text.description)
            .with_mime_type(text.mime_type),
        None => resource,
    }
}

/// Templates of all kinds that have variables.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let with_variables = prompts::RESOURCES
        .iter()
        .filter(|text| text.uri.contains('{'));
    with_variables
        .map(|text| {
            ResourceTemplate::new(text.uri, text.name)
                .with_title(text.title)
                .with_description(text.description)
                .with_mime_type(text.mime_type)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_each_resource_once() {
        let ids = Ids {
            runs: (1..=250).map(|n| format!("R{n}")).collect(),
            ..Ids::default()
        };
        let (mut uris, mut cursor) = (Vec::new(), None);
        loop {
            let page = list(&ids, cursor.as_deref()).unwrap_or_default();
            uris.extend(page.resources.into_iter().map(|resource| resource.uri));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(uris.len(), 251);
        assert_eq!(
            (uris[0].as_str(), uris[1].as_str()),
            ("invariants://current", "run://R250")
        );
        uris.sort();
        uris.dedup();
        assert_eq!(uris.len(), 251);
        assert!(list(&ids, Some("no cursor")).is_none() && list(&ids, Some("999")).is_none());
    }
}
