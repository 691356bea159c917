//! The command stream as a value: recorded, judged, compared, tapped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use engine::cpu::{CpuReference, KeepTrace};
use engine::delta::{Aspect, path_delta};
use engine::graph::{Graph, NodeId};
use engine::hazard::{self, HazardKind};
use engine::ir::{ALIGNMENT, Access, Command, CommandIr, CopyPurpose, HostInput, Region};
use engine::kernels::{KERNELS, Kernel};
use engine::model::{LogitsRows, Model, PassRequest};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::{record_initialisation, record_pass, record_upload};
use engine::tensor::Stage;
use engine::validate::{DivergenceKind, TapPlan, first_divergence, insert_taps, plan_taps};
use engine::weights::WeightsPlan;
use support::{bytes, data};

struct Recorded {
    graph: Graph,
    plan: Plan,
    ir: CommandIr,
}

fn profile(vars: &[(&str, &str)]) -> ExecutionProfile {
    ExecutionProfile::resolve(
        &EnvSnapshot::from_vars(vars.iter().copied()),
        RequestKind::Smoke,
    )
    .unwrap()
}

fn single() -> ExecutionProfile {
    profile(&[])
}

fn legacy() -> ExecutionProfile {
    profile(&[("ENGINE_FORCE_MULTI_SUBMIT", "1")])
}

fn model(name: &str) -> (Vec<u8>, Model) {
    let file = bytes(&data().join(format!("models/{name}.gguf")));
    let model = Model::load(&file, Some(64)).unwrap();
    (file, model)
}

fn record(model: &Model, pass: &PassRequest, profile: &ExecutionProfile) -> Recorded {
    let graph = model.graph(pass).unwrap();
    let plan = Plan::new(&graph, u64::MAX).unwrap();
    let ir = record_pass(&graph, &plan, &model.weights_plan().unwrap(), profile).unwrap();
    Recorded { graph, plan, ir }
}

fn passes() -> Vec<PassRequest> {
    let tokens: Vec<u32> = (0..24).collect();
    let last = PassRequest {
        logits: LogitsRows::Last,
        ..PassRequest::prefill(&tokens)
    };
    vec![
        PassRequest::prefill(&tokens),
        last,
        PassRequest::decode(7, 24),
        PassRequest::prefill(&[3]),
    ]
}

/// All clean streams: architectures, passes, modes, with and without noops.
fn clean_streams() -> Vec<(String, Recorded)> {
    let mut profiles = support::gpu_profiles();
    profiles.push(profile(&[("ENGINE_NOOP_DISPATCHES", "50")]));
    let mut streams = Vec::new();
    for name in [
        "llama-a.f32",
        "llama-a.q8_0",
        "qwen3-a.f32",
        "qwen3-yarn-a.q4_0",
    ] {
        let (_, model) = model(name);
        for (number, pass) in passes().iter().enumerate() {
            for profile in &profiles {
                let label = format!(
                    "{name} pass {number} {:?} noop {}",
                    profile.mode, profile.noop_dispatches
                );
                streams.push((label, record(&model, pass, profile)));
            }
        }
    }
    streams
}

#[test]
fn clean_streams_have_no_findings() {
    for (label, recorded) in clean_streams() {
        assert_eq!(hazard::check(&recorded.ir), [], "{label}");
        let taps = plan_taps(
            &recorded.graph,
            &recorded.plan,
            recorded.ir.region_size(Region::Readback),
        )
        .unwrap();
        assert_eq!(
            hazard::check(&insert_taps(&recorded.ir, &taps).unwrap()),
            [],
            "{label} with taps"
        );
    }
    let (_, model) = model("llama-a.q8_0");
    let upload = record_upload(&model.weights_plan().unwrap(), 16 << 10);
    assert_eq!(hazard::check(&upload), []);
    assert_eq!(
        hazard::check(&record_initialisation(&upload.region_sizes)),
        []
    );
}

#[test]
fn every_dropped_barrier_is_found_with_both_commands() {
    let (_, model) = model("llama-a.f32");
    for profile in [single(), legacy()] {
        let clean = record(&model, &passes()[0], &profile).ir;
        let barriers: Vec<usize> = (0..clean.commands.len())
            .filter(|i| matches!(clean.commands[*i], Command::Barrier(_)))
            .collect();
        assert!(!barriers.is_empty());
        for at in barriers {
            let mut broken = clean.clone();
            broken.commands.remove(at);
            let findings = hazard::check(&broken);
            // What stands behind the dropped barrier now runs into something before it.
            let found = findings.iter().any(|finding| {
                finding.second.index >= at
                    && finding.first.as_ref().is_some_and(|first| first.index < at)
            });
            assert!(found, "barrier {at}: {findings:?}");
        }
    }
}

