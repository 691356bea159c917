//! Logs of a scope's cells, classified offline: the product's catalogue, playbooks and rules, no daemon and no state.

use std::path::Path;

use anyhow::{Context, Result};
use attest::digest::Digest;
use discipline::green::{self, ColourReport};
use discipline::model::{
    Conclusion, Grade, Job, LogRef, ProcessExit, Run, RunStatus, Step, Trigger,
};
use discipline::policy::Policy;
use discipline::rulebook::Rulebook;
use discipline::run_facts::{Around, run_facts};
use markers::{CellObservations, Diagnostic};
use playbooks::{Classification, Playbooks};

/// The log of one cell and how its process ended.
#[derive(Debug, Clone)]
pub struct CellLog {
    /// Cell.
    pub cell: String,
    /// Raw bytes, stdout and stderr in their order.
    pub log: Vec<u8>,
    /// Exit code of the tests.
    pub exit: i32,
}

impl CellLog {
    /// Reads every `FOLDER/CELL/smoke.log` with its `exit` that belongs to the scope; cells without one are missing.
    ///
    /// # Errors
    /// A file that cannot be read, or an exit code that is no number.
    pub fn read_all(folder: &Path, policy: &Policy, scope: &str) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for cell in policy.effective_cells(scope) {
            let place = folder.join(&cell.name);
            if !place.join("smoke.log").is_file() {
                continue;
            }
            let read = |name: &str| {
                let path = place.join(name);
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
            };
            let exit = String::from_utf8(read("exit")?)?;
            found.push(Self {
                log: read("smoke.log")?,
                exit: exit.trim().parse().context("exit is no number")?,
                cell: cell.name,
            });
        }
        Ok(found)
    }
}

/// What the logs say together.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Class with its lines.
    pub classification: Classification,
    /// Colour with its reasons.
    pub report: ColourReport,
    /// The engagement proof.
    pub engagement: Vec<Grade>,
    /// What could not be read as it should, by cell.
    pub diagnostics: Vec<(String, Diagnostic)>,
}

/// Classifies the logs of one run of a scope.
///
/// # Errors
/// A catalogue or playbook that does not load.
pub fn judge(policy: &Policy, scope: &str, logs: &[CellLog]) -> Result<Judged> {
    let rulebook = Rulebook::builtin()?;
    let playbooks = Playbooks::builtin(&rulebook.catalogue)?;
    let mut diagnostics = Vec::new();
    let mut cells: Vec<CellObservations> = Vec::new();
    for log in logs {
        let scan = markers::scan(&rulebook.catalogue, &log.log);
        let found = scan.diagnostics.iter().cloned();
        diagnostics.extend(found.map(|diagnostic| (log.cell.clone(), diagnostic)));
        cells.push(scan.into_cell(&log.cell));
    }
    let run = run_of(scope, logs);
    let engagement = green::engagement(policy, &run, &cells, &rulebook);
    let engaged = green::engaged(&engagement);
    let facts = run_facts(&run, policy, &Around::default(), engaged);
    let classification = playbooks::classify(&playbooks, &rulebook.catalogue, &facts, &cells);
    let report = green::colour(&run, Some(&classification), &engagement, policy, &cells);
    Ok(Judged {
        classification,
        report,
        engagement,
        diagnostics,
    })
}

fn conclusion(logs: &[CellLog]) -> Conclusion {
    if logs.iter().all(|log| log.exit == 0) {
        Conclusion::Success
    } else {
        Conclusion::Failure
    }
}

/// The run as the local source would have recorded it.
fn run_of(scope: &str, logs: &[CellLog]) -> Run {
    let job = |log: &CellLog| Job {
        cell: log.cell.clone(),
        status: RunStatus::Completed,
        conclusion: Some(conclusion(std::slice::from_ref(log))),
        steps: vec![Step {
            name: "cargo test".into(),
            exit: ProcessExit::Code(log.exit),
            duration_ms: 0,
        }],
        log: Some(LogRef {
            log_id: Digest::of(&log.log),
            bytes: log.log.len() as u64,
            lines: log.log.iter().filter(|byte| **byte == b'\n').count() as u64,
            complete: true,
        }),
        why_empty: None,
        outranked: Vec::new(),
        forge: None,
    };
    Run {
        run_id: "offline".into(),
        source: "local".into(),
        scope: scope.into(),
        attempt: 1,
        head_sha: String::new(),
        tree: String::new(),
        trigger: Trigger::Manual,
        status: RunStatus::Completed,
        conclusion: Some(conclusion(logs)),
        jobs: logs.iter().map(job).collect(),
        created_ms: 0,
        finished_ms: None,
        forge: None,
        artifacts: Vec::new(),
    }
}
