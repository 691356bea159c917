//! What kind of failure a completed run is, under the data of its base.

use std::sync::Arc;

use discipline::event::Event;
use discipline::green;
use discipline::model::Run;
use discipline::run_facts::{Around, run_facts};
use verify::BaseFacts;

use crate::observe;
use crate::runs::policy_commit;
use crate::shared::{Shared, daemon};
use crate::{Cancel, ServiceError};

/// Classifies a completed run under its base's catalogue and playbooks, and journals the class.
pub(crate) fn classify(shared: &Shared, run: &Run, base: &BaseFacts) -> Result<(), ServiceError> {
    let catalogue = &base.rulebook.catalogue;
    let cells = observe::cells_of(shared, run, catalogue)?;
    let policy = &base.facts.policy;
    let engage = green::engagement(policy, run, &cells, &base.rulebook);
    let around = Around::of(&shared.core().state, run);
    let facts = run_facts(run, policy, &around, green::engaged(&engage));
    let classification = playbooks::classify(&base.playbooks, catalogue, &facts, &cells);
    let green = green::is_green(run, Some(&classification), &engage, policy, &cells);
    shared.append(
        &daemon(),
        Event::RunClassified {
            run_id: run.run_id.clone(),
            classification,
            green,
            catalogue: base.rulebook.catalogue_digest(),
        },
    )
}

/// The base that a completed run is read under. A run of another place may have executed a commit
/// that is not here; it is read under the policy of the branch under care.
pub(crate) fn base_of(shared: &Shared, run: &Run) -> Result<Arc<BaseFacts>, ServiceError> {
    let commit = policy_commit(&shared.core().state, run);
    match shared.base(&commit) {
        Err(_) if run.forge.is_some() => crate::source::base(shared, &Cancel::new()?),
        base => base,
    }
}
