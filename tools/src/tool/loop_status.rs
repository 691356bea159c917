//! Where the loop stands.

use service::api::LoopStatusRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<LoopStatusRequest>("loop_status", Hints::READ);
