//! `prepare_rollback`: the way back from a pushed claim, as a claim of its own; `reopen_scope`: a
//! person's word in its place.
//!
//! The tree is the exact revert of the pushed commit. What is predicted is what the original claim's
//! baseline run shows and the pushed commit's run does not. Nothing is decided here: the rules judge
//! it like every claim, and it goes through the same gates and the same approval.

use attest::claim::{CLAIM_SCHEMA, Citation, ClaimBody, ClaimBudget, ClaimKind, Site};
use discipline::decision::Stage;
use discipline::diff::Diff;
use discipline::event::Event;
use discipline::model::{ClaimId, Grade, LoopId, Refusal, Run, RunId};
use discipline::overrides::SCOPE_CLOSED;
use discipline::policy::Policy;
use discipline::rulebook::{Rulebook, blind_cell};
use discipline::rules::decide;
use discipline::state::{Claim, Operation, guarded_scopes};
use markers::{CellObservations, Predicate, Span, Truth};
use repo::RepoError;

use super::{find_claim, find_run, overrides};
use crate::api::{
    OverrideRuleRequest, PrepareRollbackAnswer, PrepareRollbackRequest, ReopenScopeAnswer,
    ReopenScopeRequest,
};
use crate::facts::{Circumstances, gather};
use crate::guarded::{self, baseline_of};
use crate::shared::{Ctx, Shared, Target, daemon};
use crate::{Caller, Cancel, NoProgress, ServiceError, observe, views};

/// Most citations, and most conditions that mean revert again.
const MOST: usize = 4;
/// Telemetry that no tree should show, for a rollback that has no better condition.
const ALWAYS_BAD: &[&str] = &["present process_death", "present device_lost"];

/// Prepares the way back from a claim whose verdict makes one due, before anybody asks. Nothing, when
/// one was proposed since, or when the scope is open.
pub(crate) fn prepare_due(
    shared: &Shared,
    id: &ClaimId,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let due = {
        let core = shared.core();
        let state = &core.state;
        let claim = state.claims.get(id);
        let closed_by_it = |scope: &str| {
            let closure = state.closed_scopes.get(scope);
            closure.is_some_and(|closure| &closure.claim_id == id)
        };
        claim.is_some_and(|claim| {
            // One rollback takes the commit back, whichever of the scopes it is proven in.
            let prepared = state.claims.values().any(|other| {
                other.body.kind == ClaimKind::Rollback
                    && closed_by_it(&other.body.proof_scope)
                    && other.proposed_seq > claim.proposed_seq
            });
            let ground = Ground::of(claim);
            ground.is_some_and(|ground| closed_by_it(ground.scope)) && !prepared
        })
    };
    if !due {
        return Ok(());
    }
    let author = daemon();
    let caller = Caller {
        uid: author.uid,
        name: author.name,
        operator: true,
    };
    let ctx = Ctx {
        caller: &caller,
        progress: &NoProgress,
        cancel,
    };
    let request = PrepareRollbackRequest {
        claim_id: id.to_string(),
    };
    let prepared = prepare_rollback(shared, ctx, request)?;
    tracing::info!(of = %id, claim = ?prepared.claim_id, refused = prepared.refused.len(), "rollback prepared");
    Ok(())
}

/// Prepares and proposes the rollback; asked again on the same tip, it answers with the same claim.
pub(super) fn prepare_rollback(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: PrepareRollbackRequest,
) -> Result<PrepareRollbackAnswer, ServiceError> {
    let claim = find_claim(&shared.core().state, &request.claim_id)?.clone();
    let (Some(ground), Some(commit)) = (Ground::of(&claim), &claim.commit) else {
        return Ok(refused(not_graded(&claim)));
    };
    let target = shared.refresh_target(ctx.cancel)?;
    let parent = &claim.body.parent;
    let reverted = shared.repo.revert(commit, parent, &target.tip, ctx.cancel);
    let tree = match reverted {
        Ok(tree) => tree,
        Err(RepoError::Patch { message, .. }) => {
            return Ok(refused(conflicts(&claim, commit, &message)));
        }
        Err(other) => return Err(other.into()),
    };
    let body = body(shared, ctx, &claim, &ground, &target, tree)?;
    propose(shared, ctx, &claim, body)
}

