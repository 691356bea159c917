//! The list of tools; adding one is its file and its line here.

mod check_claim;
mod classify_run;
mod compare_runs;
mod contrast;
mod end_turn;
mod explain_push;
mod extract_markers;
mod falsify_hypothesis;
mod get_claim;
mod list_hypotheses;
mod list_invariants;
mod list_runs;
mod loop_status;
mod open_hypothesis;
mod open_loop;
mod path_delta;
mod propose_claim;
mod pull_artifact;
mod pull_full_log;
mod read_log;
mod record_observation;
mod request_push;
mod run_gates;
mod search_log;
mod verify_claim;
mod wait_for_run;
mod withdraw_claim;

use crate::spec::ToolSpec;

/// Every tool, in the order an agent meets them.
pub const TOOLS: &[ToolSpec] = &[
    loop_status::TOOL,
    open_loop::TOOL,
    end_turn::TOOL,
    list_runs::TOOL,
    wait_for_run::TOOL,
    pull_full_log::TOOL,
    pull_artifact::TOOL,
    read_log::TOOL,
    search_log::TOOL,
    extract_markers::TOOL,
    classify_run::TOOL,
    contrast::TOOL,
    compare_runs::TOOL,
    path_delta::TOOL,
    list_invariants::TOOL,
    open_hypothesis::TOOL,
    record_observation::TOOL,
    falsify_hypothesis::TOOL,
    list_hypotheses::TOOL,
    check_claim::TOOL,
    propose_claim::TOOL,
    run_gates::TOOL,
    get_claim::TOOL,
    withdraw_claim::TOOL,
    request_push::TOOL,
    verify_claim::TOOL,
    explain_push::TOOL,
];
