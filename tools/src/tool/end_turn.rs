//! Whether the turn may end here.

use service::api::EndTurnRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<EndTurnRequest>("end_turn", Hints::WRITE);
