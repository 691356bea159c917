//! Waits for a run, at most 50 seconds.

use service::api::WaitForRunRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<WaitForRunRequest>("wait_for_run", Hints::READ_SOURCE);