#[test]
fn a_dropped_barrier_is_named_like_this() {
    let (_, model) = model("llama-a.f32");
    let mut ir = record(&model, &passes()[0], &single()).ir;
    let norm = ir
        .commands
        .iter()
        .position(|command| command.name() == "rms_norm#1")
        .unwrap();
    assert!(matches!(ir.commands.remove(norm - 1), Command::Barrier(_)));
    let findings: Vec<String> = hazard::check(&ir).iter().map(ToString::to_string).collect();
    assert!(findings[0].starts_with("read_after_write: embed_f32#0 and rms_norm#1 on arena["));
    assert!(
        findings
            .iter()
            .all(|finding| finding.contains(": embed_f32#0 and ")),
        "{findings:?}"
    );
}

#[test]
fn seeded_stream_faults_are_each_found() {
    let (_, model) = model("llama-a.f32");
    let clean = record(&model, &passes()[0], &single()).ir;
    let position = |wanted: fn(&Command) -> bool| clean.commands.iter().position(wanted).unwrap();
    let check = |what: &str, kind: HazardKind, edit: &dyn Fn(&mut Vec<Command>)| {
        let mut broken = clean.clone();
        edit(&mut broken.commands);
        let findings = hazard::check(&broken);
        assert!(
            findings.iter().any(|finding| finding.kind == kind),
            "{what}: {findings:?}"
        );
    };
    let fence = position(|c| *c == Command::FenceWait);
    let submit = position(Command::is_submit);
    let norm = position(|c| c.as_dispatch().is_some_and(|d| d.kernel == Kernel::RmsNorm));
    let table =
        position(|c| matches!(c, Command::Copy(copy) if copy.purpose == CopyPurpose::Input)) + 1;
    check(
        "no fence before reading back",
        HazardKind::HostAccessInFlight,
        &|c| drop(c.remove(fence)),
    );
    check("no submit", HazardKind::NeverSubmitted, &|c| {
        drop(c.remove(submit))
    });
    check(
        "no barrier to the host",
        HazardKind::NotVisibleToHost,
        &|c| drop(c.remove(submit - 1)),
    );
    check("a lost dispatch", HazardKind::Unwritten, &|c| {
        drop(c.remove(norm))
    });
    check("a lost input copy", HazardKind::Unwritten, &|c| {
        drop(c.remove(table))
    });
    check(
        "staging rewritten in flight",
        HazardKind::HostAccessInFlight,
        &|c| {
            let write = c[0].clone();
            c.insert(fence, write);
        },
    );
    check("an aliased leaf", HazardKind::Clobbered, &|c| {
        let Command::Copy(copy) = c[table].clone() else {
            panic!("not a copy")
        };
        for command in c.iter_mut() {
            if let Command::Dispatch(dispatch) = command
                && dispatch.kernel == Kernel::RmsNorm
            {
                dispatch.bindings[2].touched.offset = copy.dst.offset;
            }
        }
    });
}

#[test]
fn production_submits_once_and_legacy_once_per_segment() {
    let (_, model) = model("llama-a.f32");
    let production =
        ExecutionProfile::resolve(&EnvSnapshot::default(), RequestKind::Production).unwrap();
    for pass in passes() {
        assert_eq!(record(&model, &pass, &production).ir.counters().submits, 1);
        let recorded = record(&model, &pass, &legacy());
        assert_eq!(
            recorded.ir.counters().submits as usize,
            recorded.graph.segments().len()
        );
    }
}

#[test]
fn every_node_is_dispatched_once_on_both_paths() {
    let (_, model) = model("llama-a.q8_0");
    for pass in passes() {
        for profile in [single(), legacy()] {
            let recorded = record(&model, &pass, &profile);
            let mut nodes: Vec<NodeId> = recorded
                .ir
                .dispatches()
                .filter_map(|dispatch| dispatch.node)
                .collect();
            nodes.extend(
                recorded
                    .ir
                    .commands
                    .iter()
                    .filter_map(|command| match command {
                        Command::Copy(copy) => match copy.purpose {
                            CopyPurpose::Node(node) => Some(node),
                            _ => None,
                        },
                        _ => None,
                    }),
            );
            nodes.sort_unstable();
            let all: Vec<NodeId> = recorded.graph.nodes().iter().map(|node| node.id).collect();
            assert_eq!(nodes, all, "{:?}", profile.mode);
        }
    }
}

