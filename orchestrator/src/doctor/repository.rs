//! The repository under care: policy, law, remote, hook, approvers.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::namespace::Namespace;
use attest::signers::Signers;
use discipline::policy::Policy;
use invariants::Law;

use super::Finding;
use crate::place::Place;

const POLICY: &str = "greenloop.toml";

/// Policy, law, remote, approvers.
pub(super) fn look(place: &Place) -> Vec<Finding> {
    let (policy, mut findings) = policy(place);
    if let Some(policy) = &policy {
        findings.push(law(place, policy));
    }
    let (signers, remote, branch) = match &policy {
        Some(policy) => (
            policy.repo.signers.as_str(),
            policy.repo.remote.as_str(),
            policy.repo.branch.as_str(),
        ),
        None => ("allowed_signers", "origin", "main"),
    };
    findings.push(approvers(place, signers));
    findings.extend(remote_findings(place, remote, branch));
    findings
}

/// True when a scope or gate of the work tree's policy wants the device.
pub(super) fn wants_device(place: &Place) -> bool {
    let text = std::fs::read_to_string(place.repo.join(POLICY)).unwrap_or_default();
    Policy::parse(&text).is_ok_and(|policy| {
        policy.scope.values().any(|scope| scope.gpu) || policy.gate.values().any(|gate| gate.gpu)
    })
}

/// The work tree's policy; what counts is the remote's, which is compared with it.
fn policy(place: &Place) -> (Option<Policy>, Vec<Finding>) {
    let path = place.repo.join(POLICY);
    let Ok(text) = std::fs::read_to_string(&path) else {
        let finding = Finding::missing("policy", format!("no {POLICY}"), "greenloop init");
        return (None, vec![finding]);
    };
    match Policy::parse(&text) {
        Err(error) => {
            let first = error.problems.first().map(ToString::to_string);
            let finding = Finding::missing(
                "policy",
                format!("{POLICY}:{}", first.unwrap_or_default()),
                format!("correct {POLICY}, commit and push it"),
            );
            (None, vec![finding])
        }
        Ok(policy) if policy.scope.is_empty() => {
            let finding = Finding::missing(
                "policy",
                "no [scope.NAME]: nothing can be run",
                "greenloop init --print proposes scopes",
            );
            (Some(policy), vec![finding])
        }
        Ok(policy) => {
            let found = format!("{} scopes, {} gates", policy.scope.len(), policy.gate.len());
            let published = published(place, &policy, &text);
            let finding = match published {
                Published::Same => Finding::ok("policy", found),
                Published::Differs(at) => Finding::advice(
                    "policy",
                    format!("{found}; the one at {at} is another, and that one counts"),
                    format!("bring {POLICY} to {at}: commit and push it"),
                ),
                Published::Absent(at) => Finding::missing(
                    "policy",
                    format!("{found}; none at {at}, where it counts"),
                    format!(
                        "git add {POLICY} && git commit -m 'Add the policy' && git push {} HEAD:{}",
                        policy.repo.remote, policy.repo.branch
                    ),
                ),
            };
            (Some(policy), vec![finding])
        }
    }
}

enum Published {
    Same,
    Differs(String),
    Absent(String),
}

/// The policy at the remote's branch, as last fetched.
fn published(place: &Place, policy: &Policy, text: &str) -> Published {
    let at = format!("{}/{}", policy.repo.remote, policy.repo.branch);
    let object = format!("refs/remotes/{at}:{POLICY}");
    match git(&place.repo, &["cat-file", "blob", &object]) {
        Some(there) if there == text.as_bytes() => Published::Same,
        Some(_) => Published::Differs(at),
        None => Published::Absent(at),
    }
}

fn law(place: &Place, policy: &Policy) -> Finding {
    let path = &policy.repo.law;
    let Ok(text) = std::fs::read_to_string(place.repo.join(path)) else {
        return Finding::missing(
            "law",
            format!("no {path}, so no claim can name what fails"),
            "greenloop init writes a first one",
        );
    };
    match Law::parse(&text) {
        Err(error) => {
            Finding::missing("law", format!("{path}: {error}"), format!("correct {path}"))
        }
        Ok(law) if law.invariants.is_empty() => Finding::missing(
            "law",
            format!("{path} holds no law"),
            "write `## §1 TITLE` with a line `Pinned by: test TARGET::FUNCTION`",
        ),
        Ok(law) => {
            let unpinned: Vec<&str> = law
                .invariants
                .iter()
                .filter(|law| law.pins.is_empty())
                .map(|law| law.id.as_str())
                .collect();
            match unpinned.is_empty() {
                true => Finding::ok("law", format!("{path}, laws: {}", law.invariants.len())),
                false => Finding::advice(
                    "law",
                    format!("nothing pins {}", unpinned.join(", ")),
                    format!("add `Pinned by:` lines to {path}"),
                ),
            }
        }
    }
}

