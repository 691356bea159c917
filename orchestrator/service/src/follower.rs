//! Runs that a forge starts on a push: found by the pushed commit, pulled in full when they have ended,
//! then graded; and the runs that a person ordered. A thread of its own, because the forge takes hours
//! and the worker has gates to run.
//!
//! What is followed is derived from the journal at every look, so that a start goes on where the last
//! daemon stood; a forge that cannot be read is asked again at the next look.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ci::forge::model::WorkflowRun;
use ci::forge::{Forge, RunQuery, run_key};
use discipline::event::Event;
use discipline::model::{ClaimId, Run, RunStatus};
use discipline::orders::GivenOrder;
use discipline::policy::{SourceKind, SourcePolicy};
use discipline::state::{Claim, ClaimPhase};
use discipline::verification::guards::witness_of;
use verify::BaseFacts;

use crate::api::PullFullLogRequest;
use crate::commands::pull::{is_settled, pull_run};
use crate::queue::Job;
use crate::shared::{Ctx, Shared, daemon};
use crate::source::{self, Keeper};
use crate::{Caller, NoProgress, ServiceError, classes, guarded, orders};

/// Pulls of a run that has ended before it is graded with what is there.
const PULLS: u32 = 5;
/// How often the journal is asked what there is to follow; the forge is asked as the policy says.
const TICK: Duration = Duration::from_secs(1);

/// Starts the follower.
pub(crate) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, ServiceError> {
    std::thread::Builder::new()
        .name("follower".into())
        .spawn(move || work(&shared))
        .map_err(ServiceError::io("cannot start the follower"))
}

fn work(shared: &Shared) {
    let github = shared.config.machine.sources.github.as_ref();
    let poll = github.and_then(|access| access.poll);
    let tick = poll.map_or(TICK, |poll| poll.min(TICK));
    let (mut pulls, mut looked) = (BTreeMap::new(), BTreeMap::new());
    while !shared.queue.stop.wait(tick) {
        let subjects = subjects(shared);
        // What is followed no more needs no memory.
        looked.retain(|id: &String, _| subjects.iter().any(|subject| subject.id() == *id));
        for subject in subjects {
            let id = subject.id();
            let pause = poll.unwrap_or_else(|| subject.pause(shared));
            let since = looked.get(&id).map(Instant::elapsed);
            if since.is_some_and(|since| since < pause) {
                continue;
            }
            match subject.look(shared, &mut pulls) {
                Ok(()) => {}
                Err(ServiceError::Cancelled) => return,
                Err(error) => tracing::warn!(id, %error, "the forge is asked again"),
            }
            looked.insert(id, Instant::now());
        }
    }
}

/// How often the run of a claim's scope was pulled.
type Pulls = BTreeMap<(ClaimId, String), u32>;

/// Something at the forge that the journal waits for.
enum Subject {
    /// A pushed claim, whose run grades it.
    Claim(Box<Claim>),
    /// A person's order, with the run as it was ordered.
    Order(Box<(GivenOrder, Run)>),
}

fn subjects(shared: &Shared) -> Vec<Subject> {
    let claims = open_claims(shared).into_iter();
    let claims = claims.map(|claim| Subject::Claim(Box::new(claim)));
    let now = shared.now();
    let orders = shared.core().state.followed_orders(now);
    let orders = orders
        .into_iter()
        .map(|order| Subject::Order(Box::new(order)));
    claims.chain(orders).collect()
}

impl Subject {
    fn id(&self) -> String {
        match self {
            Self::Claim(claim) => claim.id.to_string(),
            Self::Order(order) => order.0.order.id.to_string(),
        }
    }

    /// Between two looks, as the policy says under which the run is read.
    fn pause(&self, shared: &Shared) -> Duration {
        let base = match self {
            Self::Claim(claim) => shared.base(&claim.body.parent),
            Self::Order(order) => classes::base_of(shared, &order.1),
        };
        let default = SourcePolicy::default().poll_s();
        Duration::from_secs(base.map_or(default, |base| base.facts.policy.source.poll_s()))
    }

    fn look(&self, shared: &Shared, pulls: &mut Pulls) -> Result<(), ServiceError> {
        match self {
            Self::Claim(claim) => look(shared, claim, pulls),
            Self::Order(order) => orders::look(shared, &order.0, &order.1),
        }
    }
}

/// Claims that were pushed and are not graded, in their own scope or in one that they guard.
fn open_claims(shared: &Shared) -> Vec<Claim> {
    let core = shared.core();
    let open = |claim: &&Claim| own_is_open(claim) || !claim.ungraded_scopes().is_empty();
    core.state.claims.values().filter(open).cloned().collect()
}

fn own_is_open(claim: &Claim) -> bool {
    matches!(claim.phase, ClaimPhase::Pushed | ClaimPhase::Verifying)
}

fn look(shared: &Shared, claim: &Claim, pulls: &mut Pulls) -> Result<(), ServiceError> {
    let base = shared.base(&claim.body.parent)?;
    let policy = &base.facts.policy;
    if policy.source.kind != SourceKind::Github {
        return Ok(());
    }
    let Some(forge) = source::open(shared, &policy.source)? else {
        return Ok(());
    };
    let looked = Looked {
        shared,
        claim,
        base: &base,
        forge: &forge,
    };
    if own_is_open(claim) {
        looked.own(pulls)?;
    }
    for scope in claim.ungraded_scopes() {
        looked.guarded(scope, pulls)?;
    }
    Ok(())
}

/// One look at the forge on account of a claim.
struct Looked<'a> {
    shared: &'a Shared,
    claim: &'a Claim,
    base: &'a BaseFacts,
    forge: &'a Arc<dyn Forge + Send + Sync>,
}

