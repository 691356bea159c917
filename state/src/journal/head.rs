//! The anchor: a small file that remembers how far the journal went.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Hash, Head};
use crate::Error;
use crate::storage::{Access, Storage, publish, read_full};

/// Version of the anchor's text.
const VERSION: u64 = 1;
/// Longer than any anchor.
const CAP: usize = 4096;

pub(super) fn path(root: &Path) -> PathBuf {
    root.join("HEAD")
}

/// Four lines: version, sequence number, hash, and the digest of the three lines before it.
fn text(head: Head) -> String {
    let front = format!(
        "greenloop head v{VERSION}\nseq {}\nhash {}\n",
        head.seq, head.hash
    );
    let sum = hex::encode(Sha256::digest(&front));
    format!("{front}sum {sum}\n")
}

pub(super) fn write(storage: &dyn Storage, root: &Path, head: Head) -> io::Result<()> {
    publish(storage, &path(root), text(head).as_bytes())
}

/// The anchored head; `None` when there is no anchor.
pub(super) fn read(storage: &dyn Storage, root: &Path) -> Result<Option<Head>, Error> {
    let path = path(root);
    if !storage
        .exists(&path)
        .map_err(Error::io("look for", &path))?
    {
        return Ok(None);
    }
    let mut bytes = vec![0; CAP];
    let read = |bytes: &mut [u8]| read_full(&*storage.open(&path, Access::Read)?, 0, bytes);
    let count = read(&mut bytes).map_err(Error::io("read", &path))?;
    bytes.truncate(count);
    if let Some(found) = newer(&bytes) {
        return Err(Error::NewerFormat {
            what: format!("anchor `{}`", path.display()),
            found,
            known: VERSION,
        });
    }
    match parse(&bytes) {
        Ok(head) => Ok(Some(head)),
        Err(what) => Err(Error::Anchor { path, what }),
    }
}

/// The version of a whole anchor that a newer build has written. Every version ends in the digest
/// of the lines before it, so that damage is not taken for one.
fn newer(bytes: &[u8]) -> Option<u64> {
    let found = std::str::from_utf8(bytes).ok()?;
    let version = found.lines().next()?.strip_prefix("greenloop head v")?;
    let version = version.parse().ok()?;
    let (front, sum) = found.rsplit_once("sum ")?;
    let whole = sum.trim_end() == hex::encode(Sha256::digest(front));
    (whole && version > VERSION).then_some(version)
}

fn parse(bytes: &[u8]) -> Result<Head, &'static str> {
    let found = std::str::from_utf8(bytes).map_err(|_| "is not text")?;
    let mut lines = found.lines();
    let version = lines.next().unwrap_or_default();
    if version != format!("greenloop head v{VERSION}") {
        return Err("has no known version");
    }
    let mut value = |name| lines.next()?.strip_prefix(name);
    let seq = value("seq ").and_then(|text| text.parse().ok());
    let hash = value("hash ").and_then(Hash::from_hex);
    let (Some(seq), Some(hash)) = (seq, hash) else {
        return Err("lacks its fields");
    };
    let head = Head { seq, hash };
    // One spelling only, so that no flipped bit goes unseen.
    if text(head) != found {
        return Err("does not match its digest");
    }
    Ok(head)
}
