//! What can go wrong between this crate and a Vulkan driver.

use ash::vk;

/// A refusal or failure of the Vulkan side. Messages are fragments that say what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VkError {
    /// The loader library is missing or unusable.
    #[error(
        "no vulkan loader: {detail}; install a driver, for example `apt-get install mesa-vulkan-drivers libvulkan1`"
    )]
    NoLoader {
        /// What the dynamic linker said.
        detail: String,
    },
    /// The loader answered, but no driver is behind it.
    #[error(
        "no vulkan driver answers ({detail}); install one, for example `apt-get install mesa-vulkan-drivers`, or check VK_ICD_FILENAMES"
    )]
    NoDriver {
        /// What the loader answered.
        detail: String,
    },
    /// Drivers answered, but none offers a device that this crate can use.
    #[error(
        "no usable vulkan device among {seen:?}; a device with Vulkan 1.2 and a compute queue is needed, for example from `apt-get install mesa-vulkan-drivers`"
    )]
    NoDevice {
        /// `name: reason` of every device that was looked at.
        seen: Vec<String>,
    },
    /// The memory plan does not fit; nothing was allocated.
    #[error("canonical envelope needs {needs} B but only {remain} B remain")]
    Budget {
        /// Bytes the plan needs in all.
        needs: u64,
        /// Bytes that the device or the stated limit leaves.
        remain: u64,
    },
    /// One region is larger than a single storage buffer of this device can be.
    #[error(
        "region {region} needs {needs} B in one buffer but this device binds at most {limit} B; split it or use a smaller model"
    )]
    RegionTooLarge {
        /// The region's name.
        region: String,
        /// Bytes of the region.
        needs: u64,
        /// The device's limit in bytes.
        limit: u64,
    },
    /// The driver refused one of several chunks of memory; those before it are freed again.
    #[error(
        "ABORT: only {allocated}/{wanted} chunks allocated, {what} answers {code}; free memory, lower the context or use a smaller model"
    )]
    ChunkRefused {
        /// Chunks that the driver gave.
        allocated: usize,
        /// Chunks that were wanted.
        wanted: usize,
        /// The Vulkan function that refused.
        what: &'static str,
        /// The result code, as Vulkan names it.
        code: String,
    },
    /// No memory type has the properties a region needs.
    #[error("no memory type offers {wanted}; this device cannot run the engine")]
    NoMemoryType {
        /// The properties that were asked for.
        wanted: &'static str,
    },
    /// The command stream asks for something the device or the contract does not allow.
    #[error("command {command} of the stream is malformed: {detail}")]
    BadStream {
        /// Index of the command.
        command: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// No shader of that name was built.
    #[error("kernel {name} has no shader; add shaders/{name}.wgsl")]
    UnknownKernel {
        /// The kernel's name.
        name: String,
    },
    /// A guard zone behind a region was overwritten.
    #[error("guard behind region {region} was overwritten: a shader wrote out of bounds")]
    GuardBroken {
        /// The region's name.
        region: String,
    },
    /// A fence or timeline value did not arrive in time.
    #[error("TIMEOUT after {ms} ms: the device did not signal {what}; it hangs or is overloaded")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The limit in milliseconds.
        ms: u64,
    },
    /// `VK_ERROR_DEVICE_LOST`: the context is gone; the worker must be respawned.
    #[error("device lost in {what}; the worker must be respawned")]
    DeviceLost {
        /// The Vulkan function that reported it.
        what: &'static str,
    },
    /// Any other failing call.
    #[error("{what} failed with {code}; see the driver's log")]
    Call {
        /// The Vulkan function.
        what: &'static str,
        /// The result code, as Vulkan names it.
        code: String,
    },
}

impl VkError {
    /// Stable machine-readable code for the worker protocol.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoLoader { .. } => "no_vulkan_loader",
            Self::NoDriver { .. } => "no_vulkan_driver",
            Self::NoDevice { .. } => "no_vulkan_device",
            Self::Budget { .. } => "budget",
            Self::RegionTooLarge { .. } => "region_too_large",
            Self::ChunkRefused { .. } => "chunk_refused",
            Self::NoMemoryType { .. } => "no_memory_type",
            Self::BadStream { .. } => "bad_stream",
            Self::UnknownKernel { .. } => "unknown_kernel",
            Self::GuardBroken { .. } => "guard_broken",
            Self::Timeout { .. } => "device_timeout",
            Self::DeviceLost { .. } => "device_lost",
            Self::Call { .. } => "vulkan_call",
        }
    }

    /// Whether the context is beyond use and its process must be replaced.
    #[must_use]
    pub fn poisons_context(&self) -> bool {
        matches!(
            self,
            Self::DeviceLost { .. } | Self::Timeout { .. } | Self::GuardBroken { .. }
        )
    }
}

/// Names the call behind a failing `VkResult`.
pub(super) trait Named<T> {
    /// Turns the raw result into a [`VkError`] that names `what`.
    fn named(self, what: &'static str) -> Result<T, VkError>;
}

impl<T> Named<T> for Result<T, vk::Result> {
    fn named(self, what: &'static str) -> Result<T, VkError> {
        self.map_err(|code| match code {
            vk::Result::ERROR_DEVICE_LOST => VkError::DeviceLost { what },
            other => VkError::Call {
                what,
                code: format!("{other:?}"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_is_told_apart_from_other_failures() {
        let lost: Result<(), _> = Err(vk::Result::ERROR_DEVICE_LOST);
        let lost = lost.named("vkQueueSubmit").unwrap_err();
        assert!(lost.poisons_context());
        assert_eq!(lost.code(), "device_lost");
        let oom: Result<(), _> = Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY);
        let oom = oom.named("vkAllocateMemory").unwrap_err();
        assert!(!oom.poisons_context());
        assert_eq!(
            oom.to_string(),
            "vkAllocateMemory failed with ERROR_OUT_OF_DEVICE_MEMORY; see the driver's log"
        );
    }

    #[test]
    fn a_missing_driver_names_its_remedy() {
        let error = VkError::NoDriver {
            detail: "ERROR_INCOMPATIBLE_DRIVER".into(),
        };
        assert!(
            error
                .to_string()
                .contains("apt-get install mesa-vulkan-drivers")
        );
    }
}