impl Looked<'_> {
    /// The run that grades the claim.
    fn own(&self, pulls: &mut Pulls) -> Result<(), ServiceError> {
        let claim = self.claim;
        let followed = {
            let core = self.shared.core();
            let run = claim.verifying_run.as_ref();
            run.and_then(|id| core.state.runs.get(id)).cloned()
        };
        let scope = &claim.body.proof_scope;
        let Some((described, run)) = self.run_of(scope, followed)? else {
            return Ok(());
        };
        if claim.phase == ClaimPhase::Pushed {
            self.shared.append(
                &daemon(),
                Event::VerificationStarted {
                    claim_id: claim.id.clone(),
                    run_id: run.run_id.clone(),
                },
            )?;
        }
        self.pull(scope, &described, &run, pulls)
    }

    /// The run that shows the guards of another scope, or the end of waiting for it.
    fn guarded(&self, scope: &str, pulls: &mut Pulls) -> Result<(), ServiceError> {
        let followed = {
            let core = self.shared.core();
            let commit = self.claim.commit.as_deref().unwrap_or_default();
            witness_of(core.state.runs.values(), scope, commit).cloned()
        };
        match self.run_of(scope, followed)? {
            Some((described, run)) if described.is_completed() => {
                self.pull(scope, &described, &run, pulls)
            }
            other => {
                let listed = other.is_some();
                guarded::give_up_if_late(self.shared, self.claim, scope, listed)
            }
        }
    }

    /// A scope's run of the pushed commit: as the forge has it now, and as the journal has it.
    fn run_of(
        &self,
        scope: &str,
        followed: Option<Run>,
    ) -> Result<Option<(WorkflowRun, Run)>, ServiceError> {
        let followed = followed.and_then(|run| Some((run.forge?.id, run.attempt)));
        let described = match followed {
            None => self.newest(scope)?,
            Some((id, attempt)) => {
                let run = self.forge.run(&id, Some(attempt), &self.shared.queue.stop);
                Some(run.map_err(source::failed)?)
            }
        };
        let Some(described) = described else {
            return Ok(None);
        };
        let run = begun(self.shared, self.base, &**self.forge, &described)?;
        Ok(Some((described, run)))
    }

    /// The newest run that the push of the claim's commit started in the workflow that owns a scope.
    fn newest(&self, scope: &str) -> Result<Option<WorkflowRun>, ServiceError> {
        let scope = self.base.facts.policy.scope.get(scope);
        let workflow = scope.and_then(|scope| scope.workflow.clone());
        let (Some(workflow), Some(commit)) = (workflow, &self.claim.commit) else {
            return Ok(None);
        };
        let query = RunQuery {
            workflow: Some(workflow.clone()),
            head_sha: Some(commit.clone()),
            ..RunQuery::default()
        };
        let runs = self.forge.runs(&query, &self.shared.queue.stop);
        let runs = runs.map_err(source::failed)?;
        // A filter that the forge did not apply must not make a stranger the witness.
        let ours = |run: &WorkflowRun| {
            run.head_sha == *commit
                && run.event.as_deref() == Some("push")
                && run.workflow_file() == Some(workflow.as_str())
        };
        Ok(runs.into_iter().find(ours))
    }

    /// Pulls a run that has ended, and has it graded once it is whole.
    fn pull(
        &self,
        scope: &str,
        described: &WorkflowRun,
        run: &Run,
        pulls: &mut Pulls,
    ) -> Result<(), ServiceError> {
        if !described.is_completed() {
            return Ok(());
        }
        let run = pulled(self.shared, self.base, self.forge, run)?;
        let key = (self.claim.id.clone(), scope.to_owned());
        let tries = pulls.entry(key.clone()).or_default();
        *tries += 1;
        if run.status == RunStatus::Completed
            && (is_settled(self.shared, &run, &whole(&run)) || *tries >= PULLS)
        {
            pulls.remove(&key);
            self.shared.queue.add(Job::Follow(self.claim.id.clone()));
        }
        Ok(())
    }
}

/// The run as the journal has it, noted when it is new there or has changed.
pub(crate) fn begun(
    shared: &Shared,
    base: &BaseFacts,
    forge: &dyn Forge,
    described: &WorkflowRun,
) -> Result<Run, ServiceError> {
    let policy = &base.facts.policy;
    let id = run_key(described);
    let cancel = &shared.queue.stop;
    let placing = source::placed(shared, policy, described, (None, None), cancel)?;
    Keeper::new(shared, policy, forge.label(), &id, described, placing).begun()
}

/// Everything of a run that has ended.
pub(crate) fn pulled(
    shared: &Shared,
    base: &BaseFacts,
    forge: &Arc<dyn Forge + Send + Sync>,
    run: &Run,
) -> Result<Run, ServiceError> {
    let request = whole(run);
    if is_settled(shared, run, &request) {
        return Ok(run.clone());
    }
    let _one_at_a_time = shared
        .pull_door
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let author = daemon();
    let ctx = Ctx {
        caller: &Caller {
            uid: author.uid,
            name: author.name,
            operator: true,
        },
        progress: &NoProgress,
        cancel: &shared.queue.stop,
    };
    let id = run.forge.as_ref().map_or("", |forge| forge.id.as_str());
    pull_run(shared, ctx, &request, base, forge, id)
}

fn whole(run: &Run) -> PullFullLogRequest {
    PullFullLogRequest {
        run_id: run.run_id.to_string(),
        attempt: Some(run.attempt),
        artifacts: true,
        ..PullFullLogRequest::default()
    }
}
