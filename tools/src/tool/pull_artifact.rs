//! An artifact of a run, unpacked into logs and blobs.

use service::api::PullArtifactRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<PullArtifactRequest>("pull_artifact", Hints::WRITE_SOURCE);
