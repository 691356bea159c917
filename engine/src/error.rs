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
    /// A kernel's writes are not what its node has registered (law §3).
    #[error(
        "node {node} ({op}): {kernel} writes {written:?}, registered are {registered:?}; register the output or side effect"
    )]
    UnregisteredWrite {
        /// Node number.
        node: u32,
        /// What the node computes.
        op: &'static str,
        /// Kernel that computes it.
        kernel: &'static str,
        /// Tensors that the kernel table says it writes.
        written: Vec<String>,
        /// Outputs and side effects of the node.
        registered: Vec<String>,
    },
    /// The Vulkan side refused or failed.
    #[error(transparent)]
    Vulkan(#[from] crate::vk::VkError),
    /// The worker process refused, broke its contract or died.
    #[error(transparent)]
    Worker(#[from] crate::worker::WorkerError),
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

impl EngineError {
    /// Stable machine-readable code for the worker protocol.
    pub fn code(&self) -> String {
        match self {
            EngineError::Gguf { fault, .. } => format!("gguf_{}", fault.name()),
            EngineError::Envelope { .. } => "envelope".to_owned(),
            EngineError::Unsupported { .. } => "unsupported".to_owned(),
            EngineError::Request(_) => "bad_request".to_owned(),
            EngineError::Conflict(_) => "profile_conflict".to_owned(),
            EngineError::Unplaced { .. } => "unplaced".to_owned(),
            EngineError::UnregisteredWrite { .. } => "unregistered_write".to_owned(),
            EngineError::Vulkan(error) => error.code().to_owned(),
            EngineError::Worker(_) => "worker".to_owned(),
            EngineError::Io { .. } => "io".to_owned(),
        }
    }
}
