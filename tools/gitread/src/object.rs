//! Raw commit and tree objects, parsed.
//!
//! Format: gitformat of `git cat-file -p` without any interpretation. libgit2's own commit parser
//! applies grafts and shallow boundaries; the bytes do not.

use discipline::diff::FileMode;

use crate::GitReadError;

/// Author or committer line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Mail address; bytes that are not UTF-8 are replaced.
    pub email: String,
    /// Seconds since 1970.
    pub seconds: i64,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id.
    pub id: String,
    /// Its tree.
    pub tree: String,
    /// Its parents in order.
    pub parents: Vec<String>,
    /// Who wrote the change.
    pub author: Identity,
    /// Who made the commit.
    pub committer: Identity,
    /// Message; bytes that are not UTF-8 are replaced.
    pub message: String,
}

impl CommitInfo {
    /// First line of the message.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// Values of trailer `key` in the last paragraph of the message, in order.
    #[must_use]
    pub fn trailers(&self, key: &str) -> Vec<&str> {
        let message = self.message.trim_end();
        let paragraph = message.rsplit("\n\n").next().unwrap_or_default();
        if paragraph.len() == message.len() {
            // A message of one paragraph has a subject and no trailers.
            return Vec::new();
        }
        paragraph
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// One file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Path from the root of the tree, raw bytes.
    pub path: Vec<u8>,
    /// Its mode.
    pub mode: FileMode,
    /// Its object id.
    pub oid: String,
}

/// One name of one tree object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub(crate) name: Vec<u8>,
    /// `None` for a folder.
    pub(crate) mode: Option<FileMode>,
    pub(crate) oid: String,
}

pub(crate) fn parse_commit(id: &str, bytes: &[u8]) -> Result<CommitInfo, GitReadError> {
    let malformed = |detail: &str| GitReadError::Malformed {
        id: id.to_owned(),
        detail: detail.to_owned(),
    };
    let header_end = find(bytes, b"\n\n").ok_or_else(|| malformed("no end of header"))?;
    let header = String::from_utf8_lossy(&bytes[..header_end]).into_owned();
    let message = String::from_utf8_lossy(&bytes[header_end + 2..]).into_owned();
    let mut lines = header.lines();
    let tree = lines
        .next()
        .and_then(|line| line.strip_prefix("tree "))
        .filter(|id| is_object_id(id))
        .ok_or_else(|| malformed("no tree line"))?;
    let mut parents = Vec::new();
    let mut next = lines.next();
    while let Some(parent) = next.and_then(|line| line.strip_prefix("parent ")) {
        if !is_object_id(parent) {
            return Err(malformed("bad parent line"));
        }
        parents.push(parent.to_owned());
        next = lines.next();
    }
    let author = next
        .and_then(|line| line.strip_prefix("author "))
        .ok_or_else(|| malformed("no author line"))?;
    let committer = lines
        .next()
        .and_then(|line| line.strip_prefix("committer "))
        .ok_or_else(|| malformed("no committer line"))?;
    Ok(CommitInfo {
        id: id.to_owned(),
        tree: tree.to_owned(),
        parents,
        author: parse_identity(author),
        committer: parse_identity(committer),
        message,
    })
}

/// Lenient: identities inform people and decide nothing.
fn parse_identity(line: &str) -> Identity {
    let (name, rest) = line.split_once('<').unwrap_or((line, ""));
    let (email, rest) = rest.split_once('>').unwrap_or((rest, ""));
    let seconds = rest.split_whitespace().next().unwrap_or_default();
    Identity {
        name: name.trim().to_owned(),
        email: email.to_owned(),
        seconds: seconds.parse().unwrap_or_default(),
    }
}

