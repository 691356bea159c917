//! `greenloop hypotheses`

use anyhow::Result;
use serde::Serialize;
use service::api::{HypothesisView, LoopStatusRequest};

use super::Context;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::page::{Page, terminal_width};

/// List the ledger: which theories live, and what killed the others
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Loop; the newest open one when absent
    #[arg(long)]
    r#loop: Option<String>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Listed {
    hypotheses: Vec<HypothesisView>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let request = LoopStatusRequest {
        loop_id: args.r#loop.clone(),
    };
    let hypotheses = context.client()?.ask(request)?.hypotheses;
    let output = context.output;
    output.answer(&Listed { hypotheses }, |listed| {
        text(&listed.hypotheses, terminal_width(), output)
    })?;
    Ok(Exit::Done)
}

fn text(hypotheses: &[HypothesisView], width: usize, output: Output) -> String {
    if hypotheses.is_empty() {
        return "no hypotheses yet; an agent opens them with `open_hypothesis`".into();
    }
    let mut page = Page::new(width, output);
    for row in hypotheses {
        let tone = match row.status.as_str() {
            "falsified" => Tone::Bad,
            "surviving" => Tone::Good,
            _ => Tone::Warn,
        };
        page.toned(
            &row.hypothesis_id,
            &format!(
                "{}, {} in {}",
                row.status,
                row.mechanism.replace('_', " "),
                row.scope
            ),
            tone,
        );
        page.field("", &row.statement);
        if let Some(why) = &row.killed_because {
            page.field("", &format!("killed: {why}"));
        }
    }
    page.finish()
}
