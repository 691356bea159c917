//! `greenloop markers`

use anyhow::Result;
use service::api::{ExtractMarkersRequest, PullFullLogRequest};

use super::Context;
use crate::exit::Exit;

/// Typed markers of a log, or counts per cell of a run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Log id (`sha256:…`) or run id (`R1`)
    of: String,
    /// Only these kinds
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let mut client = context.client()?;
    if !args.of.starts_with("sha256:") {
        let request = PullFullLogRequest {
            run_id: args.of.clone(),
            ..Default::default()
        };
        let answer = client.ask(request)?;
        context.output.answer(&answer, |answer| {
            let cell = |log: &service::api::PulledLog| {
                let id = log.log.as_ref().map_or("no log", |log| log.log_id.as_str());
                let counts: String = log
                    .marker_counts
                    .iter()
                    .map(|(kind, count)| format!("  {count:>7} {kind}\n"))
                    .collect();
                format!("{} {id}\n{counts}", log.job)
            };
            answer.logs.iter().map(cell).collect()
        })?;
        return Ok(Exit::Done);
    }
    let mut cursor = None;
    loop {
        let request = ExtractMarkersRequest {
            log_id: args.of.clone(),
            kinds: (!args.kinds.is_empty()).then(|| args.kinds.clone()),
            r#where: None,
            cursor,
            limit: Some(500),
        };
        let answer = client.ask(request)?;
        context.output.answer(&answer, |answer| {
            let seen = answer.observations.iter().map(|o| {
                let fields: String = o
                    .fields
                    .iter()
                    .map(|(name, value)| format!(" {name}={value}"))
                    .collect();
                format!("{:>7} {}{fields}\n", o.line, o.kind)
            });
            let unread = answer
                .unparsed
                .iter()
                .map(|u| format!("{:>7} unparsed: {}\n", u.line, u.reason));
            seen.chain(unread).collect()
        })?;
        cursor = answer.next_cursor;
        if cursor.is_none() {
            return Ok(Exit::Done);
        }
    }
}