#[test]
fn bindings_follow_the_kernel_table() {
    for (label, recorded) in clean_streams() {
        for dispatch in recorded.ir.dispatches() {
            let spec = dispatch.kernel.spec();
            let accesses: Vec<Access> = dispatch
                .bindings
                .iter()
                .map(|binding| binding.access)
                .collect();
            let expected: Vec<Access> =
                spec.bindings.iter().map(|binding| binding.access).collect();
            assert_eq!(accesses, expected, "{label} {}", dispatch.name());
            assert_eq!(
                dispatch.immediates.len(),
                spec.immediates.len(),
                "{label} {}",
                dispatch.name()
            );
            for (slot, binding) in (0..).zip(&dispatch.bindings) {
                assert_eq!(binding.slot, slot);
                assert!(
                    binding.range.contains(&binding.touched),
                    "{label} {}",
                    dispatch.name()
                );
                assert!(
                    binding.range.offset.is_multiple_of(ALIGNMENT)
                        && binding.range.len.is_multiple_of(4)
                );
            }
        }
    }
}

#[test]
fn every_kernel_write_is_a_registered_output_or_side_effect() {
    for (label, recorded) in clean_streams() {
        for dispatch in recorded.ir.dispatches() {
            let Some(node) = dispatch.node.map(|id| recorded.graph.node(id)) else {
                continue;
            };
            let effects = node.side_effects.iter().map(|effect| effect.tensor);
            let mut registered: Vec<_> = node.output.into_iter().chain(effects).collect();
            let mut written: Vec<_> = dispatch
                .bindings
                .iter()
                .filter(|b| b.access.writes())
                .filter_map(|b| b.tensor)
                .collect();
            registered.sort_unstable();
            written.sort_unstable();
            assert_eq!(written, registered, "{label} {}", dispatch.name());
            for effect in &node.side_effects {
                assert!(recorded.graph.tensor(effect.tensor).flags.side_effect);
            }
        }
    }
}

#[test]
fn the_kernel_table_is_in_the_order_of_the_enum() {
    for (number, spec) in KERNELS.iter().enumerate() {
        assert_eq!(spec.kernel as usize, number);
        assert_eq!(spec.kernel.spec(), spec);
    }
}

#[test]
fn noops_write_only_private_dummies() {
    let (_, model) = model("llama-a.f32");
    let plain = record(&model, &passes()[2], &single()).ir;
    let noisy = record(
        &model,
        &passes()[2],
        &profile(&[("ENGINE_NOOP_DISPATCHES", "100")]),
    )
    .ir;
    let is_noop = |command: &Command| {
        command
            .as_dispatch()
            .is_some_and(|d| d.kernel == Kernel::Noop)
    };
    let mut ranges: Vec<_> = noisy
        .commands
        .iter()
        .filter(|c| is_noop(c))
        .flat_map(|c| c.accesses())
        .map(|a| a.range)
        .collect();
    assert_eq!(ranges.len(), 100);
    ranges.sort_unstable();
    ranges.dedup();
    assert_eq!(ranges.len(), 100);
    assert!(ranges.iter().all(|range| range.region == Region::Dummy));
    let quiet: Vec<Command> = noisy
        .commands
        .into_iter()
        .filter(|command| !is_noop(command))
        .collect();
    assert!(
        quiet == plain.commands,
        "noops change the stream around them"
    );
}

#[test]
fn taps_change_nothing_but_add_copies() {
    for (label, recorded) in clean_streams() {
        let taps = plan_taps(
            &recorded.graph,
            &recorded.plan,
            recorded.ir.region_size(Region::Readback),
        )
        .unwrap();
        let tapped = insert_taps(&recorded.ir, &taps).unwrap();
        assert_ne!(tapped.digest(), recorded.ir.digest());
        assert_eq!(
            tapped.without_taps().digest(),
            recorded.ir.digest(),
            "{label}"
        );
        assert_eq!(tapped.counters(), recorded.ir.counters(), "{label}");
    }
}

