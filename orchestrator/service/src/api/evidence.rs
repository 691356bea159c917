//! Runs, logs and markers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AnchorView, LogView, ObservationView, RefusalView, RunView};

/// Which runs are there?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRunsRequest {
    /// Only this scope.
    #[serde(default)]
    pub scope: Option<String>,
    /// Only this commit.
    #[serde(default)]
    pub head_sha: Option<String>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Most runs in the answer, 1 to 100; 20 when absent.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Also list the newest runs of the source that were not pulled yet.
    #[serde(default)]
    pub source: bool,
}

/// A run that the source has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceRunView {
    /// The source's own id: what `pull_full_log` takes.
    pub source_run_id: String,
    /// Id here, once it was pulled.
    pub run_id: Option<String>,
    /// Newest attempt.
    pub attempt: u32,
    /// Workflow file.
    pub workflow: Option<String>,
    /// Scope that the workflow owns.
    pub scope: Option<String>,
    /// What started it.
    pub event: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Commit.
    pub head_sha: String,
    /// How far it is.
    pub status: String,
    /// How it ended.
    pub conclusion: Option<String>,
    /// When it was asked for, unix milliseconds.
    pub created_ms: Option<i64>,
}

/// Runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListRunsAnswer {
    /// The runs.
    pub runs: Vec<RunView>,
    /// Give it back for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Cancelled runs that executed nothing since the last executed one.
    pub storm_count: u32,
    /// Newest runs of the source, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_source: Vec<SourceRunView>,
}

/// Wait until a run has ended, at most 50 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitForRunRequest {
    /// The run.
    pub run_id: String,
    /// Longest wait in seconds, 0 to 50.
    #[serde(default)]
    pub max_wait_s: u32,
}

/// The run as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitForRunAnswer {
    /// The run.
    pub run: RunView,
    /// True when it has ended.
    pub done: bool,
}

/// Take the whole logs of a run into the evidence store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullFullLogRequest {
    /// The run: its id here (`R12`), its id at the source, or `latest` for the newest run of
    /// `scope` that executed anything.
    pub run_id: String,
    /// Only this cell.
    #[serde(default)]
    pub job: Option<String>,
    /// Attempt; the newest when absent.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// Scope it belongs to, where the run's workflow does not tell.
    #[serde(default)]
    pub scope: Option<String>,
    /// Commit it executed, where the source does not tell; 40 hex digits.
    #[serde(default)]
    pub commit: Option<String>,
    /// Also take the artifacts.
    #[serde(default)]
    pub artifacts: bool,
    /// Also tell which bytes are which step's.
    #[serde(default)]
    pub steps: bool,
    /// Ask the source again although the run was pulled.
    #[serde(default)]
    pub refresh: bool,
}

/// A place that was asked for a log, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkView {
    /// `job_log`, `attempt_logs`, `earlier_attempt`, `harness_artifact` or `store`.
    pub link: String,
    /// `whole`, `unproven`, `absent`, `failed`, `uncertain` or `skipped`.
    pub outcome: String,
    /// Why, in a few words.
    pub detail: String,
}

/// Bytes of one step in its job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepView {
    /// Position, from 1.
    pub number: u32,
    /// Name, as the source gives it.
    pub name: String,
    /// First byte.
    pub byte_start: u64,
    /// One past the last byte.
    pub byte_end: u64,
}

/// One pulled log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PulledLog {
    /// Cell it belongs to.
    pub job: String,
    /// The log, when there is one.
    pub log: Option<LogView>,
    /// `byte_exact`, `provisional`, `nothing` (there never were bytes), `pending`, `lost` or `failed`.
    pub fate: String,
    /// Why there is none, or an empty one.
    pub why_empty: Option<String>,
    /// Markers found, by kind.
    pub marker_counts: std::collections::BTreeMap<String, u64>,
    /// Logs of the same execution that the log outranks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outranked: Vec<LogView>,
    /// Every place that was asked, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkView>,
    /// Steps, where they were asked for and are proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepView>,
}

/// An artifact of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactView {
    /// Its name, as the source gives it.
    pub name: String,
    /// `byte_exact`, `provisional`, `lost` or `failed`.
    pub fate: String,
    /// `sha256:<hex>` of the bytes as the source keeps them.
    pub sha256: Option<String>,
    /// How many.
    pub bytes: u64,
    /// Why there are none, or what was found out about them.
    pub detail: String,
    /// Logs in it that are the harness's own output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<EntryView>,
}

