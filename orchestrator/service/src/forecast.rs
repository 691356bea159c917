//! The forecast of a push: live runs of the concurrency groups that its workflows name, and runners.
//!
//! Workflows are read from the tree that would be pushed; those of live runs from their own commits,
//! where the daemon has them, else from the base. What cannot be read is said, never left out.

use std::collections::BTreeMap;

use attest::claim::ClaimBody;
use ci::forge::model::{Runner, Status, WorkflowRun};
use ci::forge::{Group, PushContext, RunQuery, RunnerState, WorkflowConcurrency};
use discipline::forecast::{ForecastFacts, MetEffect, MetRun, RunnerFact};
use discipline::model::{Run, RunStatus};
use discipline::policy::{Policy, SourceKind};
use discipline::state::LoopState;
use gitread::GitReader;

use crate::shared::Shared;
use crate::{Cancel, ServiceError, source};

/// Folder of a forge's workflow files.
const FOLDER: &str = ".github/workflows";
/// Runs of the forge that are looked through for live ones.
const LISTED: usize = 100;
/// Workflow files that are read of one tree.
const MAX_FILES: usize = 200;

/// What the forge said just now.
#[derive(Debug, Default)]
pub(crate) struct ForgeNow {
    live: Vec<WorkflowRun>,
    /// `None` where the credential may not see them.
    runners: Option<Vec<Runner>>,
    /// Why it could not be asked.
    unknown: Vec<String>,
}

/// Asks the forge which runs are live and who would take a job; `None` when this machine runs pushes.
pub(crate) fn ask(shared: &Shared, policy: &Policy, cancel: &Cancel) -> Option<ForgeNow> {
    if policy.source.kind != SourceKind::Github {
        return None;
    }
    let mut now = ForgeNow::default();
    match asked(shared, policy, cancel) {
        Ok((live, runners)) => (now.live, now.runners) = (live, runners),
        Err(error) => now.unknown.push(format!(
            "the forge could not be asked which runs are live: {error}"
        )),
    }
    Some(now)
}

type Asked = (Vec<WorkflowRun>, Option<Vec<Runner>>);

fn asked(shared: &Shared, policy: &Policy, cancel: &Cancel) -> Result<Asked, ServiceError> {
    let github = source::github(shared, &policy.source)?;
    let query = RunQuery {
        most: LISTED,
        ..RunQuery::default()
    };
    let mut runs = ci::forge::Forge::runs(&*github, &query, cancel).map_err(source::failed)?;
    runs.retain(|run| !run.is_completed());
    let runners = github.runners(cancel).map_err(source::failed)?;
    Ok((runs, runners))
}

/// A run that has not ended.
struct Live {
    name: String,
    /// Its workflow file, from the root.
    workflow: String,
    ref_name: String,
    head_sha: String,
    executes: bool,
}

/// Forecasts the push of a claim's tree.
pub(crate) fn forecast(
    shared: &Shared,
    reader: &GitReader,
    state: &LoopState,
    (body, commit): (&ClaimBody, Option<&str>),
    policy: &Policy,
    forge: Option<&ForgeNow>,
) -> Result<ForecastFacts, ServiceError> {
    let mut found = ForecastFacts {
        runner: match policy.source.kind {
            SourceKind::Local => RunnerFact::ThisMachine,
            SourceKind::Github | SourceKind::Recorded => RunnerFact::NotKnown,
        },
        ..ForecastFacts::default()
    };
    found
        .unknown
        .extend(forge.into_iter().flat_map(|now| now.unknown.clone()));
    let repository = source::repository_of(shared, policy).unwrap_or_default();
    let mut files = Files {
        reader,
        known: BTreeMap::new(),
        unknown: Vec::new(),
    };
    let pushed = files.of_tree(&body.tree)?;
    let own = scope_workflow(policy, &body.proof_scope);
    if let (Some(now), Some(workflow)) = (forge, own.as_ref().and_then(|path| pushed.get(path))) {
        found.runner = runner(now, workflow);
        found.session_unknown = on_windows(now, workflow);
    }
    for live in live_runs(state, policy, body, forge) {
        let theirs = files.of_run(&live, &body.parent)?;
        let at = PushContext {
            path: &live.workflow,
            ref_name: &live.ref_name,
            sha: &live.head_sha,
            repository: &repository,
        };
        let groups = groups_of(theirs.as_ref(), &at);
        for (path, workflow) in &pushed {
            if !workflow.starts_on_push(&body.ref_name) {
                continue;
            }
            let push = PushContext {
                path,
                ref_name: &body.ref_name,
                sha: commit.unwrap_or_default(),
                repository: &repository,
            };
            let met = workflow.rules().find(|(_, rule)| {
                let group = workflow.group_of(rule, &push);
                groups.iter().any(|theirs| theirs.may_meet(&group))
            });
            if let Some((_, rule)) = met {
                found.meets.push(MetRun {
                    run: live.name.clone(),
                    workflow: live.workflow.clone(),
                    group: rule.group.clone(),
                    effect: match (live.executes, rule.cancel_in_progress.may_cancel()) {
                        (true, true) => MetEffect::Cancels,
                        (true, false) => MetEffect::WaitsFor,
                        (false, _) => MetEffect::Replaces,
                    },
                });
            }
        }
    }
    found.meets.sort();
    found.meets.dedup_by(|a, b| a.run == b.run);
    found.unknown.append(&mut files.unknown);
    Ok(found)
}

