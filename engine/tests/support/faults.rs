//! What the rows of the fault table say, in the words of the table.

use engine::faults::{Detector, FAULTS, FaultSpec};

/// Words for a first divergence.
pub(crate) struct Place<'p> {
    pub(crate) layer: u64,
    pub(crate) stage: &'p str,
    pub(crate) kind: &'p str,
    pub(crate) op: &'p str,
    pub(crate) dispatched: bool,
    pub(crate) inputs_ok: bool,
    pub(crate) last_writer: &'p str,
    pub(crate) region: &'p str,
}

impl Place<'_> {
    pub(crate) fn words(&self) -> String {
        let dispatched = if self.dispatched {
            ""
        } else {
            " not dispatched"
        };
        let inputs = if self.inputs_ok { "right" } else { "wrong" };
        format!(
            "layer {} `{}` {}: {}{dispatched}, inputs {inputs}, last writer {} in {}",
            self.layer, self.stage, self.kind, self.op, self.last_writer, self.region
        )
    }
}

/// Compares what was seen with a cell; all differences of a test are reported together.
#[derive(Default)]
pub(crate) struct Ledger(Vec<String>);

impl Ledger {
    pub(crate) fn enter(&mut self, spec: &FaultSpec, detector: Detector, seen: Option<String>) {
        let told = spec.cell(detector);
        if told != seen.as_deref() {
            self.0.push(format!(
                "{} {}:\n  table {told:?}\n  seen  {seen:?}",
                spec.example,
                detector.title()
            ));
        }
    }

    pub(crate) fn close(self) {
        assert!(
            self.0.is_empty(),
            "the table is wrong:\n{}",
            self.0.join("\n")
        );
    }
}

pub(crate) fn spec(name: &str) -> &'static FaultSpec {
    FAULTS.iter().find(|spec| spec.name == name).unwrap()
}