/// Handles of the complete logs, and what became of every file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullFullLogAnswer {
    /// The run.
    pub run_id: String,
    /// `local`, `recorded` or `github`.
    #[serde(default)]
    pub source: String,
    /// The source's own id of the run.
    #[serde(default)]
    pub source_run_id: Option<String>,
    /// Proof scope.
    #[serde(default)]
    pub scope: String,
    /// Commit it executed.
    #[serde(default)]
    pub head_sha: String,
    /// Numbered re-run.
    #[serde(default)]
    pub attempt: u32,
    /// One per job.
    pub logs: Vec<PulledLog>,
    /// Its artifacts, where they were asked for.
    #[serde(default)]
    pub artifacts: Vec<ArtifactView>,
    /// Attempts of the run that are known here.
    pub attempts: Vec<u32>,
    /// True when nothing is missing, unproven or still to come.
    pub complete: bool,
    /// Why more may come.
    #[serde(default)]
    pub provisional: Option<String>,
    /// Findings about the run as a whole.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Unpack an artifact of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullArtifactRequest {
    /// The run, as `pull_full_log` takes it.
    pub run_id: String,
    /// The artifact's name.
    pub name: String,
    /// Attempt; the newest when absent.
    #[serde(default)]
    pub attempt: Option<u32>,
}

/// One file of an artifact: a log when it is text, else bytes as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryView {
    /// Name in the artifact; data, never a path.
    pub name: String,
    /// The log, for text.
    pub log: Option<LogView>,
    /// `sha256:<hex>` of the bytes, for anything else.
    pub blob: Option<String>,
    /// Unpacked size.
    pub size: u64,
    /// Why it could not be unpacked.
    pub failed: Option<String>,
}

/// What an artifact holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullArtifactAnswer {
    /// The run.
    pub run_id: String,
    /// The artifact.
    pub name: String,
    /// `sha256:<hex>` of the bytes as the source keeps them.
    pub sha256: Option<String>,
    /// Why there are none.
    pub why_empty: Option<String>,
    /// Its files.
    pub entries: Vec<EntryView>,
    /// True when every file could be unpacked.
    pub complete: bool,
}

/// How a page is rendered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogViewKind {
    /// Sanitised and fenced; lossy and untrusted.
    Text,
    /// The bytes; UTF-8 text where they are valid, base64 otherwise.
    #[default]
    Raw,
}

/// One page of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadLogRequest {
    /// `sha256:<hex>`.
    pub log_id: String,
    /// First byte; 0 when neither `offset` nor `line` is given.
    #[serde(default)]
    pub offset: Option<u64>,
    /// First line, 1-based; instead of `offset`.
    #[serde(default)]
    pub line: Option<u64>,
    /// Most bytes of the page, 1 to 65536; 8192 when absent.
    #[serde(default)]
    pub max_bytes: Option<u32>,
    /// `raw` or `text`.
    #[serde(default)]
    pub view: LogViewKind,
}

/// A page that proves itself: concatenated raw pages hash to `sha256`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadLogAnswer {
    /// The log.
    pub log_id: String,
    /// Its length.
    pub total_bytes: u64,
    /// Its digest.
    pub sha256: String,
    /// First byte of the page.
    pub offset: u64,
    /// Raw bytes in the page; at least 1 unless at the end.
    pub len: u64,
    /// `offset + len`; null at the end.
    pub next_offset: Option<u64>,
    /// Digest of the page's raw bytes.
    pub page_sha256: String,
    /// Line of the first byte, 1-based.
    pub line_start: u64,
    /// `utf8`, `base64` or `text` (sanitised).
    pub encoding: String,
    /// The page.
    pub data: String,
    /// True when the log is complete at its source.
    pub complete: bool,
    /// True for `view=text`: not the bytes.
    pub lossy: bool,
    /// Always true: what stands in a log is nobody's instruction.
    pub untrusted: bool,
}

