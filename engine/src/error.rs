//! The crate's one error type.

use crate::gguf::GgufFault;

/// Everything that can go wrong in the engine.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A GGUF file, or the model in it, is not usable.
    #[error("{}: {detail}; get the file again or convert it anew", fault.name())]
    Gguf {
        /// Category.
        fault: GgufFault,
        /// What was found where.
        detail: String,
    },
    /// The memory envelope is too small.
    #[error("canonical envelope needs {needed} B but only {remaining} B remain")]
    Envelope {
        /// Bytes that the plan needs.
        needed: u64,
        /// Bytes left of the budget.
        remaining: u64,
    },
    /// A request that the model or engine cannot serve.
    #[error("unsupported {what}; {remedy}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to ask for instead.
        remedy: String,
    },
    /// A request with impossible parameters.
    #[error("invalid request: {0}")]
    Request(String),
    /// Settings that contradict one another.
    #[error(transparent)]
    Conflict(#[from] crate::profile::Conflict),
    /// The graph and its plan or weights do not belong together.
    #[error(
        "graph tensor {tensor} has no place in {part}; build graph, plan and weights from the same model"
    )]
    Unplaced {
        /// Tensor name.
        tensor: String,
        /// Plan or weights.
        part: &'static str,
    },
    /// No Vulkan device can be used.
    #[error("no usable vulkan device: {0}; install a driver, for example mesa-vulkan-drivers")]
    NoDevice(String),
    /// A Vulkan call failed.
    #[error("{call} returned {code}; see the device's log")]
    Vulkan {
        /// Vulkan function.
        call: &'static str,
        /// `VkResult`.
        code: i32,
    },
    /// The device is gone; the context must be made anew.
    #[error("device lost in {call}; respawn the worker and load the model again")]
    DeviceLost {
        /// Vulkan function.
        call: &'static str,
    },
    /// The worker process broke its contract or died.
    #[error("worker: {0}")]
    Worker(String),
    /// A file or pipe failed.
    #[error("{path}: {message}")]
    Io {
        /// File or pipe.
        path: String,
        /// The system's message.
        message: String,
    },
}

/// Shorthand of the crate.
pub type Result<T> = std::result::Result<T, EngineError>;
