//! What has moved since the state was written: branch, policy, law, toolchain, and the journal itself.

use std::sync::PoisonError;

use discipline::model::ClaimId;
use discipline::state::ClaimPhase;

use crate::checkpoint::Compared;
use crate::shared::{Shared, toolchain_text};

/// Everything that moved, one sentence each. `tip` is the branch as last seen.
pub(crate) fn drift(shared: &Shared, tip: Option<&str>) -> Vec<String> {
    let compared = shared.compared.lock();
    let compared = compared.unwrap_or_else(PoisonError::into_inner).clone();
    let mut said = match compared {
        Compared::Differs(sentence) => vec![sentence],
        Compared::NotYet | Compared::Fits => Vec::new(),
    };
    said.extend(of_toolchain(shared));
    if let Some(tip) = tip {
        said.extend(of_branch(shared, tip));
    }
    said
}

fn of_toolchain(shared: &Shared) -> Vec<String> {
    let now = toolchain_text(&shared.toolchain);
    let core = shared.core();
    let before = core.toolchain_before.iter();
    let mut said: Vec<String> = before
        .map(|before| format!("the toolchain is {now}; the daemon before used {before}"))
        .collect();
    let gated = core.gated.with.iter().filter(|(_, with)| **with != now);
    for (id, with) in gated {
        let open = core.state.claims.get(id);
        if open.is_some_and(|claim| claim.phase.before_push()) {
            said.push(format!(
                "{id} was gated with {with}, the toolchain is {now}"
            ));
        }
    }
    said
}

/// What moved since claims were checked, one sentence each. Policies come from the daemon's own
/// repository, which is read without the writer's lock.
fn of_branch(shared: &Shared, tip: &str) -> Vec<String> {
    let moved: Vec<(ClaimId, String)> = {
        let core = shared.core();
        let claims = core.state.claims.values();
        claims
            .filter(|claim| claim.phase.before_push() && claim.phase != ClaimPhase::Drafted)
            .filter(|claim| claim.body.parent != tip)
            .map(|claim| (claim.id.clone(), claim.body.parent.clone()))
            .collect()
    };
    let mut said = Vec::new();
    for (id, parent) in moved {
        said.push(format!("{id} is made on {parent}, the branch is at {tip}"));
        let (Ok(then), Ok(now)) = (shared.base(&parent), shared.base(tip)) else {
            continue;
        };
        let (then, now) = (&then.facts, &now.facts);
        let changed = [
            ("policy", then.policy_digest != now.policy_digest),
            ("law", then.law_digest != now.law_digest),
            ("catalogue", then.catalogue_digest != now.catalogue_digest),
            ("playbooks", then.playbooks_digest != now.playbooks_digest),
        ];
        for (name, _) in changed.into_iter().filter(|(_, differs)| *differs) {
            said.push(format!(
                "the {name} at {tip} is not the one that {id} was checked with"
            ));
        }
    }
    said
}
