//! Tensor types of ggml: block lengths and sizes, from `ggml.c`'s type traits.

/// A tensor type that GGUF files may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Number in the file.
    pub id: u32,
    /// ggml's name.
    pub name: &'static str,
    /// Elements per block.
    pub block: u64,
    /// Bytes per block.
    pub block_bytes: u64,
}

const fn row(id: u32, name: &'static str, block: u64, block_bytes: u64) -> TensorType {
    TensorType {
        id,
        name,
        block,
        block_bytes,
    }
}

const TYPES: &[TensorType] = &[
    TensorType::F32,
    TensorType::F16,
    TensorType::Q4_0,
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    TensorType::Q8_0,
    row(9, "Q8_1", 32, 36),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    TensorType::Q4_K,
    row(13, "Q5_K", 256, 176),
    TensorType::Q6_K,
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
];

impl TensorType {
    /// 32-bit float.
    pub const F32: TensorType = row(0, "F32", 1, 4);
    /// 16-bit float.
    pub const F16: TensorType = row(1, "F16", 1, 2);
    /// Blocks of 32 four-bit integers and an f16 scale.
    pub const Q4_0: TensorType = row(2, "Q4_0", 32, 18);
    /// Blocks of 32 bytes and an f16 scale.
    pub const Q8_0: TensorType = row(8, "Q8_0", 32, 34);
    /// Blocks of 256 four-bit integers with a scale and a minimum per 32.
    pub const Q4_K: TensorType = row(12, "Q4_K", 256, 144);
    /// Blocks of 256 six-bit integers with a scale per 16.
    pub const Q6_K: TensorType = row(14, "Q6_K", 256, 210);

    /// The type of a number, if ggml has it.
    pub fn from_id(id: u32) -> Option<TensorType> {
        TYPES.iter().find(|ty| ty.id == id).copied()
    }

    /// Bytes of `elements` elements; `None` on overflow or a broken block.
    pub fn bytes(&self, elements: u64) -> Option<u64> {
        if !elements.is_multiple_of(self.block) {
            return None;
        }
        (elements / self.block).checked_mul(self.block_bytes)
    }
}
