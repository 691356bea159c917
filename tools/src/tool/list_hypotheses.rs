//! The ledger in full.

use service::api::ListHypothesesRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<ListHypothesesRequest>("list_hypotheses", Hints::READ);
