//! `greenloop claim`

use std::fmt::Write;

use anyhow::Result;
use clap::Subcommand;
use service::api::{GateView, GetClaimAnswer, GetClaimRequest, GradeView, VerdictView};

use super::Context;
use crate::exit::Exit;
use crate::output::{Output, Tone, refusals};
use crate::page::short;
use crate::times::took;

/// Show a claim in full: body, gates, verdict
///
/// `greenloop review` shows the same claim as the card that a person decides on.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Claim id, such as C1; lists all when absent
    id: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a claim in full
    Show {
        /// Claim id, such as C1
        id: String,
    },
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let id = match (&args.action, &args.id) {
        (Some(Action::Show { id }), _) | (None, Some(id)) => id,
        (None, None) => return super::claims::run(&super::claims::Args::default(), context),
    };
    let mut client = context.client()?;
    let output = context.output;
    let answer = client.ask(GetClaimRequest {
        claim_id: id.clone(),
    })?;
    output.answer(&answer, |answer| block(output, answer))?;
    Ok(if answer.summary.state == "staged" {
        Exit::AwaitsApproval
    } else {
        Exit::Done
    })
}

fn block(output: Output, answer: &GetClaimAnswer) -> String {
    let summary = &answer.summary;
    let mut text = format!(
        "{} {} {}\n",
        summary.claim_id, summary.state, summary.subject
    );
    let field = |name: &str| answer.body.get(name).map(plain).unwrap_or_default();
    for name in [
        "proof_scope",
        "failing_invariant",
        "hypothesis_id",
        "parent",
        "tree",
        "reasoning",
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<18} {}", field(name));
    }
    for name in ["predictions", "rollback_if", "gates"] {
        let items = answer.body.get(name).and_then(|value| value.as_array());
        for item in items.into_iter().flatten() {
            let _ = writeln!(text, "  {name:<18} {}", plain(item));
        }
    }
    answer
        .gates
        .iter()
        .for_each(|gate| text.push_str(&gate_line(output, gate)));
    text.push_str(&refusals(output, &answer.refused));
    for missing in &answer.missing {
        let _ = writeln!(text, "  missing            {missing}");
    }
    if let Some(signer) = &answer.approved_by {
        let _ = writeln!(text, "  approved by        {signer}");
    }
    if let Some(command) = &answer.approval_command {
        let _ = writeln!(text, "  approve with       {command}");
    }
    if let Some(verdict) = &answer.verdict {
        text.push_str(&verdict_block(output, verdict));
    }
    text
}

fn plain(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// One gate process in one line.
pub(super) fn gate_line(output: Output, gate: &GateView) -> String {
    let tone = if gate.verdict == "passed" {
        Tone::Good
    } else {
        Tone::Bad
    };
    let listed = gate
        .listed
        .map_or_else(String::new, |listed| format!(" of {listed} listed"));
    let reused = match &gate.reused_from {
        Some(run) => format!("; taken over from {run}"),
        None => String::new(),
    };
    format!(
        "  gate {:<13} {:<12} {} ({} passed{listed}, {} failed, {}{reused})\n",
        gate.gate,
        gate.role,
        output.paint(tone, &gate.verdict),
        gate.passed,
        gate.failed,
        took(gate.duration_ms)
    )
}

/// The graded outcome.
pub(super) fn verdict_block(output: Output, verdict: &VerdictView) -> String {
    let tone = if verdict.kind == "confirmed" {
        Tone::Good
    } else {
        Tone::Bad
    };
    let mut text = format!(
        "  verdict            {} by {} at {}\n",
        output.paint(tone, &verdict.kind),
        verdict.run_id,
        short(&verdict.commit)
    );
    let grade = |grade: &GradeView| {
        format!(
            "    {:<11} {:<14} {} -> {}\n",
            grade.role, grade.truth, grade.predicate, grade.observed
        )
    };
    verdict.grades.iter().for_each(|g| text.push_str(&grade(g)));
    verdict
        .reasons
        .iter()
        .for_each(|reason| text.push_str(&format!("    {reason}\n")));
    for scope in &verdict.other_scopes {
        text.push_str(&format!("    {}\n", scope.sentence()));
    }
    if verdict.rollback_due {
        text.push_str(&output.paint(
            Tone::Bad,
            "    rollback due: the scope is closed until it lands\n",
        ));
    }
    text
}
