//! Typed observations with their bytes.

use service::api::ExtractMarkersRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<ExtractMarkersRequest>("extract_markers", Hints::READ);
