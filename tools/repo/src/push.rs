//! The one door out: branch and attestation together under a lease, or nothing.

use discipline::event::PushOutcome;
use exec::{Cancel, Captured, Exit, capture};

use crate::error::sanitise;
use crate::git::{oid, said};
use crate::{DaemonRepo, RepoError};

/// Write-once ref that carries the attestation of a commit.
#[must_use]
pub fn attestation_ref(commit: &str) -> String {
    format!("refs/greenloop/attest/{commit}")
}

/// Ref that carries the signed verdict over a commit.
#[must_use]
pub fn verdict_ref(commit: &str) -> String {
    format!("refs/greenloop/verdict/{commit}")
}

/// What a push would do at the remote; enough to find out later whether it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Branch, by its full name.
    pub ref_name: String,
    /// Where the branch must point; `None` when it must not exist.
    pub old_tip: Option<String>,
    /// Where it shall point.
    pub commit: String,
    /// Object that the attestation ref shall name.
    pub attestation: String,
}

/// One ref of an atomic update.
struct Update<'a> {
    name: String,
    old: Option<&'a str>,
    new: &'a str,
}

impl DaemonRepo {
    /// Reads the remote and says what became of a push whose outcome is not known. Sends nothing.
    ///
    /// # Errors
    /// The remote cannot be read; ask again when it can.
    pub fn resolve_push(
        &self,
        url: &str,
        delivery: &Delivery,
        cancel: &Cancel,
    ) -> Result<PushOutcome, RepoError> {
        let attest = attestation_ref(&delivery.commit);
        let tips = self.remote_tips(url, &[&delivery.ref_name, &attest], cancel)?;
        let at = |index: usize| tips.get(index).and_then(|tip| tip.object.as_deref());
        // Branch and attestation travel atomically, so the write-once ref answers for both, even
        // when the branch has moved on since.
        if at(1) == Some(delivery.attestation.as_str()) {
            return Ok(PushOutcome::Pushed);
        }
        let message = match at(0) {
            tip if tip == delivery.old_tip.as_deref() => "nothing arrived at the remote",
            Some(tip) if tip == delivery.commit => {
                "the commit is at the remote, without this attestation: somebody else pushed it"
            }
            _ => "the remote's branch has moved since the claim was staged",
        };
        Ok(PushOutcome::Refused {
            message: message.to_owned(),
        })
    }

    /// Publishes an object under a ref that carries no authority over code: verdicts, checkpoints.
    /// `old` is what the ref must be now (`None`: must not exist).
    ///
    /// # Errors
    /// `ref_name` is not below `refs/greenloop/`, or git cannot be started.
    pub fn publish(
        &self,
        url: &str,
        ref_name: &str,
        old: Option<&str>,
        object: &str,
        cancel: &Cancel,
    ) -> Result<PushOutcome, RepoError> {
        let own = ["refs/greenloop/verdict/", "refs/greenloop/log"];
        if !own.iter().any(|prefix| ref_name.starts_with(prefix)) {
            return Err(RepoError::Git {
                doing: format!("refusing to publish `{ref_name}`"),
                message: "only verdict and log refs are published without a permit".into(),
            });
        }
        self.keep(ref_name, object)?;
        let update = Update {
            name: ref_name.to_owned(),
            old,
            new: object,
        };
        self.send(url, &[update], cancel)
    }

    /// Sends all updates or none, each under the lease of its old value.
    fn send(
        &self,
        url: &str,
        updates: &[Update<'_>],
        cancel: &Cancel,
    ) -> Result<PushOutcome, RepoError> {
        let mut command = self.transport().command(self.path(), true).args([
            "push",
            "--atomic",
            "--porcelain",
            "--no-verify",
            "--no-signed",
            "--no-recurse-submodules",
        ]);
        for update in updates {
            oid(update.new)?;
            if let Some(old) = update.old {
                oid(old)?;
            }
            let lease = update.old.unwrap_or_default();
            command = command.arg(format!("--force-with-lease={}:{lease}", update.name));
        }
        command = command.args(["--", url]);
        for update in updates {
            command = command.arg(format!("{}:{}", update.new, update.name));
        }
        let captured = capture(&command, cancel)?;
        Ok(read_porcelain(&captured, updates))
    }
}

/// What `git push --porcelain` reported. Only a line for every ref makes an outcome known.
fn read_porcelain(captured: &Captured, updates: &[Update<'_>]) -> PushOutcome {
    let text = String::from_utf8_lossy(&captured.stdout).into_owned();
    // FLAG \t FROM:TO \t SUMMARY (git-push(1), "Output")
    let lines: Vec<(&str, &str, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, '\t');
            let flag = parts.next()?;
            let to = parts.next()?.rsplit_once(':')?.1;
            Some((flag, to, parts.next().unwrap_or_default()))
        })
        .collect();
    let line_of = |update: &Update<'_>| lines.iter().find(|(_, to, _)| *to == update.name);
    let all_reported = updates.iter().all(|update| line_of(update).is_some());
    if !all_reported {
        return PushOutcome::Unknown {
            message: said(captured),
        };
    }
    let rejected: Vec<String> = lines
        .iter()
        .filter(|(flag, _, _)| *flag == "!")
        .map(|(_, to, summary)| format!("{to}: {summary}"))
        .collect();
    if rejected.is_empty() && captured.outcome.exit == Exit::Exited(0) {
        return PushOutcome::Pushed;
    }
    // `[remote failure]` is git's word for "the remote did not report": not known either.
    if rejected.is_empty()
        || rejected
            .iter()
            .any(|line| line.contains("[remote failure]"))
    {
        return PushOutcome::Unknown {
            message: said(captured),
        };
    }
    let mut message = rejected.join("; ");
    message.push_str("; ");
    message.push_str(&sanitise(&captured.stderr));
    PushOutcome::Refused {
        message: sanitise(message.as_bytes()),
    }
}
