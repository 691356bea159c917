//! The one list of builtin catalogue files. A file in `catalog/` that is not listed here is found by a tidy test.

/// File name and text of each builtin marker, in file-name order.
pub const BUILTIN_FILES: &[(&str, &str)] = &[];
