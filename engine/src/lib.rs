//! A Vulkan LLM inference crate whose command stream can be judged without a GPU.
