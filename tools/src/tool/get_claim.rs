//! One claim in full.

use service::api::GetClaimRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<GetClaimRequest>("get_claim", Hints::READ);