pub(crate) fn parse_tree(id: &str, bytes: &[u8]) -> Result<Vec<RawEntry>, GitReadError> {
    let malformed = |detail: String| GitReadError::Malformed {
        id: id.to_owned(),
        detail,
    };
    let mut entries: Vec<RawEntry> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = find(rest, b" ").ok_or_else(|| malformed("no mode".to_owned()))?;
        let mode = parse_mode(&rest[..space])
            .ok_or_else(|| malformed(format!("mode {}", rest[..space].escape_ascii())))?;
        rest = &rest[space + 1..];
        let end = find(rest, b"\0").ok_or_else(|| malformed("no end of name".to_owned()))?;
        let name = rest[..end].to_vec();
        if !is_safe_name(&name) {
            return Err(malformed(format!("name `{}`", name.escape_ascii())));
        }
        let oid = rest
            .get(end + 1..end + 21)
            .ok_or_else(|| malformed("cut object id".to_owned()))?;
        let entry = RawEntry {
            name,
            mode,
            oid: hex::encode(oid),
        };
        if entries
            .last()
            .is_some_and(|last| last.sort_key() >= entry.sort_key())
        {
            return Err(malformed("names are not in order".to_owned()));
        }
        entries.push(entry);
        rest = &rest[end + 21..];
    }
    check_unique(id, &entries)?;
    Ok(entries)
}

impl RawEntry {
    /// Git sorts folders as if their name ended in a slash.
    fn sort_key(&self) -> Vec<u8> {
        let mut key = self.name.clone();
        if self.mode.is_none() {
            key.push(b'/');
        }
        key
    }
}

/// A file and a folder of one name are in order and yet ambiguous.
fn check_unique(id: &str, entries: &[RawEntry]) -> Result<(), GitReadError> {
    let mut names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
    names.sort();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(GitReadError::Malformed {
            id: id.to_owned(),
            detail: "a name occurs twice".to_owned(),
        });
    }
    Ok(())
}

/// `Some(None)` for a folder, `None` for a mode git does not write.
fn parse_mode(text: &[u8]) -> Option<Option<FileMode>> {
    Some(match text {
        // 100664 was written by git before 2005-05 and still means a regular file.
        b"100644" | b"100664" => Some(FileMode::Regular),
        b"100755" => Some(FileMode::Executable),
        b"120000" => Some(FileMode::Symlink),
        b"160000" => Some(FileMode::Submodule),
        b"40000" => None,
        _ => return None,
    })
}

/// Names that a checkout on any system would turn into something else than a file below.
fn is_safe_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.eq_ignore_ascii_case(b".git")
        && !name.contains(&b'/')
}

/// 40 lower-case hex digits.
pub(crate) fn is_object_id(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(mode: &str, name: &[u8]) -> Vec<u8> {
        [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat()
    }

    #[test]
    fn trees_with_misleading_entries_are_refused() {
        assert!(parse_tree("t", &entry("100644", b"a")).is_ok());
        for bad in [
            entry("100644", b""),
            entry("100644", b"."),
            entry("40000", b".."),
            entry("40000", b".git"),
            entry("40000", b".GIT"),
            entry("100644", b"a/b"),
            entry("100600", b"a"),
            entry("040000", b"a"),
            [entry("100644", b"b"), entry("100644", b"a")].concat(),
            [entry("100644", b"a"), entry("100644", b"a")].concat(),
            [entry("100644", b"a"), entry("40000", b"a")].concat(),
            entry("100644", b"a")[..20].to_vec(),
        ] {
            let refused = parse_tree("t", &bad);
            let named = matches!(refused, Err(GitReadError::Malformed { .. }));
            assert!(named, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn trailers_stand_in_the_last_paragraph_only() {
        let commit = |message: &str| {
            let id = "1".repeat(40);
            let text = format!(
                "tree {id}\nauthor A <a@b> 1 +0000\ncommitter C <c@d> 2 +0000\n\n{message}"
            );
            parse_commit("c", text.as_bytes()).unwrap()
        };
        let good = commit("Subject\n\nBody\nClaim-Id: C0\n\nClaim-Id: C1\nClaim-Digest: x\n");
        assert_eq!(good.trailers("claim-id"), ["C1"]);
        assert_eq!(good.subject(), "Subject");
        assert_eq!(good.committer.seconds, 2);
        assert!(commit("Claim-Id: C1").trailers("Claim-Id").is_empty());
    }

    proptest! {
        #[test]
        fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_commit("c", &bytes);
            let _ = parse_tree("t", &bytes);
        }
    }
}
