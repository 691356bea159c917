//! `daemon_info`, `shutdown`.

use crate::api::{DaemonInfoAnswer, ShutdownAnswer};
use crate::shared::Shared;

/// Who this is and what it does.
pub(super) fn daemon_info(shared: &Shared) -> DaemonInfoAnswer {
    let toolchain = &shared.toolchain;
    DaemonInfoAnswer {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        state_dir: shared.config.state_dir.display().to_string(),
        repo_path: shared.config.repo_path.display().to_string(),
        busy: shared.queue.busy(),
        toolchain: vec![
            format!(
                "{} sha256:{}",
                toolchain.cargo_version, toolchain.cargo_sha256
            ),
            format!(
                "{} sha256:{}",
                toolchain.rustc_version, toolchain.rustc_sha256
            ),
        ],
    }
}

/// Begins the end: no further job starts, the current one is cancelled and resumed by the next
/// start.
pub(super) fn shutdown(shared: &Shared) -> ShutdownAnswer {
    let interrupted = shared.queue.busy();
    shared.queue.stop();
    shared.wake();
    ShutdownAnswer { interrupted }
}