/// Groups that a run holds. Where its workflow is not known, it may hold any.
fn groups_of(workflow: Option<&WorkflowConcurrency>, at: &PushContext<'_>) -> Vec<Group> {
    match workflow {
        Some(workflow) => workflow
            .rules()
            .map(|(_, rule)| workflow.group_of(rule, at))
            .collect(),
        None => vec![Group::Unknown(at.path.to_owned())],
    }
}

/// Live runs with a workflow: of the journal, and of the forge that were never pulled.
fn live_runs(
    state: &LoopState,
    policy: &Policy,
    body: &ClaimBody,
    forge: Option<&ForgeNow>,
) -> Vec<Live> {
    let known: Vec<&Run> = state
        .runs
        .values()
        .filter(|run| run.status != RunStatus::Completed)
        .collect();
    let mut live: Vec<Live> = known
        .iter()
        .filter_map(|run| {
            let own = run.forge.as_ref();
            let workflow = own.and_then(|forge| forge.workflow.as_deref()).map(placed);
            let branch = own.and_then(|forge| forge.branch.as_deref());
            Some(Live {
                name: run.run_id.to_string(),
                workflow: workflow.or_else(|| scope_workflow(policy, &run.scope))?,
                ref_name: full_ref(branch, &body.ref_name),
                head_sha: run.head_sha.clone(),
                executes: run.status == RunStatus::InProgress,
            })
        })
        .collect();
    let pulled = |run: &&WorkflowRun| {
        let id = run.id.to_string();
        let same = |known: &&Run| known.forge.as_ref().is_some_and(|forge| forge.id == id);
        !known.iter().any(same)
    };
    let of_forge = forge.into_iter().flat_map(|now| &now.live).filter(pulled);
    live.extend(of_forge.map(|run| Live {
        name: run.id.to_string(),
        workflow: placed(run.workflow_file().unwrap_or_default()),
        ref_name: full_ref(run.head_branch.as_deref(), &body.ref_name),
        head_sha: run.head_sha.clone(),
        executes: run.status == Some(Status::InProgress),
    }));
    live
}

fn full_ref(branch: Option<&str>, otherwise: &str) -> String {
    branch.map_or_else(
        || otherwise.to_owned(),
        |branch| format!("refs/heads/{branch}"),
    )
}

fn placed(workflow: &str) -> String {
    match workflow.contains('/') {
        true => workflow.to_owned(),
        false => format!("{FOLDER}/{workflow}"),
    }
}

fn scope_workflow(policy: &Policy, scope: &str) -> Option<String> {
    policy.scope.get(scope)?.workflow.as_deref().map(placed)
}

