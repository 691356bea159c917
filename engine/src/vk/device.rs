//! Instance, device selection, limits. One device, one queue.

use std::ffi::{CStr, c_char};
use std::sync::Arc;

use ash::vk;
use serde::{Deserialize, Serialize};

use super::VkError;
use super::debug::{self, Listener};
use super::error::Named;

/// What a device is and what it allows; plain data for `engine caps` and for planning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Caps {
    /// Device name, as the driver gives it.
    pub device: String,
    /// Driver name and version text.
    pub driver: String,
    /// Device API version, `major.minor.patch`.
    pub api: String,
    /// `cpu`, `integrated`, `discrete`, `virtual` or `other`.
    pub kind: String,
    /// PCI vendor id.
    pub vendor_id: u32,
    /// PCI device id.
    pub device_id: u32,
    /// Largest storage buffer binding in bytes.
    pub max_storage_buffer_range: u64,
    /// Alignment of storage buffer binding offsets in bytes.
    pub storage_offset_alignment: u64,
    /// Bytes of push constants.
    pub max_push_constant_bytes: u32,
    /// Largest workgroup count per axis.
    pub max_workgroups: [u32; 3],
    /// Largest invocations per workgroup.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub max_shared_bytes: u32,
    /// Subgroup width.
    pub subgroup_size: u32,
    /// Valid bits of a timestamp on the compute queue; 0 means none.
    pub timestamp_bits: u32,
    /// Nanoseconds per timestamp tick.
    pub timestamp_period_ns: f32,
    /// Bytes of the largest device-local heap.
    pub heap_bytes: u64,
    /// Whether `robustBufferAccess` is on.
    pub robust_buffer_access: bool,
    /// Whether timeline semaphores are on.
    pub timeline_semaphores: bool,
}

/// An open device with its single compute queue.
pub struct Device {
    pub(super) raw: ash::Device,
    pub(super) queue: vk::Queue,
    pub(super) queue_family: u32,
    pub(super) memory: vk::PhysicalDeviceMemoryProperties,
    caps: Caps,
    listener: Option<Listener>,
    instance: ash::Instance,
    // Held so that the loader library outlives every function pointer taken from it.
    _entry: ash::Entry,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}

struct Candidate {
    physical: vk::PhysicalDevice,
    queue_family: u32,
    rank: u32,
    caps: Caps,
    features: vk::PhysicalDeviceFeatures,
}

impl Device {
    /// Opens the best device: discrete before integrated before virtual before software.
    ///
    /// # Errors
    /// [`VkError::NoLoader`], [`VkError::NoDriver`] or [`VkError::NoDevice`] when nothing usable answers, each
    /// with its remedy; [`VkError::Call`] when the driver fails.
    pub fn open() -> Result<Arc<Self>, VkError> {
        // SAFETY: the loader is the system's Vulkan library; running its initialisers is what loading means.
        let entry = unsafe { ash::Entry::load() }.map_err(|error| VkError::NoLoader {
            detail: one_line(&error.to_string()),
        })?;
        let layered = debug::wanted();
        let instance = create_instance(&entry, layered)?;
        let listener = if layered {
            Some(Listener::register(&entry, &instance)?)
        } else {
            None
        };
        match Self::open_in(&instance) {
            Ok((raw, queue, chosen)) => {
                // SAFETY: `physical` was enumerated from this live instance.
                let memory =
                    unsafe { instance.get_physical_device_memory_properties(chosen.physical) };
                Ok(Arc::new(Self {
                    raw,
                    queue,
                    queue_family: chosen.queue_family,
                    memory,
                    caps: chosen.caps,
                    listener,
                    instance,
                    _entry: entry,
                }))
            }
            Err(error) => {
                if let Some(listener) = listener {
                    listener.unregister();
                }
                // SAFETY: nothing created from the instance is alive on this path.
                unsafe { instance.destroy_instance(None) };
                Err(error)
            }
        }
    }

