//! One gate process: command, environment, lease, transcript.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::Duration;

use attest::digest::Digest;
use ci::{Workplace, command_line, environment_of};
use discipline::gates::{Listed, list_argv};
use discipline::model::{GateRole, LogRef, ProcessExit};
use discipline::policy::GatePolicy;
use exec::{Command, Exit, Lease, TryLease};
use markers::Scan;

use super::Bench;
use crate::ServiceError;
use crate::room::{Watch, supervised};
use crate::store::Transcript;

/// Longest wait for a device that somebody else uses.
const LEASE_WAIT: Duration = Duration::from_secs(3600);
/// A transcript larger than this ends its gate.
const OUTPUT_CAP: u64 = 4 << 30;
/// A list of tests that is longer is not read.
const LIST_CAP: usize = 16 << 20;

impl Bench<'_> {
    /// What a process of this gate sees of the machine.
    pub(super) fn environment(&self, policy: &GatePolicy) -> Result<Environment, ServiceError> {
        let shared = self.shared;
        let (tree, target, home) = (self.room.tree(), self.room.target(), self.room.home());
        let place = Workplace {
            tree: &tree,
            target: &target,
            home: &home,
            cargo_home: shared.cargo_home.path(),
        };
        let env = environment_of(
            &place,
            &shared.toolchain,
            &shared.config.machine.environment,
            &policy.pass_env,
            &policy.env,
        )?;
        let digest = environment_digest(&env, &shared.toolchain.digest());
        Ok(Environment { env, digest })
    }

    pub(super) fn execute(
        &self,
        gate: &str,
        role: GateRole,
        policy: &GatePolicy,
        argv: &[String],
    ) -> Result<Ended, ServiceError> {
        let shared = self.shared;
        let environment = self.environment(policy)?;
        let command = self.command(policy, argv, &environment)?;
        let purpose = format!("gate {gate} of {} ({})", self.claim.id, role.as_str());
        let lease = self.lease(policy, &purpose)?;
        let mut transcript = Transcript::new(shared, &self.base.rulebook.catalogue)?;
        let watch = Watch {
            cancel: self.cancel,
            lease: lease.as_ref(),
            stamped: true,
        };
        let outcome = supervised(shared, &command, &purpose, &mut transcript, watch)?;
        let listing = list_argv(argv)
            .filter(|_| role == GateRole::Gate && outcome.exit == Exit::Exited(0))
            .map(|argv| self.command(policy, &argv, &environment))
            .transpose()?;
        let listed = match &listing {
            Some(command) => Some(self.list(command, &purpose, &mut transcript, lease.as_ref())?),
            None => None,
        };
        let (log, scan, tail) = transcript.close(outcome.exit != Exit::OutputLimit)?;
        crate::observe::keep_scan(shared, &log.log_id, &scan);
        Ok(Ended {
            exit: process_exit(outcome.exit),
            duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
            transcript: log,
            scan,
            tail,
            environment: environment.digest,
            left: self.end_strays()?,
            listed,
        })
    }

    fn command(
        &self,
        policy: &GatePolicy,
        argv: &[String],
        environment: &Environment,
    ) -> Result<Command, ServiceError> {
        let env = &environment.env;
        let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let (program, args) = command_line(argv, &self.shared.toolchain, &path)?;
        Ok(Command::new(program, self.room.tree())
            .args(args)
            .envs(env.clone())
            .wall_timeout(Duration::from_secs(policy.timeout_s))
            .output_limit(OUTPUT_CAP))
    }

    /// Asks the gate's binaries what they hold. The answer stands at the end of the transcript.
    fn list(
        &self,
        command: &Command,
        purpose: &str,
        transcript: &mut Transcript<'_>,
        lease: Option<&Lease>,
    ) -> Result<Listed, ServiceError> {
        let mut listing = Listing {
            transcript,
            bytes: Vec::new(),
        };
        let watch = Watch {
            cancel: self.cancel,
            lease,
            stamped: false,
        };
        let purpose = format!("{purpose}, inventory");
        let outcome = supervised(self.shared, command, &purpose, &mut listing, watch)?;
        if outcome.exit == Exit::Cancelled {
            return Err(ServiceError::Cancelled);
        }
        if outcome.exit != Exit::Exited(0) {
            let why = format!("`--list` ended with {:?}", outcome.exit);
            return Ok(Listed::Unreadable(why));
        }
        if listing.bytes.len() >= LIST_CAP {
            let why = format!("`--list` printed more than {LIST_CAP} bytes");
            return Ok(Listed::Unreadable(why));
        }
        Ok(Listed::read(&String::from_utf8_lossy(&listing.bytes)))
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
}

/// What a process sees of the machine, and its digest with the toolchain's.
pub(super) struct Environment {
    env: BTreeMap<OsString, OsString>,
    pub(super) digest: Digest,
}

/// A list of tests on its way into the transcript, kept to be read.
struct Listing<'a, 'b> {
    transcript: &'a mut Transcript<'b>,
    bytes: Vec<u8>,
}

impl Write for Listing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LIST_CAP.saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.transcript.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.transcript.flush()
    }
}

/// One process as it ended.
pub(super) struct Ended {
    pub(super) exit: ProcessExit,
    pub(super) duration_ms: u64,
    pub(super) transcript: LogRef,
    pub(super) scan: Scan,
    pub(super) tail: String,
    pub(super) environment: Digest,
    /// Process groups that were left running, and were ended.
    pub(super) left: usize,
    /// What its binaries hold; `None` when they were not asked.
    pub(super) listed: Option<Listed>,
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
