//! Sources of runs that are executed elsewhere, as policy and machine settings name them.

mod keep;
mod report;

use std::path::PathBuf;
use std::sync::Arc;

use ci::Recorded;
use ci::forge::{Forge, ForgeError, HarnessPattern};
use discipline::model::Refusal;
use discipline::policy::{Policy, SourceKind, SourcePolicy};
use verify::BaseFacts;

use crate::shared::{Ctx, Shared};
use crate::{Cancel, ServiceError};

pub(crate) use keep::{Keeper, known, placed, scope_of};
pub(crate) use report::{FileReport, PullReport, report_of};

/// Machine settings about sources. Policy may restrict them, never widen them.
#[derive(Debug, Clone, Default)]
pub struct SourceSettings {
    /// Folder of recorded runs; policy's own, below the repository's root, when absent.
    pub recorded: Option<PathBuf>,
}

/// Policy of the branch under care, as it is at the remote.
pub(crate) fn base(shared: &Shared, cancel: &Cancel) -> Result<Arc<BaseFacts>, ServiceError> {
    let tip = shared.known_target(cancel)?.tip;
    shared.base(&tip)
}

/// The source that the policy names; `None` when this machine is the runner.
pub(crate) fn open(
    shared: &Shared,
    policy: &SourcePolicy,
) -> Result<Option<Arc<dyn Forge + Send + Sync>>, ServiceError> {
    match policy.kind {
        SourceKind::Local => Ok(None),
        SourceKind::Recorded => {
            let folder = recorded_folder(shared, policy);
            Ok(Some(Arc::new(Recorded::open(&folder).map_err(failed)?)))
        }
        SourceKind::Github => Err(failed(ForgeError::Settings {
            what: "the source `github` has no settings on this machine".into(),
            remedy: "add `[github] token = { env = \"GITHUB_TOKEN\" }` to the machine settings"
                .into(),
        })),
    }
}

/// Machine settings first; policy names a folder below the work tree only.
fn recorded_folder(shared: &Shared, policy: &SourcePolicy) -> PathBuf {
    let machine = &shared.config.machine;
    match (&machine.sources.recorded, &policy.path) {
        (Some(folder), _) => folder.clone(),
        (None, Some(path)) => shared.config.repo_path.join(path),
        (None, None) => shared.config.repo_path.join("evidence"),
    }
}

/// A source's trouble as the service reports it.
pub(crate) fn failed(error: ForgeError) -> ServiceError {
    match error {
        ForgeError::Cancelled => ServiceError::Cancelled,
        error => ServiceError::Ci(error.into()),
    }
}

/// Patterns of the harness's artifacts.
pub(crate) fn harness(policy: &SourcePolicy) -> Result<Vec<HarnessPattern>, ServiceError> {
    let parsed = policy
        .harness
        .iter()
        .map(|text| HarnessPattern::parse(text));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| ServiceError::WrongState {
            what: "`[source] harness` of the policy".into(),
            state: "unusable".into(),
            remedy: error.to_string(),
        })
}

/// Why a push cannot be verified with this source, if it cannot.
pub(crate) fn no_new_runs(policy: &Policy) -> Option<Refusal> {
    match policy.source.kind {
        SourceKind::Local => None,
        SourceKind::Recorded => Some(Refusal::new(
            "source_starts_no_runs",
            "source",
            "the source `recorded` holds runs of the past; nothing would run the pushed commit",
            "set `[source] kind` in greenloop.toml to `local` or `github` by a policy_change claim, then ask again",
        )),
        SourceKind::Github => Some(Refusal::new(
            "source_starts_no_runs",
            "source",
            "runs of the source `github` are read, and not yet followed after a push",
            "set `[source] kind` in greenloop.toml to `local` by a policy_change claim, or push by hand and pull the run",
        )),
    }
}

/// Why this machine may not run a scope, if it may not.
pub(crate) fn not_the_runner(policy: &Policy) -> Option<Refusal> {
    (policy.source.kind != SourceKind::Local).then(|| {
        Refusal::new(
            "source_is_not_local",
            "source",
            "runs come from another source, so one of this machine would be no evidence beside them",
            "pull a run with `greenloop pull RUN`, or set `[source] kind = \"local\"`",
        )
    })
}

/// The spool folder of this state.
pub(crate) fn spool(shared: &Shared) -> Result<PathBuf, ServiceError> {
    let folder = shared.config.state_dir.join("spool");
    std::fs::create_dir_all(&folder).map_err(ServiceError::io(format!(
        "cannot make {}",
        folder.display()
    )))?;
    Ok(folder)
}

/// Tells the caller of files and bytes, a few times a second.
pub(crate) struct Teller<'a> {
    ctx: Ctx<'a>,
    before: u64,
    told: Option<(std::time::Instant, usize)>,
    current: (usize, u64),
}

impl<'a> Teller<'a> {
    pub(crate) fn new(ctx: Ctx<'a>) -> Teller<'a> {
        Teller {
            ctx,
            before: 0,
            told: None,
            current: (0, 0),
        }
    }

    /// Bytes of all files so far; the message names the file and its place among them.
    pub(crate) fn tell(&mut self, now: &ci::forge::PullProgress) {
        let (index, bytes) = self.current;
        if now.index != index || now.bytes < bytes {
            self.before += bytes;
        }
        self.current = (now.index, now.bytes);
        let often = std::time::Duration::from_millis(250);
        let recent = self
            .told
            .is_some_and(|(at, index)| index == now.index && at.elapsed() < often);
        if recent && now.of != Some(now.bytes) {
            return;
        }
        self.told = Some((std::time::Instant::now(), now.index));
        let name: String = crate::page::plain(&now.file).chars().take(80).collect();
        let of = now
            .of
            .map(|of| format!(" of {of} bytes"))
            .unwrap_or_default();
        self.ctx.progress.report(crate::Update {
            done: self.before + now.bytes,
            total: None,
            message: format!("file {} of {}: {name}{of}", now.index + 1, now.total),
        });
    }
}
