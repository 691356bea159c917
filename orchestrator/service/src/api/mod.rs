//! Requests and answers. Each command has one request and one answer; the CLI's `--json` *is* the
//! MCP tool's structured output.
//!
//! A refusal is a value: answers that can refuse carry `refused`, and what they would have done did
//! not happen when it is not empty.

mod claim;
mod compare;
mod evidence;
mod export;
mod hypothesis;
mod ledger;
mod loops;
mod operator;
mod orders;
mod review;
mod search;
mod view;

pub use claim::*;
pub use compare::*;
pub use evidence::*;
pub use export::*;
pub use hypothesis::*;
pub use ledger::*;
pub use loops::*;
pub use operator::*;
pub use orders::*;
pub use review::*;
pub use search::*;
pub use view::*;

use serde::{Deserialize, Serialize};

/// The one list of commands: wire name, variant, request, answer, who may call it, whether it writes.
macro_rules! commands {
    ($( $name:literal $variant:ident ($request:ty) -> $answer:ty, $audience:ident, $effect:ident; )*) => {
        /// A command with its arguments.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "command", content = "arguments")]
        pub enum Request {
            $(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $variant($request),
            )*
        }

        /// The answer to the command of the same name.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "command", content = "answer")]
        pub enum Response {
            $(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $variant($answer),
            )*
        }

        /// Every command, in the order of the list.
        pub const COMMANDS: &[CommandInfo] = &[
            $( CommandInfo { name: $name, audience: Audience::$audience, effect: Effect::$effect }, )*
        ];

        impl Request {
            /// The command's wire name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $( Self::$variant(_) => $name, )* }
            }
        }

        $(
            impl Command for $request {
                type Answer = $answer;
                fn into_request(self) -> Request { Request::$variant(self) }
                fn from_response(response: Response) -> Option<$answer> {
                    match response { Response::$variant(answer) => Some(answer), _ => None }
                }
            }
        )*
    };
}

/// A typed request that knows its answer.
pub trait Command {
    /// The answer's type.
    type Answer;
    /// Wraps it for the wire.
    fn into_request(self) -> Request;
    /// Unwraps its answer; `None` when it is another command's.
    fn from_response(response: Response) -> Option<Self::Answer>;
}

/// Who may call a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Agents and people.
    Everyone,
    /// People only, over the operator socket.
    Operator,
}

/// Whether a command changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads.
    Read,
    /// Writes state.
    Write,
}

/// One row of the list of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandInfo {
    /// Wire name.
    pub name: &'static str,
    /// Who may call it.
    pub audience: Audience,
    /// Whether it changes anything.
    pub effect: Effect,
}

