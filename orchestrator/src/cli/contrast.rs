//! `greenloop contrast`

use anyhow::{Result, bail};
use service::api::{ContrastAnswer, ContrastRequest, SegmentView};

use super::Context;
use crate::exit::Exit;
use crate::output::{Output, Tone, refusals};
use crate::page::{Page, terminal_width};

/// What separates failing from passing: ranked marker values
///
/// A segment is a run id with what narrows it: `R3,cell=debug,path=single_graph,phase=…,test=…`.
/// A value that also shows on the good path cannot be named a cause, and says so.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Segment that fails; may be repeated
    #[arg(long, required = true, value_name = "SEGMENT", value_parser = segment)]
    failing: Vec<SegmentView>,
    /// Segment that passes; may be repeated
    #[arg(long, required = true, value_name = "SEGMENT", value_parser = segment)]
    passing: Vec<SegmentView>,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    let answer = context.client()?.ask(ContrastRequest {
        failing: args.failing.clone(),
        passing: args.passing.clone(),
    })?;
    let output = context.output;
    output.answer(&answer, |answer| match answer.refused.as_slice() {
        [] => text(answer, terminal_width(), output),
        refused => refusals(output, refused),
    })?;
    Ok(if answer.refused.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

fn segment(text: &str) -> Result<SegmentView> {
    let mut parts = text.split(',');
    let mut segment = SegmentView {
        run_id: parts.next().unwrap_or_default().to_owned(),
        ..Default::default()
    };
    if segment.run_id.is_empty() || segment.run_id.contains('=') {
        bail!("begin with a run id, such as R3,cell=debug");
    }
    for part in parts {
        let Some((key, value)) = part.split_once('=') else {
            bail!("`{part}` is no KEY=VALUE; keys are cell, path, phase and test");
        };
        let place = match key {
            "cell" => &mut segment.cell,
            "path" => &mut segment.path,
            "phase" => &mut segment.phase,
            "test" => &mut segment.test,
            _ => bail!("a segment has no `{key}`; keys are cell, path, phase and test"),
        };
        *place = Some(value.to_owned());
    }
    Ok(segment)
}

fn text(answer: &ContrastAnswer, width: usize, output: Output) -> String {
    if answer.separators.is_empty() {
        return "nothing separates them: every marker value shows on both sides alike".into();
    }
    let mut page = Page::new(width, output);
    for found in &answer.separators {
        let what = match found.field.is_empty() {
            true => format!("{} is present", found.kind),
            false => format!("{}.{} = {}", found.kind, found.field, found.value),
        };
        let score = format!(
            "{}.{:03}",
            found.score_milli / 1000,
            found.score_milli % 1000
        );
        page.field(&score, &what);
        let support = format!(
            "in {} failing and {} passing segments",
            found.failing_support, found.passing_support
        );
        match found.also_on_good_path {
            None => page.field("", &support),
            Some(times) => page.toned(
                "",
                &format!("{support}; {times} times on the good path: not a cause"),
                Tone::Warn,
            ),
        }
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_read_or_explained() {
        let read = segment("R3,cell=debug,path=single_graph").unwrap();
        assert_eq!(
            (
                read.run_id.as_str(),
                read.cell.as_deref(),
                read.path.as_deref()
            ),
            ("R3", Some("debug"), Some("single_graph"))
        );
        for (bad, says) in [
            ("", "run id"),
            ("cell=x", "run id"),
            ("R1,x", "KEY=VALUE"),
            ("R1,x=1", "keys are"),
        ] {
            let error = segment(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
