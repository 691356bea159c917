//! The one list of builtin catalogue files. A file in `catalog/` that is not listed here is found by a tidy test.

/// Reads one file of `catalog/` at compile time.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../catalog/", $name)))),*]
    };
}

/// File name and text of each builtin marker, in file-name order.
pub const BUILTIN_FILES: &[(&str, &str)] = files![
    "arena_plan.toml",
    "backend.toml",
    "backend_fallback.toml",
    "build_error.toml",
    "cargo_running.toml",
    "cargo_summary.toml",
    "cargo_target.toml",
    "cargo_test.toml",
    "cargo_test_failed.toml",
    "chunk_abort.toml",
    "compile_error.toml",
    "coopmat_notice.toml",
    "device_lost.toml",
    "envelope.toml",
    "fa_cpu_run.toml",
    "first_divergence.toml",
    "gpu_perdispatch.toml",
    "infra_failure.toml",
    "kl_top5.toml",
    "panic_site.toml",
    "process_death.toml",
    "run_canceled.toml",
    "step_exit.toml",
    "telemetry_end.toml",
    "top1_gap.toml",
    "validation_message.toml",
    "vulkan_unavailable.toml",
    "worker_exit.toml",
    "worker_invalidated.toml",
    "worker_timeout.toml",
];
