//! Text of a law file to [`Law`], line by line.

use sha2::{Digest, Sha256};

use crate::{Error, Invariant, Law, Pin};

/// Largest file that is read.
const MAX_BYTES: usize = 1 << 20;

pub(crate) fn law(text: &str) -> Result<Law, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::TooLong(text.len()));
    }
    let mut reader = Reader::default();
    for (line, content) in (1..).zip(text.lines()) {
        reader.line(line, content)?;
    }
    if let Some(line) = reader.fence {
        return Err(Error::OpenFence { line });
    }
    let mut invariants = reader.invariants;
    for invariant in &mut invariants {
        invariant.text = invariant.text.trim().to_owned();
    }
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(text)));
    Ok(Law {
        invariants,
        stated_count: reader.stated_count,
        digest,
    })
}

#[derive(Default)]
struct Reader {
    invariants: Vec<Invariant>,
    stated_count: Option<u32>,
    /// Line of the code fence that is open.
    fence: Option<u32>,
    /// Below a heading that is no law's, prose belongs to nobody.
    between: bool,
}

impl Reader {
    fn line(&mut self, line: u32, content: &str) -> Result<(), Error> {
        if content.trim_start().starts_with("```") {
            self.fence = if self.fence.is_some() {
                None
            } else {
                Some(line)
            };
            self.prose(content);
        } else if self.fence.is_some() {
            self.prose(content);
        } else if let Some(heading) = content.strip_prefix("## §") {
            let invariant = heading_of(heading, line).ok_or_else(|| Error::Heading {
                line,
                text: short(content),
            })?;
            self.invariants.push(invariant);
            self.between = false;
        } else if content.starts_with("# ") || content.starts_with("## ") {
            self.between = true;
        } else if let Some(text) = content.strip_prefix("Pinned by:") {
            self.pin(line, content, text)?;
        } else if let Some(text) = content.strip_prefix("Laws:") {
            self.count(line, content, text)?;
        } else {
            self.prose(content);
        }
        Ok(())
    }

    fn pin(&mut self, line: u32, content: &str, text: &str) -> Result<(), Error> {
        match self.invariants.last_mut().filter(|_| !self.between) {
            Some(invariant) => {
                invariant.pins.push(pin(text.trim(), line)?);
                Ok(())
            }
            None => Err(Error::Misplaced {
                line,
                text: short(content),
                place: "under the heading of a law",
            }),
        }
    }

    fn count(&mut self, line: u32, content: &str, text: &str) -> Result<(), Error> {
        if !self.invariants.is_empty() || self.stated_count.is_some() {
            return Err(Error::Misplaced {
                line,
                text: short(content),
                place: "once, before the first law",
            });
        }
        let count = text.trim().parse().map_err(|_| Error::Count {
            line,
            text: short(content),
        })?;
        self.stated_count = Some(count);
        Ok(())
    }

    fn prose(&mut self, content: &str) {
        if let Some(invariant) = self.invariants.last_mut().filter(|_| !self.between) {
            invariant.text.push_str(content.trim_end());
            invariant.text.push('\n');
        }
    }
}

/// `N Title` of a heading.
fn heading_of(text: &str, line: u32) -> Option<Invariant> {
    let (digits, title) = text.split_once(' ')?;
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u32 = digits.parse().ok().filter(|_| canonical)?;
    let title = title.trim();
    (!title.is_empty()).then(|| Invariant {
        id: format!("§{number}"),
        number,
        title: title.to_owned(),
        text: String::new(),
        pins: Vec::new(),
        line,
    })
}

/// `test TARGET::FUNCTION` or `type PATH`, perhaps in backticks.
pub(crate) fn pin(text: &str, line: u32) -> Result<Pin, Error> {
    let malformed = || Error::Pin {
        line,
        text: short(text),
    };
    let bare = text.replace('`', "");
    let (kind, path) = bare
        .trim()
        .trim_end_matches('.')
        .split_once(' ')
        .ok_or_else(malformed)?;
    let path = path.trim();
    if !is_path(path) {
        return Err(malformed());
    }
    match (kind, path.split_once("::")) {
        ("test", Some((target, function))) => Ok(Pin::Test {
            target: target.to_owned(),
            function: function.to_owned(),
        }),
        ("type", _) => Ok(Pin::Type {
            path: path.to_owned(),
        }),
        _ => Err(malformed()),
    }
}

fn is_path(text: &str) -> bool {
    text.split("::").all(|part| {
        let letters = part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        letters && !part.is_empty() && !part.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
