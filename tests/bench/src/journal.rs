//! A state folder of many events, opened cold.

use std::time::{Duration, Instant};

use anyhow::ensure;
use discipline::event::Event;
use discipline::model::{Run, RunId, RunStatus, Trigger};
use discipline::state::LoopState;
use discipline::step::step;
use state::{Anchor, OpenOptions, Record, StateDir};

use crate::table::{print, within};

/// What opening and folding 100,000 events may take.
const BOUND: Duration = Duration::from_millis(150);
const EVENTS_OF_BOUND: u64 = 100_000;

pub(crate) fn run(runs: u64, events: u64) -> anyhow::Result<()> {
    // In memory where that is possible: the disk's syncs are another measurement.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let root = folder.path().join("state");
    let mut options = OpenOptions::new(0);
    options.reserve_bytes = 1 << 20;
    let mut dir = StateDir::open(&root, &options)?;
    let created = Event::StateCreated {
        root_commit: "0123456789012345678901234567890123456789".to_owned(),
        remote: "bench".to_owned(),
    };
    dir.journal
        .append(&Record::event(0, 0, "bench", created), Anchor::Now)?;
    for number in 0..events {
        let event = Event::RunChanged {
            run: of(number % runs, number),
        };
        let at_ms = i64::try_from(number)?;
        dir.journal
            .append(&Record::event(at_ms, 0, "bench", event), Anchor::Due)?;
    }
    drop(dir);
    let start = Instant::now();
    let dir = StateDir::open(&root, &options)?;
    let opened = start.elapsed();
    let start = Instant::now();
    let mut state = LoopState::default();
    for logged in dir.journal.iter() {
        if let Some(event) = logged?.record.as_event() {
            step(&mut state, event)?;
        }
    }
    let folded = start.elapsed();
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
    let scaled = |time: Duration| time.mul_f64(EVENTS_OF_BOUND as f64 / events.max(1) as f64);
    let rows = [
        within(
            "chain of 100,000 events checked".to_owned(),
            scaled(opened),
            BOUND,
        ),
        within(
            "checked and folded".to_owned(),
            scaled(opened + folded),
            BOUND,
        ),
        within(
            format!("latest of {runs} runs"),
            found,
            Duration::from_millis(5),
        ),
    ];
    let missed = print(&rows, &mut std::io::stdout())?;
    ensure!(missed == 0, "{missed} of {} bounds are missed", rows.len());
    Ok(())
}

fn of(run: u64, event: u64) -> Run {
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
