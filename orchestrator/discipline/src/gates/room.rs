//! What a gate's process did to its room beside its answer. An answer about files that are not the
//! claim's, or that somebody is still writing, is none.

use crate::model::{GateResult, GateRole, GateVerdict, Refusal};

/// Most files that a message lists.
const NAMED: usize = 5;

/// What was found in the room after a process had ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// Files of the tree that were written, replaced or removed, and settings of cargo that were added.
    pub changed: Vec<String>,
    /// Files outside of the tree, the toolchain and the dependencies that its code was compiled from.
    pub outside: Vec<String>,
    /// Process groups that were left running.
    pub left: usize,
    /// The dependencies that every room is filled with were written to.
    pub dependencies: bool,
}

/// Takes the verdict of a process back that did more than answer. The canary's room is thrown away
/// after it, so that only what it leaves running counts.
pub fn disturbed(result: &mut GateResult, found: &Disturbance) {
    let field = match result.gate.as_str() {
        super::PINNED_GATE => "pinned_test".to_owned(),
        gate => format!("gates[{gate}]"),
    };
    let command = result.argv.join(" ");
    let mut refused = Vec::new();
    let mut refuse = |code: &str, reason: String, remedy: &str| {
        refused.push(Refusal::new(code, &field, reason, remedy));
    };
    let files = result.role != GateRole::Canary;
    if files && !found.changed.is_empty() {
        refuse(
            "gate_changed_tree",
            format!(
                "`{command}` wrote into the tree that it judges: {}",
                some(&found.changed)
            ),
            "write to OUT_DIR or to a temporary folder; what is judged is the tree that is pushed",
        );
    }
    if files && !found.outside.is_empty() {
        refuse(
            "gate_compiled_outside",
            format!(
                "`{command}` compiled files that are no part of the tree: {}",
                some(&found.outside)
            ),
            "put the files into the tree, where they are reviewed and pushed",
        );
    }
    if found.dependencies {
        refuse(
            "gate_changed_dependencies",
            format!(
                "`{command}` wrote where the dependencies of every gate are kept; they are fetched and built anew"
            ),
            "write to OUT_DIR or to a temporary folder, and run the gates again",
        );
    }
    if found.left > 0 {
        refuse(
            "gate_left_processes",
            format!(
                "`{command}` left {} process groups running, which were ended",
                found.left
            ),
            "let every test end the processes that it starts",
        );
    }
    if !refused.is_empty() {
        result.verdict = GateVerdict::Refused;
        result.refused.extend(refused);
    }
}

fn some(paths: &[String]) -> String {
    let mut shown = paths[..paths.len().min(NAMED)].join(", ");
    if paths.len() > NAMED {
        shown.push_str(&format!(" and {} more", paths.len() - NAMED));
    }
    shown
}
