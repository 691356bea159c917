//! Commands that run a model: everything through a worker.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use engine::gguf::Gguf;
use engine::map::map;
use engine::sample::Sampling;
use engine::tok::{ControlText, ControlTokens, Tokenizer};
use engine::worker::protocol::{Answer, Request};
use serde_json::{Value, json};

use super::loading::{Common, start};
use super::{Failure, Outcome, read_tokens, say, say_json};

#[derive(Debug, Args)]
pub(super) struct CapsArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
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
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// How to choose tokens; without any of these, the likeliest.
#[derive(Debug, Args)]
struct SamplingArgs {
    /// Draw from the distribution at this temperature; 0 takes the likeliest.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Draw among this many of the likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 0)]
    top_k: u32,
    /// Draw among the likeliest tokens whose probabilities reach this sum.
    #[arg(long, default_value_t = 1.0)]
    top_p: f32,
    /// Draw among tokens at least this many times as likely as the likeliest.
    #[arg(long, default_value_t = 0.0)]
    min_p: f32,
    /// Make tokens of the last 64 less likely by this factor.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Seed of the draws; the same seed gives the same text.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl SamplingArgs {
    fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            ..Sampling::default()
        }
    }
}

/// `engine caps`
pub(super) fn caps(args: &CapsArgs) -> Outcome {
    let mut worker = start(300, false)?;
    let answer = worker.ask(|id| Request::Caps { id }, |_| {})?;
    worker.shutdown()?;
    let Answer::Caps { caps, .. } = answer else {
        return Err(unexpected(&answer));
    };
    if args.json {
        return say_json(&caps);
    }
    let value = serde_json::to_value(&caps).map_err(|e| Failure::Message(e.to_string()))?;
    for (name, value) in value.as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        say(&format!("{name:<28} {value}"))?;
    }
    Ok(())
}

/// `engine logits`
pub(super) fn logits(args: &LogitsArgs) -> Outcome {
    let tokens = read_tokens(&args.tokens)?;
    let rows = tokens.len() as u64;
    let mut prompt = args.common.prompt(tokens, args.greedy);
    // The worker may stand in another folder by the time it writes.
    prompt.logits_file = Some(std::path::absolute(&args.out)?);
    let (mut worker, loaded) = args.common.load()?;
    let answer = worker.predict(prompt, |_| {})?;
    worker.shutdown()?;
    let Answer::Result {
        tokens: chosen,
        logits_sha,
        counters,
        divergence,
        ..
    } = answer
    else {
        return Err(unexpected(&answer));
    };
    // The worker also writes the rows of the choices.
    OpenOptions::new()
        .write(true)
        .open(&args.out)?
        .set_len(rows * u64::from(loaded.n_vocab) * 4)?;
    say_json(&json!({
        "n_vocab": loaded.n_vocab,
        "rows": rows,
        "greedy": chosen,
        "logits_sha": logits_sha,
        "backend": loaded.backend,
        "device": loaded.device,
        "counters": counters,
        "divergence": divergence,
    }))
}

/// `engine run`
pub(super) fn run(args: &RunArgs) -> Outcome {
    let Some(text) = &args.prompt else {
        let json = args.common.json;
        let show = |token: u32| {
            if json {
                Ok(())
            } else {
                say(&token.to_string())
            }
        };
        let told = continue_tokens(args, args.tokens.clone(), show)?;
        return if json { say_json(&told) } else { Ok(()) };
    };
    let file = map(&args.common.model)?;
    let tokenizer = Tokenizer::read(&Gguf::parse(&file)?)?;
    let encoded = tokenizer.encode(text, ControlText::Plain);
    let tokens: Vec<u32> = tokenizer.bos().into_iter().chain(encoded).collect();
    let mut all = Vec::new();
    let mut told = continue_tokens(args, tokens, |token| {
        // Raw bytes: a character may come in several tokens.
        let bytes = tokenizer.decode(&[token], ControlTokens::Written)?;
        all.extend_from_slice(&bytes);
        if args.common.json {
            return Ok(());
        }
        let mut out = std::io::stdout();
        out.write_all(&bytes)?;
        Ok(out.flush()?)
    })?;
    if args.common.json {
        told["text"] = Value::from(String::from_utf8_lossy(&all));
        return say_json(&told);
    }
    say("")
}

/// Runs the model behind some tokens, shows each choice as it is made, and says what there is to say in the end.
fn continue_tokens(
    args: &RunArgs,
    tokens: Vec<u32>,
    mut show: impl FnMut(u32) -> Outcome,
) -> Result<Value, Failure> {
    let mut prompt = args.common.prompt(tokens, args.n);
    prompt.sampling = args.sampling.sampling();
    let (mut worker, loaded) = args.common.load()?;
    let mut failed = None;
    let answer = worker.predict(prompt, |token| {
        failed = failed.take().or_else(|| show(token).err());
    })?;
    worker.shutdown()?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    let Answer::Result {
        tokens, counters, ..
    } = answer
    else {
        return Err(unexpected(&answer));
    };
    Ok(json!({
        "tokens": tokens,
        "backend": loaded.backend,
        "device": loaded.device,
        "counters": counters,
    }))
}

fn unexpected(answer: &Answer) -> Failure {
    Failure::Message(format!("unexpected answer {answer:?}"))
}