fn approvers(place: &Place, in_tree: &str) -> Finding {
    const NAME: &str = "approvers";
    let pinned = place.config.signers.is_some();
    let path = match &place.config.signers {
        Some(path) => path.clone(),
        None => place.repo.join(in_tree),
    };
    let shown = path.display();
    let remedy = format!(
        "echo \"$(git config user.email) namespaces=\\\"greenloop-approval\\\" $(cat KEY.pub)\" >> {shown}"
    );
    let Ok(bytes) = std::fs::read(&path) else {
        return Finding::missing(NAME, format!("no {shown}: nobody may approve"), remedy);
    };
    match Signers::parse(&bytes) {
        Err(error) => Finding::missing(
            NAME,
            format!("{shown}: {error}"),
            format!("correct {shown}"),
        ),
        Ok(signers) if !signers.has_signer_for(Namespace::Approval) => Finding::missing(
            NAME,
            format!("{shown} names nobody for greenloop-approval"),
            remedy,
        ),
        Ok(signers) => {
            let names: Vec<String> = signers
                .lines()
                .iter()
                .filter(|line| line.names(Namespace::Approval))
                .map(|line| line.principal())
                .collect();
            let found = format!("{} in {shown}", names.join(", "));
            match pinned {
                true => Finding::ok(NAME, found),
                false => Finding::advice(
                    NAME,
                    format!("{found}, which whoever can push can change"),
                    "pin a file out of the repository: `signers = \"/etc/greenloop/allowed_signers\"` in the machine settings",
                ),
            }
        }
    }
}

fn remote_findings(place: &Place, remote: &str, branch: &str) -> Vec<Finding> {
    let url = match &place.config.remote_url {
        Some(url) => Some(url.clone()),
        None => text_of(
            &place.repo,
            &["config", "--get", &format!("remote.{remote}.url")],
        ),
    };
    let Some(url) = url else {
        return vec![Finding::missing(
            "remote",
            format!("no remote `{remote}`"),
            format!("git remote add {remote} URL"),
        )];
    };
    let mut findings = vec![Finding::ok("remote", without_secret(&url))];
    findings.push(hook(place, &url, branch));
    findings
}

/// The hook at the remote, where this account can see it.
fn hook(place: &Place, url: &str, branch: &str) -> Finding {
    const NAME: &str = "remote hook";
    match hook_file(place, url) {
        None => Finding::advice(
            NAME,
            "cannot be seen from here",
            format!(
                "have the remote refuse unapproved pushes to {branch}: `greenloop-verify pre-receive` as its pre-receive hook"
            ),
        ),
        Some(path) => match enforces(&path) {
            Ok(()) => Finding::ok(NAME, path.display().to_string()),
            Err(why) => Finding::advice(
                NAME,
                format!("{}: {why}", path.display()),
                format!(
                    "printf '#!/bin/sh\\nexec greenloop-verify pre-receive --policy FILE\\n' > {0} && chmod +x {0}",
                    path.display()
                ),
            ),
        },
    }
}

/// The pre-receive hook of a remote that is a folder here.
pub(super) fn hook_file(place: &Place, url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    if url.contains("://") && !url.starts_with("file://") {
        return None;
    }
    let folder = place.repo.join(path);
    let git_dir = match folder.join(".git").is_dir() {
        true => folder.join(".git"),
        false => folder,
    };
    git_dir
        .join("objects")
        .is_dir()
        .then(|| git_dir.join("hooks/pre-receive"))
}

/// Whether a hook calls the verifier and git can execute it.
pub(super) fn enforces(hook: &Path) -> Result<(), &'static str> {
    let Ok(text) = std::fs::read_to_string(hook) else {
        return Err("there is none, so a plain push goes through");
    };
    let executable =
        std::fs::metadata(hook).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    match (text.contains("greenloop-verify"), executable) {
        (false, _) => Err("it does not call greenloop-verify"),
        (true, false) => Err("git ignores it, because it is not executable"),
        (true, true) => Ok(()),
    }
}

/// `scheme://user:secret@host` without what stands before the `@`.
fn without_secret(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.split_once('@') {
            Some((_, host)) => format!("{scheme}://…@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

fn git(repo: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(repo)
        .args(args)
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

/// First line that git prints.
pub(super) fn text_of(repo: &Path, args: &[&str]) -> Option<String> {
    let text = String::from_utf8(git(repo, args)?).ok()?;
    Some(text.lines().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_that_do_not_run_enforce_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let hook = dir.path().join("pre-receive");
        assert!(enforces(&hook).unwrap_err().contains("none"));
        std::fs::write(&hook, "#!/bin/sh\nexit 0\n").unwrap();
        assert!(enforces(&hook).unwrap_err().contains("does not call"));
        std::fs::write(&hook, "#!/bin/sh\nexec greenloop-verify pre-receive\n").unwrap();
        assert!(enforces(&hook).unwrap_err().contains("executable"));
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(enforces(&hook), Ok(()));
    }

    #[test]
    fn urls_are_shown_without_their_secret() {
        assert_eq!(
            without_secret("https://me:token@host/x"),
            "https://…@host/x"
        );
        assert_eq!(without_secret("git@host:x"), "git@host:x");
    }
}
