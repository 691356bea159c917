//! What all commands and the worker share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use discipline::event::{Author, Event};
use exec::{Group, Toolchain};
use gitread::GitReader;
use repo::{CargoHome, DaemonRepo, Rooms, Seeds};
use state::EvidenceStore;
use verify::BaseFacts;

use crate::checkpoint::{self, Compared};
use crate::core::Core;
use crate::keys::Keys;
use crate::news::Listener;
use crate::queue::Queue;
use crate::{Caller, Cancel, Progress, ServiceConfig, ServiceError, Update};

/// How often a waiting call looks at progress that is not journalled.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// One open state folder with its machinery.
pub(crate) struct Shared {
    pub(crate) config: ServiceConfig,
    core: Mutex<Core>,
    news: Condvar,
    /// Front ends that watch; a dropped one is forgotten.
    pub(crate) listeners: Mutex<Vec<Weak<Listener>>>,
    pub(crate) queue: Queue,
    pub(crate) evidence: EvidenceStore,
    pub(crate) repo: DaemonRepo,
    pub(crate) rooms: Rooms,
    pub(crate) seeds: Seeds,
    pub(crate) cargo_home: CargoHome,
    pub(crate) toolchain: Toolchain,
    pub(crate) keys: Keys,
    /// Repository identity: root commit and URL, as journalled.
    pub(crate) root_commit: String,
    pub(crate) remote: String,
    /// Policy and law by commit: trees never change.
    bases: Mutex<BTreeMap<String, Arc<BaseFacts>>>,
    /// Branch under care and its tip, as last read from the remote.
    pub(crate) target: Mutex<Option<Target>>,
    /// What the remote's checkpoint says about the journal.
    pub(crate) compared: Mutex<Compared>,
    /// Pushes and their resolution go one at a time.
    pub(crate) push_door: Mutex<()>,
    /// So do pulls from a source.
    pub(crate) pull_door: Mutex<()>,
    /// The connection to the forge, by repository.
    pub(crate) github: Mutex<Option<(String, Arc<ci::github::Github>)>>,
}

/// The guarded branch as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Full ref name.
    pub(crate) ref_name: String,
    /// Commit at its tip.
    pub(crate) tip: String,
}

/// Everything that [`Shared::new`] is made of.
pub(crate) struct Parts {
    pub(crate) config: ServiceConfig,
    pub(crate) core: Core,
    pub(crate) repo: DaemonRepo,
    pub(crate) rooms: Rooms,
    pub(crate) cargo_home: CargoHome,
    pub(crate) toolchain: Toolchain,
    pub(crate) keys: Keys,
    pub(crate) root_commit: String,
    pub(crate) remote: String,
}

