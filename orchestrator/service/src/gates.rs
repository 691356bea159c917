//! Gates of a claim: the daemon runs them itself, in a clean room, and journals each as it ends, so
//! that a killed daemon goes on with the first one that has no result.
//!
//! A room is filled and its dependencies are cloned once per gate; the gate, the pinned test that
//! shares its build and its canary run there in this order, so that what the gate covers is read
//! before anything else builds there.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use attest::claim::ClaimBody;
use attest::digest::Digest;
use ci::{Workplace, command_line, environment_of};
use discipline::decision::Stage;
use discipline::event::Event;
use discipline::gates::{
    GateRun, PINNED_GATE, PinnedGate, canary_argv, canary_test_source, judge, needs_coverage,
    pinned_gate,
};
use discipline::model::{ClaimId, GateResult, GateRole, GateRunId, LogRef, ProcessExit, Refusal};
use discipline::policy::{GatePolicy, Policy};
use discipline::rules::decide;
use discipline::state::{Claim, ClaimPhase, GateRunStatus};
use exec::{Command, Exit, Lease, Outcome, Supervision, TryLease, run};
use markers::{Catalogue, Scan, Scanner};
use repo::Room;
use state::LogWriter;
use verify::BaseFacts;

use crate::compiled;
use crate::facts::{Circumstances, gather};
use crate::runs::{ROOM, prepare};
use crate::shared::{Shared, daemon};
use crate::staging;
use crate::{Cancel, ServiceError};

/// Longest wait for a device that somebody else uses.
const LEASE_WAIT: Duration = Duration::from_secs(3600);
/// A transcript larger than this ends its gate.
const OUTPUT_CAP: u64 = 4 << 30;
/// End of a transcript that messages are taken from.
const TAIL: usize = 32 << 10;

