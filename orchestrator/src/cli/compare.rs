//! `greenloop compare`

use anyhow::Result;
use service::api::{CompareRunsAnswer, CompareRunsRequest, DeltaView};

use super::Context;
use crate::exit::Exit;
use crate::output::{Tone, refusals};
use crate::page::{Page, terminal_width};

/// What moved between two runs: markers that appeared, vanished or changed
///
/// A row that the other run could not have shown says so: it is evidence of nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run to compare with, such as R1
    base: String,
    /// Run to compare, such as R2
    head: String,
    /// Only this cell
    #[arg(long)]
    cell: Option<String>,
    /// Only these kinds
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let mut client = context.client()?;
    let output = context.output;
    let mut request = CompareRunsRequest {
        base: args.base.clone(),
        head: args.head.clone(),
        cell: args.cell.clone(),
        kinds: (!args.kinds.is_empty()).then(|| args.kinds.clone()),
        cursor: None,
        limit: Some(200),
    };
    let mut first = true;
    loop {
        let answer = client.ask(request.clone())?;
        output.answer(&answer, |answer| match answer.refused.as_slice() {
            [] => text(answer, first, Page::new(terminal_width(), output)),
            refused => refusals(output, refused),
        })?;
        if !answer.refused.is_empty() {
            return Ok(Exit::Refused);
        }
        request.cursor = answer.next_cursor;
        if request.cursor.is_none() {
            return Ok(Exit::Done);
        }
        first = false;
    }
}

fn text(answer: &CompareRunsAnswer, first: bool, mut page: Page) -> String {
    if first {
        page.field("differ", &format!("{} marker values", answer.total));
        for (label, cells) in [
            ("only base", &answer.only_base),
            ("only head", &answer.only_head),
        ] {
            if !cells.is_empty() {
                page.toned(label, &cells.join(", "), Tone::Warn);
            }
        }
    }
    for delta in &answer.deltas {
        let (mark, tone) = match delta.change.as_str() {
            "appeared" => ("+", Tone::Good),
            "vanished" => ("-", Tone::Bad),
            _ => ("~", Tone::Warn),
        };
        page.toned(mark, &what(delta), tone);
        page.field("", &values(delta));
        if !delta.observable {
            page.toned(
                "",
                "the other run could not have shown it: evidence of nothing",
                Tone::Warn,
            );
        }
    }
    page.finish()
}

fn what(delta: &DeltaView) -> String {
    let at: Vec<String> = delta
        .at
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let field = delta
        .field
        .as_deref()
        .map(|field| format!(".{field}"))
        .unwrap_or_default();
    format!("{}{field} in {} {}", delta.kind, delta.cell, at.join(" "))
}

fn values(delta: &DeltaView) -> String {
    let side = |value: &Option<String>, line: Option<u64>| {
        let value = value.as_deref().unwrap_or("–");
        match line {
            Some(line) => format!("{value} (line {line})"),
            None => value.to_owned(),
        }
    };
    let mut text = format!(
        "{} → {}",
        side(&delta.base, delta.base_line),
        side(&delta.head, delta.head_line)
    );
    if let Some(margin) = &delta.margin {
        let unit = margin.unit.as_deref().unwrap_or_default();
        text.push_str(&format!(", moved by {}{unit}", margin.difference));
        if let Some(percent) = &margin.percent {
            text.push_str(&format!(" ({percent} %)"));
        }
    }
    if let Some(first) = &delta.first_difference {
        text.push_str(&format!(
            "; first at index {}: {} → {}, {} differ",
            first.index,
            first.base.as_deref().unwrap_or("–"),
            first.head.as_deref().unwrap_or("–"),
            first.differing
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;

    #[test]
    fn differences_read_well() {
        let answer: CompareRunsAnswer = serde_json::from_value(serde_json::json!({
            "deltas": [
                { "cell": "debug", "kind": "cargo_summary", "at": {}, "field": "failed", "change": "moved",
                  "base": "1", "head": "0", "margin": { "difference": "-1", "percent": "100.0", "unit": null },
                  "first_difference": null, "base_line": 57, "head_line": 55, "observable": true },
                { "cell": "debug", "kind": "first_divergence", "at": { "path": "single_graph" }, "field": null,
                  "change": "vanished", "base": "present", "head": null, "margin": null,
                  "first_difference": null, "base_line": 41, "head_line": null, "observable": false }
            ],
            "total": 2, "next_cursor": null, "only_base": ["again"], "only_head": [], "catalogue": "c",
            "refused": [], "untrusted": true
        }))
        .unwrap();
        insta::assert_snapshot!(text(&answer, true, Page::new(80, Output::plain())));
    }
}
