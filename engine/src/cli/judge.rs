//! Commands that judge command streams: no device, no worker.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use engine::delta::path_delta as compare_paths;
use engine::hazard;
use engine::ir::CommandIr;
use engine::map::map;
use engine::model::{LogitsRows, Model, PassRequest, Phase};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::record_pass;
use serde_json::json;

use super::{Failure, Outcome, say, say_json};

/// Modes whose streams can be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArg {
    /// One submit per pass, as in production.
    SingleGraph,
    /// One submit per block.
    LegacyMultiSubmit,
}

#[derive(Debug, Args)]
struct Pass {
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
pub(super) struct StreamArgs {
    #[command(flatten)]
    pass: Pass,
    /// How the pass reaches the device.
    #[arg(long, value_enum, default_value = "single-graph")]
    mode: ModeArg,
}

#[derive(Debug, Args)]
pub(super) struct DeltaArgs {
    #[command(flatten)]
    pass: Pass,
    /// First mode.
    #[arg(long, value_enum, default_value = "single-graph")]
    a: ModeArg,
    /// Second mode.
    #[arg(long, value_enum, default_value = "legacy-multi-submit")]
    b: ModeArg,
}

struct Recorded {
    model: Model,
    request: PassRequest,
    plan: Plan,
}

impl Recorded {
    fn plan(pass: &Pass) -> Result<Self, Failure> {
        let file = map(&pass.model)?;
        let model = Model::load(&file, pass.n_ctx)?;
        let request = PassRequest {
            phase: if pass.tokens > 1 {
                Phase::Prefill
            } else {
                Phase::Decode
            },
            tokens: vec![0; pass.tokens as usize],
            pos: pass.pos,
            logits: LogitsRows::All,
        };
        let plan = Plan::new(&model.graph(&request)?, pass.envelope)?;
        Ok(Self {
            model,
            request,
            plan,
        })
    }

    fn stream(&self, mode: ModeArg) -> Result<CommandIr, Failure> {
        let forced = match mode {
            ModeArg::SingleGraph => None,
            ModeArg::LegacyMultiSubmit => Some(("ENGINE_FORCE_MULTI_SUBMIT", "1")),
        };
        let environment = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .filter(|(k, _)| k.ends_with("_NOOP_DISPATCHES"))
            .chain(forced.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let environment = EnvSnapshot::from_vars(environment);
        let profile = ExecutionProfile::resolve(&environment, RequestKind::Smoke)
            .map_err(engine::EngineError::from)?;
        let graph = self.model.graph(&self.request)?;
        let weights = self.model.weights_plan()?;
        Ok(record_pass(&graph, &self.plan, &weights, &profile)?)
    }
}

/// `engine dump-ir`
pub(super) fn dump_ir(args: &StreamArgs) -> Outcome {
    let stream = Recorded::plan(&args.pass)?.stream(args.mode)?;
    if args.pass.json {
        return say_json(&json!({ "digest": stream.digest(), "ir": stream }));
    }
    for (index, command) in stream.commands.iter().enumerate() {
        let ranges: Vec<_> = command
            .accesses()
            .iter()
            .map(|a| format!("{}:{}", a.access.name(), a.range))
            .collect();
        say(&format!(
            "{index:5} {:24} {}",
            command.name(),
            ranges.join(" ")
        ))?;
    }
    let counters = stream.counters();
    say(&format!(
        "digest {} submits {} dispatches {} barriers {} copies {}",
        stream.digest(),
        counters.submits,
        counters.dispatches,
        counters.barriers,
        counters.copies
    ))
}

/// `engine hazards`
pub(super) fn hazards(args: &StreamArgs) -> Outcome {
    let stream = Recorded::plan(&args.pass)?.stream(args.mode)?;
    let findings = hazard::check(&stream);
    if args.pass.json {
        say_json(&json!({ "digest": stream.digest(), "findings": findings }))?;
    } else {
        for finding in &findings {
            say(&finding.to_string())?;
        }
        say(&format!(
            "{} findings in {} commands",
            findings.len(),
            stream.commands.len()
        ))?;
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

/// `engine plan`
pub(super) fn plan(args: &StreamArgs) -> Outcome {
    let recorded = Recorded::plan(&args.pass)?;
    let graph = recorded.model.graph(&recorded.request)?;
    if args.pass.json {
        return say_json(&recorded.plan);
    }
    for (id, range) in recorded.plan.places() {
        say(&format!("{:20} {range}", graph.tensor(id).name))?;
    }
    let report = recorded.plan.report;
    say(&format!(
        "requests {} peak {} aliased {} pinned {} envelope {} state {}",
        report.requests,
        report.peak,
        report.aliased,
        report.pinned,
        report.envelope,
        recorded.plan.state_bytes
    ))
}

/// `engine path-delta`
pub(super) fn path_delta(args: &DeltaArgs) -> Outcome {
    let recorded = Recorded::plan(&args.pass)?;
    let delta = compare_paths(&recorded.stream(args.a)?, &recorded.stream(args.b)?);
    if args.pass.json {
        say_json(&delta)
    } else {
        say(delta.to_string().trim_end())
    }
}
