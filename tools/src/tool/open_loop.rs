//! Opens an investigation.

use service::api::OpenLoopRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<OpenLoopRequest>("open_loop", Hints::WRITE);
