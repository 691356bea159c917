//! Every decision of the loop, as pure functions over plain data.
//!
//! Flow: [`event::Event`]s → [`step::step`] → [`state::LoopState`]; a claim with its facts
//! ([`decision::DecisionInput`]) → [`rules::decide`] under a [`rulebook::Rulebook`] →
//! [`decision::Decision`]; an allowed decision and an approved claim → [`permit::grant`] →
//! [`permit::PushPermit`], the one key to the one door; the run of the pushed commit →
//! [`verification::grade`] → [`model::Verdict`]; [`verification::guards::grade`] → [`model::ScopeGuards`].
//!
//! # Architecture invariants
//! - Pure: no clock, disk, network, process, thread or environment. `now` is an argument.
//! - A refusal is a value with code, field, reason and remedy; an error is a broken journal or data
//!   that cannot be encoded. Rules never stop at the first refusal.
//! - What cannot be decided is refused; no rule that lacks its facts passes.
//! - Nothing outside [`permit`] can make or copy a permit.
//! - Agents approve nothing: no event or input that an agent can cause carries an approval.

pub mod change;
pub mod cited;
pub mod compare;
pub mod contrast;
pub mod decision;
pub mod diff;
pub mod event;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod forecast;
pub mod gates;
pub mod green;
pub mod hit_rate;
pub mod hypothesis;
pub mod model;
pub mod observation;
pub mod orders;
pub mod overrides;
pub mod permit;
pub mod policy;
pub mod retention;
pub mod rulebook;
pub mod rules;
pub mod run_facts;
pub mod shown;
pub mod spend;
pub mod state;
pub mod step;
pub mod turn;
pub mod verification;

#[cfg(test)]
mod tests;
