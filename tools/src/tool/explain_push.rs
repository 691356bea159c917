//! Why a push was allowed, replayed.

use service::api::ExplainPushRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<ExplainPushRequest>("explain_push", Hints::READ);
