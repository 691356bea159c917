//! Writes git: the daemon's own bare repository, clean rooms, and the one door out.
//!
//! Flow: a change comes in as objects ([`DaemonRepo::import`], [`DaemonRepo::import_patch`]) and
//! only its tree is kept; the tree is written into a [`Room`] for gates and runs; the daemon makes
//! the commit ([`DaemonRepo::make_commit`]) and the attestation ([`DaemonRepo::write_files`]); a
//! permit is spent by [`DaemonRepo::push`]. [`CargoHome`] and [`Seeds`] give rooms their
//! dependencies without giving one room's output to another.
//!
//! # Architecture invariants
//! - Nothing leaves this machine but through `push` and `publish`; `push` consumes a permit.
//! - Git runs in the daemon's repository with a listed environment, no global configuration and no
//!   hooks; the agent's clone is only ever read, by `upload-pack`.
//! - A room's files are the raw blobs of one tree. No filter, attribute or index has a say.
//! - An old room leaves its path at once, by a rename, and its space behind the back of what runs next: at most one at a
//!   time, and before anything runs where the disk is short. What a killed process leaves of it goes when rooms are opened.
//! - Rooms share nothing that can be written: the target of a room is a copy of a seed, never a link to it.
//! - What a push did is read from the remote, never guessed from an exit status alone.
//! - No clock: commit times are arguments, so that the same inputs give the same commit.

mod cargo;
mod cargo_config;
mod copy;
mod daemon_repo;
mod error;
mod fetched;
mod git;
mod import;
mod lockfile;
mod objects;
mod push;
mod room;
mod seeds;
mod stamp;
mod trash;

pub use cargo::{CargoHome, Fetched, Member, Members};
pub use cargo_config::{CONFIG_NAMES, check_parent_config, check_tree_config};
pub use daemon_repo::{DaemonRepo, RemoteTip};
pub use error::RepoError;
pub use git::Transport;
pub use objects::{CommitPlan, Identity};
pub use push::{Delivery, OnGroup, attestation_ref, verdict_ref};
pub use room::{Room, Rooms};
pub use seeds::{RunCommand, SeedKey, Seeds, build_only};
pub use stamp::{TreeStamp, folders_stamp};
