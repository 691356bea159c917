//! Class, disposition and the lines they rest on.

use service::api::ClassifyRunRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<ClassifyRunRequest>("classify_run", Hints::READ);
