//! What the claim says in words: reasoning and commit message.

use super::Case;
use crate::change::hidden_character;
use crate::model::Refusal;

/// Fewer words than this are no sentence that ties a bug to a fix.
const SENTENCE_WORDS: usize = 6;
/// Trailers that only the daemon writes.
const OWN_TRAILERS: [&str; 2] = ["claim-id", "claim-digest"];

pub(super) fn judge_reasoning(case: &Case<'_>) -> Vec<Refusal> {
    let words = case.body().reasoning.split_whitespace().count();
    let remedy = "say in a sentence why the changed lines make the invariant hold";
    let mut refused = Vec::from_iter(hides("reasoning", &case.body().reasoning));
    refused.extend(match words {
        0 => vec![Refusal::new(
            "reasoning_missing",
            "reasoning",
            "nothing ties the bug to the fix",
            remedy,
        )],
        n if n < SENTENCE_WORDS => {
            let reason = format!("{n} words do not tie a bug to a fix");
            vec![Refusal::new(
                "reasoning_too_short",
                "reasoning",
                reason,
                remedy,
            )]
        }
        _ => Vec::new(),
    });
    refused
}

/// Text for a person that a screen would show otherwise than it reads.
fn hides(field: &str, text: &str) -> Option<Refusal> {
    let found = hidden_character(text)?;
    Some(Refusal::new(
        "text_hides_characters",
        field,
        format!(
            "it holds the character U+{:04X}, which a screen does not show as it reads",
            u32::from(found)
        ),
        format!("write `{field}` in plain text"),
    ))
}

pub(super) fn judge_message(case: &Case<'_>) -> Vec<Refusal> {
    let body = case.body();
    let message = &body.message;
    let mut refused = Vec::new();
    let mut refuse = |code, reason: String, remedy: String| {
        refused.push(Refusal::new(code, "message", reason, remedy));
    };
    if message
        .lines()
        .next()
        .is_none_or(|subject| subject.trim().is_empty())
    {
        refuse(
            "message_missing",
            "the commit message has no subject line".into(),
            "begin it with one line that names unit, phase and invariant".into(),
        );
    } else if !message.contains(body.failing_invariant.trim()) {
        refuse(
            "message_without_invariant",
            format!(
                "the commit message does not name {}",
                body.failing_invariant
            ),
            format!("name unit, phase and {} in it", body.failing_invariant),
        );
    }
    let controls = message
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t');
    if controls {
        refuse(
            "message_control_characters",
            "the commit message holds control characters".into(),
            "write plain text; lines end with \\n".into(),
        );
    }
    let forged = message
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| {
            let name = name.trim().to_ascii_lowercase();
            OWN_TRAILERS.contains(&name.as_str())
        });
    if let Some((name, _)) = forged {
        refuse(
            "message_forges_trailer",
            format!(
                "the trailer `{}` is written by the daemon alone",
                name.trim()
            ),
            "remove that line; the daemon adds Claim-Id and Claim-Digest".into(),
        );
    }
    if !controls {
        refused.extend(hides("message", message));
    }
    refused
}
