//! What golden values say about a prediction.

use crate::lab::Outcome;
use crate::support::{Case, Golden, relative_error};

/// Everything that the golden values say about one prediction of a case: prompt rows, their likeliest tokens, and as
/// many choices as were made.
///
/// # Errors
/// What differs, and by how much.
pub(crate) fn check_case(got: &Outcome, golden: &Golden, case: &Case) -> Result<(), String> {
    let name = format!("{} {}", golden.name, case.id);
    let off = |what: &str, got: &[f32], want: &[f32]| {
        let (error, limit) = (relative_error(got, want), golden.required());
        if error <= limit {
            return Ok(());
        }
        Err(format!(
            "{name}: {what} are off by {error:e} of the largest, allowed are {limit:e}"
        ))
    };
    let prompt = &got.logits[..case.prompt.len()];
    off("logits", &prompt[case.first_pos..].concat(), &case.logits)?;
    for (row, (logits, want)) in prompt.iter().zip(&case.argmax).enumerate() {
        let argmax = engine::sample::greedy(logits);
        if argmax != Some(*want) {
            return Err(format!("{name}: row {row} chooses {argmax:?}, not {want}"));
        }
    }
    let wanted = &case.greedy[..got.tokens.len()];
    if got.tokens != wanted {
        let same = got.tokens.iter().zip(wanted).take_while(|(g, w)| g == w);
        let at = same.count();
        return Err(format!("{name}: greedy tokens differ from choice {at} on"));
    }
    match &case.decode_logits {
        Some(want) if got.tokens.len() == case.greedy.len() => {
            let rows = got.logits[case.prompt.len() - 1..].concat();
            off("logits of the choices", &rows, want)
        }
        _ => Ok(()),
    }
}
