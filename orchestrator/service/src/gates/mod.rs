//! Gates of a claim: the daemon runs them itself, in a clean room, and journals each as it ends, so
//! that a killed daemon goes on with the first one that has no result.
//!
//! A room is filled and its dependencies are cloned once per gate; the gate, the pinned test that
//! shares its build and its canary run there in this order, so that what the gate covers is read
//! before anything else builds there.

mod process;
mod room;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use attest::claim::ClaimBody;
use discipline::decision::{ConditionalCode, Stage};
use discipline::event::Event;
use discipline::gates::{
    Conditions, Disturbance, GateRun, PINNED_GATE, PinnedGate, canary_argv, canary_test_source,
    disturbed, judge, needs_coverage, pinned_gate,
};
use discipline::model::{ClaimId, GateResult, GateRole, GateRunId, ProcessExit, Refusal};
use discipline::policy::{GatePolicy, Policy};
use discipline::rules::decide;
use discipline::state::{Claim, ClaimPhase, GateRunStatus, ReuseKey};
use repo::{Members, RepoError, Room, TreeStamp};
use verify::BaseFacts;

use crate::compiled;
use crate::facts::{Circumstances, gather, reverted};
use crate::room::{ROOM, prepare};
use crate::shared::{Shared, daemon};
use crate::staging;
use crate::{Cancel, ServiceError};
use process::Ended;

/// Everything that one claim's gates need.
struct Bench<'a> {
    shared: &'a Shared,
    claim: &'a Claim,
    base: &'a BaseFacts,
    base_tree: String,
    /// Trees of earlier attempts that failed at the same invariant.
    attempts: Vec<String>,
    /// Tree before the commit that a rollback reverts, where the revert does not restore just that.
    before: Option<String>,
    /// Changed files that some gate has to compile.
    changed: Vec<String>,
    /// Changed code in them that is compiled only under conditions.
    conditional: Vec<ConditionalCode>,
    /// What `rustc --print cfg` says.
    target: Vec<String>,
    room: Room,
    /// Members of the tree in the room, asked before anything ran there; `None` until somebody asks.
    members: RefCell<Option<Rc<Members>>>,
    /// The room's files as they were when it was filled.
    filled: RefCell<Option<TreeStamp>>,
    /// The dependencies that rooms are filled with, as they were then.
    dependencies: Cell<Option<u64>>,
    gate_run: GateRunId,
    cancel: &'a Cancel,
    total: u64,
}

/// Runs what is left of a claim's gates, judges them together, and stages the claim when they pass.
pub(crate) fn execute(shared: &Shared, id: &ClaimId, cancel: &Cancel) -> Result<(), ServiceError> {
    let Some((claim, gate_run)) = live_gates(shared, id) else {
        return Ok(());
    };
    let base = shared.base(&claim.body.parent)?;
    let reader = shared.reader()?;
    let base_tree = reader.commit_info(&claim.body.parent)?.tree;
    let diff = verify::change_facts(&reader, &base_tree, &claim.body, &base)?;
    let changed = diff.changed.iter().map(|one| one.path.clone()).collect();
    let earlier = shared.core().state.failed_attempts(&claim.body, &changed);
    // The run on base answers for an attempt that still is the base.
    let unmended = earlier
        .into_iter()
        .filter(|attempt| !attempt.predictions_held);
    let trees = unmended.map(|attempt| attempt.tree);
    let attempts: Vec<String> = trees.filter(|tree| *tree != base_tree).collect();
    let reverted = reverted(&reader, &shared.core().state, &claim.body)?;
    let bench = Bench {
        before: reverted
            .map(|reverted| reverted.parent_tree)
            .filter(|tree| *tree != claim.body.tree),
        shared,
        claim: &claim,
        base: &base,
        base_tree,
        changed: needs_coverage(&diff.changed, &diff.conditional, &base.facts.policy),
        conditional: diff.conditional,
        target: compiled::target(shared, cancel)?,
        room: shared.rooms.room(ROOM),
        members: RefCell::new(None),
        filled: RefCell::new(None),
        dependencies: Cell::new(None),
        total: total(&claim.body, attempts.len()),
        attempts,
        gate_run,
        cancel,
    };
    let refused = match bench.run_all() {
        Ok(refused) => refused,
        Err(error) => return bench.stopped(error),
    };
    bench.finish(refused)?;
    staging::stage(shared, id)
}

fn live_gates(shared: &Shared, id: &ClaimId) -> Option<(Claim, GateRunId)> {
    let core = shared.core();
    let claim = core.state.claims.get(id)?;
    let gate_run = core.state.gate_runs.get(claim.gate_run_id.as_ref()?)?;
    let live = claim.phase == ClaimPhase::Gating && gate_run.status == GateRunStatus::Live;
    live.then(|| (claim.clone(), gate_run.id.clone()))
}