/// Lets pushes into a closed scope pass for a while: an override like any other. The scope stays closed to every
/// push after it, until the rollback lands.
pub(super) fn reopen_scope(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: ReopenScopeRequest,
) -> Result<ReopenScopeAnswer, ServiceError> {
    let closed = {
        let core = shared.core();
        let closure = core.state.closed_scopes.get(&request.scope);
        closure.map(|closure| closure.reason.clone())
    };
    if closed.is_none() {
        let refusal = Refusal::new(
            "scope_not_closed",
            "scope",
            format!("`{}` takes pushes already, or is no scope", request.scope),
            "`greenloop status` shows which scopes are closed, and why",
        );
        return Ok(ReopenScopeAnswer {
            closed_because: None,
            granted: None,
            refused: views::refusals(&[refusal]),
        });
    }
    let word = OverrideRuleRequest {
        code: SCOPE_CLOSED.to_owned(),
        scope: request.scope,
        reason: request.reason,
        hours: request.hours,
    };
    let answer = overrides::override_rule(shared, ctx, &word)?;
    Ok(ReopenScopeAnswer {
        closed_because: closed.filter(|_| answer.granted.is_some()),
        granted: answer.granted,
        refused: answer.refused,
    })
}

/// The graded run that a rollback rests on: of the claim's own scope, else of one in which it broke a guard.
struct Ground<'a> {
    scope: &'a str,
    run_id: &'a RunId,
    grades: &'a [Grade],
    reasons: &'a [String],
}

impl<'a> Ground<'a> {
    fn of(claim: &'a Claim) -> Option<Self> {
        let own = claim.verdict.as_ref().map(|verdict| Ground {
            scope: &claim.body.proof_scope,
            run_id: &verdict.run_id,
            grades: &verdict.grades,
            reasons: &verdict.reasons,
        });
        if claim.verdict.as_ref().is_some_and(|own| own.rollback_due) {
            return own;
        }
        let elsewhere = claim.broke_elsewhere().and_then(|guards| {
            Some(Ground {
                scope: &guards.scope,
                run_id: guards.run_id.as_ref()?,
                grades: &guards.grades,
                reasons: &guards.reasons,
            })
        });
        elsewhere.or(own)
    }
}

fn refused(refusal: Refusal) -> PrepareRollbackAnswer {
    PrepareRollbackAnswer {
        claim_id: None,
        state: None,
        predictions: Vec::new(),
        refused: views::refusals(&[refusal]),
    }
}

fn not_graded(claim: &Claim) -> Refusal {
    Refusal::new(
        "claim_not_graded",
        "claim_id",
        format!(
            "{} is {}: no run says that anything has to be reverted",
            claim.id, claim.phase
        ),
        format!("grade it first: `greenloop verify {}`", claim.id),
    )
}

fn conflicts(claim: &Claim, commit: &str, message: &str) -> Refusal {
    Refusal::new(
        "revert_conflicts",
        "change",
        format!(
            "{commit} of {} cannot be reverted on the branch as it is: {message}",
            claim.id
        ),
        "revert it by hand, and propose that tree with `kind` = `rollback`",
    )
}

