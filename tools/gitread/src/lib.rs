//! Reads git objects: commits, trees, blobs, refs, and the diff between two trees.
//!
//! Flow: [`GitReader::open`] (or [`GitReader::open_quarantine`] inside a pre-receive hook) →
//! object ids as text → raw objects, parsed here → [`GitReader::diff_trees`] as the plain
//! [`discipline::diff::Diff`].
//!
//! Architecture invariants:
//! - Reads only; there is no function here that writes an object, a ref or a file.
//! - Objects come raw from the object database and are parsed here: replace refs, grafts,
//!   attributes, filters, mailmaps and external diff tools have no say.
//! - No discovery: the path given is the repository, or opening fails.
//! - Every read has a cap; beyond it stands an error, never a shorter answer.
//! - Knows nothing of claims or policies.
#![forbid(unsafe_code)]

mod diff;
mod error;
mod history;
mod object;
pub mod path;
mod reader;
mod refs;

pub use diff::DiffCaps;
pub use error::GitReadError;
pub use object::{CommitInfo, Identity, TreeEntry};
pub use reader::{EMPTY_TREE, GitReader, MAX_BLOB_BYTES};
