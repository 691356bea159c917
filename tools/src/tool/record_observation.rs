//! What speaks for or against a cause.

use service::api::RecordObservationRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<RecordObservationRequest>("record_observation", Hints::WRITE);
