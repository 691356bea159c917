//! One cell: one process, one log, one job.

use std::ffi::OsStr;
use std::time::Duration;

use discipline::model::{Conclusion, Job, ProcessExit, RunStatus, Step, WhyEmpty};
use discipline::policy::CellPolicy;
use exec::{Command, Exit, Group, Lease, Outcome, Supervision, run};

use super::log::CellLog;
use super::{CellOutcome, CellProgress, Hooks, ScopeRun, Sink, command_line, environment_of};
use crate::CiError;

/// A log larger than this ends its cell; it is then marked incomplete.
const OUTPUT_CAP: u64 = 8 << 30;

pub(super) fn run_cell(
    run: &ScopeRun<'_>,
    cell: &CellPolicy,
    (index, total): (usize, usize),
    lease: Option<&Lease>,
    sink: &mut dyn Sink,
    hooks: &mut Hooks<'_>,
) -> Result<CellOutcome, CiError> {
    let command = command_of(run, cell)?;
    let failed = |source| CiError::Sink {
        cell: cell.name.clone(),
        source,
    };
    let mut log = CellLog::new(sink.open(&cell.name).map_err(failed)?, run.catalogue);
    log.header(&run.policy.argv, &command, cell, hooks.clock)
        .map_err(failed)?;
    let outcome = execute(run, &command, cell, (index, total), lease, &mut log, hooks)?;
    log.footer(&outcome, hooks.clock).map_err(failed)?;
    let complete = outcome.exit != Exit::OutputLimit;
    let (log_ref, scan) = log.close(complete).map_err(failed)?;
    let step = Step {
        name: step_name(&run.policy.argv),
        exit: process_exit(outcome.exit),
        duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
    };
    let wrote = outcome.stdout_bytes + outcome.stderr_bytes > 0;
    Ok(CellOutcome {
        job: Job {
            cell: cell.name.clone(),
            status: RunStatus::Completed,
            conclusion: Some(conclusion(outcome.exit)),
            steps: vec![step],
            log: Some(log_ref),
            why_empty: (!wrote).then_some(WhyEmpty::ZeroBytes),
            outranked: Vec::new(),
            forge: None,
        },
        scan: Some(scan),
    })
}

fn command_of(run: &ScopeRun<'_>, cell: &CellPolicy) -> Result<Command, CiError> {
    let env = environment_of(
        &run.place,
        run.toolchain,
        run.environment,
        &run.policy.pass_env,
        &cell.env,
    )?;
    let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let (program, args) = command_line(&run.policy.argv, run.toolchain, &path)?;
    Ok(Command::new(program, run.place.tree)
        .args(args)
        .envs(env)
        .wall_timeout(Duration::from_secs(run.policy.timeout_s))
        .output_limit(OUTPUT_CAP))
}

fn execute(
    run_of: &ScopeRun<'_>,
    command: &Command,
    cell: &CellPolicy,
    (index, total): (usize, usize),
    lease: Option<&Lease>,
    log: &mut CellLog<'_>,
    hooks: &mut Hooks<'_>,
) -> Result<Outcome, CiError> {
    let purpose = format!("run of scope {}, cell {}", run_of.scope, cell.name);
    let mut group: Option<Group> = None;
    let on_group = &mut *hooks.on_group;
    let mut on_spawn = |started: &Group| {
        group = Some(started.clone());
        on_group(started, &purpose)
    };
    let on_progress = &mut *hooks.on_progress;
    let mut progress = |now: exec::Progress| {
        on_progress(&CellProgress {
            cell: cell.name.clone(),
            index,
            total,
            lines: now.lines,
            elapsed: now.elapsed,
        });
    };
    let outcome = run(
        command,
        log,
        Supervision {
            cancel: hooks.cancel,
            lease,
            clock: Some(hooks.clock),
            on_spawn: Some(&mut on_spawn),
            on_progress: Some(&mut progress),
        },
    );
    if let Some(group) = &group {
        (hooks.off_group)(group);
    }
    Ok(outcome?)
}

/// `cargo test`, `make`, …: the program and its first word.
fn step_name(argv: &[String]) -> String {
    let words: Vec<&str> = argv.iter().take(2).map(String::as_str).collect();
    words.join(" ")
}

fn process_exit(exit: Exit) -> ProcessExit {
    match exit {
        Exit::Exited(code) => ProcessExit::Code(code),
        Exit::Signaled(signal) => ProcessExit::Signal(signal),
        // Both are limits of ours; the log's completeness tells them apart.
        Exit::TimedOut | Exit::OutputLimit => ProcessExit::TimedOut,
        Exit::Cancelled => ProcessExit::Cancelled,
    }
}

fn conclusion(exit: Exit) -> Conclusion {
    match exit {
        Exit::Exited(0) => Conclusion::Success,
        Exit::Exited(_) | Exit::Signaled(_) | Exit::OutputLimit => Conclusion::Failure,
        Exit::TimedOut => Conclusion::TimedOut,
        Exit::Cancelled => Conclusion::Cancelled,
    }
}
