//! Processes and the processor time they take, ripgrep among them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

/// `rg -j1 -a -c -F -f PATTERNS FILE`: which lines hold a pattern, counted.
pub(crate) fn count(patterns: &Path, file: &Path, folder: &Path) -> anyhow::Result<Duration> {
    search("-c", patterns, file, folder)
}

/// `rg -n -F -f PATTERNS FILE`, into a file, because some tools stop early where nobody reads.
pub(crate) fn lines(patterns: &Path, file: &Path, folder: &Path) -> anyhow::Result<Duration> {
    search("-n", patterns, file, folder)
}

fn search(how: &str, patterns: &Path, file: &Path, folder: &Path) -> anyhow::Result<Duration> {
    let (patterns, file) = (patterns.as_os_str(), file.as_os_str());
    let fixed = ["rg", "--no-config", "-j1", "-a", how, "-F", "-f"].map(OsStr::new);
    let command = [&fixed[..], &[patterns, file]].concat();
    time(&command, &folder.join("output"))
}

/// Processor time of a command, user and system, whose output goes to a file. What else runs on the machine hardly
/// changes it. 1 is a search that found nothing.
pub(crate) fn time(command: &[&OsStr], output: &Path) -> anyhow::Result<Duration> {
    const SCRIPT: &str = r#"out=$1; shift; TIMEFORMAT='%3U %3S'; time "$@" >"$out"; [ $? -le 1 ]"#;
    let done = Command::new("bash")
        .args(["-c", SCRIPT, "bash"])
        .arg(output)
        .args(command)
        .stdin(Stdio::null())
        .output()
        .context("bash does not start")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let name = command
        .first()
        .map_or_else(String::new, |name| name.display().to_string());
    ensure!(done.status.success(), "{name} failed: {said}");
    let last = said.trim_end().lines().last().unwrap_or("");
    let seconds: Option<f64> = last.split(' ').map(|part| part.parse::<f64>().ok()).sum();
    let seconds = seconds.with_context(|| format!("no time in {said}"))?;
    Ok(Duration::from_secs_f64(seconds))
}
