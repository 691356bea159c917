//! The one door out: branch and attestation together under a lease, or nothing.

use std::io;

use discipline::event::PushOutcome;
use discipline::permit::PushPermit;
use exec::{Cancel, Exit, Group, Outcome, Streams, Supervision, run};

use crate::error::{sanitise, sanitise_all};
use crate::git::oid;
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

/// Hears of git's process group before it is waited for, so that a killed daemon's push can be
/// ended before the remote is read.
pub type OnGroup<'a> = &'a mut dyn FnMut(&Group) -> io::Result<()>;

/// One ref of an atomic update.
struct Update<'a> {
    name: String,
    old: Option<&'a str>,
    new: &'a str,
}

impl DaemonRepo {
    /// Spends a permit: branch and attestation reach the remote it names together, or neither does.
    /// Never sends twice; an outcome that is not known is for [`DaemonRepo::resolve_push`].
    ///
    /// # Errors
    /// Git cannot be started, or the remote cannot be read before anything is sent.
    pub fn push(
        &self,
        permit: PushPermit,
        on_group: OnGroup<'_>,
        cancel: &Cancel,
    ) -> Result<PushOutcome, RepoError> {
        let delivery = Delivery {
            ref_name: permit.ref_name().to_owned(),
            old_tip: Some(permit.old_tip().to_owned()),
            commit: permit.commit().to_owned(),
            attestation: permit.attestation().to_owned(),
        };
        self.deliver(permit.remote(), &delivery, on_group, cancel)
    }

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

    /// Branch and attestation in one atomic update.
    fn deliver(
        &self,
        url: &str,
        delivery: &Delivery,
        on_group: OnGroup<'_>,
        cancel: &Cancel,
    ) -> Result<PushOutcome, RepoError> {
        let attest = attestation_ref(&delivery.commit);
        // Git passes over a ref that is up to date without looking at its lease.
        if self.remote_tip(url, &attest, cancel)?.is_some() {
            return Ok(PushOutcome::Refused {
                message: format!("`{attest}` is there already, and it is written once"),
            });
        }
        self.keep(&attest, &delivery.attestation)?;
        self.keep(
            &format!("refs/greenloop/pushed/{}", delivery.commit),
            &delivery.commit,
        )?;
        let updates = [
            Update {
                name: delivery.ref_name.clone(),
                old: delivery.old_tip.as_deref(),
                new: &delivery.commit,
            },
            Update {
                name: attest,
                old: None,
                new: &delivery.attestation,
            },
        ];
        self.send(url, &updates, on_group, cancel)
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
        on_group: OnGroup<'_>,
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
        self.send(url, &[update], on_group, cancel)
    }

    /// Sends all updates or none, each under the lease of its old value.
    fn send(
        &self,
        url: &str,
        updates: &[Update<'_>],
        on_group: OnGroup<'_>,
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
        command = command.streams(Streams::Joined);
        let mut said = Vec::new();
        let mut supervision = Supervision::new(cancel);
        supervision.on_spawn = Some(on_group);
        let outcome = run(&command, &mut said, supervision)?;
        Ok(read_porcelain(&outcome, &said, updates))
    }
}

/// What `git push --porcelain` reported. Only a line for every ref makes an outcome known.
fn read_porcelain(outcome: &Outcome, said: &[u8], updates: &[Update<'_>]) -> PushOutcome {
    let text = String::from_utf8_lossy(said).into_owned();
    // FLAG \t FROM:TO \t SUMMARY (git-push(1), "Output"); what the remote says has `remote: ` in
    // front and cannot pass for it.
    let lines: Vec<(&str, &str, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, '\t');
            let flag = parts.next()?;
            let to = parts.next()?.rsplit_once(':')?.1;
            (flag.len() == 1).then(|| (flag, to, parts.next().unwrap_or_default()))
        })
        .collect();
    let reported = |update: &Update<'_>| lines.iter().any(|(_, to, _)| *to == update.name);
    let rejected: Vec<String> = lines
        .iter()
        .filter(|(flag, _, _)| *flag == "!")
        .map(|(_, to, summary)| format!("{to}: {summary}"))
        .collect();
    // `[remote failure]` is git's word for "the remote did not report": not known either.
    let unsure = rejected
        .iter()
        .any(|line| line.contains("[remote failure]"));
    let ended = matches!(outcome.exit, Exit::Exited(_));
    if !ended || unsure || !updates.iter().all(reported) {
        return PushOutcome::Unknown {
            message: words(said, outcome),
        };
    }
    match (rejected.is_empty(), outcome.exit) {
        (true, Exit::Exited(0)) => PushOutcome::Pushed,
        (true, _) => PushOutcome::Unknown {
            message: words(said, outcome),
        },
        (false, _) => PushOutcome::Refused {
            message: words(said, outcome),
        },
    }
}

