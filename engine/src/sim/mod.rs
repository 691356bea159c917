//! Plays a command stream on the CPU as the least helpful device that Vulkan allows.
//!
//! The ops are those of [`crate::cpu`], so this judges the stream and not the shaders. What a read sees follows from the
//! barriers alone (`seen`): a write that nothing has made visible is not there, a write that nothing orders after a read
//! has already happened, and of two writes that nothing orders the earlier one stays. A correct stream gives the
//! reference's logits bit for bit; a broken one gives zeros or stale data in the tensor where such a device would show them.
//!
//! Memory: the weights twice, once packed and once as `f32`, and every byte that one stream writes.

mod judge;
mod memory;
mod seen;

use std::collections::BTreeMap;

use crate::cpu::CpuReference;
use crate::error::{EngineError, Result};
use crate::graph::Graph;
use crate::ir::{ByteRange, Command, CommandIr, Dispatch, HostInput, HostOutput, Region};
use crate::model::{HostData, Model, WeightSource};
use crate::plan::Plan;
use crate::quant::words;
use crate::record::{STAGING_BYTES, record_upload};
use crate::tensor::{ElementType, Tensor, TensorId};
use crate::weights::{WeightForm, WeightsPlan};

pub use judge::{Fill, Trial, Verdict, judge};

use memory::Memory;
use seen::Seen;

/// A model on the simulated device, with what its memory holds between streams.
#[derive(Debug, Clone)]
pub struct Sim<'m> {
    reference: CpuReference<'m>,
    memory: Memory,
}

/// What the host read back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Played {
    /// Results in stream order.
    pub reads: Vec<(HostOutput, Vec<u8>)>,
}

impl Played {
    /// Bytes of one result.
    pub fn bytes(&self, output: HostOutput) -> Option<&[u8]> {
        let read = self.reads.iter().find(|(found, _)| *found == output);
        read.map(|(_, bytes)| bytes.as_slice())
    }

    /// The logits, row-major; empty when the stream does not read them.
    pub fn logits(&self) -> Vec<f32> {
        let bytes = self.bytes(HostOutput::Logits).unwrap_or_default();
        words(bytes).map(f32::from_bits).collect()
    }
}

/// What a pass is played with.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'p> {
    /// Graph that the stream was recorded from.
    pub graph: &'p Graph,
    /// Places of its tensors.
    pub plan: &'p Plan,
    /// What the host writes.
    pub data: &'p HostData,
}

impl<'m> Sim<'m> {
    /// Zeroed memory, and the weights uploaded as a device would get them.
    ///
    /// # Errors
    /// Those of the model's weights.
    pub fn load(model: &'m Model, file: &[u8]) -> Result<Sim<'m>> {
        let weights = model.weights_plan()?;
        let fill = |chunk, offset, out: &mut [u8]| weights.fill(file, chunk, offset, out);
        Self::load_with(model, file, &record_upload(&weights, STAGING_BYTES), &fill)
    }

    /// As [`Sim::load`], with another upload stream or other packed bytes.
    ///
    /// # Errors
    /// As [`Sim::load`].
    pub fn load_with(
        model: &'m Model,
        file: &[u8],
        upload: &CommandIr,
        fill: &Fill<'_>,
    ) -> Result<Sim<'m>> {
        let mut sim = Sim {
            reference: CpuReference::new(model, file)?,
            memory: Memory::default(),
        };
        let host = |input: HostInput, len: u64| match input {
            HostInput::Weights { chunk, offset } => {
                let mut bytes = vec![0; len as usize];
                fill(chunk, offset, &mut bytes);
                bytes
            }
            HostInput::Tokens | HostInput::RopeTable => Vec::new(),
        };
        sim.run(upload, &host, None)?;
        let weights = model.weights_plan()?;
        for source in model.sources() {
            sim.adopt_weight(&weights, file, source);
        }
        Ok(sim)
    }

