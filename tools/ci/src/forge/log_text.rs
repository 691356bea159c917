//! What a log says about its own job.

use std::io::{self, Read};

use memchr::memmem::Finder;

/// GitHub writes this as the last word about a failed step.
const EXITED: &[u8] = b"##[error]Process completed with exit code ";
/// Longest number that can follow.
const DIGITS: usize = 24;

/// The last exit code that the log states.
pub(super) fn exit_code(mut log: impl Read) -> io::Result<Option<i32>> {
    let finder = Finder::new(EXITED);
    let keep = EXITED.len() + DIGITS;
    let mut window: Vec<u8> = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    let mut found = None;
    loop {
        let count = log.read(&mut chunk)?;
        window.extend_from_slice(chunk.get(..count).unwrap_or_default());
        for at in finder.find_iter(&window) {
            let rest = window.get(at + EXITED.len()..).unwrap_or_default();
            found = number(rest).or(found);
        }
        if count == 0 {
            return Ok(found);
        }
        let old = window.len().saturating_sub(keep);
        window.drain(..old);
    }
}

/// Windows prints status words such as 3221225477 unsigned; they are the same 32 bits.
fn number(text: &[u8]) -> Option<i32> {
    let end = text.iter().position(|byte| *byte == b'.')?;
    let digits = std::str::from_utf8(text.get(..end.min(DIGITS))?).ok()?;
    let wide: i64 = digits.parse().ok()?;
    i32::try_from(wide)
        .ok()
        .or_else(|| u32::try_from(wide).ok().map(u32::cast_signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_exit_code_counts() {
        let said = |text: &str| exit_code(text.as_bytes()).unwrap();
        assert_eq!(said("no\n##[error]no\n"), None);
        let two = "2026 ##[error]Process completed with exit code 1.\n\
                   2026 ##[error]Process completed with exit code 101.\n";
        assert_eq!(said(two), Some(101));
        assert_eq!(
            said("##[error]Process completed with exit code -1073741819."),
            Some(-1_073_741_819)
        );
        assert_eq!(
            said("##[error]Process completed with exit code 3221225477."),
            Some(-1_073_741_819)
        );
        assert_eq!(said("##[error]Process completed with exit code x."), None);
    }

    #[test]
    fn a_statement_across_a_chunk_is_seen() {
        let mut log = vec![b'x'; (1 << 20) - 20];
        log.extend_from_slice(b"##[error]Process completed with exit code 7.\n");
        assert_eq!(exit_code(log.as_slice()).unwrap(), Some(7));
    }
}