fn body(
    shared: &Shared,
    ctx: Ctx<'_>,
    claim: &Claim,
    ground: &Ground<'_>,
    target: &Target,
    tree: String,
) -> Result<ClaimBody, ServiceError> {
    let base = shared.base(&target.tip)?;
    let reader = shared.reader()?;
    let base_tree = reader.commit_info(&target.tip)?.tree;
    let diff = reader.diff_trees(&base_tree, &tree)?;
    let changed: Vec<String> = diff.files.iter().map(|file| file.path.clone()).collect();
    let policy = &base.facts.policy;
    let run = find_run(&shared.core().state, ground.run_id.as_str())?.clone();
    let telemetry = Telemetry::read(shared, claim, &run, policy, &base.rulebook)?;
    let own = &claim.body;
    let mut body = ClaimBody {
        schema: CLAIM_SCHEMA,
        repo: shared.root_commit.clone(),
        ref_name: target.ref_name.clone(),
        kind: ClaimKind::Rollback,
        proof_scope: ground.scope.to_owned(),
        failing_invariant: own.failing_invariant.clone(),
        parent: target.tip.clone(),
        tree,
        diff_digest: diff.digest()?,
        evidence: telemetry.evidence(shared, &run, ground)?,
        baseline_run: run.run_id.to_string(),
        sites: sites(&diff),
        reasoning: reasoning(claim, ground),
        hypothesis_id: String::new(),
        predictions: telemetry.predictions(ground),
        // Those that the policy demands, and no others: a rollback chooses nothing.
        guards: policy.demanded_guards(ground.scope, &changed),
        gates: gates(policy, &changed),
        pinned_test: None,
        rollback_if: telemetry.conditions(ground),
        outcomes: Vec::new(),
        budget: ClaimBudget {
            runner_minutes: own.budget.runner_minutes,
            runs: 1,
            cancels: Vec::new(),
        },
        message: message(claim),
        author: ctx.caller.name.clone(),
    };
    let others = u32::try_from(guarded_scopes(&body).len()).unwrap_or(u32::MAX);
    body.budget.runs = others.saturating_add(1);
    Ok(body)
}

/// Both runs, as predicates see them.
struct Telemetry<'a> {
    rulebook: &'a Rulebook,
    /// The original claim's baseline, or the last run of another scope before it; `None` where there was none.
    then: Option<Vec<CellObservations>>,
    /// The pushed commit's run.
    now: Vec<CellObservations>,
}

impl<'a> Telemetry<'a> {
    fn read(
        shared: &Shared,
        claim: &Claim,
        run: &Run,
        policy: &Policy,
        rulebook: &'a Rulebook,
    ) -> Result<Self, ServiceError> {
        let names: Vec<String> = policy
            .effective_cells(&run.scope)
            .into_iter()
            .map(|cell| cell.name)
            .collect();
        let cells = |run: &Run| -> Result<_, ServiceError> {
            let shown = observe::cells_of(shared, run, &rulebook.catalogue)?;
            Ok(rulebook.whole_matrix(&names, &shown))
        };
        let before = match run.scope == claim.body.proof_scope {
            true => baseline_of(shared, claim),
            false => guarded::before(shared, claim, &run.scope)?,
        };
        Ok(Self {
            rulebook,
            then: before.as_ref().map(cells).transpose()?,
            now: cells(run)?,
        })
    }

    fn on(&self, predicate: &Predicate, cells: &[CellObservations]) -> Truth {
        self.rulebook.evaluate(predicate, cells).truth
    }

    /// What the baseline shows and the pushed commit's run does not: the broken guards, the opposite
    /// of the conditions that hold now, and the failure that the claim had removed.
    fn predictions(&self, ground: &Ground<'_>) -> Vec<String> {
        let candidates = ground.grades.iter().filter_map(|grade| {
            let predicate: Predicate = grade.predicate.parse().ok()?;
            match (grade.role.as_str(), grade.truth) {
                ("guard", Truth::Fails) if !grade.failed_before => Some(predicate),
                ("rollback_if" | "prediction", Truth::Holds) => Some(predicate.opposite()),
                _ => None,
            }
        });
        let returns = candidates.filter(|predicate| {
            let then = self.then.as_ref();
            self.on(predicate, &self.now) == Truth::Fails
                && then.is_none_or(|then| self.on(predicate, then) == Truth::Holds)
        });
        distinct(returns.map(|predicate| predicate.to_string()))
    }

