//! Spends an approval.

use service::api::RequestPushRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec = ToolSpec::new::<RequestPushRequest>("request_push", Hints::PUSH);
