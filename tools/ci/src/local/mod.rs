//! The `local` source: this machine is the runner.

mod cell;
mod log;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use attest::digest::Digest;
use discipline::model::{Conclusion, Environment, Job, LogRef, RunStatus, WhyEmpty};
use discipline::policy::{CellPolicy, ScopePolicy};
use exec::{Cancel, CleanEnv, Group, Lease, Toolchain, TryLease, clean_env, find_program};
use markers::{Catalogue, Scan};

use crate::CiError;

/// Where a run executes: folders of a clean room that the caller has filled.
#[derive(Debug, Clone, Copy)]
pub struct Workplace<'a> {
    /// Files of the commit's tree.
    pub tree: &'a Path,
    /// Where cargo builds.
    pub target: &'a Path,
    /// HOME of the processes.
    pub home: &'a Path,
    /// The daemon's cargo home.
    pub cargo_home: &'a Path,
}

/// One execution of a scope.
#[derive(Clone, Copy)]
pub struct ScopeRun<'a> {
    /// Name of the scope, for the lease and the log.
    pub scope: &'a str,
    /// The scope as policy of the commit's base describes it.
    pub policy: &'a ScopePolicy,
    /// Only this cell.
    pub only: Option<&'a str>,
    /// Where.
    pub place: Workplace<'a>,
    /// The pinned toolchain.
    pub toolchain: &'a Toolchain,
    /// Environment that `pass_env` picks from.
    pub environment: &'a BTreeMap<OsString, OsString>,
    /// Catalogue that the logs are scanned with.
    pub catalogue: &'a Catalogue,
    /// Lease file of the device, for scopes that need it.
    pub lease: Option<&'a Path>,
    /// How long to wait for the lease.
    pub lease_wait: Duration,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellProgress {
    /// Cell that executes.
    pub cell: String,
    /// Its index, from 0.
    pub index: usize,
    /// Number of cells.
    pub total: usize,
    /// Lines its log has so far.
    pub lines: u64,
    /// Since the cell began.
    pub elapsed: Duration,
}

/// Who is told what while a run executes.
pub struct Hooks<'a> {
    /// Ends the run: the process group is gone within two seconds.
    pub cancel: &'a Cancel,
    /// Where stamps come from.
    pub clock: &'a dyn Fn() -> SystemTime,
    /// A process group began; an error ends it.
    pub on_group: &'a mut dyn FnMut(&Group, &str) -> io::Result<()>,
    /// That group is gone.
    pub off_group: &'a mut dyn FnMut(&Group),
    /// Output arrived; may be called very often.
    pub on_progress: &'a mut dyn FnMut(&CellProgress),
    /// A cell ended.
    pub on_cell: &'a mut dyn FnMut(&CellOutcome),
}

/// Keeps logs.
pub trait Sink {
    /// Opens the log of a cell.
    ///
    /// # Errors
    /// The store cannot be written.
    fn open(&mut self, cell: &str) -> io::Result<Box<dyn LogSink + '_>>;

    /// Keeps bytes as they are; answers with their digest.
    ///
    /// # Errors
    /// They cannot be read, or the store cannot be written.
    fn blob(&mut self, bytes: &mut dyn Read) -> io::Result<Digest>;
}

/// One open log.
pub trait LogSink: Write {
    /// Closes the log; `complete` says that these are all the bytes there will ever be.
    ///
    /// # Errors
    /// The store cannot be written.
    fn close(self: Box<Self>, complete: bool) -> io::Result<LogRef>;
}

/// One cell of a finished run.
#[derive(Debug, Clone)]
pub struct CellOutcome {
    /// The job as the model keeps it.
    pub job: Job,
    /// What its log showed; `None` when it never ran.
    pub scan: Option<Scan>,
}

