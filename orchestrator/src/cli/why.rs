//! `greenloop why`

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use gitread::GitReader;
use service::api::{ExplainPushAnswer, ExplainPushRequest};
use verify::Trust;

use super::Context;
use super::claim::verdict_block;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::page::printable;
use crate::times::Times;

/// Explain why a push was allowed, by replaying the decision
///
/// From this machine's journal, or with --clone from any clone that has the attestation refs, with
/// no daemon and no network.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Commit (id, branch or tag), or claim id
    commit: String,
    /// Clone to replay from
    #[arg(long, value_name = "DIR")]
    clone: Option<PathBuf>,
    /// Allowed-signers file; with --clone only
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let output = context.output;
    if let Some(clone) = &args.clone {
        let signers = args.signers.clone().or(context.settings()?.signers);
        let reader = super::audit::open(clone)?;
        let trust = Trust::from_signers(signers.as_deref())?;
        let report = verify::audit::why(&reader, &args.commit, clone, &trust, None)?;
        output.answer(&report, verify::why_text)?;
        return Ok(if report.accepted {
            Exit::Done
        } else {
            Exit::Refused
        });
    }
    let number = args.commit.strip_prefix('C').unwrap_or_default();
    let is_claim = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let request = ExplainPushRequest {
        commit: (!is_claim).then(|| named_here(&args.commit, context)),
        claim_id: is_claim.then(|| args.commit.clone()),
    };
    let answer = context.client()?.ask(request)?;
    output.answer(&answer, |answer| block(output, answer))?;
    Ok(if answer.identical && answer.allowed {
        Exit::Done
    } else {
        Exit::Refused
    })
}

/// The commit that a branch or tag of the repository under care means; the word itself when it is none
/// of these, for the journal to know.
fn named_here(name: &str, context: &Context<'_>) -> String {
    let place = context.place().ok();
    let reader = place.and_then(|place| GitReader::open(&place.repo).ok());
    let commit = reader.and_then(|reader| reader.resolve_commit(name).ok());
    commit.unwrap_or_else(|| name.to_owned())
}

fn block(output: Output, answer: &ExplainPushAnswer) -> String {
    let claim = &answer.claim;
    let mut text = format!("{} {}: {}\n", claim.claim_id, claim.state, claim.subject);
    let mut line = |head: &str, body: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {head:<12} {body}");
    };
    line("law", &answer.invariant);
    line(
        "approved by",
        answer.approved_by.as_deref().unwrap_or("nobody"),
    );
    line(
        "attested in",
        answer.attestation_ref.as_deref().unwrap_or("nothing"),
    );
    for rule in &answer.rules {
        let verdict = if !rule.overridden.is_empty() && rule.refused.is_empty() {
            output.paint(Tone::Warn, &rule.overridden.join("; "))
        } else if rule.refused.is_empty() {
            output.paint(Tone::Good, "passes")
        } else {
            let reasons: Vec<&str> = rule
                .refused
                .iter()
                .map(|refusal| refusal.reason.as_str())
                .collect();
            output.paint(Tone::Bad, &format!("refuses: {}", reasons.join("; ")))
        };
        line(&rule.stage, &format!("{:<22} {verdict}", rule.rule));
    }
    for granted in &answer.overrides {
        let said = format!(
            "{} of {} by {} until {}: {}",
            granted.override_id,
            granted.code,
            printable(&granted.by),
            Times::here().at(granted.expires_ms),
            printable(&granted.reason)
        );
        line("override", &said);
    }
    line(
        "replay",
        if answer.identical {
            "identical to the stored decision"
        } else {
            "DIFFERS from the stored decision"
        },
    );
    line(
        "decision",
        if answer.allowed {
            "the push was allowed"
        } else {
            "the push was not allowed"
        },
    );
    if let Some(verdict) = &answer.verdict {
        text.push_str(&verdict_block(output, verdict));
    }
    text
}
