//! Replays the decision behind a push, as hook or auditor.
