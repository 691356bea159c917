//! `list_invariants`: the law of a commit.

use crate::ServiceError;
use crate::api::{InvariantView, ListInvariantsAnswer, ListInvariantsRequest};
use crate::shared::{Ctx, Shared};

/// The law file of a commit; of the branch's tip when none is named.
pub(super) fn list_invariants(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ListInvariantsRequest,
) -> Result<ListInvariantsAnswer, ServiceError> {
    let commit = match request.commit {
        Some(commit) => super::known_commit(shared, ctx, &commit)?,
        None => shared.known_target(ctx.cancel)?.tip,
    };
    let base = shared.base(&commit)?;
    let path = base.facts.policy.repo.law.clone();
    let reader = shared.reader()?;
    let tree = reader.commit_info(&commit)?.tree;
    let bytes = reader.blob_at(&tree, &path)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let law = invariants::Law::parse(&text).map_err(|error| ServiceError::WrongState {
        what: format!("law file `{path}` of {commit}"),
        state: error.to_string(),
        remedy: "correct it by a policy_change claim".into(),
    })?;
    let view = |found: &invariants::Invariant| InvariantView {
        id: found.id.clone(),
        title: found.title.clone(),
        text: found.text.clone(),
        pins: found.pins.iter().map(ToString::to_string).collect(),
    };
    Ok(ListInvariantsAnswer {
        commit,
        path,
        digest: base.facts.law_digest.to_string(),
        invariants: law.invariants.iter().map(view).collect(),
    })
}
