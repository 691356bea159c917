//! Why a match is not fused.

use serde::Serialize;

/// Why a match is not fused; one per acceptance question that can be answered with no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reject {
    /// The switch is off.
    NotWanted,
    /// No row says that the kernel was verified for this device and driver.
    NotVerified,
    /// The kernel takes one row of activations.
    Rows {
        /// Rows of the pass.
        rows: u32,
    },
    /// The weights have different forms.
    MixedForms,
    /// No fused kernel reads weights of this form.
    Form {
        /// Name of the form.
        form: &'static str,
    },
    /// The weights do not lie back to back.
    Layout,
    /// The norm is over runs shorter than a row.
    NormRuns {
        /// Elements of a run.
        run: u32,
        /// Elements of a row.
        row: u32,
    },
    /// A tensor between the nodes is read elsewhere, or by the host.
    ReadElsewhere,
    /// The nodes belong to different blocks.
    CrossesBlocks,
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reject::NotWanted => f.write_str("its switch is off"),
            Reject::NotVerified => {
                f.write_str("its kernel is not verified for this device and driver")
            }
            Reject::Rows { rows } => {
                write!(f, "{rows} rows of activations where the kernel takes one")
            }
            Reject::MixedForms => f.write_str("the weights have different types"),
            Reject::Form { form } => write!(f, "no fused kernel reads {form} weights"),
            Reject::Layout => f.write_str("the weights do not lie back to back"),
            Reject::NormRuns { run, row } => {
                write!(f, "the norm takes runs of {run} in rows of {row}")
            }
            Reject::ReadElsewhere => f.write_str("a tensor between the nodes is read elsewhere"),
            Reject::CrossesBlocks => f.write_str("the nodes belong to different blocks"),
        }
    }
}
