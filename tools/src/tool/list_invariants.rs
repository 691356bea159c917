//! The law at a commit.

use service::api::ListInvariantsRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<ListInvariantsRequest>("list_invariants", Hints::READ);
