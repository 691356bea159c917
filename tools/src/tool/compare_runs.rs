//! What moved between two runs.

use service::api::CompareRunsRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<CompareRunsRequest>("compare_runs", Hints::READ);
