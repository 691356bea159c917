//! What separates failing from passing.

use service::api::ContrastRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<ContrastRequest>("contrast", Hints::READ);
