//! What a scan yields.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Catalogue, CellObservations, Marker, Observation, Span};

/// Diagnostics that are kept word for word; further ones are only counted.
const MAX_DIAGNOSTICS: usize = 1_000;
/// Different brackets that are remembered.
const MAX_TAGS: usize = 4_096;

/// The result of one pass over a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Digest of the catalogue that read it.
    pub catalogue: String,
    /// In log order, less those taken during the scan.
    pub observations: Vec<Observation>,
    /// The first thousand, in log order.
    pub diagnostics: Vec<Diagnostic>,
    /// Diagnostics beyond those.
    pub more_diagnostics: u64,
    /// Observations by marker, taken ones included.
    pub counts: BTreeMap<String, u64>,
    /// Lines read, the last one without a newline included.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Whether nothing that an emitter printed is missing.
    pub complete: bool,
    /// First brackets of every message that begins with one, known or not; `None` where there were too many.
    #[serde(default)]
    pub tags: Option<BTreeSet<String>>,
}

/// Something in a log that could not be read as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case", deny_unknown_fields)]
pub enum Diagnostic {
    /// A line begins with a marker's tag and does not follow its grammar.
    BadGrammar {
        /// The marker.
        kind: String,
        /// 1-based line.
        line: u64,
        /// Raw bytes.
        span: Span,
        /// What is wrong.
        reason: String,
    },
    /// A row has a field that the catalogue does not know; the row counts, the field does not.
    UnknownField {
        /// The marker.
        kind: String,
        /// The field.
        field: String,
        /// 1-based line.
        line: u64,
    },
    /// Lines of an emitter are missing or out of order.
    SeqGap {
        /// Run id of the emitter.
        run: String,
        /// The `seq` that should have come.
        expected: u64,
        /// The `seq` that came.
        found: u64,
        /// 1-based line.
        line: u64,
    },
    /// A row's `run` or `seq` cannot be read, so it cannot be told whether lines are missing.
    NoSequence {
        /// The marker.
        kind: String,
        /// 1-based line.
        line: u64,
    },
    /// An emitter ended without its trailer.
    MissingTrailer {
        /// Run id of the emitter.
        run: String,
        /// Its last line.
        last_line: u64,
        /// The line that says that the process died, if one does; the log is then whole all the same.
        explained_by: Option<u64>,
    },
    /// A trailer counts other lines than arrived.
    TrailerCount {
        /// Run id of the emitter.
        run: String,
        /// Lines the trailer states.
        stated: Option<u64>,
        /// Lines before the trailer by `seq`.
        seen: u64,
        /// 1-based line.
        line: u64,
    },
    /// A line was too long to be held at once; only phrases were looked for beyond its first MiB.
    LongLine {
        /// 1-based line.
        line: u64,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A test began and its outcome cannot be told.
    NoOutcome {
        /// The test.
        test: String,
        /// 1-based line where this became clear.
        line: u64,
    },
    /// The window began inside a group of the forge's log; what came before is not believed.
    WindowInGroup {
        /// 1-based line of the group's end.
        line: u64,
        /// Rows that were dropped.
        rows: u64,
    },
}

impl Diagnostic {
    /// Whether telemetry is missing because of this.
    fn loses_rows(&self) -> bool {
        match self {
            Self::SeqGap { .. } | Self::NoSequence { .. } | Self::TrailerCount { .. } => true,
            Self::MissingTrailer { explained_by, .. } => explained_by.is_none(),
            Self::BadGrammar { .. }
            | Self::UnknownField { .. }
            | Self::LongLine { .. }
            | Self::NoOutcome { .. }
            | Self::WindowInGroup { .. } => false,
        }
    }
}

impl Scan {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        Self {
            catalogue: catalogue.digest().to_owned(),
            observations: Vec::new(),
            diagnostics: Vec::new(),
            more_diagnostics: 0,
            counts: BTreeMap::new(),
            lines: 0,
            bytes: 0,
            complete: true,
            tags: Some(BTreeSet::new()),
        }
    }

    /// What another catalogue would have read, where that can be told without the log: every marker that is not as
    /// it was has a bracketed tag that no line began with, then and now. `known` are the files of the catalogue that
    /// made this scan ([`Catalogue::files`]).
    #[must_use]
    pub fn under(&self, catalogue: &Catalogue, known: &BTreeMap<String, String>) -> Option<Self> {
        let tags = self.tags.as_ref().filter(|_| self.more_diagnostics == 0)?;
        let shown = |name: &str| {
            let misread = |diagnostic: &Diagnostic| matches!(diagnostic, Diagnostic::BadGrammar { kind, .. } if kind == name);
            self.counts.contains_key(name) || self.diagnostics.iter().any(misread)
        };
        let unseen = |marker: &Marker| {
            let word = marker
                .tag
                .as_ref()
                .and_then(|tag| Some((tag, tag.find(']')?)));
            let word = word.and_then(|(tag, end)| tag.get(..=end));
            marker.forms.is_empty() && word.is_some_and(|word| !tags.contains(word))
        };
        let files = catalogue.files();
        let changed = catalogue
            .markers()
            .iter()
            .filter(|marker| known.get(&marker.name) != files.get(&marker.name));
        let gone = known.keys().filter(|name| !files.contains_key(*name));
        let same = changed.clone().all(unseen)
            && !changed
                .map(|marker| &marker.name)
                .chain(gone)
                .any(|name| shown(name));
        same.then(|| Self {
            catalogue: catalogue.digest().to_owned(),
            ..self.clone()
        })
    }

    /// A message begins with this bracket.
    pub(super) fn tag(&mut self, word: &str) {
        let Some(tags) = &mut self.tags else {
            return;
        };
        if tags.contains(word) {
            return;
        }
        if tags.len() < MAX_TAGS {
            tags.insert(word.to_owned());
        } else {
            self.tags = None;
        }
    }

    /// The observations as those of one cell.
    #[must_use]
    pub fn into_cell(self, cell: &str) -> CellObservations {
        CellObservations {
            cell: cell.to_owned(),
            complete: self.complete,
            observations: self.observations,
        }
    }

    /// Rows by position of their marker, as [`Scan::counts`].
    pub(super) fn count(&mut self, catalogue: &Catalogue, rows: &[u64]) {
        let counted = catalogue.markers().iter().zip(rows);
        let shown = counted.filter(|(_, rows)| **rows > 0);
        self.counts = shown
            .map(|(marker, rows)| (marker.name.clone(), *rows))
            .collect();
    }

    pub(super) fn diagnose(&mut self, diagnostic: Diagnostic) {
        self.complete &= !diagnostic.loses_rows();
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        } else {
            self.more_diagnostics += 1;
        }
    }

    /// Forgets what was said so far.
    pub(super) fn discard(&mut self) {
        self.diagnostics.clear();
        self.complete = true;
    }
}
