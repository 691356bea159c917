//! Validation: which tensors to tap, and where a device's values first leave the reference's.
//!
//! Taps are observational (§6): [`insert_taps`] clears the arena before the stream, and adds copies to readback in
//! front of commands that read the tapped tensor anyway, where the recorder has already ordered the write.
//! Nothing else of the stream changes, so `without_taps` gives back the very stream that was tapped.

mod divergence;
mod taps;

pub(crate) use divergence::end_layer;
pub use divergence::{DivergenceKind, FirstDivergence, TOLERANCE, first_divergence};
pub use taps::{Invalidated, Tap, TapPlan, insert_taps, plan_all_taps, plan_taps, trace_of_taps};
