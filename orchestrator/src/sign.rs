//! Signing by `ssh-keygen`, so that agents, passphrases and touch keys work as people know them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Signs `payload` in `namespace`; answers with the armored signature.
///
/// `ssh-keygen` keeps the terminal, to ask for a passphrase or a touch.
pub(crate) fn sign(key: &Path, namespace: &str, payload: &str) -> Result<String> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context(
            "cannot run ssh-keygen; install OpenSSH's client (`apt-get install openssh-client`)",
        )?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(payload.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "ssh-keygen did not sign with {}; nothing was approved",
            key.display()
        );
    }
    String::from_utf8(output.stdout).context("ssh-keygen printed something else than a signature")
}
