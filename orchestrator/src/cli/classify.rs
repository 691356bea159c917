//! `greenloop classify`

use std::fmt::Write;

use anyhow::Result;
use service::api::{AnchorView, ClassifyRunAnswer, ClassifyRunRequest};

use super::Context;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::page::short;

/// Class and disposition of a run, with the lines they rest on
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run id, such as R1
    run: String,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(ClassifyRunRequest {
        run_id: args.run.clone(),
    })?;
    context
        .output
        .answer(&answer, |answer| block(context.output, answer))?;
    Ok(match (answer.green, answer.class.as_str()) {
        (true, _) => Exit::Done,
        (false, "no_signal" | "green_unproven") => Exit::NoSignal,
        (false, "infra" | "vulkan_init") => Exit::Environment,
        (false, _) => Exit::Red,
    })
}

fn block(output: Output, answer: &ClassifyRunAnswer) -> String {
    let tone = if answer.green { Tone::Good } else { Tone::Bad };
    let mut text = format!(
        "{} {} ({})\n",
        answer.run_id,
        output.paint(tone, &answer.class),
        answer.disposition
    );
    let mut line = |head: &str, anchor: &AnchorView| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {head:<10} {} line {} {} {}",
            anchor.cell,
            anchor.line,
            short(&anchor.log_id),
            anchor.summary
        );
    };
    answer
        .anchors
        .iter()
        .for_each(|anchor| line("rests on", anchor));
    answer
        .first_divergence
        .iter()
        .for_each(|anchor| line("diverges", anchor));
    answer
        .unread_panics
        .iter()
        .for_each(|anchor| line("unread", anchor));
    for group in &answer.groups {
        let _ = writeln!(
            text,
            "  group      {} ({})",
            group.signature,
            group.tests.join(", ")
        );
    }
    for slope in &answer.slopes {
        let _ = writeln!(
            text,
            "  waiting    {} µs per no-op ({}; {} rows, {} steps)",
            slope.us_per_noop, slope.of, slope.rows, slope.steps
        );
    }
    if let Some(remedy) = &answer.remedy {
        let _ = writeln!(text, "  remedy     {remedy}");
    }
    text
}
