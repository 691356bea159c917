//! Addresses of resources. A log's digest holds a colon, which stands as `%3A` in an authority.

use service::Subject;

/// What a URI names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    /// A page of a log.
    Log {
        log_id: String,
        offset: Option<u64>,
        len: Option<u32>,
    },
    Run(String),
    Claim(String),
    /// Where a loop stands.
    Brief(String),
    /// The law at the branch's tip.
    Law,
    /// The decision behind a pushed commit.
    Audit(String),
}

/// Longest URI that is looked at.
const MAX_URI: usize = 300;

impl Address {
    /// Reads a URI; `None` for one that names nothing of ours.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        if uri.len() > MAX_URI {
            return None;
        }
        let (scheme, rest) = uri.split_once("://")?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, query),
            None => (rest, ""),
        };
        let path = decoded(path)?;
        let path = path.trim_end_matches('/');
        if path.is_empty() || (scheme != "log" && !query.is_empty()) {
            return None;
        }
        match scheme {
            "log" => {
                let (offset, len) = page(query)?;
                Some(Self::Log {
                    log_id: path.to_owned(),
                    offset,
                    len,
                })
            }
            "run" => Some(Self::Run(path.to_owned())),
            "claim" => Some(Self::Claim(path.to_owned())),
            "loop" => Some(Self::Brief(path.strip_suffix("/brief")?.to_owned())),
            "invariants" => (path == "current").then_some(Self::Law),
            "audit" => Some(Self::Audit(path.to_owned())),
            _ => None,
        }
    }

    /// The URI that names this.
    pub(crate) fn uri(&self) -> String {
        match self {
            Self::Log { log_id, .. } => format!("log://{}", log_id.replace(':', "%3A")),
            Self::Run(id) => format!("run://{id}"),
            Self::Claim(id) => format!("claim://{id}"),
            Self::Brief(id) => format!("loop://{id}/brief"),
            Self::Law => "invariants://current".to_owned(),
            Self::Audit(commit) => format!("audit://{commit}"),
        }
    }

    /// What its content hangs on; `None` where it never changes.
    pub(crate) fn subject(&self) -> Option<Subject<'_>> {
        match self {
            Self::Run(id) => Some(Subject::Run(id)),
            Self::Claim(id) => Some(Subject::Claim(id)),
            Self::Brief(id) => Some(Subject::Loop(id)),
            Self::Law => Some(Subject::Law),
            Self::Log { .. } | Self::Audit(_) => None,
        }
    }
}

/// `offset` and `len` of a query, each at most once, nothing else.
fn page(query: &str) -> Option<(Option<u64>, Option<u32>)> {
    let (mut offset, mut len) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("offset", text) if offset.is_none() => offset = Some(text.parse().ok()?),
            ("len", text) if len.is_none() => len = Some(text.parse().ok()?),
            _ => return None,
        }
    }
    Some((offset, len))
}

/// Percent-decoding (RFC 3986, 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_from_its_uri() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let table = [
            Address::Log {
                log_id: digest.clone(),
                offset: None,
                len: None,
            },
            Address::Run("R1".into()),
            Address::Claim("C12".into()),
            Address::Brief("L3".into()),
            Address::Law,
            Address::Audit("ab".repeat(20)),
        ];
        for address in table {
            assert_eq!(Address::parse(&address.uri()), Some(address));
        }
        let plain = format!("log://{digest}?offset=8192&len=100");
        let page = Address::parse(&plain);
        assert!(
            matches!(page, Some(Address::Log { log_id, offset: Some(8192), len: Some(100) }) if log_id == digest)
        );
    }

    #[test]
    fn what_names_nothing_is_no_address() {
        for uri in [
            "",
            "run",
            "run://",
            "file:///etc/passwd",
            "loop://L1",
            "invariants://other",
            "run://R1?offset=1",
            "log://x?offset=-1",
            "log://x?offset=1&offset=2",
            "log://x?to=1",
            "run://%zz",
            "run://%",
            &format!("run://{}", "x".repeat(400)),
        ] {
            assert_eq!(Address::parse(uri), None, "{uri}");
        }
    }
}