    /// Plays the stream of a pass.
    ///
    /// # Errors
    /// `Unplaced` when stream, graph and plan do not belong together, `Request` for more than the main queue.
    pub fn play(&mut self, ir: &CommandIr, pass: Pass<'_>) -> Result<Played> {
        let host = |input: HostInput, _| pass.data.bytes(input).unwrap_or_default().to_vec();
        self.run(ir, &host, Some(pass))
    }

    /// Computes with the bytes that arrived, where they are not those of the file.
    fn adopt_weight(&mut self, weights: &WeightsPlan, file: &[u8], source: &WeightSource) {
        let Some(place) = weights.place(&source.name) else {
            return;
        };
        let arrived = |range: &ByteRange| self.memory.read(range);
        let intact = place.parts.iter().all(|range| {
            let Region::Weights(chunk) = range.region else {
                return false;
            };
            let mut sent = vec![0; range.len as usize];
            weights.fill(file, chunk, range.offset, &mut sent);
            arrived(range) == sent
        });
        if intact {
            return;
        }
        let values = match place.form {
            WeightForm::F32 => {
                let bytes: Vec<u8> = place.parts.iter().flat_map(arrived).collect();
                words(&bytes).map(f32::from_bits).collect()
            }
            // Blocks without their factors are zeros.
            _ => vec![0.0; source.rows as usize * source.cols as usize],
        };
        self.reference.set_weight(&source.name, values);
    }

    fn run(
        &mut self,
        ir: &CommandIr,
        host: &dyn Fn(HostInput, u64) -> Vec<u8>,
        pass: Option<Pass<'_>>,
    ) -> Result<Played> {
        if !ir.has_one_queue() {
            return Err(EngineError::Request(
                "the simulated device has one queue; ask hazard about streams with several"
                    .to_owned(),
            ));
        }
        self.memory.grow(&ir.region_sizes);
        let mut run = Run {
            sim: self,
            ir,
            host,
            pass,
            seen: Seen::of(ir),
            states: vec![State::Waiting; ir.commands.len()],
            bytes: BTreeMap::new(),
            played: Played::default(),
        };
        for index in 0..ir.commands.len() {
            run.settle(index)?;
        }
        let Run {
            seen,
            bytes,
            played,
            ..
        } = run;
        for (number, bytes) in &bytes {
            let write = &seen.writes[*number];
            self.memory
                .write(write.range.region, &write.kept, write.range.offset, bytes);
        }
        Ok(played)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Open,
    Done,
}

/// One stream being played: every command once, after those whose writes it sees.
struct Run<'r, 'm> {
    sim: &'r mut Sim<'m>,
    ir: &'r CommandIr,
    host: &'r dyn Fn(HostInput, u64) -> Vec<u8>,
    pass: Option<Pass<'r>>,
    seen: Seen,
    states: Vec<State>,
    /// Bytes of the writes that have happened, by their number.
    bytes: BTreeMap<usize, Vec<u8>>,
    played: Played,
}

impl Run<'_, '_> {
    /// Executes a command, and before it everything that it sees.
    fn settle(&mut self, index: usize) -> Result<()> {
        let mut open = vec![index];
        while let Some(&top) = open.last() {
            if self.states[top] == State::Done {
                open.pop();
                continue;
            }
            self.states[top] = State::Open;
            let next = self
                .seen
                .sources(top)
                .find(|source| self.states[*source] == State::Waiting);
            if let Some(next) = next {
                open.push(next);
                continue;
            }
            if self.seen.executed[top] {
                self.execute(top)?;
            }
            self.states[top] = State::Done;
            open.pop();
        }
        Ok(())
    }

