//! `engine fusions`: what would be fused in a pass, and why not.

use std::path::PathBuf;

use clap::Args;
use engine::fuse::verified::{Identity, ROWS};
use engine::fuse::{Wanted, fuse};
use engine::map::map;
use engine::model::{LogitsRows, Model, PassRequest, Phase};
use serde_json::json;

use super::{Outcome, say, say_json};

#[derive(Debug, Args)]
pub(super) struct FusionsArgs {
    /// GGUF file.
    model: PathBuf,
    /// Tokens of the pass; one is a decode pass, more are a prefill pass.
    #[arg(long, default_value_t = 1)]
    tokens: u32,
    /// Position of the first token.
    #[arg(long, default_value_t = 0)]
    pos: u32,
    /// Device name to ask the table of verified kernels for, together with a driver; by default the table is not asked.
    #[arg(long, requires = "driver")]
    device: Option<String>,
    /// Driver name and version.
    #[arg(long, requires = "device")]
    driver: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `engine fusions`
pub(super) fn fusions(args: &FusionsArgs) -> Outcome {
    let file = map(&args.model)?;
    let model = Model::load(&file, None)?;
    let phase = if args.tokens > 1 {
        Phase::Prefill
    } else {
        Phase::Decode
    };
    let graph = model.graph(&PassRequest {
        phase,
        tokens: vec![0; args.tokens as usize],
        pos: args.pos,
        logits: LogitsRows::All,
    })?;
    let identity = args.device.clone().zip(args.driver.clone());
    let identity = identity.map(|(device, driver)| Identity { device, driver });
    let fused = fuse(
        &graph,
        &model.weights_plan()?,
        Wanted::ALL,
        identity.as_ref(),
    );
    let (before, after) = (graph.nodes().len(), fused.graph.nodes().len());
    if args.json {
        return say_json(&json!({
            "nodes": before,
            "nodes_fused": after,
            "decisions": fused.decisions,
            "verified": ROWS,
        }));
    }
    for decision in &fused.decisions {
        say(&decision.to_string())?;
    }
    say(&format!("{before} nodes, {after} after fusing"))
}
