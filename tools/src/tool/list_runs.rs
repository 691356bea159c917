//! Runs, newest first.

use service::api::ListRunsRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<ListRunsRequest>("list_runs", Hints::READ_SOURCE);
