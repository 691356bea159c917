//! Forms of weights on the device, and the kernels that read them.

use serde::Serialize;

use crate::gguf::TensorType;
use crate::kernels::Kernel;
use crate::model::WeightSource;
use crate::quant::Packing;

/// How a weight is stored on the device; one reader in `shaders/weights` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightForm {
    /// One part: `f32` values.
    F32,
    /// One part: `f16` values, two to a word.
    F16,
    /// Two parts: quants, then scales.
    Q8_0,
    /// Two parts: quants, then scales.
    Q4_0,
    /// Two parts: quants, then factors.
    Q4K,
    /// Two parts: quants, then factors.
    Q6K,
}

impl WeightForm {
    /// All forms.
    pub const ALL: [WeightForm; 6] = [
        WeightForm::F32,
        WeightForm::F16,
        WeightForm::Q8_0,
        WeightForm::Q4_0,
        WeightForm::Q4K,
        WeightForm::Q6K,
    ];

    /// Name in kernels and messages.
    pub const fn name(self) -> &'static str {
        match self {
            WeightForm::F32 => "f32",
            WeightForm::F16 => "f16",
            WeightForm::Q8_0 => "q8_0",
            WeightForm::Q4_0 => "q4_0",
            WeightForm::Q4K => "q4_k",
            WeightForm::Q6K => "q6_k",
        }
    }

    /// The form that a tensor of the file takes.
    pub(super) fn of(source: &WeightSource) -> WeightForm {
        match source.ty {
            // Single rows are factors of norms, which one kernel reads.
            _ if source.rows == 1 => WeightForm::F32,
            TensorType::F16 => WeightForm::F16,
            TensorType::Q8_0 => WeightForm::Q8_0,
            TensorType::Q4_0 => WeightForm::Q4_0,
            TensorType::Q4_K => WeightForm::Q4K,
            TensorType::Q6_K => WeightForm::Q6K,
            _ => WeightForm::F32,
        }
    }

    /// Packings of the parts, for a tensor of that type.
    pub(super) fn packings(self, ty: TensorType) -> &'static [Packing] {
        match self {
            WeightForm::F32 if ty == TensorType::F32 => &[Packing::Verbatim],
            WeightForm::F32 => &[Packing::Widened],
            WeightForm::F16 => &[Packing::Verbatim],
            WeightForm::Q8_0 => &[Packing::Q8_0, Packing::Scales],
            WeightForm::Q4_0 => &[Packing::Q4_0, Packing::Scales],
            WeightForm::Q4K => &[Packing::Q4K, Packing::Q4KScales],
            WeightForm::Q6K => &[Packing::Q6K, Packing::Q6KScales],
        }
    }

    /// The kernel that gathers rows.
    pub const fn embed(self) -> Kernel {
        match self {
            WeightForm::F32 => Kernel::EmbedF32,
            WeightForm::F16 => Kernel::EmbedF16,
            WeightForm::Q8_0 => Kernel::EmbedQ8_0,
            WeightForm::Q4_0 => Kernel::EmbedQ4_0,
            WeightForm::Q4K => Kernel::EmbedQ4K,
            WeightForm::Q6K => Kernel::EmbedQ6K,
        }
    }

    /// The kernel that multiplies with one row of activations.
    pub const fn matvec(self) -> Kernel {
        match self {
            WeightForm::F32 => Kernel::MatvecF32,
            WeightForm::F16 => Kernel::MatvecF16,
            WeightForm::Q8_0 => Kernel::MatvecQ8_0,
            WeightForm::Q4_0 => Kernel::MatvecQ4_0,
            WeightForm::Q4K => Kernel::MatvecQ4K,
            WeightForm::Q6K => Kernel::MatvecQ6K,
        }
    }

    /// As [`Self::matvec`], for devices with few cores.
    pub const fn matvec_wide(self) -> Kernel {
        match self {
            WeightForm::F32 => Kernel::MatvecWideF32,
            WeightForm::F16 => Kernel::MatvecWideF16,
            WeightForm::Q8_0 => Kernel::MatvecWideQ8_0,
            WeightForm::Q4_0 => Kernel::MatvecWideQ4_0,
            WeightForm::Q4K => Kernel::MatvecWideQ4K,
            WeightForm::Q6K => Kernel::MatvecWideQ6K,
        }
    }

    /// The kernel that multiplies with several rows of activations.
    pub const fn matmul(self) -> Kernel {
        match self {
            WeightForm::F32 => Kernel::MatmulF32,
            WeightForm::F16 => Kernel::MatmulF16,
            WeightForm::Q8_0 => Kernel::MatmulQ8_0,
            WeightForm::Q4_0 => Kernel::MatmulQ4_0,
            WeightForm::Q4K => Kernel::MatmulQ4K,
            WeightForm::Q6K => Kernel::MatmulQ6K,
        }
    }
}
