//! Execution profiles: the only way to a mode (§1).
//!
//! [`ExecutionProfile::resolve`] is a pure function of an environment snapshot and the kind of request.
//! Production runs `GpuSingleGraph` or nothing; a contradiction is a [`Conflict`], never a quiet choice,
//! and no combination leads from a GPU request to the CPU (§7).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::weights::RowBlocking;

/// Environment variables that the engine looks at, by canonical name and alias of the founding case.
pub const VARIABLES: &[(&str, &str)] = &[
    ("ENGINE_PROFILE_FORWARD", "CORTEX_PROFILE_FORWARD"),
    ("ENGINE_FA_DEBUG_RING", "CORTEX_FA_DEBUG_RING"),
    ("ENGINE_PERDISPATCH", "CORTEX_PERDISPATCH"),
    ("ENGINE_NOOP_DISPATCHES", "CORTEX_NOOP_DISPATCHES"),
    ("ENGINE_FUSE_QKV", "CORTEX_FUSE_QKV"),
    ("ENGINE_FUSE_FFN", "CORTEX_FUSE_FFN"),
    ("ENGINE_FFN_DIVERGENCE", "CORTEX_FFN_DIVERGENCE"),
    ("ENGINE_VALIDATE", "CORTEX_VALIDATE"),
    ("ENGINE_FORCE_MULTI_SUBMIT", "CORTEX_FORCE_MULTI_SUBMIT"),
    ("ENGINE_REQUIRE_DELTANET", "CORTEX_REQUIRE_DELTANET"),
    ("ENGINE_REQUIRE_LORA_GPU", "CORTEX_REQUIRE_LORA_GPU"),
    ("ENGINE_ROW_BLOCKING", "CORTEX_ROW_BLOCKING"),
];

/// Most noop dispatches that a pass may carry.
pub const MAX_NOOP_DISPATCHES: u32 = 4096;

/// The engine's variables as they were at one moment; the caller reads the process environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EnvSnapshot(BTreeMap<String, String>);

/// The canonical name of a variable, given by it or by its alias.
#[must_use]
pub fn canonical_name(name: &str) -> Option<&'static str> {
    let row = VARIABLES
        .iter()
        .find(|(canonical, alias)| *canonical == name || *alias == name);
    row.map(|(canonical, _)| *canonical)
}

impl EnvSnapshot {
    /// The same with some variables replaced, whichever of their names was set before.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.retain(|key, _| canonical_name(key) != Some(name));
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Keeps the variables that belong to the engine, under their canonical names or aliases.
    pub fn from_vars<I, K, V>(vars: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<String>,
        V: Into<String>,
    {
        let pairs = vars
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        EnvSnapshot(
            pairs
                .filter(|(key, _)| key.starts_with("ENGINE_") || key.starts_with("CORTEX_"))
                .collect(),
        )
    }

    /// Value of a variable by canonical name; a conflict when name and alias are both set and differ.
    fn get(&self, name: &'static str) -> Result<Option<&str>, Conflict> {
        let alias = VARIABLES
            .iter()
            .find(|(canonical, _)| *canonical == name)
            .map_or(name, |(_, alias)| *alias);
        match (self.0.get(name), self.0.get(alias)) {
            (Some(a), Some(b)) if a != b => Err(Conflict::new(
                name,
                format!("{alias} says otherwise; unset one of them"),
            )),
            (Some(value), _) | (None, Some(value)) => Ok(Some(value.trim())),
            (None, None) => Ok(None),
        }
    }

    fn flag(&self, name: &'static str) -> Result<bool, Conflict> {
        Ok(self.switch(name)?.unwrap_or(false))
    }

    /// A flag that may also be left open.
    fn switch(&self, name: &'static str) -> Result<Option<bool>, Conflict> {
        match self.get(name)?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => Ok(None),
            Some("0" | "false" | "off" | "no") => Ok(Some(false)),
            Some("1" | "true" | "on" | "yes") => Ok(Some(true)),
            Some(other) => Err(Conflict::new(name, format!("{other:?} is neither 0 nor 1"))),
        }
    }
}

