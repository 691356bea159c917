//! The git command line, with an environment that the user's settings do not reach.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A git command in `dir` with fixed identity and without user, system or terminal settings.
#[must_use]
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(args)
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_WORK_TREE")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "A Developer")
        .env("GIT_AUTHOR_EMAIL", "developer@example.invalid")
        .env("GIT_COMMITTER_NAME", "A Developer")
        .env("GIT_COMMITTER_EMAIL", "developer@example.invalid")
        .stdin(Stdio::null());
    command
}

/// Runs it and answers with its standard output, trimmed.
///
/// # Errors
/// It failed; the message carries what it said.
pub fn git(dir: &Path, args: &[&str]) -> Result<String> {
    let (ok, out, err) = attempt(dir, args)?;
    if !ok {
        bail!(
            "git {} failed in {}: {}",
            args.join(" "),
            dir.display(),
            err.trim()
        );
    }
    Ok(out.trim().to_owned())
}

/// Runs it and answers with success, standard output and standard error.
///
/// # Errors
/// git could not be started.
pub fn attempt(dir: &Path, args: &[&str]) -> Result<(bool, String, String)> {
    let output = command(dir, args).output().context("cannot run git")?;
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}
