//! `greenloop doctor`

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::place::Place;

/// Say what is missing on this machine, how to mend it, and what this deployment cannot prevent
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    ok: bool,
    found: String,
    /// What mends it; empty when it is fine.
    remedy: String,
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
struct Diagnosis {
    findings: Vec<Finding>,
    /// `A`, `B` or `C` of the trust model.
    deployment: &'static str,
    /// What this deployment cannot prevent.
    cannot_prevent: Vec<String>,
}

pub(super) fn run(_args: &Args, context: &Context<'_>) -> Result<Exit> {
    let diagnosis = diagnose(context);
    let output = context.output;
    output.answer(&diagnosis, |diagnosis| report(output, diagnosis))?;
    Ok(if diagnosis.findings.iter().all(|finding| finding.ok) {
        Exit::Done
    } else {
        Exit::Environment
    })
}

fn diagnose(context: &Context<'_>) -> Diagnosis {
    let mut findings = vec![git(), ssh_keygen(), cargo(), vulkan()];
    let mut cannot_prevent = vec![
        "one account runs agent, gates and daemon: state is tamper-evident (hash chain, anchored head, \
         signed attestations), not tamper-proof"
            .to_owned(),
        "an agent on this account can push with your git credentials unless the remote runs \
         `greenloop-verify pre-receive`"
            .to_owned(),
    ];
    match context.place() {
        Ok(place) => {
            findings.push(daemon(&place));
            findings.push(signers(&place));
            cannot_prevent.extend(readable_keys());
        }
        Err(error) => findings.push(Finding {
            name: "repository",
            ok: false,
            found: format!("{error:#}"),
            remedy: "change into the repository under care, or name it with --repo".into(),
        }),
    }
    Diagnosis {
        findings,
        deployment: "A",
        cannot_prevent,
    }
}

fn git() -> Finding {
    let version = version_of("git", &["--version"]);
    let ok = version
        .as_deref()
        .is_some_and(|text| at_least(text, (2, 39)));
    finding("git", ok, version, "apt-get install git (2.39 or newer)")
}

fn ssh_keygen() -> Finding {
    // It has no --version; asked for nothing it prints its usage.
    let found = Command::new("ssh-keygen")
        .arg("-?")
        .output()
        .ok()
        .map(|_| "present".to_owned());
    finding(
        "ssh-keygen",
        found.is_some(),
        found,
        "apt-get install openssh-client",
    )
}

fn cargo() -> Finding {
    let version = version_of("cargo", &["--version"]);
    finding(
        "cargo",
        version.is_some(),
        version,
        "install Rust (rustup or your distribution's package)",
    )
}

/// A driver manifest where the loader looks; the engine's own `engine caps` says whether it works.
fn vulkan() -> Finding {
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .into_iter()
        .filter_map(std::env::var_os);
    let named: Vec<PathBuf> = named
        .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
        .collect();
    let manifests = if named.is_empty() {
        let folders = [
            "/usr/share/vulkan/icd.d",
            "/etc/vulkan/icd.d",
            "/usr/local/share/vulkan/icd.d",
        ];
        folders
            .iter()
            .flat_map(|folder| files_in(Path::new(folder)))
            .collect()
    } else {
        named
    };
    let found: Vec<String> = manifests
        .iter()
        .filter(|path| path.is_file())
        .map(|path| path.display().to_string())
        .collect();
    let text = (!found.is_empty()).then(|| found.join(", "));
    finding(
        "vulkan driver",
        !found.is_empty(),
        text,
        "apt-get install mesa-vulkan-drivers (a software driver)",
    )
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files
}

fn daemon(place: &Place) -> Finding {
    match Client::try_connect(place) {
        Ok(client) => finding(
            "daemon",
            true,
            Some(format!("pid {}", client.daemon.name)),
            "",
        ),
        // Not running is fine: verbs start it.
        Err(_) => finding(
            "daemon",
            true,
            Some("not running; starts when needed".into()),
            "",
        ),
    }
}

fn signers(place: &Place) -> Finding {
    match &place.config.signers {
        Some(path) => finding(
            "approvers",
            path.is_file(),
            path.is_file().then(|| path.display().to_string()),
            "write the approvers' keys there (format of ssh-keygen's allowed_signers)",
        ),
        None => finding(
            "approvers",
            true,
            Some("from the base commit, labelled self-asserted; pin them with `signers` in the machine settings".into()),
            "",
        ),
    }
}

/// Private keys without a passphrase that this account, and so an agent on it, can read.
fn readable_keys() -> Vec<String> {
    let Some(home) = std::env::var_os("HOME") else {
        return Vec::new();
    };
    files_in(&Path::new(&home).join(".ssh"))
        .into_iter()
        .filter(|path| path.extension().is_none() && is_private_key(path))
        .map(|path| format!("an agent on this account can read {}", path.display()))
        .collect()
}

fn is_private_key(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY"))
}

fn version_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn at_least(version: &str, wanted: (u32, u32)) -> bool {
    let digits = version
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty());
    let mut numbers = digits.filter_map(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= wanted)
}

fn finding(name: &'static str, ok: bool, found: Option<String>, remedy: &str) -> Finding {
    let remedy = if ok { String::new() } else { remedy.to_owned() };
    Finding {
        name,
        ok,
        found: found.unwrap_or_else(|| "missing".into()),
        remedy,
    }
}

fn report(output: Output, diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for finding in &diagnosis.findings {
        let mark = if finding.ok {
            output.paint(Tone::Good, "ok     ")
        } else {
            output.paint(Tone::Bad, "missing")
        };
        text.push_str(&format!("{mark} {:<14} {}\n", finding.name, finding.found));
        if !finding.remedy.is_empty() {
            text.push_str(&format!("        {:<14} {}\n", "mend with", finding.remedy));
        }
    }
    text.push_str(&format!(
        "\ndeployment {}; it cannot prevent:\n",
        diagnosis.deployment
    ));
    for line in &diagnosis.cannot_prevent {
        text.push_str(&format!("  - {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("git version 2.39.5", (2, 39)));
        assert!(at_least("git version 3.0", (2, 39)));
        assert!(!at_least("git version 2.9.1", (2, 39)));
        assert!(!at_least("no number", (2, 39)));
    }
}
