//! In what two recordings of one graph differ.

use service::api::PathDeltaRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<PathDeltaRequest>("path_delta", Hints::READ);
