//! A change as a claim.

use service::api::ProposeClaimRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<ProposeClaimRequest>("propose_claim", Hints::WRITE);
