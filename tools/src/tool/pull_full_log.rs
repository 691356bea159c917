//! Complete logs of a run, as handles.

use service::api::PullFullLogRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<PullFullLogRequest>("pull_full_log", Hints::WRITE_SOURCE);
