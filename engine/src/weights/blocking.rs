//! Which kernel multiplies, by the kind of device and the number of rows.

use super::WeightForm;
use crate::kernels::{Kernel, MATMUL_TILE, MATVEC_ROWS, MATVEC_WIDE_ROWS};

/// How many rows of a weight a group of a decode product takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RowBlocking {
    /// Few: many groups, and neighbouring lanes read neighbouring words. For graphics cards.
    #[default]
    Narrow,
    /// Many: every value of the activations that is read serves eight rows. For devices whose lanes load one by one.
    Wide,
}

impl RowBlocking {
    /// What suits a kind of device, as [`crate::vk::device::Caps::kind`] names it.
    pub fn for_device(kind: &str) -> RowBlocking {
        if kind == "cpu" {
            RowBlocking::Wide
        } else {
            RowBlocking::Narrow
        }
    }

    /// Rows of a weight that a group of a decode product takes.
    pub const fn rows(self) -> u32 {
        match self {
            RowBlocking::Narrow => MATVEC_ROWS,
            RowBlocking::Wide => MATVEC_WIDE_ROWS,
        }
    }

    /// The kernel that projects queries, keys and values at once, where there is one for the form.
    pub const fn qkv(self, form: WeightForm) -> Option<Kernel> {
        match (self, form) {
            (RowBlocking::Narrow, WeightForm::F32) => Some(Kernel::QkvF32),
            (RowBlocking::Narrow, WeightForm::Q8_0) => Some(Kernel::QkvQ8_0),
            (RowBlocking::Wide, WeightForm::F32) => Some(Kernel::QkvWideF32),
            (RowBlocking::Wide, WeightForm::Q8_0) => Some(Kernel::QkvWideQ8_0),
            _ => None,
        }
    }

    /// The kernel that projects gate and up and activates, where there is one for the form.
    pub const fn ffn(self, form: WeightForm) -> Option<Kernel> {
        match (self, form) {
            (RowBlocking::Narrow, WeightForm::F32) => Some(Kernel::FfnF32),
            (RowBlocking::Narrow, WeightForm::Q8_0) => Some(Kernel::FfnQ8_0),
            (RowBlocking::Wide, WeightForm::F32) => Some(Kernel::FfnWideF32),
            (RowBlocking::Wide, WeightForm::Q8_0) => Some(Kernel::FfnWideQ8_0),
            _ => None,
        }
    }

    /// Kernel and grid of a product of `n_out` rows of a weight with `n_tokens` rows of activations.
    pub fn product(self, form: WeightForm, n_out: u32, n_tokens: u32) -> (Kernel, [u32; 3]) {
        if n_tokens > 1 {
            let [rows, tokens] = MATMUL_TILE;
            let groups = [n_out.div_ceil(rows), n_tokens.div_ceil(tokens), 1];
            return (form.matmul(), groups);
        }
        let kernel = match self {
            RowBlocking::Narrow => form.matvec(),
            RowBlocking::Wide => form.matvec_wide(),
        };
        (kernel, [n_out.div_ceil(self.rows()), n_tokens, 1])
    }
}
