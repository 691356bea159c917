//! Commands that judge command streams: no device, no worker. Their JSON is described in `docs/engine-json.md`.

mod sim;
mod tables;

use std::path::PathBuf;

use clap::Args;
use engine::delta::{PathDelta, path_delta as compare_paths};
use engine::hazard;
use engine::ir::{CommandIr, Region};
use engine::map::map;
use engine::model::{LogitsRows, Model, PassRequest, Phase};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, Mode, Path};
use engine::record::Recording;
use engine::telemetry::Telemetry;
use engine::validate::{TapPlan, insert_taps, plan_taps};
use memmap2::Mmap;
use serde_json::json;

use super::mode::ModeArg;
use super::{Failure, Outcome, say, say_json};

pub(super) use sim::{SimArgs, sim};

/// Version of the JSON of these commands.
const SCHEMA: u32 = 1;

impl ModeArg {
    /// The profile of the mode, with the settings of the environment that choose no mode.
    fn profile(self) -> Result<ExecutionProfile, Failure> {
        const CHOOSE_MODES: [&str; 3] = ["_FORCE_MULTI_SUBMIT", "_PERDISPATCH", "_VALIDATE"];
        let (kind, asked) = self.request();
        let set = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .filter(|(k, _)| !CHOOSE_MODES.iter().any(|ending| k.ends_with(ending)));
        let asked = asked.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let environment = EnvSnapshot::from_vars(set.chain(asked));
        Ok(ExecutionProfile::resolve(&environment, kind).map_err(engine::EngineError::from)?)
    }
}

#[derive(Debug, Args)]
struct PassArgs {
    /// GGUF file.
    model: PathBuf,
    /// Tokens of the pass; one is a decode pass, more are a prefill pass.
    #[arg(long, default_value_t = 1)]
    tokens: u32,
    /// Position of the first token.
    #[arg(long, default_value_t = 0)]
    pos: u32,
    /// Longest context; by default the model's, at most 4096.
    #[arg(long)]
    n_ctx: Option<u32>,
    /// Bytes that arena and state may use together.
    #[arg(long, default_value_t = u64::MAX)]
    envelope: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pass: PassArgs,
}

#[derive(Debug, Args)]
pub(super) struct StreamArgs {
    #[command(flatten)]
    pass: PassArgs,
    /// How the pass reaches the device.
    #[arg(long, value_enum, default_value = "single-graph")]
    mode: ModeArg,
}

#[derive(Debug, Args)]
pub(super) struct DeltaArgs {
    #[command(flatten)]
    pass: PassArgs,
    /// First mode.
    #[arg(long, value_enum, default_value = "single-graph")]
    a: ModeArg,
    /// Second mode.
    #[arg(long, value_enum, default_value = "legacy-multi-submit")]
    b: ModeArg,
    /// Print the rows as marker lines of a log.
    #[arg(long, conflicts_with = "json")]
    markers: bool,
}

/// A model with the pass that was asked for.
struct Subject {
    file: Mmap,
    model: Model,
    request: PassRequest,
    envelope: u64,
}

impl Subject {
    fn open(pass: &PassArgs) -> Result<Self, Failure> {
        let file = map(&pass.model)?;
        let model = Model::load(&file, pass.n_ctx)?;
        let request = PassRequest {
            phase: if pass.tokens > 1 {
                Phase::Prefill
            } else {
                Phase::Decode
            },
            tokens: tokens(&model, pass.pos, pass.tokens),
            pos: pass.pos,
            logits: LogitsRows::All,
        };
        Ok(Self {
            file,
            model,
            request,
            envelope: pass.envelope,
        })
    }

    fn recording(&self, profile: &ExecutionProfile) -> Result<Recording, Failure> {
        Ok(Recording::new(
            &self.model,
            &self.request,
            profile,
            self.envelope,
        )?)
    }

    /// The stream of a mode as it is played, taps included.
    fn stream(&self, mode: ModeArg) -> Result<(Mode, CommandIr), Failure> {
        let profile = mode.profile()?;
        let recording = self.recording(&profile)?;
        let Recording { graph, plan, ir } = recording;
        let taps = if profile.mode.has_taps() {
            plan_taps(&graph, &plan, ir.region_size(Region::Readback))?
        } else {
            TapPlan::default()
        };
        if taps.taps.is_empty() {
            return Ok((profile.mode, ir));
        }
        let tapped = insert_taps(&ir, &taps)
            .map_err(|why| Failure::Message(format!("{}: {}", why.reason_code, why.message)))?;
        Ok((profile.mode, tapped))
    }
}

