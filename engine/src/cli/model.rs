//! Commands that run a model: everything through a worker.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use engine::worker::protocol::{Answer, DeviceKind, Prompt, Purpose, Request};
use engine::worker::{Worker, WorkerOptions};
use serde_json::json;

use super::{Failure, Outcome, read_tokens, say, say_json};

/// Where to compute.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    /// A Vulkan device; an error when there is none.
    Vulkan,
    /// The CPU reference.
    Cpu,
}

/// How passes reach the device.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    /// One submit per pass, as in production.
    SingleGraph,
    /// One submit per block.
    LegacyMultiSubmit,
}

#[derive(Debug, Args)]
struct Common {
    /// GGUF file.
    model: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "vulkan")]
    device: Device,
    /// How passes reach the device.
    #[arg(long, value_enum, default_value = "single-graph")]
    mode: ModeArg,
    /// Longest context; by default the model's, at most 4096.
    #[arg(long)]
    n_ctx: Option<u32>,
    /// Device bytes that the model may use.
    #[arg(long)]
    budget: Option<u64>,
    /// Seconds without a sign of life after which the worker counts as hung.
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
}

#[derive(Debug, Args)]
pub(super) struct LogitsArgs {
    #[command(flatten)]
    common: Common,
    /// JSON list of token ids.
    #[arg(long)]
    tokens: PathBuf,
    /// Output: raw little-endian f32, one row of the vocabulary per prompt token.
    #[arg(long)]
    out: PathBuf,
    /// Tokens to choose by argmax after the prompt.
    #[arg(long, default_value_t = 0)]
    greedy: u32,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,
    /// Token ids, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// Tokens to choose.
    #[arg(long, default_value_t = 32)]
    n: u32,
}

/// `engine caps`
pub(super) fn caps() -> Outcome {
    let mut worker = start(300)?;
    let answer = worker.ask(|id| Request::Caps { id }, |_| {})?;
    worker.shutdown()?;
    match answer {
        Answer::Caps { caps, .. } => say_json(&caps),
        other => Err(Failure::Message(format!("unexpected answer {other:?}"))),
    }
}

/// `engine logits`
pub(super) fn logits(args: &LogitsArgs) -> Outcome {
    let tokens = read_tokens(&args.tokens)?;
    let rows = tokens.len() as u64;
    let mut prompt = prompt(&args.common, tokens, args.greedy);
    prompt.logits_file = Some(args.out.clone());
    let (mut worker, n_vocab) = load(&args.common)?;
    let answer = worker.predict(prompt, |_| {})?;
    worker.shutdown()?;
    let Answer::Result {
        tokens: chosen,
        logits_sha,
        counters,
        ..
    } = answer
    else {
        return Err(Failure::Message(format!("unexpected answer {answer:?}")));
    };
    // The worker also writes the rows of the choices.
    OpenOptions::new()
        .write(true)
        .open(&args.out)?
        .set_len(rows * u64::from(n_vocab) * 4)?;
    say_json(&json!({
        "n_vocab": n_vocab,
        "rows": rows,
        "greedy": chosen,
        "logits_sha": logits_sha,
        "counters": counters,
    }))
}

/// `engine run`
pub(super) fn run(args: &RunArgs) -> Outcome {
    let (mut worker, _) = load(&args.common)?;
    let prompt = prompt(&args.common, args.tokens.clone(), args.n);
    let mut failed = None;
    worker.predict(prompt, |token| {
        failed = failed.take().or(say(&token.to_string()).err());
    })?;
    worker.shutdown()?;
    failed.map_or(Ok(()), Err)
}

fn prompt(common: &Common, tokens: Vec<u32>, greedy: u32) -> Prompt {
    let legacy = matches!(common.mode, ModeArg::LegacyMultiSubmit);
    Prompt {
        tokens,
        greedy,
        legacy,
        purpose: if legacy {
            Purpose::Smoke
        } else {
            Purpose::Production
        },
        ..Prompt::default()
    }
}

fn start(timeout_s: u64) -> Result<Worker, Failure> {
    let mut options = WorkerOptions::new(std::env::current_exe()?);
    options.step_timeout = Duration::from_secs(timeout_s);
    Ok(Worker::start(options)?)
}

fn load(common: &Common) -> Result<(Worker, u32), Failure> {
    let mut worker = start(common.timeout_s)?;
    let device = match common.device {
        Device::Vulkan => DeviceKind::Vulkan,
        Device::Cpu => DeviceKind::Cpu,
    };
    let loaded = worker.load(&common.model, device, common.n_ctx, common.budget)?;
    Ok((worker, loaded.n_vocab))
}
