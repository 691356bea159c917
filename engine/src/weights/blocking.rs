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

    /// Kernel and grid of a product of `n_out` rows of a weight with `n_tokens` rows of activations.
    pub fn product(self, form: WeightForm, n_out: u32, n_tokens: u32) -> (Kernel, [u32; 3]) {
        if n_tokens > 1 {
            let [rows, tokens] = MATMUL_TILE;
            let groups = [n_out.div_ceil(rows), n_tokens.div_ceil(tokens), 1];
            return (form.matmul(), groups);
        }
        match self {
            RowBlocking::Narrow => (form.matvec(), [n_out.div_ceil(MATVEC_ROWS), n_tokens, 1]),
            RowBlocking::Wide => (
                form.matvec_wide(),
                [n_out.div_ceil(MATVEC_WIDE_ROWS), n_tokens, 1],
            ),
        }
    }
}
