//! Faults on purpose, as `ENGINE_FAULT` says: of the process, for tests of the parent; of a pass, for tests of its judges.
//! Without the feature `faults` every function does what its name says and nothing else.

#[cfg(feature = "faults")]
pub(super) use injected::*;
#[cfg(not(feature = "faults"))]
pub(super) use plain::*;

#[cfg(not(feature = "faults"))]
mod plain {
    use crate::error::Result;
    use crate::graph::Graph;
    use crate::ir::CommandIr;
    use crate::model::{HostData, Model, PassRequest};
    use crate::plan::Plan;
    use crate::validate::TapPlan;
    use crate::weights::WeightsPlan;
    use crate::worker::protocol::Request;

    pub(in crate::worker) fn before(_request: &Request) {}

    pub(in crate::worker) fn graph(model: &Model, request: &PassRequest) -> Result<Graph> {
        model.graph(request)
    }

    pub(in crate::worker) fn plan(graph: &Graph, envelope: u64) -> Result<Plan> {
        Plan::new(graph, envelope)
    }

    pub(in crate::worker) fn stream(_graph: &Graph, stream: CommandIr) -> CommandIr {
        stream
    }

    pub(in crate::worker) fn host_data(model: &Model, request: &PassRequest) -> Result<HostData> {
        model.host_data(request)
    }

    pub(in crate::worker) fn taps(_taps: &mut TapPlan) {}

    pub(in crate::worker) fn weights(
        _model: &Model,
        _weights: &WeightsPlan,
        _at: (u16, u64),
        _out: &mut [u8],
    ) {
    }

    pub(in crate::worker) fn substitutes_cpu() -> bool {
        false
    }
}

#[cfg(feature = "faults")]
mod injected {
    use std::io::Write;

    use crate::error::Result;
    use crate::faults::{Fault, VARIABLE};
    use crate::graph::Graph;
    use crate::ir::CommandIr;
    use crate::model::{HostData, Model, PassRequest};
    use crate::plan::Plan;
    use crate::validate::TapPlan;
    use crate::weights::WeightsPlan;
    use crate::worker::protocol::{Request, RequestId};

    /// The fault that the environment names; text that names none is no fault.
    fn named() -> Option<Fault> {
        std::env::var(VARIABLE).ok()?.parse().ok()
    }

    /// Runs before a request is executed; a prediction dies, hangs or babbles, a load hangs in its warm-up.
    pub(in crate::worker) fn before(request: &Request) {
        let Some(fault) = named() else {
            return;
        };
        match request {
            Request::Load { id, .. } if fault == Fault::WarmUpHang => {
                say(format!(
                    "{{\"kind\":\"progress\",\"id\":{id},\"step\":\"pipelines\",\"done\":0,\"total\":9}}\n"
                )
                .as_bytes());
                hang();
            }
            Request::Predict { id, .. } => strike(fault, *id),
            _ => {}
        }
    }

    fn strike(fault: Fault, id: RequestId) {
        match fault {
            Fault::WorkerAbort => std::process::abort(),
            Fault::WorkerHang => hang(),
            Fault::WorkerGarbage => say(b"\x00\xff driver says hello\n"),
            Fault::WorkerFlood => {
                for _ in 0..64 {
                    say(&[b'x'; 1 << 20]);
                }
            }
            Fault::WorkerBabble => {
                for index in 0u64.. {
                    let line = format!(
                        "{{\"kind\":\"stream_token\",\"id\":{id},\"index\":{},\"token\":1}}\n",
                        index % (1 << 32)
                    );
                    say(line.as_bytes());
                }
            }
            Fault::WorkerExit => std::process::exit(0),
            _ => {}
        }
    }

    fn say(bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    }

    fn hang() {
        loop {
            std::thread::park();
        }
    }

    pub(in crate::worker) fn graph(model: &Model, request: &PassRequest) -> Result<Graph> {
        let request = named().map_or_else(|| request.clone(), |fault| fault.request(request));
        model.graph(&request)
    }

    pub(in crate::worker) fn plan(graph: &Graph, envelope: u64) -> Result<Plan> {
        named().map_or_else(
            || Plan::new(graph, envelope),
            |fault| fault.plan(graph, envelope),
        )
    }

    pub(in crate::worker) fn stream(graph: &Graph, stream: CommandIr) -> CommandIr {
        match named() {
            Some(fault) => fault.stream(graph, stream),
            None => stream,
        }
    }

    pub(in crate::worker) fn host_data(model: &Model, request: &PassRequest) -> Result<HostData> {
        named().map_or_else(
            || model.host_data(request),
            |fault| fault.host_data(model, request),
        )
    }

    pub(in crate::worker) fn taps(taps: &mut TapPlan) {
        if let Some(fault) = named() {
            fault.taps(taps);
        }
    }

    pub(in crate::worker) fn weights(
        model: &Model,
        weights: &WeightsPlan,
        at: (u16, u64),
        out: &mut [u8],
    ) {
        if let Some(fault) = named() {
            let names: Vec<String> = model.sources().map(|source| source.name.clone()).collect();
            fault.weights(weights, &names, at, out);
        }
    }

    pub(in crate::worker) fn substitutes_cpu() -> bool {
        named() == Some(Fault::CpuSubstitute)
    }
}