/// Executes the cells of a scope, one by one. A red cell does not stop the next one.
///
/// # Errors
/// The device is held by somebody else, a process cannot be started, or a log cannot be written.
/// A failing, cancelled or timed-out cell is an outcome.
pub fn run_scope(
    run: &ScopeRun<'_>,
    sink: &mut dyn Sink,
    hooks: &mut Hooks<'_>,
) -> Result<Vec<CellOutcome>, CiError> {
    let cells = cells_of(run.policy, run.only)?;
    let lease = take_lease(run, hooks)?;
    let mut outcomes = Vec::with_capacity(cells.len());
    for (index, policy) in cells.iter().enumerate() {
        let outcome = if hooks.cancel.is_cancelled() {
            never_started(&policy.name)
        } else {
            let position = (index, cells.len());
            cell::run_cell(run, policy, position, lease.as_ref(), sink, hooks)?
        };
        (hooks.on_cell)(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Cells of a scope; one named `default` when the policy lists none.
///
/// # Errors
/// `only` names none of them.
pub fn cells_of(policy: &ScopePolicy, only: Option<&str>) -> Result<Vec<CellPolicy>, CiError> {
    let mut cells = policy.cells.clone();
    if cells.is_empty() {
        cells.push(CellPolicy {
            name: "default".into(),
            env: Environment::new(),
            job: None,
        });
    }
    let Some(only) = only else { return Ok(cells) };
    let valid = cells.iter().map(|cell| cell.name.clone()).collect();
    cells.retain(|cell| cell.name == only);
    if cells.is_empty() {
        return Err(CiError::UnknownCell {
            cell: only.to_owned(),
            valid,
        });
    }
    Ok(cells)
}

/// The program and arguments that a policy's `argv` stands for: `cargo` is the pinned toolchain's
/// and gets `--offline --locked`; other programs are found in the clean PATH.
///
/// # Errors
/// The vector is empty, or the program is not installed.
pub fn command_line(
    argv: &[String],
    toolchain: &Toolchain,
    path: &OsStr,
) -> Result<(PathBuf, Vec<String>), CiError> {
    let (program, rest) = argv.split_first().ok_or(CiError::EmptyArgv)?;
    if program != "cargo" {
        let program = if program.starts_with('/') {
            PathBuf::from(program)
        } else {
            find_program(program, path)?
        };
        return Ok((program, rest.to_vec()));
    }
    let mut args = rest.to_vec();
    let before_dashes = args.iter().take_while(|arg| *arg != "--").count();
    let command = args.iter().position(|arg| !arg.starts_with('-'));
    let at = command.map_or(0, |index| index + 1).min(before_dashes);
    for flag in ["--offline", "--locked"] {
        if !args[..before_dashes].iter().any(|arg| arg == flag) {
            args.insert(at, flag.to_owned());
        }
    }
    Ok((toolchain.cargo.clone(), args))
}

/// The whole environment of a process in a room: the clean one, what `pass_env` names and what is
/// set for it.
///
/// # Errors
/// A name that would change what is built.
pub fn environment_of(
    place: &Workplace<'_>,
    toolchain: &Toolchain,
    environment: &BTreeMap<OsString, OsString>,
    pass_env: &[String],
    set: &Environment,
) -> Result<BTreeMap<OsString, OsString>, CiError> {
    let mut source = environment.clone();
    source.extend(set.iter().map(|(name, value)| (name.into(), value.into())));
    let allow: Vec<String> = pass_env.iter().chain(set.keys()).cloned().collect();
    let mut env = clean_env(&CleanEnv {
        toolchain,
        home: place.home,
        cargo_home: place.cargo_home,
        target_dir: place.target,
        allow: &allow,
        source: &source,
    })?;
    // Rooms are thrown away, so incremental data would only be written.
    env.insert("CARGO_INCREMENTAL".into(), "0".into());
    env.insert("CARGO_TERM_COLOR".into(), "never".into());
    Ok(env)
}

fn take_lease(run: &ScopeRun<'_>, hooks: &Hooks<'_>) -> Result<Option<Lease>, CiError> {
    let Some(path) = run.lease.filter(|_| run.policy.gpu) else {
        return Ok(None);
    };
    let purpose = format!("run of scope {}", run.scope);
    match Lease::acquire(path, &purpose, run.lease_wait, hooks.cancel)? {
        TryLease::Acquired(lease) => Ok(Some(lease)),
        TryLease::Held(_) if hooks.cancel.is_cancelled() => Err(CiError::Cancelled),
        TryLease::Held(holder) => Err(CiError::LeaseHeld {
            purpose: holder.purpose,
            pid: holder.pid,
        }),
    }
}

fn never_started(cell: &str) -> CellOutcome {
    CellOutcome {
        job: Job {
            cell: cell.to_owned(),
            status: RunStatus::Completed,
            conclusion: Some(Conclusion::Cancelled),
            steps: Vec::new(),
            log: None,
            why_empty: Some(WhyEmpty::NeverStarted),
            outranked: Vec::new(),
            forge: None,
        },
        scan: None,
    }
}
