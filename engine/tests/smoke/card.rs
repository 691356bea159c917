//! A model on the Vulkan device of this process, for graphs that no worker would run.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use engine::graph::Graph;
use engine::ir::{CommandIr, HostInput, HostOutput, Kernel, Region, RegionSize};
use engine::model::{Model, PassRequest};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::{STAGING_BYTES, record_initialisation, record_pass, record_upload};
use engine::vk::SyncKind;
use engine::vk::device::Device;
use engine::vk::exec::{Executor, HostBytes, PlayOptions};
use engine::vk::regions::Regions;
use engine::weights::{RowBlocking, WeightsPlan};

pub(crate) struct Card<'m> {
    model: &'m Model,
    pub(crate) weights: WeightsPlan,
    executor: Executor,
    regions: Regions,
    /// Kernels of all passes so far.
    pub(crate) dispatched: BTreeSet<Kernel>,
}

impl<'m> Card<'m> {
    pub(crate) fn load(model: &'m Model, file: &[u8], blocking: RowBlocking) -> Self {
        let device = Device::open().unwrap_or_else(|error| panic!("{error}"));
        let weights = model.weights_plan().unwrap().read_by(blocking);
        let first = model.graph(&PassRequest::decode(0, 0)).unwrap();
        let state = RegionSize {
            region: Region::State,
            bytes: Plan::new(&first, u64::MAX).unwrap().state_bytes,
        };
        let chunks = (0u16..)
            .zip(weights.chunks())
            .map(|(chunk, bytes)| RegionSize {
                region: Region::Weights(chunk),
                bytes: *bytes,
            });
        let mut regions = Regions::new(&device, None);
        regions
            .place_lasting(&chunks.chain([state]).collect::<Vec<_>>())
            .unwrap();
        let mut card = Self {
            model,
            executor: Executor::new(&device).unwrap(),
            regions,
            weights,
            dispatched: BTreeSet::new(),
        };
        let weights = card.weights.clone();
        let fill = |input: HostInput, len: u64| match input {
            HostInput::Weights { chunk, offset } => {
                let mut out = vec![0; len as usize];
                weights.fill(file, chunk, offset, &mut out);
                Some(Cow::Owned(out))
            }
            _ => None,
        };
        card.submit(&record_upload(&weights, STAGING_BYTES), &fill);
        card.submit(&record_initialisation(&[state]), &|_, _| None);
        card
    }

    /// Plays a graph of a pass in one submit and returns what the host read.
    pub(crate) fn play(
        &mut self,
        graph: &Graph,
        pass: &PassRequest,
    ) -> HashMap<HostOutput, Vec<u8>> {
        let plan = Plan::new(graph, u64::MAX).unwrap();
        let profile =
            ExecutionProfile::resolve(&EnvSnapshot::default(), RequestKind::Production).unwrap();
        let stream = record_pass(graph, &plan, &self.weights, &profile).unwrap();
        assert_eq!(engine::hazard::check(&stream), []);
        self.dispatched
            .extend(stream.dispatches().map(|dispatch| dispatch.kernel));
        let data = self.model.host_data(pass).unwrap();
        let host = |input: HostInput, _: u64| data.bytes(input).map(|b| Cow::Owned(b.to_vec()));
        let undefined = self.regions.ensure(&stream.region_sizes).unwrap();
        self.submit(&record_initialisation(&undefined), &|_, _| None);
        let reads = self.submit(&stream, &host);
        self.regions.check_guards().unwrap();
        reads
    }

    fn submit(&mut self, stream: &CommandIr, host: &HostBytes<'_>) -> HashMap<HostOutput, Vec<u8>> {
        let options = PlayOptions {
            sync: SyncKind::Fence,
            stamp_dispatches: false,
            timeout: Duration::from_secs(120),
        };
        let played = self
            .executor
            .play(stream, &mut self.regions, host, &options);
        played
            .unwrap_or_else(|error| panic!("{error}"))
            .reads
            .into_iter()
            .collect()
    }
}