/// What the profile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Serving: one mode only.
    Production,
    /// The smoke suite and other measurements; paths may be forced.
    Smoke,
    /// Stage taps against the reference.
    Validation,
    /// The CPU reference, asked for by name.
    Reference,
}

impl RequestKind {
    /// All kinds.
    pub const ALL: [RequestKind; 4] = [
        RequestKind::Production,
        RequestKind::Smoke,
        RequestKind::Validation,
        RequestKind::Reference,
    ];
}

/// Modes of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Mode {
    /// One submit per pass; the only production mode.
    GpuSingleGraph,
    /// One submit per segment with a fence after each.
    GpuLegacyMultiSubmit,
    /// Single graph with validation taps.
    GpuValidationSingleGraph,
    /// Legacy with validation taps.
    GpuValidationLegacy,
    /// Single graph for the smoke suite, totals only.
    GpuSmokeSummary,
    /// Single graph for the smoke suite, a timestamp around every dispatch.
    GpuSmokeFull,
    /// The reference on the CPU.
    CpuReference,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 7] = [
        Mode::GpuSingleGraph,
        Mode::GpuLegacyMultiSubmit,
        Mode::GpuValidationSingleGraph,
        Mode::GpuValidationLegacy,
        Mode::GpuSmokeSummary,
        Mode::GpuSmokeFull,
        Mode::CpuReference,
    ];

    /// Name in markers.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::GpuSingleGraph => "GpuSingleGraph",
            Mode::GpuLegacyMultiSubmit => "GpuLegacyMultiSubmit",
            Mode::GpuValidationSingleGraph => "GpuValidationSingleGraph",
            Mode::GpuValidationLegacy => "GpuValidationLegacy",
            Mode::GpuSmokeSummary => "GpuSmokeSummary",
            Mode::GpuSmokeFull => "GpuSmokeFull",
            Mode::CpuReference => "CpuReference",
        }
    }

    /// How the pass reaches the queue; `None` on the CPU.
    pub const fn path(self) -> Option<Path> {
        match self {
            Mode::GpuSingleGraph
            | Mode::GpuValidationSingleGraph
            | Mode::GpuSmokeSummary
            | Mode::GpuSmokeFull => Some(Path::SingleGraph),
            Mode::GpuLegacyMultiSubmit | Mode::GpuValidationLegacy => Some(Path::LegacyMultiSubmit),
            Mode::CpuReference => None,
        }
    }

    /// Whether stage taps are recorded.
    pub const fn has_taps(self) -> bool {
        matches!(
            self,
            Mode::GpuValidationSingleGraph | Mode::GpuValidationLegacy
        )
    }
}

/// How a pass reaches the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// One submit.
    SingleGraph,
    /// One submit and fence per segment of the graph.
    LegacyMultiSubmit,
}

impl Path {
    /// Name in markers.
    pub const fn name(self) -> &'static str {
        match self {
            Path::SingleGraph => "single_graph",
            Path::LegacyMultiSubmit => "legacy_multi_submit",
        }
    }
}

/// How finely the device's time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timestamps {
    /// Totals per pass.
    Summary,
    /// Around every dispatch.
    Full,
}

impl Timestamps {
    /// Name in markers.
    pub const fn name(self) -> &'static str {
        match self {
            Timestamps::Summary => "summary",
            Timestamps::Full => "full",
        }
    }
}

/// Settings that cannot be served together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{variable}: {reason}")]
pub struct Conflict {
    /// Variable to change.
    pub variable: &'static str,
    /// Why, and what to do.
    pub reason: String,
}

impl Conflict {
    fn new(variable: &'static str, reason: impl Into<String>) -> Self {
        Conflict {
            variable,
            reason: reason.into(),
        }
    }
}

/// Which fused kernels were asked for; `None` leaves it to the rows that say where a kernel has been verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FusionWishes {
    /// Query, key and value projection in one dispatch.
    pub qkv: Option<bool>,
    /// Gate and up projection with their activation in one dispatch.
    pub ffn: Option<bool>,
}

