//! One gate process: command, environment, lease, transcript.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use attest::digest::Digest;
use ci::{Workplace, command_line, environment_of};
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

impl Bench<'_> {
    pub(super) fn execute(
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
        let purpose = format!("gate {gate} of {} ({})", self.claim.id, role.as_str());
        let lease = self.lease(policy, &purpose)?;
        let mut transcript = Transcript::new(shared, &self.base.rulebook.catalogue)?;
        let watch = Watch {
            cancel: self.cancel,
            lease: lease.as_ref(),
            stamped: true,
        };
        let outcome = supervised(shared, &command, &purpose, &mut transcript, watch)?;
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
}

/// One process as it ended.
pub(super) struct Ended {
    pub(super) exit: ProcessExit,
    pub(super) duration_ms: u64,
    pub(super) transcript: LogRef,
    pub(super) scan: Scan,
    pub(super) tail: String,
    pub(super) environment: Digest,
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
