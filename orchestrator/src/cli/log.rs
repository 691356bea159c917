//! `greenloop log`

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use service::api::{ListRunsRequest, LogViewKind, ReadLogAnswer, ReadLogRequest, SearchLogRequest};

use super::Context;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::Output;
use crate::page::printable;

/// Print a stored log, or lines of it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Log id (`sha256:…`), or its first digits for a log of a run
    log: String,
    /// Lines A to B, 1-based and inclusive; `A:` to the end
    #[arg(long, value_name = "A:B")]
    line: Option<String>,
    /// Only lines that match this regular expression, with their numbers
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["line", "raw"])]
    grep: Option<String>,
    /// Lines to print around each match, 0 to 10
    #[arg(long, short = 'C', value_name = "N", requires = "grep")]
    context: Option<u32>,
    /// Print the bytes as they are, control characters included
    #[arg(long)]
    raw: bool,
}

const PAGE: u32 = 65_536;

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let (first, last) = args
        .line
        .as_deref()
        .map(lines)
        .transpose()?
        .unwrap_or((1, u64::MAX));
    let mut client = context.client()?;
    let log_id = full_id(&args.log, &mut client)?;
    if let Some(pattern) = &args.grep {
        return grep(pattern, args.context, log_id, &mut client, context.output);
    }
    let mut request = ReadLogRequest {
        log_id,
        offset: None,
        line: Some(first),
        max_bytes: Some(PAGE),
        view: LogViewKind::Raw,
    };
    let (mut line, mut last_byte) = (first, b'\n');
    while line <= last {
        let page = client.ask(request.clone())?;
        if context.global.json {
            context.output.answer(&page, |_| String::new())?;
        }
        let text = page_text(&page)?;
        for piece in text.split_inclusive('\n') {
            if line > last {
                break;
            }
            if !context.global.json {
                context.output.raw(&if args.raw {
                    piece.to_owned()
                } else {
                    printable(piece)
                });
            }
            last_byte = piece.bytes().last().unwrap_or(last_byte);
            line += u64::from(piece.ends_with('\n'));
        }
        let Some(next) = page.next_offset else { break };
        (request.offset, request.line) = (Some(next), None);
    }
    if last_byte != b'\n' && !context.global.json {
        context.output.raw("\n");
    }
    Ok(Exit::Done)
}

/// Prints the lines that match, a page of hits at a time; ends with 5 when there is none.
fn grep(
    pattern: &str,
    around: Option<u32>,
    log_id: String,
    client: &mut Client,
    output: Output,
) -> Result<Exit> {
    let mut request = SearchLogRequest {
        log_id,
        pattern: pattern.to_owned(),
        context: around,
        cursor: None,
        limit: Some(100),
    };
    let mut hits = 0;
    loop {
        let page = client.ask(request.clone())?;
        hits += page.hits.len();
        // A page without hits searched on and says nothing, except in JSON.
        if output.is_json() || !page.hits.is_empty() {
            output.answer(&page, |page| unfenced(&page.data))?;
        }
        request.cursor = page.next_cursor;
        if request.cursor.is_none() {
            break;
        }
    }
    match hits {
        0 => {
            output.note("no line matches");
            Ok(Exit::NoSignal)
        }
        _ => Ok(Exit::Done),
    }
}

/// The lines between the fences that mark foreign text for a model.
fn unfenced(data: &str) -> String {
    let lines: Vec<&str> = data.lines().collect();
    let inner = match lines.as_slice() {
        [first, inner @ .., last] if !first.is_empty() && !last.is_empty() => inner,
        all => all,
    };
    inner
        .iter()
        .map(|line| format!("{}\n", printable(line)))
        .collect()
}

/// The id that these digits begin; what cannot be digits of one is passed on as it is.
fn full_id(text: &str, client: &mut Client) -> Result<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_prefix =
        (6..64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_prefix {
        return Ok(match digits.len() {
            64 => format!("sha256:{digits}"),
            _ => text.to_owned(),
        });
    }
    let wanted = format!("sha256:{}", digits.to_ascii_lowercase());
    let mut found = std::collections::BTreeSet::new();
    let mut request = ListRunsRequest {
        limit: Some(100),
        ..Default::default()
    };
    loop {
        let page = client.ask(request.clone())?;
        let logs = page.runs.iter().flat_map(|run| &run.jobs);
        let ids = logs.filter_map(|job| Some(&job.log.as_ref()?.log_id));
        found.extend(ids.filter(|id| id.starts_with(&wanted)).cloned());
        request.cursor = page.next_cursor;
        if request.cursor.is_none() {
            break;
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => bail!("no log of a run begins with {digits}; `greenloop runs` lists them"),
        (Some(_), Some(_)) => bail!("several logs begin with {digits}; name more digits"),
    }
}

fn lines(range: &str) -> Result<(u64, u64)> {
    let (first, last) = range.split_once(':').unwrap_or((range, range));
    let first: u64 = first
        .parse()
        .with_context(|| format!("`{range}` is no range of lines; try 10:20"))?;
    let last = match last {
        "" => u64::MAX,
        last => last
            .parse()
            .with_context(|| format!("`{range}` is no range of lines; try 10:20"))?,
    };
    if first == 0 || last < first {
        bail!("`{range}` is no range of lines; the first line is 1");
    }
    Ok((first, last))
}

fn page_text(page: &ReadLogAnswer) -> Result<String> {
    if page.encoding == "base64" {
        let bytes = BASE64
            .decode(&page.data)
            .context("the daemon sent a page that is not base64")?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(page.data.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_lines() {
        assert_eq!(lines("7").unwrap(), (7, 7));
        assert_eq!(lines("7:9").unwrap(), (7, 9));
        assert_eq!(lines("7:").unwrap(), (7, u64::MAX));
        for bad in ["", "0", "9:7", "x:y", ":"] {
            assert!(lines(bad).is_err(), "{bad}");
        }
    }
}