/// Settings of one run of the engine. Only [`ExecutionProfile::resolve`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExecutionProfile {
    /// What it was resolved for.
    pub request: RequestKind,
    /// Mode.
    pub mode: Mode,
    /// How finely time is measured.
    pub timestamps: Timestamps,
    /// Noop dispatches per pass.
    pub noop_dispatches: u32,
    /// Fused kernels asked for; they run where they are verified.
    pub fusions: FusionWishes,
    /// Whether attention keeps a debug ring.
    pub attention_ring: bool,
    /// Whether every pass says where its time went and what its logits look like.
    pub profile_forward: bool,
    /// Whether the feed-forward stages are compared one by one; only where stages are tapped.
    pub ffn_divergence: bool,
}

impl ExecutionProfile {
    /// Resolves a profile.
    ///
    /// # Errors
    /// A [`Conflict`] names the variable that cannot be served and why.
    pub fn resolve(env: &EnvSnapshot, request: RequestKind) -> Result<ExecutionProfile, Conflict> {
        let wishes = Wishes::read(env)?;
        refuse_missing_features(env)?;
        wishes.check(request)?;
        Ok(ExecutionProfile {
            request,
            mode: wishes.mode(request),
            timestamps: wishes.perdispatch.unwrap_or(Timestamps::Summary),
            noop_dispatches: wishes.noop_dispatches,
            fusions: wishes.fusions,
            attention_ring: wishes.attention_ring,
            profile_forward: wishes.profile_forward,
            ffn_divergence: wishes.ffn_divergence,
        })
    }

    /// How passes reach the queue; `None` on the CPU.
    pub fn path(&self) -> Option<Path> {
        self.mode.path()
    }
}

/// How decode products take rows of weights: what the environment says, or else what suits the kind of device.
///
/// # Errors
/// A [`Conflict`] when the variable says neither `narrow` nor `wide`.
pub fn row_blocking(env: &EnvSnapshot, device_kind: &str) -> Result<RowBlocking, Conflict> {
    match env.get("ENGINE_ROW_BLOCKING")? {
        None | Some("") => Ok(RowBlocking::for_device(device_kind)),
        Some("narrow") => Ok(RowBlocking::Narrow),
        Some("wide") => Ok(RowBlocking::Wide),
        Some(other) => Err(Conflict::new(
            "ENGINE_ROW_BLOCKING",
            format!("{other:?} is neither narrow nor wide"),
        )),
    }
}

/// The variables as values.
struct Wishes {
    forced_legacy: bool,
    validate: bool,
    perdispatch: Option<Timestamps>,
    noop_dispatches: u32,
    fusions: FusionWishes,
    attention_ring: bool,
    profile_forward: bool,
    ffn_divergence: bool,
}

impl Wishes {
    fn read(env: &EnvSnapshot) -> Result<Self, Conflict> {
        Ok(Self {
            forced_legacy: env.flag("ENGINE_FORCE_MULTI_SUBMIT")?,
            validate: env.flag("ENGINE_VALIDATE")?,
            perdispatch: perdispatch(env)?,
            noop_dispatches: noop_dispatches(env)?,
            fusions: FusionWishes {
                qkv: env.switch("ENGINE_FUSE_QKV")?,
                ffn: env.switch("ENGINE_FUSE_FFN")?,
            },
            attention_ring: env.flag("ENGINE_FA_DEBUG_RING")?,
            profile_forward: env.flag("ENGINE_PROFILE_FORWARD")?,
            ffn_divergence: env.flag("ENGINE_FFN_DIVERGENCE")?,
        })
    }

    /// Refuses what a request of this kind cannot serve.
    fn check(&self, request: RequestKind) -> Result<(), Conflict> {
        let refusals = match request {
            RequestKind::Production => PRODUCTION_REFUSES,
            RequestKind::Reference => REFERENCE_REFUSES,
            RequestKind::Smoke | RequestKind::Validation => &[],
        };
        match refusals.iter().find(|(_, asked, _)| asked(self)) {
            Some((variable, _, reason)) => Err(Conflict::new(variable, *reason)),
            None => Ok(()),
        }
    }