commands! {
    "loop_status" LoopStatus(LoopStatusRequest) -> LoopStatusAnswer, Everyone, Read;
    "open_loop" OpenLoop(OpenLoopRequest) -> OpenLoopAnswer, Everyone, Write;
    "end_turn" EndTurn(EndTurnRequest) -> EndTurnAnswer, Everyone, Write;
    "list_runs" ListRuns(ListRunsRequest) -> ListRunsAnswer, Everyone, Read;
    "wait_for_run" WaitForRun(WaitForRunRequest) -> WaitForRunAnswer, Everyone, Read;
    "pull_full_log" PullFullLog(PullFullLogRequest) -> PullFullLogAnswer, Everyone, Read;
    "pull_artifact" PullArtifact(PullArtifactRequest) -> PullArtifactAnswer, Everyone, Read;
    "read_log" ReadLog(ReadLogRequest) -> ReadLogAnswer, Everyone, Read;
    "search_log" SearchLog(SearchLogRequest) -> SearchLogAnswer, Everyone, Read;
    "extract_markers" ExtractMarkers(ExtractMarkersRequest) -> ExtractMarkersAnswer, Everyone, Read;
    "classify_run" ClassifyRun(ClassifyRunRequest) -> ClassifyRunAnswer, Everyone, Read;
    "contrast" Contrast(ContrastRequest) -> ContrastAnswer, Everyone, Read;
    "compare_runs" CompareRuns(CompareRunsRequest) -> CompareRunsAnswer, Everyone, Read;
    "path_delta" PathDelta(PathDeltaRequest) -> PathDeltaAnswer, Everyone, Read;
    "list_invariants" ListInvariants(ListInvariantsRequest) -> ListInvariantsAnswer, Everyone, Read;
    "open_hypothesis" OpenHypothesis(OpenHypothesisRequest) -> OpenHypothesisAnswer, Everyone, Write;
    "record_observation" RecordObservation(RecordObservationRequest) -> RecordObservationAnswer, Everyone, Write;
    "falsify_hypothesis" FalsifyHypothesis(FalsifyHypothesisRequest) -> FalsifyHypothesisAnswer, Everyone, Write;
    "list_hypotheses" ListHypotheses(ListHypothesesRequest) -> ListHypothesesAnswer, Everyone, Read;
    "check_claim" CheckClaim(CheckClaimRequest) -> CheckClaimAnswer, Everyone, Read;
    "propose_claim" ProposeClaim(ProposeClaimRequest) -> ProposeClaimAnswer, Everyone, Write;
    "run_gates" RunGates(RunGatesRequest) -> RunGatesAnswer, Everyone, Write;
    "get_claim" GetClaim(GetClaimRequest) -> GetClaimAnswer, Everyone, Read;
    "withdraw_claim" WithdrawClaim(WithdrawClaimRequest) -> WithdrawClaimAnswer, Everyone, Write;
    "request_push" RequestPush(RequestPushRequest) -> RequestPushAnswer, Everyone, Write;
    "explain_push" ExplainPush(ExplainPushRequest) -> ExplainPushAnswer, Everyone, Read;
    "verify_claim" VerifyClaim(VerifyClaimRequest) -> VerifyClaimAnswer, Everyone, Write;
    "export_markers" ExportMarkers(ExportMarkersRequest) -> ExportMarkersAnswer, Operator, Read;
    "start_run" StartRun(StartRunRequest) -> StartRunAnswer, Operator, Write;
    "cancel_run" CancelRun(CancelRunRequest) -> OrderAnswer, Operator, Write;
    "rerun" Rerun(RerunRequest) -> OrderAnswer, Operator, Write;
    "prepare_approval" PrepareApproval(PrepareApprovalRequest) -> PrepareApprovalAnswer, Operator, Read;
    "approve_claim" ApproveClaim(ApproveClaimRequest) -> ApproveClaimAnswer, Operator, Write;
    "review_claim" ReviewClaim(ReviewClaimRequest) -> ReviewClaimAnswer, Operator, Read;
    "prepare_revival" PrepareRevival(PrepareRevivalRequest) -> PrepareRevivalAnswer, Operator, Read;
    "revive_hypothesis" ReviveHypothesis(ReviveHypothesisRequest) -> ReviveHypothesisAnswer, Operator, Write;
    "list_claims" ListClaims(ListClaimsRequest) -> ListClaimsAnswer, Operator, Read;
    "override_rule" OverrideRule(OverrideRuleRequest) -> OverrideRuleAnswer, Operator, Write;
    "list_overrides" ListOverrides(ListOverridesRequest) -> ListOverridesAnswer, Operator, Read;
    "reopen_scope" ReopenScope(ReopenScopeRequest) -> ReopenScopeAnswer, Operator, Write;
    "prepare_rollback" PrepareRollback(PrepareRollbackRequest) -> PrepareRollbackAnswer, Operator, Write;
    "reject_claim" RejectClaim(RejectClaimRequest) -> RejectClaimAnswer, Operator, Write;
    "daemon_info" DaemonInfo(DaemonInfoRequest) -> DaemonInfoAnswer, Operator, Read;
    "shutdown" Shutdown(ShutdownRequest) -> ShutdownAnswer, Operator, Write;
}
