//! Takes a claim back.

use service::api::WithdrawClaimRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<WithdrawClaimRequest>("withdraw_claim", Hints::WRITE);
