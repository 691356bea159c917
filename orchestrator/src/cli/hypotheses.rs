//! `greenloop hypotheses`

use anyhow::Result;
use serde::Serialize;
use service::api::{HypothesisDetail, ListHypothesesRequest};

use super::Context;
use crate::exit::Exit;
use crate::output::Tone;
use crate::page::{Page, terminal_width};

/// The ledger: which theories live, what stands for and against each, and what killed the others
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this loop's
    #[arg(long)]
    r#loop: Option<String>,
    /// Only this scope's
    #[arg(long)]
    scope: Option<String>,
    /// Only `open`, `surviving` or `falsified`
    #[arg(long)]
    status: Option<String>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Listed {
    hypotheses: Vec<HypothesisDetail>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let mut client = context.client()?;
    let mut request = ListHypothesesRequest {
        loop_id: args.r#loop.clone(),
        scope: args.scope.clone(),
        status: args.status.clone(),
        cursor: None,
        limit: Some(50),
    };
    let mut hypotheses = Vec::new();
    loop {
        let page = client.ask(request.clone())?;
        hypotheses.extend(page.hypotheses);
        request.cursor = page.next_cursor;
        if request.cursor.is_none() {
            break;
        }
    }
    let output = context.output;
    output.answer(&Listed { hypotheses }, |listed| {
        text(&listed.hypotheses, Page::new(terminal_width(), output))
    })?;
    Ok(Exit::Done)
}

fn text(hypotheses: &[HypothesisDetail], mut page: Page) -> String {
    if hypotheses.is_empty() {
        return "no hypotheses here; an agent opens them with `open_hypothesis`".into();
    }
    for row in hypotheses {
        let head = &row.summary;
        let tone = match head.status.as_str() {
            "falsified" => Tone::Bad,
            "surviving" => Tone::Good,
            _ => Tone::Warn,
        };
        let mechanism = head.mechanism.replace('_', " ");
        page.toned(
            &head.hypothesis_id,
            &format!(
                "{}, {mechanism} in {}; best support: {}",
                head.status, head.scope, row.grade
            ),
            tone,
        );
        page.field("", &head.statement);
        for site in &row.sites {
            page.field(
                "",
                &format!("{}:{} {}", site.file, site.line, site.quote.trim()),
            );
        }
        for seen in &row.observations {
            page.field(
                "",
                &format!("{} ({}): {}", seen.bearing, seen.grade, seen.statement),
            );
        }
        if let Some(killer) = &row.killer {
            page.field("", &format!("killed: {}", killer.reason));
        }
    }
    page.finish()
}
