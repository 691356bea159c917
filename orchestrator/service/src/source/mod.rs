//! Sources of runs that are executed elsewhere, as policy and machine settings name them.

mod keep;
mod report;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ci::Recorded;
use ci::forge::{Forge, ForgeError, HarnessPattern};
use ci::github::{Github, GithubSettings, Patience};
use discipline::model::Refusal;
use discipline::policy::{Policy, SourceKind, SourcePolicy};
use verify::BaseFacts;

use crate::shared::{Ctx, Shared};
use crate::{Cancel, ServiceError};

pub use ci::github::{Credential, GITHUB_API, SecretSource};
pub(crate) use keep::{Keeper, is_being_pulled, known, placed, scope_of};
pub(crate) use report::{FileReport, PullReport, report_of};

/// Machine settings about sources. Policy may restrict them, never widen them.
#[derive(Debug, Clone, Default)]
pub struct SourceSettings {
    /// Folder of recorded runs; policy's own, below the repository's root, when absent.
    pub recorded: Option<PathBuf>,
    /// The forge that this machine has a credential for.
    pub github: Option<ForgeAccess>,
}

/// A forge and what it is asked with. The credential goes to this address and to no other, whatever
/// a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeAccess {
    /// Address of the API.
    pub api_url: String,
    /// What it is asked with.
    pub credential: Credential,
    /// Allow `http` to this machine itself, for a forge of a test.
    pub allow_insecure_loopback: bool,
    /// Pause between two looks at a run in place of the policy's, for a forge of a test.
    pub poll: Option<Duration>,
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
        SourceKind::Github => Ok(Some(github(shared, policy)?)),
    }
}

/// The connection to the forge, made once: it remembers answers and rate limits.
pub(crate) fn github(shared: &Shared, policy: &SourcePolicy) -> Result<Arc<Github>, ServiceError> {
    let settings = github_settings(shared, policy)?;
    let mut open = shared.github.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((repository, github)) = &*open
        && *repository == settings.repository
    {
        return Ok(Arc::clone(github));
    }
    let repository = settings.repository.clone();
    let github = Arc::new(Github::new(settings).map_err(failed)?);
    *open = Some((repository, Arc::clone(&github)));
    Ok(github)
}

fn github_settings(shared: &Shared, policy: &SourcePolicy) -> Result<GithubSettings, ServiceError> {
    let machine = &shared.config.machine;
    let wrong = |what: String, remedy: &str| {
        failed(ForgeError::Settings {
            what,
            remedy: remedy.into(),
        })
    };
    let access = machine.sources.github.as_ref().ok_or_else(|| {
        wrong(
            "the source `github` has no settings on this machine".into(),
            "add `[github]` with `token = { env = \"GITHUB_TOKEN\" }` to the machine settings",
        )
    })?;
    let same = |url: &str| url.trim_end_matches('/') == access.api_url.trim_end_matches('/');
    if let Some(url) = policy.api_url.as_deref().filter(|url| !same(url)) {
        return Err(wrong(
            format!(
                "policy names the forge {url}, the machine's credential is for {}",
                access.api_url
            ),
            "set `api_url` of `[github]` in the machine settings, if that forge may have the token",
        ));
    }
    let repository = policy
        .repository
        .clone()
        .or_else(|| of_remote(&shared.remote));
    let repository = repository.ok_or_else(|| {
        wrong(
            "the remote's URL does not tell the repository".into(),
            "set `repository = \"owner/name\"` of `[source]` in greenloop.toml",
        )
    })?;
    Ok(GithubSettings {
        api_url: access.api_url.clone(),
        repository,
        credential: access.credential.clone(),
        allow_insecure_loopback: access.allow_insecure_loopback,
        environment: machine.environment.clone(),
        patience: Patience::default(),
    })
}

/// `owner/name` in `https://host/owner/name.git` or `git@host:owner/name.git`.
fn of_remote(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    let (owner, name) = path.split_once('/')?;
    (!owner.is_empty() && !name.is_empty() && !name.contains('/')).then(|| path.to_owned())
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

/// `owner/name` at the forge, by the policy or the remote's URL.
pub(crate) fn repository_of(shared: &Shared, policy: &Policy) -> Option<String> {
    let named = policy.source.repository.clone();
    named.or_else(|| of_remote(&shared.remote))
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

/// Why a push to a scope cannot be verified with this source, if it cannot.
pub(crate) fn no_new_runs(policy: &Policy, scope: &str) -> Option<Refusal> {
    let workflow = || policy.scope.get(scope)?.workflow.as_ref();
    match policy.source.kind {
        SourceKind::Local => None,
        SourceKind::Github if workflow().is_some() => None,
        SourceKind::Recorded => Some(Refusal::new(
            "source_starts_no_runs",
            "source",
            "the source `recorded` holds runs of the past; nothing would run the pushed commit",
            "set `[source] kind` in greenloop.toml to `local` or `github` by a policy_change claim, then ask again",
        )),
        SourceKind::Github => Some(Refusal::new(
            "scope_has_no_workflow",
            "proof_scope",
            format!(
                "no workflow owns `{scope}`, so no run of the pushed commit could be told to be its"
            ),
            format!(
                "name its file as `workflow` of `[scope.{scope}]` in greenloop.toml by a policy_change claim, then ask again"
            ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_scope_that_a_workflow_owns_can_be_verified_at_a_forge() {
        let scope = "[scope.s]\npackage = \"p\"\nargv = [\"true\"]\n";
        let code = |kind: &str, more: &str| {
            let text = format!("schema = 1\n[source]\nkind = \"{kind}\"\n{scope}{more}");
            let policy = Policy::parse(&text).unwrap();
            no_new_runs(&policy, "s").map(|refusal| refusal.code)
        };
        assert_eq!(code("local", ""), None);
        assert_eq!(code("github", "workflow = \"w.yml\"\n"), None);
        assert_eq!(code("github", "").as_deref(), Some("scope_has_no_workflow"));
        assert_eq!(
            code("recorded", "").as_deref(),
            Some("source_starts_no_runs")
        );
    }

    #[test]
    fn the_remote_tells_the_repository() {
        for url in [
            "https://github.com/octo/gpu.git",
            "https://github.com/octo/gpu/",
            "ssh://git@github.com/octo/gpu",
            "git@github.com:octo/gpu.git",
        ] {
            assert_eq!(of_remote(url).as_deref(), Some("octo/gpu"), "{url}");
        }
        for url in [
            "/srv/git/gpu.git",
            "https://github.com/gpu",
            "git@host:gpu",
            "a/b/c:d/e/f",
        ] {
            assert_eq!(of_remote(url), None, "{url}");
        }
    }
}
