//! Every unmet rule of a draft; records nothing.

use service::api::CheckClaimRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<CheckClaimRequest>("check_claim", Hints::READ);
