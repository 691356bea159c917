//! The SPIR-V that `build.rs` made of `shaders/*.wgsl`, in the order of the kernel table.

use crate::kernels::Kernel;

/// One compiled shader.
#[derive(Debug, Clone, Copy)]
pub struct Shader {
    /// Kernel name.
    pub name: &'static str,
    /// SHA-256 of the SPIR-V, lower-case hex.
    pub digest: &'static str,
    /// SPIR-V words, little endian.
    pub spirv: &'static [u8],
}

/// All shaders by kernel number.
pub static SHADERS: &[Shader] = include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// The shader of a kernel.
#[must_use]
pub fn shader(kernel: Kernel) -> &'static Shader {
    &SHADERS[kernel as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::KERNELS;

    #[test]
    fn every_kernel_has_its_shader() {
        assert_eq!(SHADERS.len(), KERNELS.len());
        for spec in KERNELS {
            let shader = shader(spec.kernel);
            assert_eq!(shader.name, spec.name);
            assert_eq!(
                shader.spirv.get(..4),
                Some(&0x0723_0203_u32.to_le_bytes()[..]),
                "SPIR-V magic"
            );
            assert_eq!(shader.digest.len(), 64);
        }
    }
}
