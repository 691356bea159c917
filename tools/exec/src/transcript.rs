//! Bytes of a child on their way to the sink: stamped per line, counted, hashed.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What was written to the sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptSummary {
    /// SHA-256 of exactly the bytes the sink received, lower-case hex.
    pub sha256: String,
    /// Bytes the sink received, stamps included.
    pub bytes: u64,
    /// Lines the sink received; an unfinished last line counts.
    pub lines: u64,
    /// Whether the last line was finished.
    pub ends_with_newline: bool,
}

/// Writes a transcript: each line starts with the time its first byte arrived, as GitHub does, when
/// a clock is given. Bytes are otherwise kept as they are, valid UTF-8 or not, lines of any length.
pub struct TranscriptWriter<'a> {
    sink: &'a mut dyn Write,
    clock: Option<&'a dyn Fn() -> SystemTime>,
    hash: Sha256,
    bytes: u64,
    lines: u64,
    at_line_start: bool,
}

impl<'a> TranscriptWriter<'a> {
    /// An empty transcript into `sink`.
    pub fn new(
        sink: &'a mut dyn Write,
        clock: Option<&'a dyn Fn() -> SystemTime>,
    ) -> TranscriptWriter<'a> {
        TranscriptWriter {
            sink,
            clock,
            hash: Sha256::new(),
            bytes: 0,
            lines: 0,
            at_line_start: true,
        }
    }

    /// Takes bytes of the child in the order they arrived.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stamp = self
            .clock
            .map(|clock| format!("{} ", format_stamp(clock())));
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.at_line_start {
                self.lines += 1;
                if let Some(stamp) = &stamp {
                    self.put(stamp.as_bytes())?;
                }
            }
            self.put(line)?;
            self.at_line_start = line.ends_with(b"\n");
        }
        Ok(())
    }

    /// Flushes the sink and says what it received.
    pub fn finish(self) -> io::Result<TranscriptSummary> {
        self.sink.flush()?;
        Ok(TranscriptSummary {
            sha256: hex::encode(self.hash.finalize()),
            bytes: self.bytes,
            lines: self.lines,
            ends_with_newline: self.at_line_start,
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// `YYYY-MM-DDTHH:MM:SS.fffffffZ` (UTC, 100 ns), the stamp of GitHub's logs. Times before 1970 are
/// written as 1970.
pub fn format_stamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let ticks = since.subsec_nanos() / 100;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ticks:07}Z")
}

/// Days since 1970-01-01 to a Gregorian date, by counting from 0000-03-01 in 400-year eras
/// (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, nanos: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn stamps_are_those_of_github() {
        // Seconds from `date -u -d … +%s`.
        for (time, expect) in [
            (at(0, 0), "1970-01-01T00:00:00.0000000Z"),
            (at(951_782_399, 999_999_999), "2000-02-28T23:59:59.9999999Z"),
            (at(951_827_696, 123_456_789), "2000-02-29T12:34:56.1234567Z"),
            (at(1_772_323_200, 100), "2026-03-01T00:00:00.0000001Z"),
            (at(4_107_542_400, 0), "2100-03-01T00:00:00.0000000Z"),
        ] {
            assert_eq!(format_stamp(time), expect);
        }
    }

    #[test]
    fn a_line_is_stamped_once_however_it_arrives() {
        let mut sink = Vec::new();
        let clock = || at(0, 0);
        let mut transcript = TranscriptWriter::new(&mut sink, Some(&clock));
        for piece in ["al", "pha\nbe", "ta\n\n", "end"] {
            transcript.write(piece.as_bytes()).unwrap();
        }
        let summary = transcript.finish().unwrap();
        let stamp = "1970-01-01T00:00:00.0000000Z ";
        let expect = format!("{stamp}alpha\n{stamp}beta\n{stamp}\n{stamp}end");
        assert_eq!(String::from_utf8(sink).unwrap(), expect);
        assert_eq!(summary.lines, 4);
        assert_eq!(summary.bytes, expect.len() as u64);
        assert_eq!(summary.sha256, hex::encode(Sha256::digest(expect)));
        assert!(!summary.ends_with_newline);
    }
}
