//! `engine bench`: the one command that plays passes in its own process, because a measurement should have nothing beside it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use engine::bench::{BenchReport, BenchRequest, run_cpu, run_vulkan};
use engine::map::map;
use engine::model::Model;
use engine::profile::EnvSnapshot;

use super::{Outcome, say, say_json};

/// Where to compute.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    /// A Vulkan device; an error when there is none.
    Vulkan,
    /// The CPU reference, which is made to be right and not fast.
    Cpu,
}

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// GGUF file.
    model: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "vulkan")]
    device: Device,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 64)]
    prompt: u32,
    /// Tokens to decode after it.
    #[arg(long, default_value_t = 16)]
    decode: u32,
    /// Longest context; by default what the counts need.
    #[arg(long)]
    n_ctx: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `engine bench`
pub(super) fn bench(args: &BenchArgs) -> Outcome {
    let file = map(&args.model)?;
    let needed = args.prompt.saturating_add(args.decode).saturating_add(1);
    let model = Model::load(&file, Some(args.n_ctx.unwrap_or(needed)))?;
    let request = BenchRequest {
        prompt: args.prompt,
        decode: args.decode,
    };
    let report = match args.device {
        Device::Vulkan => run_vulkan(&file, &model, request, &environment())?,
        Device::Cpu => run_cpu(&file, &model, request)?,
    };
    if args.json {
        return say_json(&report);
    }
    lines(&report).iter().try_for_each(|line| say(line))
}

/// The engine's variables, so that fusions can be measured as they are switched on.
fn environment() -> EnvSnapshot {
    let text = std::env::vars_os();
    EnvSnapshot::from_vars(
        text.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
    )
}

fn lines(report: &BenchReport) -> Vec<String> {
    let machine = &report.machine;
    let mut lines = vec![
        format!(
            "{} on {} ({})",
            machine.backend, machine.device, machine.driver
        ),
        format!(
            "prefill {:9.2} tok/s  {} tokens in {:.3} s",
            report.prefill.tokens_per_second, report.prefill.tokens, report.prefill.seconds
        ),
        format!(
            "decode  {:9.2} tok/s  {} tokens in {:.3} s",
            report.decode.tokens_per_second, report.decode.tokens, report.decode.seconds
        ),
    ];
    if let Some(bandwidth) = &report.bandwidth {
        lines.push(format!(
            "bandwidth {:.2} GB/s, {:.0} % of the copy kernel's {:.2} GB/s",
            bandwidth.decode / 1e9,
            100.0 * bandwidth.fraction,
            bandwidth.copy / 1e9
        ));
    }
    if let Some(pass) = &report.pass {
        lines.push(format!(
            "per token {} submits, {} dispatches, {} barriers, {} B of weights, {} B besides",
            pass.submits, pass.dispatches, pass.barriers, pass.weight_bytes, pass.other_bytes
        ));
        let total = pass
            .kernels
            .iter()
            .map(|share| share.us)
            .sum::<u64>()
            .max(1);
        lines.extend(pass.kernels.iter().map(|share| {
            format!(
                "  {:20} {:5} dispatches {:9} us {:5.1} %",
                share.kernel,
                share.dispatches,
                share.us,
                100.0 * share.us as f64 / total as f64
            )
        }));
    }
    lines
}
