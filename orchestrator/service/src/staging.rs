//! From gated to staged: the daemon makes the single commit, and the card that a person will see.

use attest::json::canonical;
use discipline::event::Event;
use discipline::model::ClaimId;
use discipline::shown::{ClaimCard, card};
use discipline::state::{Claim, ClaimPhase};
use repo::{CommitPlan, Identity};

use crate::ServiceError;
use crate::facts::{Circumstances, gather};
use crate::shared::{Shared, daemon};

/// Most bytes of a citation that a card shows.
const CITED_BYTES: u64 = 16 << 10;

/// Stages a gated claim. The commit follows from the journal alone, so that doing it again after a
/// kill gives the same one.
pub(crate) fn stage(shared: &Shared, id: &ClaimId) -> Result<(), ServiceError> {
    let (mut claim, gated_at) = {
        let core = shared.core();
        match core.state.claims.get(id) {
            Some(claim) if claim.phase == ClaimPhase::Gated => (
                claim.clone(),
                core.gated.at_ms.get(id).copied().unwrap_or(0),
            ),
            _ => return Ok(()),
        }
    };
    let commit = shared.repo.make_commit(&plan(shared, &claim, gated_at))?;
    shared
        .repo
        .keep(&format!("refs/greenloop/staged/{}", claim.id), &commit)?;
    claim.commit = Some(commit.clone());
    let shown = card_now(shared, &claim)?;
    // The card is kept under its own digest: what is shown later is what was bound here.
    let shown_digest = shared.evidence.put_blob(&canonical(&shown)?)?;
    shared.append(
        &daemon(),
        Event::ClaimStaged {
            claim_id: id.clone(),
            commit,
            shown_digest,
        },
    )
}

/// The card of a claim as it stands now.
pub(crate) fn card_now(shared: &Shared, claim: &Claim) -> Result<ClaimCard, ServiceError> {
    let circumstances = Circumstances {
        claim: Some(claim),
        remote_tip: Some(claim.body.parent.clone()),
        forge: None,
    };
    let gathered = gather(shared, &claim.body, &circumstances)?;
    let cited = claim
        .body
        .evidence
        .iter()
        .map(|citation| cited_text(shared, citation))
        .collect::<Result<Vec<_>, _>>()?;
    let state = shared.core().state.clone();
    Ok(card(
        &claim.id,
        claim.author.uid,
        &gathered.input,
        &cited,
        &state,
        &gathered.base.rulebook,
    ))
}

fn plan(shared: &Shared, claim: &Claim, gated_at: i64) -> CommitPlan {
    let machine = &shared.config.machine;
    CommitPlan {
        tree: claim.body.tree.clone(),
        parent: Some(claim.body.parent.clone()),
        message: claim.body.message.clone(),
        trailers: vec![
            ("Claim-Id".into(), claim.id.to_string()),
            ("Claim-Digest".into(), claim.digest.to_string()),
        ],
        identity: Identity {
            name: machine.identity_name.clone(),
            email: machine.identity_email.clone(),
        },
        time_s: gated_at.div_euclid(1000),
    }
}

fn cited_text(shared: &Shared, citation: &attest::claim::Citation) -> Result<String, ServiceError> {
    let reader = match shared.evidence.open_log(&citation.log_id) {
        Ok(reader) => reader,
        // Rules refuse such a citation; the card of a refused draft shows none of its text.
        Err(state::Error::NoEvidence { .. }) => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    let length = citation.byte_end.saturating_sub(citation.byte_start);
    let bytes = reader.read_range(citation.byte_start, length.min(CITED_BYTES))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
