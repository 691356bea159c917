//! What a file claims decides nothing about memory: reading takes what the file's own bytes can justify.
//!
//! One test, because the counting allocator counts the whole process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use engine::gguf::{Gguf, GgufWriter, TensorType};
use engine::model::Model;
use peak_alloc::PeakAlloc;
use support::{bytes, data, golden_roots, json};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What messages and the reader's own structures may take, whatever is in the file.
const FIXED: usize = 8 << 10;

/// Most bytes of memory at once that some work takes.
fn peak_of(work: impl FnOnce()) -> usize {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    work();
    MEMORY.peak_usage().saturating_sub(before)
}

/// Everything that reads a file before the first pass, but for its tokenizer.
fn read_all(file: &[u8]) {
    let _ = Gguf::parse(file);
    let _ = Model::load(file, None).map(|model| model.weights_plan().map(|_| ()));
}

#[test]
fn memory_follows_the_bytes_of_a_file_and_not_its_claims() {
    for root in golden_roots() {
        for entry in json(&root.join("broken/MANIFEST.json"))["files"]
            .as_array()
            .unwrap()
        {
            let name = entry["file"].as_str().unwrap();
            let file = bytes(&root.join(name));
            if entry["expect"] == "ok" {
                continue;
            }
            let peak = peak_of(|| read_all(&file));
            let limit = file.len() + FIXED;
            assert!(
                peak <= limit,
                "{name}: {peak} B of memory for {} B",
                file.len()
            );
        }
    }
    claims_in_every_place();
    honest_files_of_tiny_entries();
}

/// A number that claims much, at every place of a file that is otherwise right.
fn claims_in_every_place() {
    let base = bytes(&data().join("broken/ok_base.gguf"));
    let normal = peak_of(|| read_all(&base));
    for claim in [u64::MAX, 1 << 40, 1 << 20] {
        for at in 4..1500 {
            let mut file = base.clone();
            file[at..at + 8].copy_from_slice(&claim.to_le_bytes());
            let peak = peak_of(|| read_all(&file));
            let limit = normal + file.len() + FIXED;
            assert!(
                peak <= limit,
                "{claim:#x} at byte {at}: {peak} B, {limit} allowed"
            );
        }
    }
}

/// The densest files there are: each entry has as few bytes as the format allows.
fn honest_files_of_tiny_entries() {
    const PER_BYTE: usize = 5;
    let mut file = GgufWriter::new();
    for number in 0..20_000u32 {
        file.u32(&format!("{number:x}"), number);
    }
    for number in 0..20_000u32 {
        file.tensor(&format!("{number:x}"), &[1], TensorType::F32, &[0; 4]);
    }
    let file = file.finish();
    Gguf::parse(&file).unwrap();
    let peak = peak_of(|| {
        let _ = Gguf::parse(&file);
    });
    let limit = PER_BYTE * file.len();
    assert!(peak <= limit, "{peak} B, {limit} allowed");
}
