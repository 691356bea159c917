//! Messages of validation layers, on stderr. A layer without a listener writes to stdout, which is the worker's protocol.

use std::ffi::{CStr, c_void};
use std::io::Write;

use ash::{ext, vk};

use super::VkError;
use super::error::Named;

/// Variables by which a user turns layers on.
const LAYER_VARIABLES: [&str; 2] = ["VK_INSTANCE_LAYERS", "VK_LOADER_LAYERS_ENABLE"];

/// Whether the environment asks for layers.
pub(super) fn wanted() -> bool {
    LAYER_VARIABLES
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// A registered listener.
pub(super) struct Listener {
    functions: ext::debug_utils::Instance,
    messenger: vk::DebugUtilsMessengerEXT,
}

impl Listener {
    /// Registers with an instance that was created with `VK_EXT_debug_utils`.
    pub(super) fn register(entry: &ash::Entry, instance: &ash::Instance) -> Result<Self, VkError> {
        let functions = ext::debug_utils::Instance::new(entry, instance);
        let info = vk::DebugUtilsMessengerCreateInfoEXT::default()
            .message_severity(
                vk::DebugUtilsMessageSeverityFlagsEXT::ERROR
                    | vk::DebugUtilsMessageSeverityFlagsEXT::WARNING,
            )
            .message_type(vk::DebugUtilsMessageTypeFlagsEXT::VALIDATION)
            .pfn_user_callback(Some(print));
        // SAFETY: the instance is live and has the extension; the callback is a static function.
        let messenger = unsafe { functions.create_debug_utils_messenger(&info, None) }
            .named("vkCreateDebugUtilsMessengerEXT")?;
        Ok(Self {
            functions,
            messenger,
        })
    }

    /// Must be called before the instance is destroyed.
    pub(super) fn unregister(&self) {
        // SAFETY: the instance is still live and the messenger was made from it.
        unsafe {
            self.functions
                .destroy_debug_utils_messenger(self.messenger, None);
        }
    }
}

/// Prints one message as one line.
unsafe extern "system" fn print(
    _severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _kind: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    _user: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: the layer passes either null or a callback record that lives across this call.
    let message = unsafe { data.as_ref() }.map(|data| data.p_message);
    if let Some(message) = message.filter(|message| !message.is_null()) {
        // SAFETY: a message is a C string that lives across this call.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        // A closed stderr is no reason to fail a Vulkan call.
        let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    }
    vk::FALSE
}