/// Token ids that differ from one another; streams do not depend on them.
fn tokens(model: &Model, pos: u32, count: u32) -> Vec<u32> {
    let token = |at: u32| (at.wrapping_mul(31) + 7) % model.params.n_vocab.max(1);
    (pos..pos.saturating_add(count)).map(token).collect()
}

/// `engine dump-ir`
pub(super) fn dump_ir(args: &StreamArgs) -> Outcome {
    let (mode, stream) = Subject::open(&args.pass)?.stream(args.mode)?;
    let counters = stream.counters();
    if args.pass.json {
        return say_json(&json!({
            "schema": SCHEMA,
            "mode": mode.name(),
            "digest": stream.digest(),
            "counters": counters,
            "region_sizes": stream.region_sizes,
            "commands": tables::commands(&stream),
        }));
    }
    tables::stream(&stream)?;
    say(&format!(
        "mode {} digest {} submits {} dispatches {} barriers {} copies {}",
        mode.name(),
        stream.digest(),
        counters.submits,
        counters.dispatches,
        counters.barriers,
        counters.copies
    ))
}

/// `engine hazards`
pub(super) fn hazards(args: &StreamArgs) -> Outcome {
    let (mode, stream) = Subject::open(&args.pass)?.stream(args.mode)?;
    let findings = hazard::check(&stream);
    if args.pass.json {
        say_json(&json!({
            "schema": SCHEMA,
            "mode": mode.name(),
            "digest": stream.digest(),
            "commands": stream.commands.len(),
            "findings": findings,
        }))?;
    } else {
        tables::findings(&findings)?;
        say(&format!(
            "{} findings in {} commands of mode {}",
            findings.len(),
            stream.commands.len(),
            mode.name()
        ))?;
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

/// `engine plan`
pub(super) fn plan(args: &PlanArgs) -> Outcome {
    let subject = Subject::open(&args.pass)?;
    let graph = subject.model.graph(&subject.request)?;
    let plan = Plan::new(&graph, subject.envelope)?;
    if args.pass.json {
        return say_json(&json!({
            "schema": SCHEMA,
            "report": plan.report,
            "state_bytes": plan.state_bytes,
            "tensors": tables::places(&graph, &plan),
        }));
    }
    tables::plan(&graph, &plan)?;
    let report = plan.report;
    say(&format!(
        "requests {} peak {} saved {} aliased {} pinned {} rebar_unsafe {} envelope {} state {}",
        report.requests,
        report.peak,
        report.saved,
        report.aliased,
        report.pinned,
        report.rebar_unsafe,
        report.envelope,
        plan.state_bytes
    ))
}

/// `engine path-delta`
pub(super) fn path_delta(args: &DeltaArgs) -> Outcome {
    let subject = Subject::open(&args.pass)?;
    let ((mode_a, a), (mode_b, b)) = (subject.stream(args.a)?, subject.stream(args.b)?);
    let delta = compare_paths(&a, &b);
    if args.markers {
        return say_markers(&delta, path_name(mode_a), path_name(mode_b));
    }
    if args.pass.json {
        return say_json(&json!({
            "schema": SCHEMA,
            "a": { "mode": mode_a.name(), "digest": a.without_taps().digest() },
            "b": { "mode": mode_b.name(), "digest": b.without_taps().digest() },
            "rows": delta.rows,
        }));
    }
    say(&format!("a {} b {}", mode_a.name(), mode_b.name()))?;
    say(delta.to_string().trim_end())
}

/// The path of a mode as markers name it.
fn path_name(mode: Mode) -> &'static str {
    mode.path().map_or("none", Path::name)
}

/// The rows of a comparison as one run of telemetry on standard output.
fn say_markers(delta: &PathDelta, path_a: &str, path_b: &str) -> Outcome {
    let mut telemetry = Telemetry::new(std::io::stdout().lock());
    for row in delta.markers(path_a, path_b) {
        telemetry.emit(&row.into())?;
    }
    Ok(telemetry.end_run()?)
}