/// Processes of all gates of a claim.
fn total(body: &ClaimBody, attempts: usize) -> u64 {
    let pins = match body.pinned_test {
        Some(_) => 2 + attempts,
        None => 0,
    };
    u64::try_from(pins + 2 * body.gates.len()).unwrap_or(u64::MAX)
}

impl Bench<'_> {
    fn policy(&self) -> &Policy {
        &self.base.facts.policy
    }

    fn results(&self) -> Vec<GateResult> {
        let core = self.shared.core();
        let gate_run = core.state.gate_runs.get(&self.gate_run);
        gate_run
            .map(|found| found.results.clone())
            .unwrap_or_default()
    }

    fn has(&self, gate: &str, role: GateRole) -> bool {
        let results = self.results();
        results.iter().any(|r| r.gate == gate && r.role == role)
    }

    fn has_attempt(&self, tree: &str) -> bool {
        let on_attempt = |r: &GateResult| r.role == GateRole::PinOnAttempt && r.tree == tree;
        self.results().iter().any(on_attempt)
    }

    /// Runs every process without a result. Returns refusals that no process can show.
    fn run_all(&self) -> Result<Vec<Refusal>, ServiceError> {
        let mut refused = Vec::new();
        let pinned = match self.claim.body.pinned_test.as_ref() {
            Some(pin) => match pinned_gate(pin, self.policy()) {
                Ok(pinned) => Some(pinned),
                Err(refusal) => {
                    refused.push(refusal);
                    None
                }
            },
            None => None,
        };
        if let Some(pinned) = &pinned {
            self.pin_on_base(pinned)?;
            self.pin_on_attempts(pinned)?;
        }
        let mut names: Vec<&String> = self.claim.body.gates.iter().collect();
        names.sort();
        names.dedup();
        for name in names {
            self.gate(name, pinned.as_ref())?;
        }
        if let Some(pinned) = &pinned
            && !self.pinned_on_head(pinned)?
        {
            self.fill(&self.claim.body.tree, &pinned.argv)?;
            self.pin_on_head(pinned)?;
        }
        Ok(refused)
    }

    fn pin_on_base(&self, pinned: &PinnedGate) -> Result<(), ServiceError> {
        if self.has(PINNED_GATE, GateRole::PinOnBase) {
            return Ok(());
        }
        self.pin_elsewhere(pinned, GateRole::PinOnBase, &self.base_tree)
    }

    /// The test must have caught the attempts that the runner has refuted since.
    fn pin_on_attempts(&self, pinned: &PinnedGate) -> Result<(), ServiceError> {
        for tree in &self.attempts {
            if self.has_attempt(tree) {
                continue;
            }
            self.pin_elsewhere(pinned, GateRole::PinOnAttempt, tree)?;
        }
        Ok(())
    }

    /// Runs the claim's own test on another tree, with the test's files laid over it.
    fn pin_elsewhere(
        &self,
        pinned: &PinnedGate,
        role: GateRole,
        tree: &str,
    ) -> Result<(), ServiceError> {
        let Some(pin) = &self.claim.body.pinned_test else {
            return Ok(());
        };
        if self.reuse(tree, PINNED_GATE, role, &pinned.gate, &pinned.argv)? {
            return Ok(());
        }
        self.fill(tree, &pinned.argv)?;
        let head = &self.claim.body.tree;
        self.room.overlay(&self.shared.repo, head, &pin.files)?;
        self.note_filled()?;
        self.process_on(tree, PINNED_GATE, role, &pinned.gate, &pinned.argv)
    }

    fn pin_on_head(&self, pinned: &PinnedGate) -> Result<(), ServiceError> {
        if self.pinned_on_head(pinned)? {
            return Ok(());
        }
        self.process(PINNED_GATE, GateRole::PinOnHead, &pinned.gate, &pinned.argv)
    }

    fn pinned_on_head(&self, pinned: &PinnedGate) -> Result<bool, ServiceError> {
        let (gate, argv) = (&pinned.gate, &pinned.argv);
        self.done(PINNED_GATE, GateRole::PinOnHead, gate, argv)
    }

    fn gate(&self, name: &str, pinned: Option<&PinnedGate>) -> Result<(), ServiceError> {
        let Some(policy) = self.policy().gate.get(name) else {
            return Ok(());
        };
        let shares = pinned.filter(|pinned| pinned.gate == name);
        let pin_done = match shares {
            Some(pinned) => self.pinned_on_head(pinned)?,
            None => true,
        };
        let gate_done = self.done(name, GateRole::Gate, name, &policy.argv)?;
        let canary_done = self.done(name, GateRole::Canary, name, &canary_argv(policy))?;
        if pin_done && gate_done && canary_done {
            return self.gate_before(name, policy);
        }
        self.fill(&self.claim.body.tree, &policy.argv)?;
        if !gate_done {
            self.process(name, GateRole::Gate, name, &policy.argv)?;
        }
        if let Some(pinned) = shares {
            self.pin_on_head(pinned)?;
        }
        if !canary_done {
            self.add_canary(policy)?;
            self.process(name, GateRole::Canary, name, &canary_argv(policy))?;
        }
        self.gate_before(name, policy)
    }

    /// Asks the tree before a reverted commit whether it was red already, where the gate is red now.
    fn gate_before(&self, name: &str, policy: &GatePolicy) -> Result<(), ServiceError> {
        let Some(before) = &self.before else {
            return Ok(());
        };
        let of_gate = |r: &&GateResult| r.gate == name && r.role == GateRole::Gate;
        let results = self.results();
        let red = results
            .iter()
            .find(of_gate)
            .is_some_and(|result| !result.failed_tests.is_empty());
        if !red || self.has(name, GateRole::GateOnParent) {
            return Ok(());
        }
        self.fill(before, &policy.argv)?;
        self.process_on(before, name, GateRole::GateOnParent, name, &policy.argv)
    }

    /// True when a process on the claim's tree has its result, from this run or an earlier one.
    fn done(
        &self,
        gate: &str,
        role: GateRole,
        policy_name: &str,
        argv: &[String],
    ) -> Result<bool, ServiceError> {
        Ok(self.has(gate, role)
            || self.reuse(&self.claim.body.tree, gate, role, policy_name, argv)?)
    }

    /// Takes over a result that passed, of an earlier gate run with the same change, pinned test,
    /// tree, arguments, environment and toolchain: it would be the same again.
    fn reuse(
        &self,
        tree: &str,
        gate: &str,
        role: GateRole,
        policy_name: &str,
        argv: &[String],
    ) -> Result<bool, ServiceError> {
        let Some(policy) = self.policy().gate.get(policy_name) else {
            return Ok(false);
        };
        let environment = self.environment(policy)?.digest;
        let key = ReuseKey {
            body: &self.claim.body,
            tree,
            gate,
            role,
            argv,
            environment: &environment,
        };
        let found = self.shared.core().state.reusable_result(&key);
        let Some(result) = found else {
            return Ok(false);
        };
        self.say(&format!("{gate}, {}: as before", role.as_str()));
        self.shared.append(
            &daemon(),
            Event::GateFinished {
                gate_run_id: self.gate_run.clone(),
                result: Box::new(result),
            },
        )?;
        Ok(true)
    }

    /// What decides conditions on code in this gate's build.
    fn conditions(&self, policy: &GatePolicy, argv: &[String]) -> Result<Conditions, ServiceError> {
        let members = self.members().unwrap_or_default();
        let member = members.iter().find(|member| member.name == policy.package);
        let Some(folder) = member.map(|member| member.folder.as_str()) else {
            return Ok(Conditions::default());
        };
        let path = match folder {
            "" => "Cargo.toml".to_owned(),
            folder => format!("{folder}/Cargo.toml"),
        };
        let manifest = self
            .shared
            .reader()?
            .blob_at(&self.claim.body.tree, &path)?;
        let manifest = String::from_utf8_lossy(&manifest.unwrap_or_default()).into_owned();
        Ok(Conditions::of(argv, folder, &manifest, &self.target))
    }

    fn add_canary(&self, policy: &GatePolicy) -> Result<(), ServiceError> {
        let members = self.members()?;
        let folder = members
            .iter()
            .find(|member| member.name == policy.package)
            .map_or("", |member| member.folder.as_str());
        let (path, source) = canary_test_source(folder, self.gate_run.as_str());
        self.room.add_file(&path, source.as_bytes())?;
        Ok(())
    }

    /// Members of the tree in the room, by cargo's answer to the first question since it was filled.
    fn members(&self) -> Result<Rc<Members>, RepoError> {
        if let Some(known) = self.members.borrow().as_ref() {
            return Ok(Rc::clone(known));
        }
        let shared = self.shared;
        let asked = shared
            .cargo_home
            .members(&self.room, &shared.toolchain, self.cancel)?;
        let members = Rc::new(asked);
        *self.members.borrow_mut() = Some(Rc::clone(&members));
        Ok(members)
    }

    fn fill(&self, tree: &str, argv: &[String]) -> Result<(), ServiceError> {
        self.say("dependencies");
        *self.members.borrow_mut() = None;
        let room = &self.room;
        let (shared, policy) = (self.shared, self.policy());
        prepare(
            shared,
            policy,
            room,
            &self.base_tree,
            tree,
            argv,
            self.cancel,
        )?;
        self.note_filled()
    }

    fn say(&self, what: &str) {
        let done = u64::try_from(self.results().len()).unwrap_or(0);
        let text = format!("gates of {}: {what}", self.claim.id);
        self.shared.queue.set_activity(text, done, Some(self.total));
        self.shared.wake();
    }

    /// Runs one process on the claim's tree.
    fn process(
        &self,
        gate: &str,
        role: GateRole,
        policy_name: &str,
        argv: &[String],
    ) -> Result<(), ServiceError> {
        self.process_on(&self.claim.body.tree, gate, role, policy_name, argv)
    }

    /// Runs one process, judges it and journals the result.
    fn process_on(
        &self,
        tree: &str,
        gate: &str,
        role: GateRole,
        policy_name: &str,
        argv: &[String],
    ) -> Result<(), ServiceError> {
        let Some(policy) = self.policy().gate.get(policy_name) else {
            return Ok(());
        };
        // Before the process: it runs code of the tree, which may change what cargo would say.
        let members = self.members().unwrap_or_default();
        self.say(&format!("{gate}, {}", role.as_str()));
        let ended = self.execute(gate, role, policy, argv)?;
        if ended.exit == ProcessExit::Cancelled {
            return Err(ServiceError::Cancelled);
        }
        let result = self.judge(tree, (gate, role), policy, argv, &ended, &members)?;
        self.shared.append(
            &daemon(),
            Event::GateFinished {
                gate_run_id: self.gate_run.clone(),
                result: Box::new(result),
            },
        )
    }

    fn judge(
        &self,
        tree: &str,
        (gate, role): (&str, GateRole),
        policy: &GatePolicy,
        argv: &[String],
        ended: &Ended,
        members: &Members,
    ) -> Result<GateResult, ServiceError> {
        let read = compiled::read(&self.room, self.shared, members);
        let conditions = match self.conditional.is_empty() {
            true => Conditions::default(),
            false => self.conditions(policy, argv)?,
        };
        let pin = self.claim.body.pinned_test.as_ref();
        let none: &[String] = &[];
        let mut result = judge(&GateRun {
            gate,
            role,
            argv,
            tree,
            exit: ended.exit,
            duration_ms: ended.duration_ms,
            transcript: Some(ended.transcript.clone()),
            environment: ended.environment.clone(),
            observations: &ended.scan.observations,
            tail: &ended.tail,
            test: pin
                .filter(|_| role.is_pinned())
                .map(|pin| pin.name.as_str()),
            compiled: &read.compiled,
            build_inputs: &read.build_inputs,
            changed: if role.on_head() {
                self.changed.as_slice()
            } else {
                none
            },
            conditional: &self.conditional,
            conditions: &conditions,
            listed: ended.listed.as_ref(),
            when: if role == GateRole::Gate {
                policy.when.as_slice()
            } else {
                none
            },
        });
        let found = Disturbance {
            changed: self.changed_since_filled()?,
            outside: read.outside,
            left: ended.left,
            dependencies: self.dependencies_written()?,
        };
        disturbed(&mut result, &found);
        Ok(result)
    }

    /// Judges all results together and journals the end of the gate run.
    fn finish(&self, mut refused: Vec<Refusal>) -> Result<(), ServiceError> {
        let claim = {
            let core = self.shared.core();
            core.state.claims.get(&self.claim.id).cloned()
        };
        let Some(claim) = claim else { return Ok(()) };
        let circumstances = Circumstances {
            claim: Some(&claim),
            remote_tip: Some(claim.body.parent.clone()),
            forge: None,
        };
        let gathered = gather(self.shared, &claim.body, &circumstances)?;
        let decision = decide(&gathered.input, &gathered.base.rulebook, Stage::Gates);
        refused.extend(decision.refused().cloned());
        let gates_digest = discipline::decision::gates_digest(&self.results())?;
        self.shared.append(
            &daemon(),
            Event::GatesFinished {
                gate_run_id: self.gate_run.clone(),
                gates_digest,
                refused,
            },
        )
    }

    /// Something kept the gates from ending. While the service stops they stay live, to be resumed.
    fn stopped(&self, error: ServiceError) -> Result<(), ServiceError> {
        if self.shared.queue.stopping() {
            return Ok(());
        }
        let reason = match &error {
            ServiceError::Cancelled | ServiceError::Repo(repo::RepoError::Cancelled { .. }) => {
                "cancelled by the caller".to_owned()
            }
            other => other.to_string(),
        };
        self.shared.append(
            &daemon(),
            Event::GatesCancelled {
                gate_run_id: self.gate_run.clone(),
                reason,
            },
        )
    }
}
