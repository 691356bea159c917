//! Raw logs at hand: citations looked up, the baseline's observations read again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use attest::claim::Citation;
use attest::digest::Digest;
use discipline::decision::{BaselineFacts, DecisionInput, predicates_read};
use markers::{Catalogue, Observation, Predicate};

use crate::VerifyError;
use crate::base::BaseFacts;
use crate::report::CommitReport;
use crate::trust::read_file;

/// Largest log read, in bytes.
const MAX_LOG_BYTES: u64 = 1 << 30;
/// Most files looked at.
const MAX_FILES: usize = 4096;

/// The files of a folder, known by their content alone.
#[derive(Debug)]
pub struct Evidence {
    logs: BTreeMap<Digest, Vec<u8>>,
}

impl Evidence {
    /// Reads every regular file of a folder; names do not matter.
    ///
    /// # Errors
    /// An unreadable folder or file, and more or larger files than the caps.
    pub fn read(folder: &Path) -> Result<Self, VerifyError> {
        let unreadable = |detail: String| VerifyError::File {
            path: folder.display().to_string(),
            detail,
        };
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(error.to_string()))?;
        let mut logs = BTreeMap::new();
        for (index, entry) in entries.enumerate() {
            if index >= MAX_FILES {
                return Err(unreadable(format!("it has more than {MAX_FILES} files")));
            }
            let path = entry.map_err(|error| unreadable(error.to_string()))?.path();
            if path.is_file() {
                let bytes = read_file(&path, MAX_LOG_BYTES)?;
                logs.insert(Digest::of(&bytes), bytes);
            }
        }
        Ok(Self { logs })
    }

    /// Evidence from bytes already in memory.
    #[must_use]
    pub fn from_logs(logs: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let named = logs.into_iter().map(|bytes| (Digest::of(&bytes), bytes));
        Self {
            logs: named.collect(),
        }
    }

    pub(crate) fn check(&self, input: &DecisionInput, base: &BaseFacts, report: &mut CommitReport) {
        let mut found = 0;
        for (index, citation) in input.body.evidence.iter().enumerate() {
            let field = format!("evidence[{index}]");
            match self.logs.get(&citation.log_id) {
                None => report.refuse(
                    "evidence_missing",
                    field,
                    format!(
                        "none of the {} files given is the log {}",
                        self.logs.len(),
                        citation.log_id
                    ),
                    "add the raw log, as `greenloop log` writes it",
                ),
                Some(log) if !lines_match(log, citation) => report.refuse(
                    "evidence_differs",
                    field,
                    "the cited bytes and lines are not at those places of the log",
                    "cite bytes and lines as `read_log` gives them",
                ),
                Some(_) => found += 1,
            }
        }
        let mut cells = 0;
        if let Some(baseline) = &input.baseline {
            cells = self.check_baseline(baseline, input, &base.rulebook.catalogue, report);
        }
        report.evidence = format!("re_derived: {found} citations, {cells} baseline cells");
    }

    /// Each cell's observations must be what some log gives, for the kinds that the claim's
    /// predicates name and those that the cells hold.
    fn check_baseline(
        &self,
        baseline: &BaselineFacts,
        input: &DecisionInput,
        catalogue: &Catalogue,
        report: &mut CommitReport,
    ) -> usize {
        let kinds = kinds_of(baseline, input, catalogue);
        let scans: Vec<Vec<Observation>> = self
            .logs
            .values()
            .map(|log| {
                let mut observations = markers::scan(catalogue, log).observations;
                observations.retain(|observation| kinds.contains(&observation.kind));
                observations
            })
            .collect();
        let mut derived = 0;
        for cell in &baseline.cells {
            if scans.contains(&cell.observations) {
                derived += 1;
                continue;
            }
            report.refuse(
                "evidence_differs",
                format!("baseline.cells.{}", cell.cell),
                format!(
                    "none of the {} logs given reads as this cell was read",
                    self.logs.len()
                ),
                format!(
                    "add the raw log of cell {} of {}",
                    cell.cell, baseline.run_id
                ),
            );
        }
        derived
    }
}

fn kinds_of(
    baseline: &BaselineFacts,
    input: &DecisionInput,
    catalogue: &Catalogue,
) -> BTreeSet<String> {
    let held = baseline.cells.iter().flat_map(|cell| &cell.observations);
    let mut kinds: BTreeSet<String> = held.map(|observation| observation.kind.clone()).collect();
    for text in predicates_read(&input.body, input.hypothesis.as_ref()) {
        if let Ok(predicate) = Predicate::parse_checked(text, catalogue) {
            kinds.extend(predicate.kinds(catalogue).into_iter().map(str::to_owned));
        }
    }
    kinds
}

/// Whether the cited byte range begins in line `line_start` and ends in `line_end`.
fn lines_match(log: &[u8], citation: &Citation) -> bool {
    let range = usize::try_from(citation.byte_start)
        .ok()
        .zip(usize::try_from(citation.byte_end).ok());
    let Some((start, end)) = range else {
        return false;
    };
    if start >= end || end > log.len() {
        return false;
    }
    let newlines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let first = 1 + newlines(&log[..start]);
    // The newline that ends the last line belongs to it.
    let last = first + newlines(&log[start..end - 1]);
    (first, last) == (citation.line_start, citation.line_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_point_where_they_say() {
        let log = b"one\ntwo\nthree\n";
        let cite = |byte_start, byte_end, line_start, line_end| Citation {
            log_id: Digest::of(log),
            byte_start,
            byte_end,
            line_start,
            line_end,
        };
        for (citation, holds) in [
            (cite(4, 8, 2, 2), true),
            (cite(4, 7, 2, 2), true),
            (cite(0, 14, 1, 3), true),
            (cite(4, 8, 1, 1), false),
            (cite(4, 9, 2, 2), false),
            (cite(4, 4, 2, 2), false),
            (cite(4, 15, 2, 3), false),
            (cite(u64::MAX, u64::MAX, 1, 1), false),
        ] {
            assert_eq!(lines_match(log, &citation), holds, "{citation:?}");
        }
    }
}
