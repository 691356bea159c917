//! `greenloop revert`

use anyhow::Result;
use service::api::PrepareRollbackRequest;

use super::Context;
use crate::exit::Exit;
use crate::output::refusals;

/// Prepare the way back from a pushed claim, as a claim of its own
///
/// Its tree is the exact revert of the pushed commit, its predictions are what the claim's baseline
/// showed. It goes through the same gates and the same approval; it passes a scope that a due rollback
/// has closed, and pushing it opens the scope again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pushed claim, such as C1
    id: String,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(PrepareRollbackRequest {
        claim_id: args.id.clone(),
    })?;
    let output = context.output;
    output.answer(&answer, |answer| {
        let mut text = refusals(output, &answer.refused);
        if let (Some(id), Some(state)) = (&answer.claim_id, &answer.state) {
            text.push_str(&format!("{id} {state}: rolls {} back\n", args.id));
            for prediction in &answer.predictions {
                text.push_str(&format!("  predicts {prediction}\n"));
            }
            if answer.refused.is_empty() {
                text.push_str(&format!(
                    "next: greenloop gates {id}, then greenloop review {id}\n"
                ));
            }
        }
        text
    })?;
    Ok(match answer.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    })
}
