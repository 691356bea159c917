//! The lists of builtin playbook files. A file that is not listed here is found by a tidy test.

/// Reads files of one folder at compile time.
macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name)))),*]
    };
}

/// File name and text of each builtin class, in the order of classes.
pub const CLASS_FILES: &[(&str, &str)] = files!["classes":
    "no_signal.toml",
    "infra.toml",
    "build.toml",
    "vulkan_init.toml",
    "driver_crash.toml",
    "gpu_hang.toml",
    "invalid_setup.toml",
    "test.toml",
    "green_unproven.toml",
    "passed.toml",
    "unclassified.toml",
];

/// File name and text of each builtin proof scope.
pub const SCOPE_FILES: &[(&str, &str)] = files!["scopes":
    "vulkan_kernel_correctness.toml",
    "qwen35_hybrid_vulkan_deltanet.toml",
    "dynamic_lora_gpu_residency_apply_unload_fusion.toml",
    "runtime_path_acceptance.toml",
];