/// Runners for the labels that the workflow's jobs ask for: it needs one for every job, so the job that would wait
/// longest decides.
fn runner(now: &ForgeNow, workflow: &WorkflowConcurrency) -> RunnerFact {
    let facts = own_machines(workflow).map(|labels| {
        match RunnerState::of(now.runners.as_deref(), labels) {
            RunnerState::NotVisible => RunnerFact::NotKnown,
            RunnerState::NoneFits => RunnerFact::NoneFits {
                labels: labels.clone(),
            },
            RunnerState::Offline { names } => RunnerFact::Offline { names },
            RunnerState::Busy { names } => RunnerFact::Busy { names },
            RunnerState::Idle { names } => RunnerFact::Idle { names },
        }
    });
    let hosted = match workflow.runs_on.is_empty() {
        true => RunnerFact::NotKnown,
        false => RunnerFact::Hosted,
    };
    facts.min_by_key(wait).unwrap_or(hosted)
}

/// Connected Windows runners that one of the workflow's own-machine jobs may go to.
fn on_windows(now: &ForgeNow, workflow: &WorkflowConcurrency) -> Vec<String> {
    let runners = now.runners.iter().flatten();
    let mut found: Vec<String> = runners
        .filter(|runner| runner.is_online() && runner.os.eq_ignore_ascii_case("windows"))
        .filter(|runner| own_machines(workflow).any(|labels| runner.has_labels(labels)))
        .map(|runner| runner.name.clone())
        .collect();
    found.sort();
    found
}

/// Labels of each job that asks for a machine of one's own.
fn own_machines(workflow: &WorkflowConcurrency) -> impl Iterator<Item = &Vec<String>> {
    let own_label = |label: &String| label.eq_ignore_ascii_case("self-hosted");
    let labels = workflow.runs_on.values();
    labels.filter(move |labels| labels.iter().any(own_label))
}

/// How long a job would wait, the longest first.
fn wait(fact: &RunnerFact) -> u8 {
    match fact {
        RunnerFact::NoneFits { .. } => 0,
        RunnerFact::Offline { .. } => 1,
        RunnerFact::NotKnown => 2,
        RunnerFact::Busy { .. } => 3,
        RunnerFact::Idle { .. } => 4,
        RunnerFact::Hosted | RunnerFact::ThisMachine => 5,
    }
}

/// Workflow files of trees, each read once.
struct Files<'a> {
    reader: &'a GitReader,
    /// By commit or tree and path.
    known: BTreeMap<(String, String), Option<WorkflowConcurrency>>,
    unknown: Vec<String>,
}

impl Files<'_> {
    /// Every workflow of a tree that can be read; those that cannot are said.
    fn of_tree(
        &mut self,
        tree: &str,
    ) -> Result<BTreeMap<String, WorkflowConcurrency>, ServiceError> {
        let mut found = BTreeMap::new();
        let entries = self.reader.tree_entries(tree)?;
        let mut paths = entries.into_iter().filter_map(|entry| {
            let path = String::from_utf8(entry.path).ok()?;
            let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
            let ending = name.rsplit('.').next().unwrap_or_default();
            let is_one = !name.contains('/') && matches!(ending, "yml" | "yaml");
            is_one.then_some(path)
        });
        for path in paths.by_ref().take(MAX_FILES) {
            if let Some(workflow) = self.read(tree, &path)? {
                found.insert(path, workflow);
            }
        }
        let more = paths.count();
        if more > 0 {
            let what = format!("{more} more workflows than the {MAX_FILES} that are read");
            self.unknown.push(what);
        }
        Ok(found)
    }

    /// The workflow of a live run at its own commit, else at the base.
    fn of_run(
        &mut self,
        live: &Live,
        base: &str,
    ) -> Result<Option<WorkflowConcurrency>, ServiceError> {
        let commit = match self.reader.has_object(&live.head_sha)? {
            true => live.head_sha.as_str(),
            false => base,
        };
        let tree = self.reader.tree_of(commit)?;
        self.read(&tree, &live.workflow)
    }

    fn read(
        &mut self,
        tree: &str,
        path: &str,
    ) -> Result<Option<WorkflowConcurrency>, ServiceError> {
        let key = (tree.to_owned(), path.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let bytes = self.reader.blob_at(tree, path)?;
        let read = bytes.map(|bytes| WorkflowConcurrency::parse(&bytes));
        let found = match read {
            None => None,
            Some(Ok(workflow)) => Some(workflow),
            Some(Err(error)) => {
                self.unknown.push(format!("{path}: {error}"));
                None
            }
        };
        self.known.insert(key, found.clone());
        Ok(found)
    }
}
