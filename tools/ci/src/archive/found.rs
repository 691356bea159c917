//! What bytes are that should have been an archive.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

/// Kind of a file, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A zip archive, possibly an empty one.
    Zip,
    /// Nothing at all.
    Empty,
    /// JSON, such as an error of the API.
    Json,
    /// XML, such as an error of a blob store.
    Xml,
    /// A web page, such as a login form or a proxy's complaint.
    Html,
    /// A gzip stream.
    Gzip,
    /// Something else: an artifact that was uploaded as it is.
    Raw,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Found::Zip => "a zip archive",
            Found::Empty => "an empty file",
            Found::Json => "JSON",
            Found::Xml => "XML",
            Found::Html => "HTML",
            Found::Gzip => "gzip",
            Found::Raw => "a raw file",
        })
    }
}

/// Bytes that decide.
const HEAD: usize = 512;

/// Looks at the first bytes; the reader stands at the start afterwards.
///
/// # Errors
/// The reader fails.
pub fn sniff<R: Read + Seek>(reader: &mut R) -> io::Result<Found> {
    reader.seek(SeekFrom::Start(0))?;
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    reader.seek(SeekFrom::Start(0))?;
    Ok(of(&head))
}

fn of(head: &[u8]) -> Found {
    if head.is_empty() {
        return Found::Empty;
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Found::Zip;
    }
    if head.starts_with(b"\x1f\x8b") {
        return Found::Gzip;
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') => json_or_raw(text),
        Some(b'<') => {
            let start = String::from_utf8_lossy(text).to_ascii_lowercase();
            if start.starts_with("<!doctype html") || start.starts_with("<html") {
                Found::Html
            } else {
                Found::Xml
            }
        }
        _ => Found::Raw,
    }
}

/// A log may begin with `[`, as markers do; JSON goes on with a value or a key.
fn json_or_raw(text: &[u8]) -> Found {
    let next = text.get(1..).unwrap_or_default().trim_ascii_start().first();
    match (text.first(), next) {
        (Some(b'{'), Some(b'"' | b'}')) | (Some(b'['), Some(b'"' | b'{' | b'[' | b']')) => {
            Found::Json
        }
        _ => Found::Raw,
    }
}