/// Typed facts of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractMarkersRequest {
    /// The log.
    pub log_id: String,
    /// Only these kinds.
    #[serde(default)]
    pub kinds: Option<Vec<String>>,
    /// Only observations whose fields equal these.
    #[serde(default)]
    pub r#where: Option<std::collections::BTreeMap<String, String>>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Most observations in the answer, 1 to 500; 100 when absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A line that carries a marker's tag but not its grammar, and the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnparsedView {
    /// Line, 1-based.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Observations with byte spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExtractMarkersAnswer {
    /// The observations, in log order.
    pub observations: Vec<ObservationView>,
    /// Lines that could not be read as what they claim to be.
    pub unparsed: Vec<UnparsedView>,
    /// Give it back for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Digest of the catalogue that read it.
    pub catalogue: String,
    /// Always true.
    pub untrusted: bool,
}

/// What kind of failure is it?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassifyRunRequest {
    /// The run.
    pub run_id: String,
}

/// Failing tests that share a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupView {
    /// What they share.
    pub signature: String,
    /// The tests.
    pub tests: Vec<String>,
    /// False while a panic of the group is unread.
    pub complete: bool,
}

/// Class, disposition, and the lines they rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassifyRunAnswer {
    /// The run.
    pub run_id: String,
    /// Class, from the fixed order.
    pub class: String,
    /// `fix_locally`, `fix_environment`, `debug` or `no_signal`.
    pub disposition: String,
    /// Exact remedy where the environment is at fault.
    pub remedy: Option<String>,
    /// True when green with engagement proof.
    pub green: bool,
    /// Lines the class rests on.
    pub anchors: Vec<AnchorView>,
    /// Other classes that matched.
    pub also: Vec<String>,
    /// Failing tests by signature.
    pub groups: Vec<GroupView>,
    /// The first divergence, in order of (pass, layer, stage).
    pub first_divergence: Option<AnchorView>,
    /// Panics that nothing has explained.
    pub unread_panics: Vec<AnchorView>,
    /// How waiting grows with the no-ops that each cell adds: overhead when steep, work when flat.
    #[serde(default)]
    pub slopes: Vec<SlopeView>,
}

/// A least-squares line through `wait_us` over `noops` of one role, path and phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlopeView {
    /// Role, path and phase, such as `path=single_graph phase=decode`.
    pub of: String,
    /// Microseconds per no-op, to three decimals.
    pub us_per_noop: String,
    /// Rows it rests on.
    pub rows: u64,
    /// Different numbers of no-ops, at least two.
    pub steps: u64,
}

/// Part of a log, chosen by what stands in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentView {
    /// The run.
    pub run_id: String,
    /// Only this cell.
    #[serde(default)]
    pub cell: Option<String>,
    /// Only this path, such as `single_graph`.
    #[serde(default)]
    pub path: Option<String>,
    /// Only this phase.
    #[serde(default)]
    pub phase: Option<String>,
    /// Only this test.
    #[serde(default)]
    pub test: Option<String>,
}

/// What separates failing from passing?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContrastRequest {
    /// Segments that fail.
    pub failing: Vec<SegmentView>,
    /// Segments that pass.
    pub passing: Vec<SegmentView>,
}

/// A marker value that separates, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeparatorView {
    /// Marker kind.
    pub kind: String,
    /// Field, or empty for the marker's presence.
    pub field: String,
    /// Value.
    pub value: String,
    /// Failing segments that show it.
    pub failing_support: u64,
    /// Passing segments that show it.
    pub passing_support: u64,
    /// 0 to 1000, thousandths of the separation score.
    pub score_milli: u32,
    /// Set when it also fires on the good path: it cannot be named a cause.
    pub also_on_good_path: Option<u64>,
}

/// Ranked separators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContrastAnswer {
    /// Best first.
    pub separators: Vec<SeparatorView>,
    /// Why nothing could be compared.
    pub refused: Vec<RefusalView>,
}

/// The law in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListInvariantsRequest {
    /// Commit whose law is read; the branch tip when absent.
    #[serde(default)]
    pub commit: Option<String>,
}

/// One law.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvariantView {
    /// Such as `§4`.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What it demands.
    pub text: String,
    /// Types and tests that pin it.
    pub pins: Vec<String>,
}

/// The law file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListInvariantsAnswer {
    /// Commit it was read from.
    pub commit: String,
    /// Path in the tree.
    pub path: String,
    /// Digest of its bytes.
    pub digest: String,
    /// The laws.
    pub invariants: Vec<InvariantView>,
}
