//! The command layer: every command of CLI and MCP exists here once, with one request and one
//! response type ([`api`]).
//!
//! Flow: a front end (socket, MCP, test) hands a [`Caller`] and a [`api::Request`] to
//! [`Service::call`]. The command gathers facts (policy and law from the base commit's tree,
//! observations from the evidence store, remote state by git), asks `discipline` for the decision,
//! appends the events that follow to the journal through the one writer, and answers. Long work
//! (runs, gates, pushes) happens outside the writer's lock and reports back through events.
//!
//! # Architecture invariants
//! - One writer: every event passes through one mutex, journal first, acknowledgement last.
//! - Nothing here decides; every "no" comes from `discipline` as a refusal with its remedy.
//! - The clock is asked here and passed on as `now`.
//! - Policy, law, catalogue and playbooks come from a commit's tree, never from a work tree.
//! - What an agent may not do is refused by the caller's role, before the command looks at anything.
//! - An external effect in flight when the daemon died is reconciled, never repeated blindly.

pub mod api;
mod caller;
mod checkpoint;
mod classes;
mod commands;
mod compiled;
mod config;
mod core;
mod delivery;
mod drift;
mod error;
mod facts;
mod folded;
mod follow;
mod follower;
mod forecast;
mod gates;
mod guarded;
mod identity;
mod keys;
mod news;
mod observe;
mod orders;
mod page;
mod queue;
mod reconcile;
mod room;
mod runs;
mod service;
mod shared;
mod source;
mod staging;
mod store;
mod unified;
mod views;
mod worker;

pub use caller::{Caller, NoProgress, Progress, Update};
pub use config::{Clock, MachineConfig, ServiceConfig, system_clock};
pub use error::ServiceError;
pub use exec::Cancel;
pub use identity::{RepositoryIdentity, identify};
pub use news::{Ids, Listener, Subject};
pub use service::Service;
pub use source::{Credential, ForgeAccess, GITHUB_API, SecretSource, SourceSettings};
