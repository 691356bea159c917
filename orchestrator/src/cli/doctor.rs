//! `greenloop doctor`

use anyhow::Result;

use super::Context;
use crate::doctor::{Diagnosis, Level, diagnose};
use crate::exit::Exit;
use crate::output::Tone;
use crate::page::{Page, terminal_width};

/// What is missing on this machine, how to mend it, and what this deployment cannot prevent
///
/// Ends with 7 when something will not work. Advice does not count.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &Context<'_>) -> Result<Exit> {
    let diagnosis = diagnose(context.place());
    let output = context.output;
    output.answer(&diagnosis, |diagnosis| {
        report(diagnosis, Page::new(terminal_width(), output))
    })?;
    Ok(match diagnosis.findings.iter().all(|finding| finding.ok) {
        true => Exit::Done,
        false => Exit::Environment,
    })
}

fn report(diagnosis: &Diagnosis, mut page: Page) -> String {
    for finding in &diagnosis.findings {
        let (mark, tone) = match finding.level {
            Level::Ok => ("ok", Tone::Good),
            Level::Advice => ("advice", Tone::Warn),
            Level::Missing => ("MISSING", Tone::Bad),
        };
        page.toned(mark, &format!("{}: {}", finding.name, finding.found), tone);
        if !finding.remedy.is_empty() {
            page.command("  mend", &finding.remedy);
        }
    }
    page.gap();
    page.field("deployment", diagnosis.deployment.meaning());
    page.field("", "it cannot prevent:");
    for line in &diagnosis.cannot_prevent {
        page.field("", &format!("- {line}"));
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Deployment, Finding};
    use crate::output::Output;

    #[test]
    fn a_report_says_what_mends_it() {
        let finding = |name, level, found: &str, remedy: &str| Finding {
            name,
            ok: level != Level::Missing,
            level,
            found: found.into(),
            remedy: remedy.into(),
        };
        let diagnosis = Diagnosis {
            findings: vec![
                finding("git", Level::Ok, "git version 2.47.3", ""),
                finding("vulkan driver", Level::Missing, "missing", "apt-get install mesa-vulkan-drivers (a software driver)"),
                finding("credential", Level::Advice, "/home/x/.ssh/id_ed25519 is a private key without a passphrase", "ssh-keygen -p -f /home/x/.ssh/id_ed25519"),
            ],
            deployment: Deployment::A,
            cannot_prevent: vec!["state is tamper-evident (hash chain, anchored head, signed attestations), not tamper-proof".into()],
        };
        insta::assert_snapshot!(report(&diagnosis, Page::new(80, Output::plain())));
    }
}
