//! A worker for one command, with its model: started, loaded with progress, ended.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use engine::profile::RequestKind;
use engine::worker::protocol::{DeviceKind, Loaded, Prompt, Purpose, Request, Role};
use engine::worker::{Event, Worker, WorkerOptions};
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::mode::ModeArg;

/// Where to compute.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    /// A Vulkan device; an error when there is none.
    Vulkan,
    /// The CPU reference.
    Cpu,
}

/// What every command that runs a model takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// GGUF file.
    pub(super) model: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "vulkan")]
    device: Device,
    /// How passes reach the device.
    #[arg(long, value_enum, default_value = "single-graph")]
    mode: ModeArg,
    /// A variable of the engine for this run, above the environment, such as `ENGINE_NOOP_DISPATCHES=50`.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Longest context; by default the model's, at most 4096.
    #[arg(long)]
    n_ctx: Option<u32>,
    /// Device bytes that the model may use.
    #[arg(long)]
    budget: Option<u64>,
    /// Seconds without a sign of life after which the worker counts as hung.
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
    /// Print the markers of the run on stderr.
    #[arg(long)]
    markers: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=');
    let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "give NAME=VALUE".to_owned())
}

impl Common {
    /// A prompt with everything that the arguments say about how it runs.
    pub(super) fn prompt(&self, tokens: Vec<u32>, greedy: u32) -> Prompt {
        let (kind, asked) = self.mode.request();
        let purpose = match kind {
            RequestKind::Production | RequestKind::Reference => Purpose::Production,
            RequestKind::Smoke => Purpose::Smoke,
            RequestKind::Validation => Purpose::Validation,
        };
        let legacy = self.mode.is_legacy();
        let mut settings: std::collections::BTreeMap<_, _> =
            self.settings.iter().cloned().collect();
        if let Some((name, value)) = asked.filter(|_| !legacy) {
            settings.insert(name.to_owned(), value.to_owned());
        }
        Prompt {
            tokens,
            greedy,
            legacy,
            purpose,
            settings,
            ..Prompt::default()
        }
    }

    /// A worker with the model in it. Progress goes to stderr while that is a terminal.
    pub(super) fn load(&self) -> Result<(Worker, Loaded), Failure> {
        let mut worker = start(self.timeout_s, self.markers)?;
        let device = match (self.device, self.mode) {
            (Device::Cpu, _) | (_, ModeArg::CpuReference) => DeviceKind::Cpu,
            (Device::Vulkan, _) => DeviceKind::Vulkan,
        };
        let request = |id| Request::Load {
            id,
            model: self.model.clone(),
            device,
            n_ctx: self.n_ctx,
            budget: self.budget,
            role: Role::Target,
        };
        let bar = bar();
        let loaded = worker.load_with(request, |event| {
            if let Event::Progress { step, done, total } = event {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(step);
            }
        });
        bar.finish_and_clear();
        Ok((worker, loaded?))
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>9} {wide_bar} {percent:>3} % {eta}");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A worker without a model.
pub(super) fn start(timeout_s: u64, markers: bool) -> Result<Worker, Failure> {
    let mut options = WorkerOptions::new(std::env::current_exe()?);
    options.step_timeout = Duration::from_secs(timeout_s);
    options.markers = markers;
    Ok(Worker::start(options)?)
}