    fn execute(&mut self, index: usize) -> Result<()> {
        let ir = self.ir;
        match &ir.commands[index] {
            Command::HostWrite { dst, input } => {
                let mut bytes = (self.host)(*input, dst.len);
                bytes.resize(dst.len as usize, 0);
                self.write(index, 0, bytes);
            }
            Command::Zero { dst, .. } => self.write(index, 0, vec![0; dst.len as usize]),
            Command::Copy(copy) => {
                let mut bytes = self.read(index, 0);
                bytes.resize(copy.dst.len as usize, 0);
                self.write(index, 1, bytes);
            }
            Command::HostRead { output, .. } => {
                let bytes = self.read(index, 0);
                self.played.reads.push((*output, bytes));
            }
            Command::Dispatch(dispatch) => self.dispatch(index, dispatch)?,
            Command::Barrier(_) | Command::SubmitBoundary(_) | Command::FenceWait => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, index: usize, dispatch: &Dispatch) -> Result<()> {
        let Some(node) = dispatch.node else {
            let word = dispatch.immediates.first().copied().unwrap_or(0);
            for (access, binding) in dispatch.bindings.iter().enumerate() {
                let count = binding.touched.len as usize / 4;
                self.write(index, access, word.to_le_bytes().repeat(count));
            }
            return Ok(());
        };
        let pass = self.pass.ok_or_else(|| EngineError::Unplaced {
            tensor: dispatch.name(),
            part: "the simulated pass",
        })?;
        let node = pass.graph.node(node);
        let mut values = BTreeMap::new();
        for id in &node.inputs {
            let tensor = pass.graph.tensor(*id);
            if !tensor.flags.weight {
                values.insert(*id, self.input(index, dispatch, tensor, pass.plan));
            }
        }
        let written = self.sim.reference.compute(pass.graph, node, values)?;
        for (access, binding) in dispatch.bindings.iter().enumerate() {
            let found = written.iter().find(|(id, _)| Some(*id) == binding.tensor);
            if let Some((id, values)) = found.filter(|_| binding.access.writes()) {
                let tensor = pass.graph.tensor(*id);
                let start = first_element(tensor, binding.range, binding.touched, pass.plan);
                let count = binding.touched.len as usize / 4;
                let part = values.iter().skip(start).take(count);
                let mut bytes: Vec<u8> = part.flat_map(|value| value.to_le_bytes()).collect();
                bytes.resize(binding.touched.len as usize, 0);
                self.write(index, access, bytes);
            }
        }
        Ok(())
    }

    /// Values of a tensor as the dispatch sees them; what it does not bind is zero.
    fn input(&self, index: usize, dispatch: &Dispatch, tensor: &Tensor, plan: &Plan) -> Vec<f32> {
        let mut values = vec![0.0; tensor.rows as usize * tensor.cols as usize];
        let bound = dispatch.bindings.iter().enumerate();
        for (access, binding) in bound.filter(|(_, b)| b.access.reads() && is(b.tensor, tensor)) {
            let start = first_element(tensor, binding.range, binding.touched, plan);
            let bytes = self.read(index, access);
            let found = words(&bytes).map(|word| match tensor.element {
                ElementType::F32 => f32::from_bits(word),
                ElementType::U32 => word as f32,
            });
            let places = values.iter_mut().skip(start);
            places.zip(found).for_each(|(place, value)| *place = value);
        }
        values
    }

    /// Bytes that an access of a command sees.
    fn read(&self, index: usize, access: usize) -> Vec<u8> {
        let Some(read) = self.seen.read(index, access) else {
            return Vec::new();
        };
        let mut bytes = self.sim.memory.read(&read.range);
        for (number, part) in &read.writes {
            if let Some(written) = self.bytes.get(number) {
                let write = &self.seen.writes[*number];
                memory::overlay(&mut bytes, &read.range, part, write, written);
            }
        }
        bytes
    }

    fn write(&mut self, index: usize, access: usize, bytes: Vec<u8>) {
        if let Some(number) = self.seen.write(index, access) {
            self.bytes.insert(number, bytes);
        }
    }
}

fn is(bound: Option<TensorId>, tensor: &Tensor) -> bool {
    bound == Some(tensor.id)
}

/// Number of the tensor's first element among the touched bytes. Caches are bound in part, everything else whole.
fn first_element(tensor: &Tensor, bound: ByteRange, touched: ByteRange, plan: &Plan) -> usize {
    let planned = plan.range(tensor.id).filter(|_| tensor.flags.state);
    let start = planned.unwrap_or(bound).offset;
    (touched.offset.saturating_sub(start) / 4) as usize
}
