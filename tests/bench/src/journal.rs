//! A state folder of many events, opened cold.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use discipline::event::Event;
use discipline::model::{Run, RunId, RunStatus, Trigger};
use discipline::state::LoopState;
use discipline::step::{step, step_durably};
use state::{Anchor, OpenOptions, Record, StateDir};

use crate::table::{Row, at_most, print, within};

/// What opening and folding 100,000 events may take.
const BOUND: Duration = Duration::from_millis(150);
const EVENTS_OF_BOUND: u64 = 100_000;

/// Root commit and remote of a state that no daemon opens.
const NOBODY: (&str, &str) = ("0123456789012345678901234567890123456789", "bench");
/// Events after a kept fold at most, as the daemon keeps them.
const TAIL: u64 = 2_000;
/// Appends that are timed at once, and how often.
const APPENDS: u64 = 500;
const ROUNDS: u64 = 9;

pub(crate) fn run(runs: u64, events: u64) -> anyhow::Result<()> {
    // In memory where that is possible: the disk's syncs are another measurement.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let root = folder.path().join("state");
    let mut options = OpenOptions::new(0);
    options.reserve_bytes = 1 << 20;
    let (mut dir, mut state) = created(&root, &options, NOBODY)?;
    for number in 0..events {
        if number + TAIL == events {
            dir.keep_fold("bench", 0, (0, "bench"), &state)?;
        }
        append(&mut dir, &mut state, of(number % runs, number))?;
    }
    drop(dir);
    let cold = opened(&root, &options, "bench", &state)?;
    let anew = opened(&root, &options, "another build", &state)?;
    ensure!(
        state.runs.len() as u64 == runs.min(events),
        "runs are missing"
    );
    let start = Instant::now();
    let latest = state.runs.values().max_by_key(|run| run.created_ms);
    let found = start.elapsed();
    ensure!(
        latest
            .is_some_and(|run| run.created_ms == i64::try_from(runs.min(events) - 1).unwrap_or(0))
    );
    let mut one = LoopState::default();
    step(
        &mut one,
        &Event::StateCreated {
            root_commit: String::new(),
            remote: String::new(),
        },
    )?;
    step(&mut one, &Event::RunChanged { run: of(0, 0) })?;
    // One after the other on the same journal, so that what else the machine does meets both.
    let (mut many, mut few) = (Duration::MAX, Duration::MAX);
    let mut dir = StateDir::open(&root, &options)?;
    for _ in 0..ROUNDS {
        few = few.min(appends(&mut dir, &mut one)?);
        many = many.min(appends(&mut dir, &mut state)?);
    }
    let scaled = |time: Duration| time.mul_f64(EVENTS_OF_BOUND as f64 / events.max(1) as f64);
    let mut rows = vec![
        within(
            "100,000 events opened cold, chain checked".to_owned(),
            scaled(cold),
            BOUND,
        ),
        within(
            format!("latest of {runs} runs"),
            found,
            Duration::from_millis(5),
        ),
        at_most(
            format!("an append among {runs} runs / among one"),
            many.as_secs_f64() / few.as_secs_f64().max(1e-6),
            1.5,
        ),
    ];
    rows.push(Row {
        what: "the same by another build, all folded anew".to_owned(),
        measured: format!("{:.2} ms", scaled(anew).as_secs_f64() * 1e3),
        bound: "–".to_owned(),
        holds: true,
    });
    let missed = print(&rows, &mut std::io::stdout())?;
    ensure!(missed == 0, "{missed} of {} bounds are missed", rows.len());
    Ok(())
}

/// A new state folder of the repository with this root commit and remote.
pub(crate) fn created(
    root: &Path,
    options: &OpenOptions,
    (root_commit, remote): (&str, &str),
) -> anyhow::Result<(StateDir, LoopState)> {
    let mut dir = StateDir::open(root, options)?;
    let mut state = LoopState::default();
    let created = Event::StateCreated {
        root_commit: root_commit.to_owned(),
        remote: remote.to_owned(),
    };
    step(&mut state, &created)?;
    dir.journal
        .append(&Record::event(0, 0, "bench", created), Anchor::Now)?;
    Ok((dir, state))
}

/// As the daemon appends: judged, made durable, counted.
pub(crate) fn append(dir: &mut StateDir, state: &mut LoopState, run: Run) -> anyhow::Result<()> {
    let at_ms = run.created_ms;
    let event = Event::RunChanged { run };
    let record = Record::event(at_ms, 0, "bench", event.clone());
    step_durably(state, &event, || -> anyhow::Result<()> {
        dir.journal.append(&record, Anchor::Due)?;
        Ok(())
    })
}

/// A start: everything that must be done before the first question.
fn opened(
    root: &Path,
    options: &OpenOptions,
    build: &str,
    expected: &LoopState,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let dir = StateDir::open(root, options)?;
    let kept = dir.kept_fold::<LoopState>(build);
    let (mut state, from) = kept.map_or_else(Default::default, |kept| (kept.fold, kept.seq));
    for logged in dir.journal.iter_from(from + 1) {
        if let Some(event) = logged?.record.as_event() {
            step(&mut state, event)?;
        }
    }
    let time = start.elapsed();
    ensure!(state == *expected, "another state was opened");
    Ok(time)
}

/// Time of some appends to a state of this size.
fn appends(dir: &mut StateDir, state: &mut LoopState) -> anyhow::Result<Duration> {
    let start = Instant::now();
    for _ in 0..APPENDS {
        append(dir, state, of(0, 1))?;
    }
    Ok(start.elapsed())
}

pub(crate) fn of(run: u64, event: u64) -> Run {
    let digest = |text: &str| format!("{text}{run:036x}");
    Run {
        run_id: RunId::from(format!("R{}", run + 1).as_str()),
        source: "local".to_owned(),
        scope: "vulkan_kernel_correctness".to_owned(),
        attempt: 1,
        head_sha: digest("abcd"),
        tree: digest("ef01"),
        trigger: Trigger::Manual,
        status: if event == run {
            RunStatus::Queued
        } else {
            RunStatus::InProgress
        },
        conclusion: None,
        jobs: Vec::new(),
        artifacts: Vec::new(),
        forge: None,
        created_ms: i64::try_from(run).unwrap_or(i64::MAX),
        finished_ms: None,
    }
}