#[test]
fn a_tap_that_would_need_a_barrier_invalidates() {
    let (_, model) = model("llama-a.f32");
    let recorded = record(&model, &passes()[0], &single());
    let taps = plan_taps(&recorded.graph, &recorded.plan, 0).unwrap();
    let mut ir = recorded.ir;
    ir.commands.retain(|command| {
        command
            .as_dispatch()
            .is_none_or(|d| d.kernel != Kernel::SiluMul)
    });
    assert_eq!(
        insert_taps(&ir, &taps).unwrap_err().reason_code,
        "tap_serialises"
    );
}

#[test]
fn the_paths_differ_only_in_boundaries_and_what_is_pending_there() {
    let (_, model) = model("llama-a.f32");
    for pass in passes() {
        let (a, b) = (
            record(&model, &pass, &single()).ir,
            record(&model, &pass, &legacy()).ir,
        );
        assert_eq!(path_delta(&a, &a).differing(), []);
        let delta = path_delta(&a, &b);
        assert_eq!(delta.rows.len(), 6);
        assert_eq!(
            delta.differing(),
            [Aspect::CommandBufferBoundaries, Aspect::PendingWrites],
            "{delta}"
        );
    }
}

#[test]
fn a_lost_dispatch_shows_in_the_path_delta() {
    let (_, model) = model("llama-a.f32");
    let mut a = record(&model, &passes()[0], &single()).ir;
    let b = record(&model, &passes()[0], &legacy()).ir;
    let norm = a
        .commands
        .iter()
        .position(|c| c.name() == "rms_norm#1")
        .unwrap();
    a.commands.remove(norm);
    let delta = path_delta(&a, &b);
    let row = delta.row(Aspect::GraphConstruction).unwrap();
    assert_eq!(
        (row.only_a.as_slice(), row.only_b.as_slice()),
        ([].as_slice(), ["rms_norm@1".to_owned()].as_slice())
    );
    assert!(delta.differing().contains(&Aspect::Lifetimes));
}

#[test]
fn upload_covers_every_weight_byte_once() {
    for name in ["llama-a.f32", "llama-a.q8_0"] {
        let (file, model) = model(name);
        let weights = model.weights_plan().unwrap();
        for staging in [4 << 10, 16 << 20] {
            let uploaded = run_upload(&weights, &file, staging);
            for source in model.sources() {
                let values = model.weight_values(&file, &source.name).unwrap();
                assert_eq!(
                    device_values(&weights, &uploaded, &source.name),
                    values,
                    "{name} {}",
                    source.name
                );
            }
        }
    }
}

/// Chunks after the upload stream.
fn run_upload(weights: &WeightsPlan, file: &[u8], staging_bytes: u64) -> Vec<Vec<u8>> {
    let ir = record_upload(weights, staging_bytes);
    let mut staging = vec![0u8; ir.region_size(Region::Staging) as usize];
    assert!(staging.len() as u64 <= staging_bytes);
    let mut chunks: Vec<Vec<u8>> = weights
        .chunks()
        .iter()
        .map(|bytes| vec![0xaa; *bytes as usize])
        .collect();
    for command in &ir.commands {
        match command {
            Command::HostWrite {
                dst,
                input: HostInput::Weights { chunk, offset },
            } => {
                weights.fill(file, *chunk, *offset, &mut staging[..dst.len as usize]);
            }
            Command::Copy(copy) => {
                let Region::Weights(chunk) = copy.dst.region else {
                    panic!("not weights")
                };
                let target =
                    &mut chunks[chunk as usize][copy.dst.offset as usize..copy.dst.end() as usize];
                target.copy_from_slice(&staging[..copy.src.len as usize]);
            }
            _ => {}
        }
    }
    chunks
}

fn device_values(weights: &WeightsPlan, chunks: &[Vec<u8>], name: &str) -> Vec<f32> {
    let place = weights.place(name).unwrap();
    let part = |i: usize| {
        let range = place.parts[i];
        let Region::Weights(chunk) = range.region else {
            panic!("not weights")
        };
        &chunks[chunk as usize][range.offset as usize..range.end() as usize]
    };
    if place.parts.len() == 1 {
        return support::floats(part(0));
    }
    let (quants, scales) = (part(0), part(1));
    let scale = |block: usize| {
        engine::quant::f16_to_f32(u16::from_le_bytes([
            scales[2 * block],
            scales[2 * block + 1],
        ]))
    };
    quants
        .iter()
        .enumerate()
        .map(|(i, quant)| f32::from(*quant as i8) * scale(i / 32))
        .collect()
}

