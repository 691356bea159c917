//! What a push is signed over: claim bodies, canonical bytes, digests, approvals,
//! DSSE envelopes and SSH signatures.
//!
//! Flow: typed value → [`json::canonical`] bytes → [`digest::Digest`] or
//! [`sshsig`] signature → the files of one attestation
//! ([`attestation::attestation_files`]); and back again, every step strict.
//!
//! Architecture invariants:
//! - Pure: no clock, disk, network, process or environment; `now` and key bytes are arguments.
//! - Whatever is signed or digested is canonical JSON; parsing refuses every other spelling
//!   of the same value, so two parties never sign different bytes for one meaning.
//! - A signature is never checked without its namespace, and no key counts in two namespaces.
//! - Predicates are carried as text; nothing here can evaluate them.
#![forbid(unsafe_code)]

pub mod approval;
pub mod attestation;
pub mod claim;
pub mod digest;
pub mod dsse;
mod error;
pub mod json;
pub mod namespace;
pub mod signers;
pub mod sshsig;
pub mod statement;

pub use error::AttestError;