    fn open_in(instance: &ash::Instance) -> Result<(ash::Device, vk::Queue, Candidate), VkError> {
        let chosen = choose(instance)?;
        let raw = create_device(instance, &chosen)?;
        // SAFETY: queue 0 of this family was requested in `create_device`.
        let queue = unsafe { raw.get_device_queue(chosen.queue_family, 0) };
        Ok((raw, queue, chosen))
    }

    /// What this device is and allows.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.caps
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: every object made from the device holds an `Arc` of it, so none is alive here.
        unsafe {
            self.raw.destroy_device(None);
            if let Some(listener) = &self.listener {
                listener.unregister();
            }
            self.instance.destroy_instance(None);
        }
    }
}

fn create_instance(entry: &ash::Entry, layered: bool) -> Result<ash::Instance, VkError> {
    let application = vk::ApplicationInfo::default()
        .application_name(c"engine")
        .api_version(vk::API_VERSION_1_2);
    let extensions = [ash::ext::debug_utils::NAME.as_ptr()];
    let mut info = vk::InstanceCreateInfo::default().application_info(&application);
    if layered {
        info = info.enabled_extension_names(&extensions);
    }
    // SAFETY: the create info and what it points to live across the call.
    unsafe { entry.create_instance(&info, None) }.map_err(|code| match code {
        vk::Result::ERROR_INCOMPATIBLE_DRIVER | vk::Result::ERROR_INITIALIZATION_FAILED => {
            VkError::NoDriver {
                detail: format!("vkCreateInstance: {code:?}"),
            }
        }
        other => VkError::Call {
            what: "vkCreateInstance",
            code: format!("{other:?}"),
        },
    })
}

fn choose(instance: &ash::Instance) -> Result<Candidate, VkError> {
    // SAFETY: the instance is live.
    let devices = match unsafe { instance.enumerate_physical_devices() } {
        Ok(devices) => devices,
        Err(vk::Result::ERROR_INITIALIZATION_FAILED) => Vec::new(),
        Err(code) => return Err(code).named("vkEnumeratePhysicalDevices"),
    };
    if devices.is_empty() {
        return Err(VkError::NoDriver {
            detail: "vkEnumeratePhysicalDevices found none".into(),
        });
    }
    let mut seen = Vec::new();
    let mut best: Option<Candidate> = None;
    for physical in devices {
        match inspect(instance, physical) {
            Ok(candidate) => {
                if best.as_ref().is_none_or(|b| candidate.rank < b.rank) {
                    best = Some(candidate);
                }
            }
            Err(reason) => seen.push(reason),
        }
    }
    best.ok_or(VkError::NoDevice { seen })
}

