//! A model on the Vulkan device, timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{
    Bandwidth, BenchReport, BenchRequest, DecodePass, KernelShare, Machine, Speed, copy,
    pass_bytes, prompt_tokens,
};
use crate::error::Result;
use crate::fuse::prepared;
use crate::fuse::verified::Identity;
use crate::ir::CommandIr;
use crate::kernels::Kernel;
use crate::model::{LogitsRows, Model, PassRequest};
use crate::plan::Plan;
use crate::profile::{EnvSnapshot, ExecutionProfile, RequestKind, row_blocking};
use crate::record::record_pass;
use crate::sample::greedy;
use crate::vk::SyncKind;
use crate::vk::device::Device;
use crate::vk::exec::{Executor, PlayOptions, Played};
use crate::weights::WeightsPlan;
use crate::worker::Resident;

/// Limit of one wait.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Decode passes that are stamped for the breakdown.
const STAMPED: u32 = 2;

struct Bench<'m> {
    model: &'m Model,
    weights: WeightsPlan,
    profile: ExecutionProfile,
    identity: Identity,
    executor: Executor,
    resident: Resident,
}

pub(super) fn run(
    file: &[u8],
    model: &Model,
    request: BenchRequest,
    environment: &EnvSnapshot,
) -> Result<BenchReport> {
    let device = Device::open()?;
    let caps = device.caps().clone();
    let mut executor = Executor::new(&device)?;
    let copied = copy::bandwidth(&device, &mut executor, &options(false))?;
    let weights = model
        .weights_plan()?
        .read_by(row_blocking(environment, &caps.kind)?);
    let resident = Resident::load(
        &mut executor,
        file,
        model,
        &weights,
        None,
        &mut |_, _, _| {},
    )?;
    let mut bench = Bench {
        model,
        weights,
        profile: ExecutionProfile::resolve(environment, RequestKind::Production)?,
        identity: Identity {
            device: caps.device.clone(),
            driver: caps.driver.clone(),
        },
        executor,
        resident,
    };
    let (prefill, decode) = bench.timed(request)?;
    let pass = bench.stamped(request)?;
    let moved = (pass.weight_bytes + pass.other_bytes) as f64 * decode.tokens_per_second;
    Ok(BenchReport {
        machine: Machine {
            backend: "vulkan".into(),
            device: caps.device,
            driver: caps.driver,
        },
        prefill,
        decode,
        pass: Some(pass),
        bandwidth: Some(Bandwidth {
            decode: moved,
            copy: copied,
            fraction: moved / copied.max(1.0),
        }),
    })
}

impl Bench<'_> {
    /// Speeds of the prompt and of the tokens after it. Both kinds of pass run once before, so that the driver has compiled.
    fn timed(&mut self, request: BenchRequest) -> Result<(Speed, Speed)> {
        let prompt = self.prompt(request);
        self.pass(&prompt, false)?;
        let start = Instant::now();
        let (_, played) = self.pass(&prompt, false)?;
        let prefill = Speed::new(request.prompt, start.elapsed().as_secs_f64());
        let mut token = choice(&played)?;
        self.pass(&PassRequest::decode(token, request.prompt), false)?;
        let start = Instant::now();
        for step in 0..request.decode {
            let pass = PassRequest::decode(token, request.prompt + step);
            token = choice(&self.pass(&pass, false)?.1)?;
        }
        let decode = Speed::new(request.decode, start.elapsed().as_secs_f64());
        Ok((prefill, decode))
    }

    /// Shape and breakdown of a decode pass at the last position.
    fn stamped(&mut self, request: BenchRequest) -> Result<DecodePass> {
        let pass = PassRequest::decode(0, request.prompt + request.decode);
        let mut times: BTreeMap<Kernel, KernelShare> = BTreeMap::new();
        let mut stream = CommandIr::default();
        for _ in 0..STAMPED {
            let (recorded, played) = self.pass(&pass, true)?;
            stream = recorded;
            for time in played.kernels.unwrap_or_default() {
                let share = times.entry(time.kernel).or_insert(KernelShare {
                    kernel: time.kernel.name(),
                    dispatches: 0,
                    us: 0,
                });
                share.dispatches = time.count;
                share.us += time.ns / 1000 / u64::from(STAMPED);
            }
        }
        let counters = stream.counters();
        let (weight_bytes, other_bytes) = pass_bytes(&stream, 1, self.model.params.n_vocab);
        Ok(DecodePass {
            submits: counters.submits,
            dispatches: counters.dispatches,
            barriers: counters.barriers,
            weight_bytes,
            other_bytes,
            kernels: times.into_values().collect(),
        })
    }

    fn prompt(&self, request: BenchRequest) -> PassRequest {
        PassRequest {
            logits: LogitsRows::Last,
            ..PassRequest::prefill(&prompt_tokens(self.model, request.prompt))
        }
    }

    fn pass(&mut self, pass: &PassRequest, stamped: bool) -> Result<(CommandIr, Played)> {
        let graph = self.model.graph(pass)?;
        let graph = prepared(graph, &self.weights, &self.profile, Some(&self.identity)).graph;
        let plan = Plan::new(&graph, self.resident.envelope)?;
        let stream = record_pass(&graph, &plan, &self.weights, &self.profile)?;
        let data = self.model.host_data(pass)?;
        let played = self
            .resident
            .pass(&mut self.executor, &stream, &data, &options(stamped))?;
        Ok((stream, played))
    }
}

/// The token after a pass.
fn choice(played: &Played) -> Result<u32> {
    Ok(greedy(&crate::worker::logits(played)?).unwrap_or(0))
}

fn options(stamp_dispatches: bool) -> PlayOptions {
    PlayOptions {
        sync: SyncKind::Fence,
        stamp_dispatches,
        timeout: TIMEOUT,
    }
}
