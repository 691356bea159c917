//! The lists of builtin playbook files. A file that is not listed here is found by a tidy test.

/// File name and text of each builtin class, in the order of classes.
pub const CLASS_FILES: &[(&str, &str)] = &[];

/// File name and text of each builtin proof scope.
pub const SCOPE_FILES: &[(&str, &str)] = &[];