/// What the remote says is the reason; git's own report of it comes after.
fn words(said: &[u8], outcome: &Outcome) -> String {
    let lines = String::from_utf8_lossy(said);
    let remote = lines
        .lines()
        .filter_map(|line| line.strip_prefix("remote:"));
    let remote = sanitise_all(remote.collect::<Vec<_>>().join("\n").as_bytes());
    let report = sanitise(said);
    let text = match remote.is_empty() {
        true => report,
        false => format!("{remote}; {report}"),
    };
    if text.is_empty() {
        return format!("git said nothing and ended with {:?}", outcome.exit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::{CommitPlan, Identity, Transport};

    struct Bench {
        _folder: tempfile::TempDir,
        repo: DaemonRepo,
        remote: PathBuf,
        cancel: Cancel,
        base: String,
        next: String,
        attestation: String,
    }

    impl Bench {
        fn new() -> Bench {
            let folder = tempfile::tempdir().unwrap();
            let transport = Transport::new(&std::env::vars_os().collect()).unwrap();
            let repo =
                DaemonRepo::open_or_init(&folder.path().join("repo.git"), transport).unwrap();
            let remote = folder.path().join("remote.git");
            git2::Repository::init_bare(&remote).unwrap();
            let tree = repo.write_files(&[("a".into(), b"1".to_vec())]).unwrap();
            let attestation = repo
                .write_files(&[("claim.json".into(), b"{}".to_vec())])
                .unwrap();
            let base = root(&repo, &tree);
            let next = repo.make_commit(&plan(&tree, &base)).unwrap();
            let cancel = Cancel::new().unwrap();
            let bench = Bench {
                _folder: folder,
                repo,
                remote,
                cancel,
                base,
                next,
                attestation,
            };
            assert_eq!(
                bench.update("refs/heads/main", None, &bench.base),
                PushOutcome::Pushed
            );
            bench
        }

        fn url(&self) -> String {
            self.remote.display().to_string()
        }

        fn update(&self, name: &str, old: Option<&str>, new: &str) -> PushOutcome {
            let update = Update {
                name: name.into(),
                old,
                new,
            };
            self.repo
                .send(&self.url(), &[update], &mut |_| Ok(()), &self.cancel)
                .unwrap()
        }

        fn deliver(&self) -> PushOutcome {
            self.repo
                .deliver(&self.url(), &self.delivery(), &mut |_| Ok(()), &self.cancel)
                .unwrap()
        }

        fn delivery(&self) -> Delivery {
            Delivery {
                ref_name: "refs/heads/main".into(),
                old_tip: Some(self.base.clone()),
                commit: self.next.clone(),
                attestation: self.attestation.clone(),
            }
        }

        fn tip(&self, name: &str) -> Option<String> {
            self.repo
                .remote_tip(&self.url(), name, &self.cancel)
                .unwrap()
        }

        fn resolve(&self) -> PushOutcome {
            self.repo
                .resolve_push(&self.url(), &self.delivery(), &self.cancel)
                .unwrap()
        }

        fn hook(&self, text: &str) {
            let hook = self.remote.join("hooks/pre-receive");
            fs::create_dir_all(hook.parent().unwrap()).unwrap();
            fs::write(&hook, text).unwrap();
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn plan(tree: &str, parent: &str) -> CommitPlan {
        CommitPlan {
            tree: tree.into(),
            parent: Some(parent.into()),
            message: "m".into(),
            trailers: Vec::new(),
            identity: Identity {
                name: "n".into(),
                email: "e".into(),
            },
            time_s: 1,
        }
    }

    fn root(repo: &DaemonRepo, tree: &str) -> String {
        let objects = repo.objects().unwrap();
        let who = git2::Signature::new("n", "e", &git2::Time::new(1, 0)).unwrap();
        let tree = objects.find_tree(oid(tree).unwrap()).unwrap();
        objects
            .commit(None, &who, &who, "root", &tree, &[])
            .unwrap()
            .to_string()
    }

    #[test]
    fn branch_and_attestation_arrive_together() {
        let bench = Bench::new();
        assert!(
            matches!(bench.resolve(), PushOutcome::Refused { .. }),
            "nothing there yet"
        );
        assert_eq!(bench.deliver(), PushOutcome::Pushed);
        assert_eq!(bench.tip("refs/heads/main").as_ref(), Some(&bench.next));
        let attest = attestation_ref(&bench.next);
        assert_eq!(
            bench.tip(&attest).as_ref(),
            Some(&bench.attestation),
            "a ref to a tree travels"
        );
        assert_eq!(bench.resolve(), PushOutcome::Pushed);
        let verdict = verdict_ref(&bench.next);
        let published = bench.repo.publish(
            &bench.url(),
            &verdict,
            None,
            &bench.attestation,
            &mut |_| Ok(()),
            &bench.cancel,
        );
        assert_eq!(published.unwrap(), PushOutcome::Pushed);
    }

    #[test]
    fn a_moved_branch_refuses_both() {
        let bench = Bench::new();
        let tree = bench
            .repo
            .write_files(&[("b".into(), b"2".to_vec())])
            .unwrap();
        let other = bench.repo.make_commit(&plan(&tree, &bench.base)).unwrap();
        assert_eq!(
            bench.update("refs/heads/main", Some(&bench.base), &other),
            PushOutcome::Pushed
        );
        assert!(matches!(bench.deliver(), PushOutcome::Refused { .. }));
        assert_eq!(bench.tip(&attestation_ref(&bench.next)), None);
        let PushOutcome::Refused { message } = bench.resolve() else {
            panic!()
        };
        assert!(message.contains("moved"), "{message}");
    }

    #[test]
    fn an_attestation_is_written_once() {
        let bench = Bench::new();
        let name = attestation_ref(&bench.next);
        assert_eq!(
            bench.update(&name, None, &bench.attestation),
            PushOutcome::Pushed
        );
        assert!(matches!(bench.deliver(), PushOutcome::Refused { .. }));
        assert_eq!(
            bench.tip("refs/heads/main").as_ref(),
            Some(&bench.base),
            "the branch stays"
        );
    }

    #[test]
    fn the_remotes_hook_decides_and_its_words_are_kept() {
        let bench = Bench::new();
        bench.hook("#!/bin/sh\necho 'no approval found' >&2\nexit 1\n");
        let PushOutcome::Refused { message } = bench.deliver() else {
            panic!()
        };
        assert!(message.contains("pre-receive hook declined"), "{message}");
        assert!(message.contains("no approval found"), "{message}");
        assert_eq!(bench.tip("refs/heads/main").as_ref(), Some(&bench.base));
    }

    #[test]
    fn the_first_of_many_words_is_kept() {
        let bench = Bench::new();
        bench.hook("#!/bin/sh\necho 'the reason' >&2\nseq 1 40 | sed 's/^/detail /' >&2\nexit 1\n");
        let PushOutcome::Refused { message } = bench.deliver() else {
            panic!()
        };
        assert!(message.starts_with("the reason; detail 1;"), "{message}");
        assert!(message.contains("pre-receive hook declined"), "{message}");
    }

    #[test]
    fn a_remote_that_dies_leaves_the_outcome_unknown_until_it_is_read() {
        let bench = Bench::new();
        // Kills receive-pack, the hook's parent, before it can report.
        bench.hook("#!/bin/sh\nkill -9 $PPID\n");
        assert!(matches!(bench.deliver(), PushOutcome::Unknown { .. }));
        assert!(matches!(bench.resolve(), PushOutcome::Refused { .. }));
        let absent = bench.remote.with_extension("gone");
        fs::rename(&bench.remote, &absent).unwrap();
        let resolved = bench
            .repo
            .resolve_push(&bench.url(), &bench.delivery(), &bench.cancel);
        assert!(resolved.is_err(), "an unreadable remote answers nothing");
    }

    #[test]
    fn branches_are_not_published_without_a_permit() {
        let bench = Bench::new();
        let name = "refs/heads/main";
        let error = bench.repo.publish(
            &bench.url(),
            name,
            Some(&bench.base),
            &bench.next,
            &mut |_| Ok(()),
            &bench.cancel,
        );
        assert!(error.is_err());
        assert_eq!(bench.tip(name).as_ref(), Some(&bench.base));
    }
}