    /// The mode of a request that [`Wishes::check`] has let pass.
    fn mode(&self, request: RequestKind) -> Mode {
        let tapped = request == RequestKind::Validation || self.validate || self.ffn_divergence;
        match request {
            RequestKind::Production => Mode::GpuSingleGraph,
            RequestKind::Reference => Mode::CpuReference,
            _ if tapped && self.forced_legacy => Mode::GpuValidationLegacy,
            _ if tapped => Mode::GpuValidationSingleGraph,
            _ if self.forced_legacy => Mode::GpuLegacyMultiSubmit,
            _ if self.perdispatch == Some(Timestamps::Full) => Mode::GpuSmokeFull,
            _ => Mode::GpuSmokeSummary,
        }
    }
}

/// A variable, whether it was set to something that a kind of request cannot serve, and why it cannot.
type Refusal = (&'static str, fn(&Wishes) -> bool, &'static str);

const PRODUCTION_REFUSES: &[Refusal] = &[
    (
        "ENGINE_FORCE_MULTI_SUBMIT",
        |wishes| wishes.forced_legacy,
        "production runs GpuSingleGraph only; unset it or ask for a smoke or validation run",
    ),
    (
        "ENGINE_VALIDATE",
        |wishes| wishes.validate,
        "production carries no taps; unset it or ask for a validation run",
    ),
    (
        "ENGINE_FFN_DIVERGENCE",
        |wishes| wishes.ffn_divergence,
        "production carries no taps; unset it or ask for a validation run",
    ),
];

const REFERENCE_REFUSES: &[Refusal] = &[
    (
        "ENGINE_FORCE_MULTI_SUBMIT",
        |wishes| wishes.forced_legacy,
        "the cpu reference submits nothing; unset it",
    ),
    (
        "ENGINE_PERDISPATCH",
        |wishes| wishes.perdispatch == Some(Timestamps::Full),
        "the cpu reference has no dispatches to time; unset it",
    ),
    (
        "ENGINE_NOOP_DISPATCHES",
        |wishes| wishes.noop_dispatches > 0,
        "the cpu reference dispatches nothing; unset it",
    ),
    (
        "ENGINE_FFN_DIVERGENCE",
        |wishes| wishes.ffn_divergence,
        "the cpu reference is what others are compared with; unset it",
    ),
    (
        "ENGINE_PROFILE_FORWARD",
        |wishes| wishes.profile_forward,
        "the cpu reference submits no passes to profile; unset it",
    ),
];

fn perdispatch(env: &EnvSnapshot) -> Result<Option<Timestamps>, Conflict> {
    match env.get("ENGINE_PERDISPATCH")? {
        None | Some("" | "0") => Ok(None),
        Some("summary") => Ok(Some(Timestamps::Summary)),
        Some("full") => Ok(Some(Timestamps::Full)),
        Some(other) => Err(Conflict::new(
            "ENGINE_PERDISPATCH",
            format!("{other:?} is neither summary nor full"),
        )),
    }
}

fn noop_dispatches(env: &EnvSnapshot) -> Result<u32, Conflict> {
    let Some(text) = env
        .get("ENGINE_NOOP_DISPATCHES")?
        .filter(|text| !text.is_empty())
    else {
        return Ok(0);
    };
    match text.parse() {
        Ok(count) if count <= MAX_NOOP_DISPATCHES => Ok(count),
        _ => Err(Conflict::new(
            "ENGINE_NOOP_DISPATCHES",
            format!("{text:?} is not a number from 0 to {MAX_NOOP_DISPATCHES}"),
        )),
    }
}

/// What may be asked for one day.
const MISSING_FEATURES: &[(&str, &str)] = &[
    ("ENGINE_REQUIRE_DELTANET", "gated DeltaNet layers"),
    ("ENGINE_REQUIRE_LORA_GPU", "LoRA on the GPU"),
];

fn refuse_missing_features(env: &EnvSnapshot) -> Result<(), Conflict> {
    for (name, feature) in MISSING_FEATURES {
        if env.flag(name)? {
            return Err(Conflict::new(
                name,
                format!("this build has no {feature}; unset it"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
