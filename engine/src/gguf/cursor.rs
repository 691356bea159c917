//! Checked reading from a byte slice.

use super::{GgufFault, fault};
use crate::error::Result;

/// A position in a file.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let Some(taken) = rest.get(..len) else {
            let detail = format!(
                "{what} at byte {} needs {len} bytes, {} are left",
                self.position,
                rest.len()
            );
            return Err(fault(GgufFault::Truncated, detail));
        };
        self.position += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Length-prefixed bytes.
    pub(super) fn string_bytes(&mut self, what: &str) -> Result<&'a [u8]> {
        let len = self.u64(what)?;
        match usize::try_from(len) {
            Ok(len) if len <= self.bytes.len() => self.take(len, what),
            _ => Err(fault(
                GgufFault::StringTooLong,
                format!(
                    "{what} claims {len} bytes in a file of {}",
                    self.bytes.len()
                ),
            )),
        }
    }

    pub(super) fn string(&mut self, what: &str) -> Result<&'a str> {
        let bytes = self.string_bytes(what)?;
        std::str::from_utf8(bytes).map_err(|error| {
            fault(
                GgufFault::InvalidUtf8,
                format!("{what} before byte {}: {error}", self.position),
            )
        })
    }

    /// Skips `count` elements of `size` bytes and returns them.
    pub(super) fn elements(&mut self, count: u64, size: u64, what: &str) -> Result<&'a [u8]> {
        let len = count
            .checked_mul(size)
            .and_then(|len| usize::try_from(len).ok());
        match len {
            Some(len) if len <= self.bytes.len() => self.take(len, what),
            _ => Err(fault(
                GgufFault::CountOverflow,
                format!(
                    "{what} claims {count} elements of {size} B in a file of {} B",
                    self.bytes.len()
                ),
            )),
        }
    }
}
