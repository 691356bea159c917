//! Execution profiles: the only way to a mode (§1).
//!
//! [`ExecutionProfile::resolve`] is a pure function of an environment snapshot and the kind of request.
//! Production runs `GpuSingleGraph` or nothing; a contradiction is a [`Conflict`], never a quiet choice,
//! and no combination leads from a GPU request to the CPU (§7).

use std::collections::BTreeMap;

use serde::Serialize;

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
];

/// Most noop dispatches that a pass may carry.
pub const MAX_NOOP_DISPATCHES: u32 = 4096;

/// The engine's variables as they were at one moment; the caller reads the process environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EnvSnapshot(BTreeMap<String, String>);

impl EnvSnapshot {
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
        match self.get(name)?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "0" | "false" | "off" | "no") => Ok(false),
            Some("1" | "true" | "on" | "yes") => Ok(true),
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
    /// What was asked for and runs in another, equivalent way.
    pub notes: Vec<&'static str>,
}

impl ExecutionProfile {
    /// Resolves a profile.
    ///
    /// # Errors
    /// A [`Conflict`] names the variable that cannot be served and why.
    pub fn resolve(env: &EnvSnapshot, request: RequestKind) -> Result<ExecutionProfile, Conflict> {
        let forced_legacy = env.flag("ENGINE_FORCE_MULTI_SUBMIT")?;
        let validate = env.flag("ENGINE_VALIDATE")?;
        let perdispatch = perdispatch(env)?;
        let noop_dispatches = noop_dispatches(env)?;
        refuse_missing_features(env)?;
        let mode = mode(request, forced_legacy, validate, perdispatch)?;
        if mode.path().is_none() && noop_dispatches > 0 {
            return Err(Conflict::new(
                "ENGINE_NOOP_DISPATCHES",
                "the cpu reference dispatches nothing; unset it",
            ));
        }
        Ok(ExecutionProfile {
            request,
            mode,
            timestamps: perdispatch.unwrap_or(Timestamps::Summary),
            noop_dispatches,
            notes: notes(env)?,
        })
    }

    /// How passes reach the queue; `None` on the CPU.
    pub fn path(&self) -> Option<Path> {
        self.mode.path()
    }
}

fn mode(
    request: RequestKind,
    forced_legacy: bool,
    validate: bool,
    perdispatch: Option<Timestamps>,
) -> Result<Mode, Conflict> {
    match request {
        RequestKind::Production if forced_legacy => Err(Conflict::new(
            "ENGINE_FORCE_MULTI_SUBMIT",
            "production runs GpuSingleGraph only; unset it or ask for a smoke or validation run",
        )),
        RequestKind::Production if validate => Err(Conflict::new(
            "ENGINE_VALIDATE",
            "production carries no taps; unset it or ask for a validation run",
        )),
        RequestKind::Production => Ok(Mode::GpuSingleGraph),
        RequestKind::Validation | RequestKind::Smoke
            if validate || request == RequestKind::Validation =>
        {
            Ok(if forced_legacy {
                Mode::GpuValidationLegacy
            } else {
                Mode::GpuValidationSingleGraph
            })
        }
        RequestKind::Validation | RequestKind::Smoke if forced_legacy => {
            Ok(Mode::GpuLegacyMultiSubmit)
        }
        RequestKind::Validation | RequestKind::Smoke => Ok(match perdispatch {
            Some(Timestamps::Full) => Mode::GpuSmokeFull,
            Some(Timestamps::Summary) | None => Mode::GpuSmokeSummary,
        }),
        RequestKind::Reference if forced_legacy => Err(Conflict::new(
            "ENGINE_FORCE_MULTI_SUBMIT",
            "the cpu reference submits nothing; unset it",
        )),
        RequestKind::Reference if perdispatch == Some(Timestamps::Full) => Err(Conflict::new(
            "ENGINE_PERDISPATCH",
            "the cpu reference has no dispatches to time; unset it",
        )),
        RequestKind::Reference => Ok(Mode::CpuReference),
    }
}

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

fn refuse_missing_features(env: &EnvSnapshot) -> Result<(), Conflict> {
    for (name, feature) in [
        ("ENGINE_REQUIRE_DELTANET", "gated DeltaNet layers"),
        ("ENGINE_REQUIRE_LORA_GPU", "LoRA on the GPU"),
    ] {
        if env.flag(name)? {
            return Err(Conflict::new(
                name,
                format!("this build has no {feature}; unset it"),
            ));
        }
    }
    Ok(())
}

fn notes(env: &EnvSnapshot) -> Result<Vec<&'static str>, Conflict> {
    let known = [
        (
            "ENGINE_FUSE_QKV",
            "fuse_qkv: no verified fused kernel, the unfused variant runs",
        ),
        (
            "ENGINE_FUSE_FFN",
            "fuse_ffn: no verified fused kernel, the unfused variant runs",
        ),
        (
            "ENGINE_FA_DEBUG_RING",
            "fa_debug_ring: plain attention runs, which has no ring",
        ),
        (
            "ENGINE_PROFILE_FORWARD",
            "profile_forward: read the per-dispatch markers",
        ),
        (
            "ENGINE_FFN_DIVERGENCE",
            "ffn_divergence: covered by the stage taps of a validation run",
        ),
    ];
    let mut notes = Vec::new();
    for (name, note) in known {
        if env.flag(name)? {
            notes.push(note);
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests;