/// The reference's own trace, cut to the taps: what a faultless device would have read back.
fn perfect_device(
    model: &Model,
    file: &[u8],
    pass: &PassRequest,
    taps: &TapPlan,
) -> engine::cpu::Trace {
    let trace = CpuReference::new(model, file)
        .unwrap()
        .run(pass, KeepTrace::Yes)
        .unwrap()
        .trace;
    trace
        .into_iter()
        .filter(|(name, _)| taps.taps.iter().any(|tap| tap.name == *name))
        .collect()
}

#[test]
fn first_divergence_names_stage_kind_and_writer() {
    let (file, model) = model("llama-a.f32");
    let pass = &passes()[0];
    let recorded = record(&model, pass, &single());
    let taps = plan_taps(
        &recorded.graph,
        &recorded.plan,
        recorded.ir.region_size(Region::Readback),
    )
    .unwrap();
    let ir = insert_taps(&recorded.ir, &taps).unwrap();
    let cpu = perfect_device(&model, &file, pass, &taps);
    let find = |ir: &CommandIr, gpu: &engine::cpu::Trace| {
        first_divergence(&recorded.graph, ir, &taps, &cpu, gpu)
    };
    assert_eq!(find(&ir, &cpu), None);

    let mut zeros = cpu.clone();
    for stage in ["blk.0.attn_norm", "blk.0.q_proj", "blk.0.l_out"] {
        zeros.get_mut(stage).unwrap().fill(0.0);
    }
    let mut lost = ir.clone();
    lost.commands.retain(|command| {
        command
            .as_dispatch()
            .is_none_or(|d| d.node != Some(NodeId(1)))
    });
    let found = find(&lost, &zeros).unwrap();
    assert_eq!(
        (found.layer, found.stage, found.kind),
        (0, Stage::AttnNorm, DivergenceKind::Zeros)
    );
    assert_eq!(
        (found.op, found.dispatched, found.inputs_ok),
        ("rms_norm", false, true)
    );
    assert_eq!((found.last_writer.as_str(), found.gpu), ("none", 0.0));

    let mut drift = cpu.clone();
    drift.get_mut("rope_table").unwrap()[5] += 0.5;
    drift.get_mut("blk.0.q_rope").unwrap()[40] -= 0.25;
    let found = find(&ir, &drift).unwrap();
    assert_eq!(
        (found.stage, found.kind),
        (Stage::QRope, DivergenceKind::Drift)
    );
    assert_eq!(
        (found.op, found.dispatched, found.inputs_ok),
        ("rope", true, false)
    );
    assert_eq!(found.last_writer, "copy(input)");

    let mut nan = cpu.clone();
    nan.get_mut("blk.1.l_out").unwrap()[3] = f32::NAN;
    let found = find(&ir, &nan).unwrap();
    assert_eq!(
        (found.layer, found.stage, found.kind),
        (1, Stage::LOut, DivergenceKind::Nan)
    );
}

#[test]
fn a_deep_stream_is_judged_like_a_shallow_one() {
    let (_, model) = model("llama-a.f32");
    let ir = record(&model, &passes()[2], &single()).ir;
    let deep = |part: &CommandIr| CommandIr {
        commands: vec![part.commands.clone(); 32].concat(),
        ..part.clone()
    };
    assert_eq!(hazard::check(&deep(&ir)), []);
    assert_eq!(path_delta(&deep(&ir), &deep(&ir)).differing(), []);
    // One fault of the shallow stream is one per repetition, at the same two commands.
    let mut broken = ir.clone();
    let norm = ir.commands.iter().position(|c| c.name() == "rms_norm#1");
    broken.commands.remove(norm.unwrap() - 1);
    let shallow = hazard::check(&broken);
    let found = hazard::check(&deep(&broken));
    assert_eq!(found.len(), 32 * shallow.len());
    for (number, finding) in found.iter().enumerate() {
        let same = &shallow[number % shallow.len()];
        assert_eq!(
            (finding.kind, &finding.second.name),
            (same.kind, &same.second.name)
        );
    }
}
