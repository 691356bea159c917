//! Gates of a claim, reattachable.

use service::api::RunGatesRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<RunGatesRequest>("run_gates", Hints::WRITE);