    /// What would be worse than both runs: the claim's own conditions that do not hold, the opposite
    /// of guards that do, and what no tree should show.
    fn conditions(&self, ground: &Ground<'_>) -> Vec<String> {
        let own = ground.grades.iter().filter_map(|grade| {
            let predicate: Predicate = grade.predicate.parse().ok()?;
            match (grade.role.as_str(), grade.truth) {
                ("rollback_if", Truth::Fails) => Some(predicate),
                ("guard", Truth::Holds) => Some(predicate.opposite()),
                _ => None,
            }
        });
        let always = ALWAYS_BAD.iter().filter_map(|text| text.parse().ok());
        let visible = own.chain(always).filter(|predicate| {
            let now = self.rulebook.alarm(predicate, &self.now);
            now.truth == Truth::Fails
                && blind_cell(&now).is_none()
                && !self
                    .then
                    .as_ref()
                    .is_some_and(|then| self.rulebook.alarm(predicate, then).truth == Truth::Holds)
        });
        let mut conditions = distinct(visible.map(|predicate| predicate.to_string()));
        conditions.truncate(MOST);
        conditions
    }

    /// Rows that the alarms and the class of the pushed commit's run rest on.
    fn evidence(
        &self,
        shared: &Shared,
        run: &Run,
        ground: &Ground<'_>,
    ) -> Result<Vec<Citation>, ServiceError> {
        let mut places: Vec<(String, Span)> = Vec::new();
        for grade in ground.grades {
            let wanted = match (grade.role.as_str(), grade.truth) {
                ("guard", Truth::Fails) => Truth::Fails,
                ("rollback_if", Truth::Holds) => Truth::Holds,
                _ => continue,
            };
            let Ok(predicate) = grade.predicate.parse::<Predicate>() else {
                continue;
            };
            for cell in self.rulebook.evaluate(&predicate, &self.now).cells {
                let rows = cell.observed.iter().filter(|row| row.truth == wanted);
                places.extend(rows.take(1).map(|row| (cell.cell.clone(), row.span)));
            }
        }
        if let Some(class) = shared.core().state.classifications.get(&run.run_id) {
            let anchors = class.classification.anchors.iter();
            places.extend(anchors.map(|anchor| (anchor.cell.clone(), anchor.span)));
        }
        places.dedup();
        places.truncate(MOST);
        let cited = places
            .iter()
            .map(|(cell, span)| cite(shared, run, cell, *span));
        Ok(cited
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }
}

/// The lines that a row stands on, as a citation.
fn cite(
    shared: &Shared,
    run: &Run,
    cell: &str,
    span: Span,
) -> Result<Option<Citation>, ServiceError> {
    let job = run.jobs.iter().find(|job| job.cell == cell);
    let Some(log) = job.and_then(|job| job.log.as_ref()) else {
        return Ok(None);
    };
    let reader = shared.evidence.open_log(&log.log_id)?;
    let end = span.end.max(span.start + 1);
    let lines = (
        reader.offset_to_line(span.start)?,
        reader.offset_to_line(end - 1)?,
    );
    Ok(match lines {
        (Some(line_start), Some(line_end)) => Some(Citation {
            log_id: log.log_id.clone(),
            byte_start: span.start,
            byte_end: end,
            line_start,
            line_end,
        }),
        _ => None,
    })
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    kept
}

/// Each changed file as a whole: a revert has no place of its own choice.
fn sites(diff: &Diff) -> Vec<Site> {
    let lines = |content: &[u8]| {
        let count = String::from_utf8_lossy(content).lines().count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let site = |file: &discipline::diff::FileChange| {
        let last = file.old.as_ref().map_or(0, |side| lines(&side.content));
        Site {
            file: file.path.clone(),
            function: None,
            line_start: last.min(1),
            line_end: last,
        }
    };
    diff.files.iter().map(site).collect()
}

/// The gates that the changed files call for; all of them where they call for none.
fn gates(policy: &Policy, changed: &[String]) -> Vec<String> {
    let required = policy.required_gates(changed);
    match required.is_empty() {
        true => policy.gate.keys().cloned().collect(),
        false => required,
    }
}

fn reasoning(claim: &Claim, ground: &Ground<'_>) -> String {
    let why = match ground.reasons {
        [] => "a person asked for the way back".to_owned(),
        reasons => reasons.join("; "),
    };
    format!(
        "{} was pushed as {} and its run {} of `{}` says: {why}. This is the tree without that commit, so its telemetry returns to what was there before.",
        claim.id,
        claim.commit.as_deref().unwrap_or_default(),
        ground.run_id,
        ground.scope
    )
}

fn message(claim: &Claim) -> String {
    let subject = claim.body.message.lines().next().unwrap_or_default();
    format!(
        "Revert \"{subject}\"\n\nThis reverts commit {}, pushed as {}.\n\nInvariant: {}.\n",
        claim.commit.as_deref().unwrap_or_default(),
        claim.id,
        claim.body.failing_invariant
    )
}

fn propose(
    shared: &Shared,
    ctx: Ctx<'_>,
    reverted: &Claim,
    body: ClaimBody,
) -> Result<PrepareRollbackAnswer, ServiceError> {
    let circumstances = Circumstances {
        claim: None,
        remote_tip: Some(body.parent.clone()),
        forge: None,
    };
    let gathered = gather(shared, &body, &circumstances)?;
    let decision = decide(&gathered.input, &gathered.base.rulebook, Stage::Propose);
    let refused: Vec<Refusal> = decision.refused().cloned().collect();
    let key = format!("rollback of {} on {}", reverted.id, body.parent);
    let mut proposed = None;
    shared.append_with(&ctx.caller.author(), |core| {
        let loop_id = loop_of(&core.state, reverted)?;
        let known = core.state.known(Operation::ProposeClaim(&loop_id), &key);
        if let Some(known) = known.map(ClaimId::from) {
            let open = core
                .state
                .claims
                .get(&known)
                .is_some_and(|claim| !claim.refused.is_empty());
            // A refused one may be better now; everything else is the same claim.
            if !open {
                proposed = Some(known);
                return Ok(None);
            }
        }
        let claim_id = core.state.next_claim_id();
        let attempt = core.state.claims.len();
        proposed = Some(claim_id.clone());
        Ok(Some(Event::ClaimProposed {
            idempotency_key: match known {
                None => key.clone(),
                Some(_) => format!("{key}, {attempt}"),
            },
            claim_id,
            loop_id,
            body: Box::new(body.clone()),
            claim_digest: gathered.input.claim_digest.clone(),
            refused: refused.clone(),
            author: ctx.caller.author(),
        }))
    })?;
    let id = proposed.ok_or_else(|| ServiceError::Internal("no claim was made".into()))?;
    let core = shared.core();
    let claim = find_claim(&core.state, id.as_str())?;
    Ok(PrepareRollbackAnswer {
        claim_id: Some(id.to_string()),
        state: Some(claim.phase.as_str().into()),
        predictions: claim.body.predictions.clone(),
        refused: views::refusals(&claim.refused),
    })
}

/// The claim's own loop, or the newest open one where that is closed.
fn loop_of(state: &discipline::state::LoopState, reverted: &Claim) -> Result<LoopId, ServiceError> {
    if let Ok(found) = super::open_loop(state, reverted.loop_id.as_str()) {
        return Ok(found.id.clone());
    }
    let open = state.loops.values().filter(|found| found.open);
    match open.max_by_key(|found| (found.id.as_str().len(), found.id.clone())) {
        Some(found) => Ok(found.id.clone()),
        None => super::open_loop(state, reverted.loop_id.as_str()).map(|found| found.id.clone()),
    }
}
