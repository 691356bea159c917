//! Kills a cause with evidence.

use service::api::FalsifyHypothesisRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<FalsifyHypothesisRequest>("falsify_hypothesis", Hints::WRITE);