/// Who asks, and how they hear of it.
#[derive(Clone, Copy)]
pub(crate) struct Ctx<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Result<Shared, ServiceError> {
        let evidence = parts.core.dir.evidence.clone();
        let seeds = Seeds::new(parts.rooms.seeds());
        Ok(Shared {
            config: parts.config,
            core: Mutex::new(parts.core),
            news: Condvar::new(),
            listeners: Mutex::default(),
            queue: Queue::new()?,
            evidence,
            repo: parts.repo,
            rooms: parts.rooms,
            seeds,
            cargo_home: parts.cargo_home,
            toolchain: parts.toolchain,
            keys: parts.keys,
            root_commit: parts.root_commit,
            remote: parts.remote,
            bases: Mutex::new(BTreeMap::new()),
            target: Mutex::new(None),
            compared: Mutex::new(Compared::NotYet),
            push_door: Mutex::new(()),
            pull_door: Mutex::new(()),
            github: Mutex::new(None),
        })
    }

    pub(crate) fn now(&self) -> i64 {
        (self.config.clock)()
    }

    /// The writer's lock. What a thread changed that panicked inside is taken back.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(|poisoned| {
            let mut core = poisoned.into_inner();
            core.state.roll_back();
            core
        })
    }

    /// Appends one event.
    pub(crate) fn append(&self, author: &Author, event: Event) -> Result<(), ServiceError> {
        self.append_with(author, |_| Ok(Some(event))).map(|_| ())
    }

    /// Appends what `make` returns for the state as it is under the lock; nothing for `None`.
    pub(crate) fn append_with(
        &self,
        author: &Author,
        make: impl FnOnce(&Core) -> Result<Option<Event>, ServiceError>,
    ) -> Result<bool, ServiceError> {
        let now = self.now();
        let mut core = self.core();
        let Some(event) = make(&core)? else {
            return Ok(false);
        };
        core.flush_counts(now, author)?;
        core.append(now, author, event)?;
        drop(core);
        self.news.notify_all();
        self.tell_listeners();
        Ok(true)
    }

    /// Wakes everybody who waits, for news that are not journalled.
    pub(crate) fn wake(&self) {
        self.news.notify_all();
    }

    /// Waits until `answer` gives something, at most until `deadline`; tells `ctx` what the worker
    /// does meanwhile.
    pub(crate) fn wait<T>(
        &self,
        ctx: Ctx<'_>,
        deadline: Instant,
        mut answer: impl FnMut(&Core) -> Option<T>,
    ) -> Result<Option<T>, ServiceError> {
        let mut told = (0, String::new());
        loop {
            if let Some(found) = answer(&self.core()) {
                return Ok(Some(found));
            }
            if ctx.cancel.is_cancelled() || self.queue.stopping() {
                return Err(ServiceError::Cancelled);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Whoever listens may be slow: not under the writer's lock.
            self.tell(ctx, &mut told);
            let core = self.core();
            if answer(&core).is_none() {
                let waited = self.news.wait_timeout(core, left.min(LOOK_AGAIN));
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    fn tell(&self, ctx: Ctx<'_>, told: &mut (u64, String)) {
        let Some(activity) = self.queue.activity() else {
            return;
        };
        if activity.done > told.0 || activity.what != told.1 {
            *told = (activity.done.max(told.0), activity.what.clone());
            ctx.progress.report(Update {
                done: told.0,
                total: activity.total,
                message: activity.what,
            });
        }
    }

    /// A reader on the daemon's repository; cheap, one per use.
    pub(crate) fn reader(&self) -> Result<GitReader, ServiceError> {
        Ok(GitReader::open(self.repo.path())?)
    }

    /// Policy, law, catalogue and playbooks of a commit.
    pub(crate) fn base(&self, commit: &str) -> Result<Arc<BaseFacts>, ServiceError> {
        let lock = || self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(commit) {
            return Ok(Arc::clone(known));
        }
        let facts = Arc::new(verify::base_facts(&self.reader()?, commit)?);
        lock().insert(commit.to_owned(), Arc::clone(&facts));
        Ok(facts)
    }

    /// Reads the remote's branch and fetches its tip.
    pub(crate) fn refresh_target(&self, cancel: &Cancel) -> Result<Target, ServiceError> {
        let ref_name = self.branch(cancel)?;
        let tips = self.repo.fetch_remote(&self.remote, &[&ref_name], cancel)?;
        let tip = tips.into_iter().next().and_then(|tip| tip.object);
        let Some(tip) = tip else {
            return Err(ServiceError::WrongState {
                what: format!("`{ref_name}` of the remote"),
                state: "absent".into(),
                remedy: "push the branch once by hand, then ask again".into(),
            });
        };
        checkpoint::compare_once(self, cancel);
        let target = Target { ref_name, tip };
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target.clone());
        Ok(target)
    }

    /// The target as last seen; read from the remote when nobody has yet.
    pub(crate) fn known_target(&self, cancel: &Cancel) -> Result<Target, ServiceError> {
        match self.last_target() {
            Some(target) => Ok(target),
            None => self.refresh_target(cancel),
        }
    }

    pub(crate) fn last_target(&self) -> Option<Target> {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        target.clone()
    }

    /// The branch that the policy at the remote's own default branch names.
    fn branch(&self, cancel: &Cancel) -> Result<String, ServiceError> {
        if let Some(target) = self.last_target() {
            return Ok(target.ref_name);
        }
        let candidates = ["HEAD", "refs/heads/main", "refs/heads/master"];
        let tips = self.repo.fetch_remote(&self.remote, &candidates, cancel)?;
        let first = tips.into_iter().find_map(|tip| tip.object);
        let Some(first) = first else {
            return Err(ServiceError::WrongState {
                what: "the remote".into(),
                state: "empty".into(),
                remedy: "push the branch under care once by hand, then ask again".into(),
            });
        };
        let branch = self.base(&first)?.facts.policy.repo.branch.clone();
        Ok(match branch.starts_with("refs/") {
            true => branch,
            false => format!("refs/heads/{branch}"),
        })
    }

    /// Journals the start of a process group.
    pub(crate) fn group_started(&self, group: &Group, purpose: &str) -> std::io::Result<()> {
        let event = Event::GroupStarted {
            pgid: i32::try_from(group.pgid).unwrap_or(i32::MAX),
            start_ticks: group.start_ticks,
            session: group.session.unwrap_or_default(),
            boot_id: group.boot_id.clone().unwrap_or_default(),
            purpose: purpose.to_owned(),
        };
        self.append(&daemon(), event)
            .map_err(|error| std::io::Error::other(error.to_string()))
    }

    /// Journals the end of a process group. One that cannot be recorded is looked at by the next
    /// start, which finds it gone.
    pub(crate) fn group_ended(&self, group: &Group) {
        let event = Event::GroupEnded {
            pgid: i32::try_from(group.pgid).unwrap_or(i32::MAX),
            start_ticks: group.start_ticks,
        };
        if let Err(error) = self.append(&daemon(), event) {
            tracing::warn!(%error, "end of a process group is not recorded");
        }
    }

    /// The lease file of the machine's device.
    pub(crate) fn lease_path(&self) -> PathBuf {
        self.config.machine.runtime_dir.join("gpu.lease")
    }
}

/// Versions and digests of a toolchain, as they are noted and shown.
pub(crate) fn toolchain_text(toolchain: &Toolchain) -> String {
    format!(
        "{} sha256:{}, {} sha256:{}",
        toolchain.cargo_version,
        toolchain.cargo_sha256,
        toolchain.rustc_version,
        toolchain.rustc_sha256
    )
}

/// The daemon as the author of what it does by itself.
pub(crate) fn daemon() -> Author {
    Author {
        uid: rustix::process::getuid().as_raw(),
        name: "daemon".into(),
    }
}