/// Everything that one claim's gates need.
struct Bench<'a> {
    shared: &'a Shared,
    claim: &'a Claim,
    base: &'a BaseFacts,
    base_tree: String,
    /// Changed files that some gate has to compile.
    changed: Vec<String>,
    room: Room,
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
    let diff = verify::change_facts(&reader, &base_tree, &claim.body, &base.facts.policy)?;
    let bench = Bench {
        shared,
        claim: &claim,
        base: &base,
        base_tree,
        changed: needs_coverage(&diff.changed, &base.facts.policy),
        room: shared.rooms.room(ROOM),
        total: total(&claim.body),
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
fn total(body: &ClaimBody) -> u64 {
    let pins = if body.pinned_test.is_some() { 2 } else { 0 };
    pins + 2 * u64::try_from(body.gates.len()).unwrap_or(0)
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
        }
        let mut names: Vec<&String> = self.claim.body.gates.iter().collect();
        names.sort();
        names.dedup();
        for name in names {
            self.gate(name, pinned.as_ref())?;
        }
        if let Some(pinned) = &pinned
            && !self.has(PINNED_GATE, GateRole::PinOnHead)
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
        let Some(pin) = &self.claim.body.pinned_test else {
            return Ok(());
        };
        self.fill(&self.base_tree, &pinned.argv)?;
        let head = &self.claim.body.tree;
        self.room.overlay(&self.shared.repo, head, &pin.files)?;
        self.process(PINNED_GATE, GateRole::PinOnBase, &pinned.gate, &pinned.argv)
    }

    fn pin_on_head(&self, pinned: &PinnedGate) -> Result<(), ServiceError> {
        if self.has(PINNED_GATE, GateRole::PinOnHead) {
            return Ok(());
        }
        self.process(PINNED_GATE, GateRole::PinOnHead, &pinned.gate, &pinned.argv)
    }

    fn gate(&self, name: &str, pinned: Option<&PinnedGate>) -> Result<(), ServiceError> {
        let Some(policy) = self.policy().gate.get(name) else {
            return Ok(());
        };
        let shares = pinned.filter(|pinned| pinned.gate == name);
        let pin_done = shares.is_none() || self.has(PINNED_GATE, GateRole::PinOnHead);
        let gate_done = self.has(name, GateRole::Gate);
        let canary_done = self.has(name, GateRole::Canary);
        if pin_done && gate_done && canary_done {
            return Ok(());
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
        Ok(())
    }

    fn add_canary(&self, policy: &GatePolicy) -> Result<(), ServiceError> {
        let members =
            self.shared
                .cargo_home
                .members(&self.room, &self.shared.toolchain, self.cancel)?;
        let folder = members
            .iter()
            .find(|member| member.name == policy.package)
            .map_or("", |member| member.folder.as_str());
        let (path, source) = canary_test_source(folder, self.gate_run.as_str());
        self.room.add_file(&path, source.as_bytes())?;
        Ok(())
    }

    fn fill(&self, tree: &str, argv: &[String]) -> Result<(), ServiceError> {
        self.say("dependencies");
        let room = &self.room;
        prepare(self.shared, room, &self.base_tree, tree, argv, self.cancel)?;
        Ok(())
    }

    fn say(&self, what: &str) {
        let done = u64::try_from(self.results().len()).unwrap_or(0);
        let text = format!("gates of {}: {what}", self.claim.id);
        self.shared.queue.set_activity(text, done, Some(self.total));
        self.shared.wake();
    }

    /// Runs one process, judges it and journals the result.
    fn process(
        &self,
        gate: &str,
        role: GateRole,
        policy_name: &str,
        argv: &[String],
    ) -> Result<(), ServiceError> {
        let Some(policy) = self.policy().gate.get(policy_name) else {
            return Ok(());
        };
        self.say(&format!("{gate}, {}", crate::views::role_word(role)));
        let ended = self.execute(gate, role, policy, argv)?;
        if ended.exit == ProcessExit::Cancelled {
            return Err(ServiceError::Cancelled);
        }
        let result = self.judge(gate, role, policy, argv, &ended)?;
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
        gate: &str,
        role: GateRole,
        policy: &GatePolicy,
        argv: &[String],
        ended: &Ended,
    ) -> Result<GateResult, ServiceError> {
        let on_head = role != GateRole::PinOnBase;
        let read = compiled::read(&self.room, self.shared, self.cancel)?;
        let pin = self.claim.body.pinned_test.as_ref();
        let pinned = matches!(role, GateRole::PinOnBase | GateRole::PinOnHead);
        let none: &[String] = &[];
        Ok(judge(&GateRun {
            gate,
            role,
            argv,
            tree: if on_head {
                &self.claim.body.tree
            } else {
                &self.base_tree
            },
            exit: ended.exit,
            duration_ms: ended.duration_ms,
            transcript: Some(ended.transcript.clone()),
            environment: ended.environment.clone(),
            observations: &ended.scan.observations,
            tail: &ended.tail,
            test: pin.filter(|_| pinned).map(|pin| pin.name.as_str()),
            compiled: &read.compiled,
            build_inputs: &read.build_inputs,
            changed: if on_head {
                self.changed.as_slice()
            } else {
                none
            },
            when: if role == GateRole::Gate {
                policy.when.as_slice()
            } else {
                none
            },
        }))
    }

    fn execute(
        &self,
        gate: &str,
        role: GateRole,
        policy: &GatePolicy,
        argv: &[String],
    ) -> Result<Ended, ServiceError> {
        let shared = self.shared;
        let (tree, target, home) = (self.room.tree(), self.room.target(), self.room.home());
        let place = Workplace {
            tree: &tree,
            target: &target,
            home: &home,
            cargo_home: shared.cargo_home.path(),
        };
        let environment = &shared.config.machine.environment;
        let env = environment_of(
            &place,
            &shared.toolchain,
            environment,
            &policy.pass_env,
            &policy.env,
        )?;
        let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let (program, args) = command_line(argv, &shared.toolchain, &path)?;
        let digest = environment_digest(&env, &shared.toolchain.digest());
        let command = Command::new(program, &tree)
            .args(args)
            .envs(env)
            .wall_timeout(Duration::from_secs(policy.timeout_s))
            .output_limit(OUTPUT_CAP);
        let purpose = format!(
            "gate {gate} of {} ({})",
            self.claim.id,
            crate::views::role_word(role)
        );
        let lease = self.lease(policy, &purpose)?;
        let mut transcript = Transcript::new(shared, &self.base.rulebook.catalogue)?;
        let outcome = self.supervise(&command, &purpose, lease.as_ref(), &mut transcript)?;
        let (log, scan, tail) = transcript.close(outcome.exit != Exit::OutputLimit)?;
        crate::observe::keep_scan(shared, &log.log_id, &scan);
        Ok(Ended {
            exit: process_exit(outcome.exit),
            duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
            transcript: log,
            scan,
            tail,
            environment: digest,
        })
    }

    fn lease(&self, policy: &GatePolicy, purpose: &str) -> Result<Option<Lease>, ServiceError> {
        if !policy.gpu {
            return Ok(None);
        }
        let path = self.shared.lease_path();
        match Lease::acquire(&path, purpose, LEASE_WAIT, self.cancel)? {
            TryLease::Acquired(lease) => Ok(Some(lease)),
            TryLease::Held(_) if self.cancel.is_cancelled() => Err(ServiceError::Cancelled),
            TryLease::Held(holder) => Err(ci::CiError::LeaseHeld {
                purpose: holder.purpose,
                pid: holder.pid,
            }
            .into()),
        }
    }

    fn supervise(
        &self,
        command: &Command,
        purpose: &str,
        lease: Option<&Lease>,
        sink: &mut dyn Write,
    ) -> Result<Outcome, ServiceError> {
        let mut group = None;
        let mut on_spawn = |started: &exec::Group| {
            group = Some(started.clone());
            self.shared.group_started(started, purpose)
        };
        let outcome = run(
            command,
            sink,
            Supervision {
                cancel: self.cancel,
                lease,
                clock: Some(&SystemTime::now),
                on_spawn: Some(&mut on_spawn),
                on_progress: None,
            },
        );
        if let Some(group) = &group {
            self.shared.group_ended(group);
        }
        Ok(outcome?)
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

/// One process as it ended.
struct Ended {
    exit: ProcessExit,
    duration_ms: u64,
    transcript: LogRef,
    scan: Scan,
    tail: String,
    environment: Digest,
}

fn process_exit(exit: Exit) -> ProcessExit {
    match exit {
        Exit::Exited(code) => ProcessExit::Code(code),
        Exit::Signaled(signal) => ProcessExit::Signal(signal),
        Exit::TimedOut | Exit::OutputLimit => ProcessExit::TimedOut,
        Exit::Cancelled => ProcessExit::Cancelled,
    }
}

/// What a gate saw of the machine, in one digest.
fn environment_digest(env: &BTreeMap<OsString, OsString>, toolchain: &str) -> Digest {
    let mut text = format!("{toolchain}\n");
    for (name, value) in env {
        text.push_str(&format!("{}={}\n", name.display(), value.display()));
    }
    Digest::of(text.as_bytes())
}

/// A transcript on its way into the store, scanned in passing, its end kept for messages.
struct Transcript<'a> {
    writer: LogWriter,
    scanner: Scanner<'a>,
    tail: Vec<u8>,
}

impl<'a> Transcript<'a> {
    fn new(shared: &Shared, catalogue: &'a Catalogue) -> Result<Transcript<'a>, ServiceError> {
        Ok(Transcript {
            writer: shared.evidence.log_writer()?,
            scanner: Scanner::new(catalogue),
            tail: Vec::new(),
        })
    }

    fn close(self, complete: bool) -> Result<(LogRef, Scan, String), ServiceError> {
        let entry = self.writer.finish()?;
        let log = LogRef {
            log_id: entry.digest,
            bytes: entry.bytes,
            lines: entry.lines,
            complete,
        };
        let tail = String::from_utf8_lossy(&self.tail)
            .lines()
            .map(unstamped)
            .collect::<Vec<_>>()
            .join("\n");
        Ok((log, self.scanner.finish(), tail))
    }
}

/// A line without the stamp that [`exec::format_stamp`] put in front of it.
fn unstamped(line: &str) -> &str {
    const STAMP: usize = "2000-01-01T00:00:00.0000000Z ".len();
    match line.get(..STAMP) {
        Some(stamp) if stamp.ends_with("Z ") => &line[STAMP..],
        _ => line,
    }
}

impl Write for Transcript<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write_all(bytes)?;
        self.scanner.push(bytes);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
