//! Lines that are no rows: what builds and engines chatter, and what only looks like a marker.

use crate::random::Random;

const WORDS: &[&str] = &[
    "allocated",
    "attention",
    "batch",
    "buffer",
    "cache",
    "checkpoint",
    "chunk",
    "compiled",
    "context",
    "copied",
    "decode",
    "descriptor",
    "device",
    "dispatch",
    "error",
    "fallback",
    "fence",
    "finished",
    "flush",
    "graph",
    "kernel",
    "layer",
    "loaded",
    "matvec",
    "memory",
    "model",
    "norm",
    "pipeline",
    "prefill",
    "queue",
    "ready",
    "result",
    "running",
    "scheduler",
    "shader",
    "staging",
    "submit",
    "tensor",
    "test",
    "thread",
    "timeout",
    "token",
    "upload",
    "validation",
    "vulkan",
    "warning",
    "weights",
    "worker",
];
const MODULES: &[&str] = &[
    "engine::vk::mem",
    "engine::plan",
    "engine::record",
    "engine::worker::serve",
    "engine::gguf::read",
    "hyper::proto",
];
const CRATES: &[&str] = &[
    "serde",
    "memchr",
    "thiserror",
    "engine",
    "naga",
    "ash",
    "tokio",
];
/// Lines that a careless reader would take for rows.
const DECOYS: &[&str] = &[
    "expected a [GPU PERDISPATCH] v=1 run=0a1b2c3d seq=0 line here",
    "[GPU PERDISPATCHER] v=3 role=target path=single_graph phase=decode pass=2",
    "[GPU PERDISPATCH]v=1 run=0a1b2c3d seq=0 role=target path=single_graph",
    "FIRST_DIVERGENCE_TABLE v=3 pass=0 layer=0 cpu=0.5 gpu=0",
    "see FIRST_DIVERGENCE pass=0 layer=0 in the log of yesterday",
    "canonical envelope needs some B but only a few B remain",
    "the [BACKEND] tag begins a line and this one does not begin with it",
    "using CPU backend for inference",
    "thread 'main' panicked at some point",
    "test result: unknown. nothing ran",
    "the worker did not respond, TIMEOUT unknown",
    "kl_sym_top5 must stay below its limit",
];
/// Lines that begin with a tag and do not follow its grammar: diagnostics, never rows.
const BROKEN: &[&str] = &[
    "[GPU PERDISPATCH] v=1 role=target path=single_graph phase=decode pass=two submits=1",
    "[BACKEND] backend=vulkan device=\"open quote driver=x",
    "FIRST_DIVERGENCE names the earliest stage where device and reference part",
    "[GPU TIMING BREAKDOWN] submit_us=31",
    "[LAYER PROFILE] layer=seven us=120",
];

/// One line of chatter.
pub(crate) fn chatter(random: &mut Random, line: &mut String) {
    let words = |random: &mut Random, line: &mut String, count: u64| {
        for _ in 0..count {
            line.push_str(random.pick(WORDS));
            line.push(' ');
        }
    };
    match random.below(20) {
        0 => {
            let name = random.pick(CRATES);
            let version = random.below(90);
            line.push_str(&format!(
                "\u{1b}[0m\u{1b}[0;32m   Compiling\u{1b}[0m {name} v0.{version}.1 (/home/runner/work/{name})"
            ));
        }
        1 => {
            let (at, value) = (random.below(1 << 20), random.next());
            line.push_str(&format!(
                "{at:08x}: {value:016x} {:016x} |................|",
                !value
            ));
        }
        2 => {
            line.push_str("        ");
            words(random, line, 6);
        }
        3 => line.push_str(&format!("[{}/{}] ", random.below(400), 400)),
        4..=9 => {
            let module = random.pick(MODULES);
            line.push_str(&format!("DEBUG {module}: "));
            words(random, line, 7);
            let value = random.below(1_000_000);
            line.push_str(&format!("bytes={value} us={}", value / 7));
        }
        _ => {
            let module = random.pick(MODULES);
            line.push_str(&format!("INFO {module}: "));
            words(random, line, 9);
            line.push_str(&format!("(step {})", random.below(10_000)));
        }
    }
}

/// One line that only looks like a row.
pub(crate) fn decoy(random: &mut Random, line: &mut String) {
    line.push_str(if random.below(3) == 0 {
        random.pick(BROKEN)
    } else {
        random.pick(DECOYS)
    });
}
