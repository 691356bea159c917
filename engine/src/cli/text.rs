//! Commands that turn text into tokens and back: no device, no worker.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use engine::gguf::Gguf;
use engine::map::map;
use engine::tok::{ControlText, ControlTokens, Tokenizer};
use serde_json::json;

use super::{Failure, Outcome, read_tokens, say, say_json};

/// Longest text that is read from stdin or a file.
const MAX_TEXT: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct TokenizeArgs {
    /// GGUF file.
    model: PathBuf,
    /// Text; by default it is read from stdin.
    #[arg(conflicts_with = "file")]
    text: Option<String>,
    /// File that holds the text.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Recognise control tokens in the text.
    #[arg(long)]
    special: bool,
    /// Put the token in front that the file asks for.
    #[arg(long)]
    bos: bool,
    /// Print ids and the bytes of each as JSON; by default a JSON list of ids, as `logits --tokens` takes it.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DetokenizeArgs {
    /// GGUF file.
    model: PathBuf,
    /// Token ids.
    #[arg(required_unless_present = "tokens", conflicts_with = "tokens")]
    ids: Vec<u32>,
    /// JSON list of token ids.
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// Leave control tokens out.
    #[arg(long)]
    skip_special: bool,
    /// Print the text and its bytes as JSON; by default the bytes as they are.
    #[arg(long)]
    json: bool,
}

/// `engine tokenize`
pub(super) fn tokenize(args: &TokenizeArgs) -> Outcome {
    let file = map(&args.model)?;
    let tokenizer = Tokenizer::read(&Gguf::parse(&file)?)?;
    let text = match (&args.text, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => read_text(std::fs::File::open(path), &path.display().to_string())?,
        (None, None) => read_text(Ok(std::io::stdin()), "stdin")?,
    };
    let control = if args.special {
        ControlText::Recognised
    } else {
        ControlText::Plain
    };
    let bos = tokenizer.bos().filter(|_| args.bos);
    let encoded = tokenizer.encode(&text, control);
    let ids: Vec<u32> = bos.into_iter().chain(encoded).collect();
    if !args.json {
        return say(&json!(ids).to_string());
    }
    let bytes = |id: &u32| hex::encode(tokenizer.bytes(*id).unwrap_or_default());
    let pieces: Vec<String> = ids.iter().map(bytes).collect();
    say_json(&json!({ "ids": ids, "pieces_hex": pieces }))
}

/// `engine detokenize`
pub(super) fn detokenize(args: &DetokenizeArgs) -> Outcome {
    let file = map(&args.model)?;
    let tokenizer = Tokenizer::read(&Gguf::parse(&file)?)?;
    let ids = match &args.tokens {
        Some(path) => read_tokens(path)?,
        None => args.ids.clone(),
    };
    let control = if args.skip_special {
        ControlTokens::Dropped
    } else {
        ControlTokens::Written
    };
    let bytes = tokenizer.decode(&ids, control)?;
    if args.json {
        let text = String::from_utf8_lossy(&bytes);
        return say_json(&json!({ "text": text, "bytes_hex": hex::encode(&bytes) }));
    }
    let mut out = std::io::stdout();
    out.write_all(&bytes)?;
    Ok(out.flush()?)
}

fn read_text(source: std::io::Result<impl Read>, name: &str) -> Result<String, Failure> {
    let named = |what: String| Failure::Message(format!("{name}: {what}"));
    let mut text = Vec::new();
    let source = source.map_err(|e| named(e.to_string()))?;
    let read = source.take(MAX_TEXT + 1).read_to_end(&mut text);
    read.map_err(|e| named(e.to_string()))?;
    if text.len() as u64 > MAX_TEXT {
        return Err(named(format!(
            "more than {MAX_TEXT} B of text; cut it into pieces"
        )));
    }
    String::from_utf8(text).map_err(|e| named(format!("not UTF-8: {e}")))
}
