//! Commands of the binary, a file each for those that judge streams, run models, turn text into tokens, and measure.

mod bench;
mod fusions;
mod judge;
mod loading;
mod mode;
mod model;
mod text;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engine::EngineError;
use engine::worker::{WorkerError, serve};

/// Run GGUF language models on Vulkan, and judge their command streams without a GPU.
///
/// Exit codes: 0 done, 1 internal, 2 usage, 3 refused, 6 a judge found something, 7 no usable device.
#[derive(Debug, Parser)]
#[command(name = "engine", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve requests: JSON lines on stdin and stdout, markers on stderr.
    Worker {
        /// Print no markers.
        #[arg(long)]
        quiet: bool,
    },
    /// Describe the Vulkan device.
    Caps(model::CapsArgs),
    /// Print the command stream of one pass.
    DumpIr(judge::StreamArgs),
    /// Judge the command stream of one pass for data hazards.
    Hazards(judge::StreamArgs),
    /// Print the arena plan of one pass.
    Plan(judge::PlanArgs),
    /// Play one pass on a simulated device and compare it with the reference.
    Sim(judge::SimArgs),
    /// Compare the command streams of two modes.
    PathDelta(judge::DeltaArgs),
    /// Write the logits of a token list, and choose tokens after it.
    Logits(model::LogitsArgs),
    /// Continue a text, or a token list.
    Run(model::RunArgs),
    /// Turn text into token ids.
    Tokenize(text::TokenizeArgs),
    /// Turn token ids into the bytes of their text.
    Detokenize(text::DetokenizeArgs),
    /// Say what would be fused in a pass, and why not.
    Fusions(fusions::FusionsArgs),
    /// Measure how fast a model runs, and what bounds it.
    Bench(bench::BenchArgs),
}

/// What a command failed with.
#[derive(Debug)]
enum Failure {
    Engine(EngineError),
    Message(String),
    /// A judge found something; it has been printed.
    Found,
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Message(error.to_string())
    }
}

type Outcome = Result<(), Failure>;

pub(crate) fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Worker { quiet } => serve::serve(markers(quiet)).map_err(Failure::from),
        Command::Caps(args) => model::caps(&args),
        Command::DumpIr(args) => judge::dump_ir(&args),
        Command::Hazards(args) => judge::hazards(&args),
        Command::Plan(args) => judge::plan(&args),
        Command::Sim(args) => judge::sim(&args),
        Command::PathDelta(args) => judge::path_delta(&args),
        Command::Logits(args) => model::logits(&args),
        Command::Run(args) => model::run(&args),
        Command::Tokenize(args) => text::tokenize(&args),
        Command::Detokenize(args) => text::detokenize(&args),
        Command::Fusions(args) => fusions::fusions(&args),
        Command::Bench(args) => bench::bench(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(report(&failure)),
    }
}

fn markers(quiet: bool) -> Box<dyn Write + Send> {
    if quiet {
        Box::new(io::sink())
    } else {
        Box::new(io::stderr())
    }
}

/// Says what went wrong, on stdout as JSON where JSON was asked for, and returns the exit code.
fn report(failure: &Failure) -> u8 {
    let (message, name, code) = match failure {
        Failure::Found => return 6,
        Failure::Message(message) => (message.clone(), "io".to_owned(), 1),
        Failure::Engine(error) => (error.to_string(), error_name(error), exit_code(error)),
    };
    // A closed stderr leaves the exit code, which says the same in short.
    let _ = writeln!(io::stderr(), "engine: {message}");
    // Every command spells the flag alike, so a failure needs no way back to the arguments of its command.
    if std::env::args_os().any(|argument| argument == "--json") {
        let error = serde_json::json!({ "error": { "code": name, "message": message } });
        let _ = say(&error.to_string());
    }
    code
}

/// Stable name of what went wrong; the worker's own where a worker told it.
fn error_name(error: &EngineError) -> String {
    match error {
        EngineError::Worker(WorkerError::Refused { code, .. }) => code.clone(),
        EngineError::Worker(WorkerError::Invalidated { .. }) => "profile_conflict".into(),
        EngineError::Worker(WorkerError::Down { exit, .. }) => exit.class.clone(),
        other => other.code(),
    }
}

fn exit_code(error: &EngineError) -> u8 {
    match error_name(error).as_str() {
        "no_vulkan_loader" | "no_vulkan_driver" | "no_vulkan_device" => 7,
        "envelope" | "budget" | "chunk_refused" | "unsupported" | "bad_request"
        | "profile_conflict" => 3,
        code if code.starts_with("gguf_") => 3,
        _ => 1,
    }
}

/// Prints one line of result.
fn say(line: &str) -> Outcome {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

/// Prints a value as JSON.
fn say_json<T: serde::Serialize>(value: &T) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Message(e.to_string()))?;
    say(&text)
}

/// A file of token ids as a JSON list.
fn read_tokens(path: &PathBuf) -> Result<Vec<u32>, Failure> {
    let named = |what: String| Failure::Message(format!("{}: {what}", path.display()));
    let text = std::fs::read(path).map_err(|e| named(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| named(format!("not a JSON list of token ids: {e}")))
}
