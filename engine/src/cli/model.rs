//! Commands that run a model: everything through a worker.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use engine::gguf::Gguf;
use engine::map::map;
use engine::tok::{ControlText, ControlTokens, Tokenizer};
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
    /// Text to continue; the answer is text. Control tokens in it are text, too.
    #[arg(long, required_unless_present = "tokens", conflicts_with = "tokens")]
    prompt: Option<String>,
    /// Token ids to continue, separated by commas; the answer is one id per line.
    #[arg(long, value_delimiter = ',')]
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
    let Some(text) = &args.prompt else {
        return continue_tokens(args, args.tokens.clone(), |token| say(&token.to_string()));
    };
    let file = map(&args.common.model)?;
    let tokenizer = Tokenizer::read(&Gguf::parse(&file)?)?;
    let encoded = tokenizer.encode(text, ControlText::Plain);
    let tokens: Vec<u32> = tokenizer.bos().into_iter().chain(encoded).collect();
    continue_tokens(args, tokens, |token| {
        // Raw bytes: a character may come in several tokens.
        let bytes = tokenizer.decode(&[token], ControlTokens::Written)?;
        let mut out = std::io::stdout();
        out.write_all(&bytes)?;
        Ok(out.flush()?)
    })?;
    say("")
}

fn continue_tokens(
    args: &RunArgs,
    tokens: Vec<u32>,
    mut show: impl FnMut(u32) -> Outcome,
) -> Outcome {
    let (mut worker, _) = load(&args.common)?;
    let mut failed = None;
    worker.predict(prompt(&args.common, tokens, args.n), |token| {
        failed = failed.take().or_else(|| show(token).err());
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
