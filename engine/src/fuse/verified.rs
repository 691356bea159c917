//! For which devices and drivers the fused kernels were verified.
//!
//! A row is added after the smoke suite has passed there with the fusion's switch on, against golden files and the reference.

use serde::Serialize;

use super::Pattern;

/// Device and driver, as [`crate::vk::device::Caps`] names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Device name.
    pub device: String,
    /// Driver name and version.
    pub driver: String,
}

/// One verified combination; names are compared by their beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What was verified.
    pub pattern: Pattern,
    /// Beginning of the device name.
    pub device: &'static str,
    /// Beginning of the driver name and version.
    pub driver: &'static str,
    /// Whether the fusion is on there when no switch says otherwise.
    pub by_default: bool,
}

const LLVMPIPE: (&str, &str) = ("llvmpipe", "llvmpipe Mesa 22.3");

const fn row(pattern: Pattern, (device, driver): (&'static str, &'static str)) -> Row {
    Row {
        pattern,
        device,
        driver,
        by_default: false,
    }
}

/// All verified combinations.
pub const ROWS: &[Row] = &[
    row(Pattern::FusedQkvProj, LLVMPIPE),
    row(Pattern::FusedFfnGateUpSilu, LLVMPIPE),
    row(Pattern::FusedResidualRmsNormWeight, LLVMPIPE),
];

/// Whether a row says that the pattern's kernels were verified there.
pub fn is_verified(pattern: Pattern, identity: &Identity) -> bool {
    row_of(pattern, identity).is_some()
}

/// Whether a row switches the pattern on there.
pub fn is_on_by_default(pattern: Pattern, identity: &Identity) -> bool {
    row_of(pattern, identity).is_some_and(|row| row.by_default)
}

fn row_of(pattern: Pattern, identity: &Identity) -> Option<&'static Row> {
    ROWS.iter().find(|row| {
        row.pattern == pattern
            && identity.device.starts_with(row.device)
            && identity.driver.starts_with(row.driver)
    })
}
