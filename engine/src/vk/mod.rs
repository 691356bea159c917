//! The driver side: the only module that calls Vulkan, and the only `unsafe` of the crate besides file mapping.
//!
//! Flow: [`device::Device::open`] → [`regions::Regions`] gives the stream's regions memory → [`pipe::Pipelines`] builds
//! kernels → [`exec::Executor`] plays a command stream literally and reports what it did.
//!
//! Architecture invariants:
//! - No module outside `vk` holds an `ash` type.
//! - `vk` decides nothing: barriers, submits and waits are those of the command stream, in its order.
//! - Every `VkResult` becomes a [`VkError`]; none is ignored, none is retried here.
//! - A budget is refused before the driver is asked (law §11).
#![allow(
    unsafe_code,
    reason = "Vulkan is a C interface and this module is its only caller"
)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod chunk;
mod debug;
pub mod device;
mod encode;
mod error;
pub mod exec;
pub mod mem;
pub mod pipe;
mod play;
mod query;
pub mod regions;
mod sets;
pub mod shaders;
mod sync;

pub use error::VkError;
pub use sync::SyncKind;
