//! A cause for the ledger.

use service::api::OpenHypothesisRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<OpenHypothesisRequest>("open_hypothesis", Hints::WRITE);