fn inspect(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<Candidate, String> {
    // SAFETY: `physical` belongs to this live instance.
    let properties = unsafe { instance.get_physical_device_properties(physical) };
    let name = text(&properties.device_name);
    if properties.api_version < vk::API_VERSION_1_2 {
        return Err(format!(
            "{name}: api {} is below 1.2",
            version(properties.api_version)
        ));
    }
    // SAFETY: as above.
    let families = unsafe { instance.get_physical_device_queue_family_properties(physical) };
    let Some((index, family)) = families
        .iter()
        .enumerate()
        .filter(|(_, f)| f.queue_count > 0 && f.queue_flags.contains(vk::QueueFlags::COMPUTE))
        .min_by_key(|(_, f)| u32::from(f.timestamp_valid_bits == 0))
    else {
        return Err(format!("{name}: no compute queue"));
    };
    let queue_family = u32::try_from(index).map_err(|_| format!("{name}: too many queues"))?;
    let (driver, subgroup_size) = driver_and_subgroup(instance, physical);
    // SAFETY: as above.
    let features = unsafe { instance.get_physical_device_features(physical) };
    // SAFETY: as above.
    let memory = unsafe { instance.get_physical_device_memory_properties(physical) };
    let (rank, kind) = match properties.device_type {
        vk::PhysicalDeviceType::DISCRETE_GPU => (0, "discrete"),
        vk::PhysicalDeviceType::INTEGRATED_GPU => (1, "integrated"),
        vk::PhysicalDeviceType::VIRTUAL_GPU => (2, "virtual"),
        vk::PhysicalDeviceType::CPU => (3, "cpu"),
        _ => (4, "other"),
    };
    let limits = properties.limits;
    let caps = Caps {
        device: name,
        driver,
        api: version(properties.api_version),
        kind: kind.into(),
        vendor_id: properties.vendor_id,
        device_id: properties.device_id,
        max_storage_buffer_range: u64::from(limits.max_storage_buffer_range),
        storage_offset_alignment: limits.min_storage_buffer_offset_alignment.max(4),
        max_push_constant_bytes: limits.max_push_constants_size,
        max_workgroups: limits.max_compute_work_group_count,
        max_invocations: limits.max_compute_work_group_invocations,
        max_shared_bytes: limits.max_compute_shared_memory_size,
        subgroup_size,
        timestamp_bits: family.timestamp_valid_bits,
        timestamp_period_ns: limits.timestamp_period,
        heap_bytes: largest_device_heap(&memory),
        robust_buffer_access: features.robust_buffer_access == vk::TRUE,
        timeline_semaphores: supports_timeline(instance, physical),
    };
    Ok(Candidate {
        physical,
        queue_family,
        rank,
        caps,
        features,
    })
}

fn driver_and_subgroup(instance: &ash::Instance, physical: vk::PhysicalDevice) -> (String, u32) {
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut subgroup = vk::PhysicalDeviceSubgroupProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default()
        .push_next(&mut driver)
        .push_next(&mut subgroup);
    // SAFETY: the chained structs are valid for a 1.2 device and outlive the call.
    unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
    let name = text(&driver.driver_name);
    let info = text(&driver.driver_info);
    let driver = if info.is_empty() {
        name
    } else {
        format!("{name} {info}")
    };
    (driver, subgroup.subgroup_size)
}

fn supports_timeline(instance: &ash::Instance, physical: vk::PhysicalDevice) -> bool {
    let mut vulkan12 = vk::PhysicalDeviceVulkan12Features::default();
    let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut vulkan12);
    // SAFETY: the chained struct is valid for a 1.2 device and outlives the call.
    unsafe { instance.get_physical_device_features2(physical, &mut features) };
    vulkan12.timeline_semaphore == vk::TRUE
}

fn create_device(instance: &ash::Instance, chosen: &Candidate) -> Result<ash::Device, VkError> {
    let priorities = [1.0_f32];
    let queues = [vk::DeviceQueueCreateInfo::default()
        .queue_family_index(chosen.queue_family)
        .queue_priorities(&priorities)];
    let features = vk::PhysicalDeviceFeatures::default()
        .robust_buffer_access(chosen.features.robust_buffer_access == vk::TRUE);
    let mut vulkan12 = vk::PhysicalDeviceVulkan12Features::default()
        .timeline_semaphore(chosen.caps.timeline_semaphores);
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_features(&features)
        .push_next(&mut vulkan12);
    // SAFETY: only features that the device reported are enabled; all pointers outlive the call.
    unsafe { instance.create_device(chosen.physical, &info, None) }.named("vkCreateDevice")
}

fn largest_device_heap(memory: &vk::PhysicalDeviceMemoryProperties) -> u64 {
    memory
        .memory_heaps_as_slice()
        .iter()
        .filter(|heap| heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL))
        .map(|heap| heap.size)
        .max()
        .unwrap_or(0)
}

fn version(packed: u32) -> String {
    format!(
        "{}.{}.{}",
        vk::api_version_major(packed),
        vk::api_version_minor(packed),
        vk::api_version_patch(packed)
    )
}

fn text(raw: &[c_char]) -> String {
    #[allow(
        clippy::cast_sign_loss,
        reason = "c_char is the platform's byte; the bits are what matters"
    )]
    let bytes: Vec<u8> = raw.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
