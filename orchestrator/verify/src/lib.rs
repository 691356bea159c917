//! Replays the decision behind a push, as hook or auditor.
//!
//! Flow: a commit and its attestation ref → the attestation's files → everything a clone can
//! recompute (policy, law, diff, ids, digests, signatures) compared with what the attestation says →
//! `decide` run again → one [`CommitReport`] with every refusal at once. [`prereceive`] asks this of a
//! push that is being received, [`audit`](mod@audit) of a clone, [`audit::why`] explains one commit.
//!
//! # Architecture invariants
//! - No state, no network, no async: a repository, a signers file and the time are all it reads.
//! - Fails closed: what cannot be read or recomputed refuses. A missing attestation is a refusal,
//!   never a skipped check.
//! - Writer and reader share one code: [`build`] makes what [`check_commit`] recomputes.
//! - Never a silent new verdict: another rules version is said, not replayed.
//! - Diffs come from tree objects alone.
#![forbid(unsafe_code)]

pub mod audit;
mod base;
pub mod build;
mod check;
mod checkpoint;
mod error;
mod evidence;
mod law;
mod load;
pub mod prereceive;
mod render;
mod report;
mod reverted;
mod signing;
mod trust;

pub use base::{BaseFacts, base_facts, change_facts};
pub use check::{Moment, Terms, check_commit};
pub use checkpoint::newest_checkpoint;
pub use error::VerifyError;
pub use evidence::Evidence;
pub use load::{AttestedVerdict, LoadedVerdict, load_attestation, load_verdict};
pub use render::{audit_text, push_text, why_text};
pub use report::{ApproverView, CommitReport, GateView, VerdictView, Warning};
pub use reverted::reverted_facts;
pub use trust::{PinnedPolicy, SignerSource, Trust};
