//! Modes by name, for every command that takes one.

use clap::ValueEnum;
use engine::profile::RequestKind;

/// How passes reach the device, and what is measured or tapped on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArg {
    /// One submit per pass, as in production.
    SingleGraph,
    /// One submit per block.
    LegacyMultiSubmit,
    /// One submit, with validation taps.
    ValidationSingleGraph,
    /// One submit per block, with validation taps.
    ValidationLegacy,
    /// One submit, as the smoke suite measures it.
    SmokeSummary,
    /// One submit, with a timestamp around every dispatch.
    SmokeFull,
    /// The reference on the CPU, which has no stream.
    CpuReference,
}

impl ModeArg {
    /// How the mode is asked for.
    pub(super) fn request(self) -> (RequestKind, Option<(&'static str, &'static str)>) {
        let legacy = Some(("ENGINE_FORCE_MULTI_SUBMIT", "1"));
        match self {
            ModeArg::SingleGraph => (RequestKind::Production, None),
            ModeArg::LegacyMultiSubmit => (RequestKind::Smoke, legacy),
            ModeArg::ValidationSingleGraph => (RequestKind::Validation, None),
            ModeArg::ValidationLegacy => (RequestKind::Validation, legacy),
            ModeArg::SmokeSummary => (RequestKind::Smoke, Some(("ENGINE_PERDISPATCH", "summary"))),
            ModeArg::SmokeFull => (RequestKind::Smoke, Some(("ENGINE_PERDISPATCH", "full"))),
            ModeArg::CpuReference => (RequestKind::Reference, None),
        }
    }

    /// Whether every segment of the graph is submitted by itself.
    pub(super) fn is_legacy(self) -> bool {
        matches!(self, ModeArg::LegacyMultiSubmit | ModeArg::ValidationLegacy)
    }
}
