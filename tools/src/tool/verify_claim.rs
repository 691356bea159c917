//! Grades a pushed claim by the run of its commit.

use service::api::VerifyClaimRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<VerifyClaimRequest>("verify_claim", Hints::WRITE_SOURCE);
