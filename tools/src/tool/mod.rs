//! The list of tools; adding one is its file and its line here.

mod check_claim;
mod classify_run;
mod contrast;
mod end_turn;
mod explain_push;
mod extract_markers;
mod falsify_hypothesis;
mod get_claim;
mod list_invariants;
mod list_runs;
mod loop_status;
mod open_hypothesis;
mod open_loop;
mod propose_claim;
mod pull_full_log;
mod read_log;
mod request_push;
mod run_gates;
mod verify_claim;
mod wait_for_run;

use crate::spec::ToolSpec;

/// Every tool, in the order an agent meets them.
pub const TOOLS: &[ToolSpec] = &[
    loop_status::TOOL,
    open_loop::TOOL,
    end_turn::TOOL,
    list_runs::TOOL,
    wait_for_run::TOOL,
    pull_full_log::TOOL,
    read_log::TOOL,
    extract_markers::TOOL,
    classify_run::TOOL,
    contrast::TOOL,
    list_invariants::TOOL,
    open_hypothesis::TOOL,
    falsify_hypothesis::TOOL,
    check_claim::TOOL,
    propose_claim::TOOL,
    run_gates::TOOL,
    get_claim::TOOL,
    request_push::TOOL,
    verify_claim::TOOL,
    explain_push::TOOL,
];
