//! Foreign and broken model files: typed errors, no panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use engine::gguf::{Gguf, GgufFault, GgufWriter, TensorType, Value};
use engine::model::Model;
use engine::{EngineError, quant};
use proptest::prelude::*;
use support::{bytes, data, golden_roots, json};

#[test]
fn every_broken_file_gives_its_typed_error() {
    let (mut bad, mut good) = (0, 0);
    for root in golden_roots() {
        for entry in json(&root.join("broken/MANIFEST.json"))["files"]
            .as_array()
            .unwrap()
        {
            let name = entry["file"].as_str().unwrap();
            let file = bytes(&root.join(name));
            let parsed = Gguf::parse(&file).map(|_| ());
            let outcome = match entry["stage"].as_str().unwrap() {
                "parse" => parsed,
                _ => {
                    assert_eq!(parsed, Ok(()), "{name} fails before the model stage");
                    Model::load(&file, None).map(|_| ())
                }
            };
            check_outcome(name, entry, outcome);
            match entry["expect"].as_str().unwrap() {
                "ok" => good += 1,
                _ => bad += 1,
            }
        }
    }
    let subset = (14, 2);
    let whole = (subset.0 + 54, subset.1 + 5);
    let all_there = golden_roots().len() > 1;
    assert_eq!((bad, good), if all_there { whole } else { subset });
}

fn check_outcome(name: &str, entry: &serde_json::Value, outcome: Result<(), EngineError>) {
    let got = match outcome {
        Ok(()) => "ok".to_owned(),
        Err(EngineError::Gguf { fault, .. }) => fault.name(),
        Err(other) => panic!("{name}: {other}"),
    };
    let mut accepted: Vec<&str> = entry["also_acceptable"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str())
        .collect();
    accepted.push(entry["error"].as_str().unwrap_or("ok"));
    assert!(
        accepted.contains(&got.as_str()),
        "{name}: {got}, accepted {accepted:?}"
    );
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    let file = bytes(&data().join("broken/tensor_missing.gguf"));
    let message = Model::load(&file, None).unwrap_err().to_string();
    assert_eq!(
        message,
        "MissingTensor: blk.0.attn_v.weight is needed; get the file again or convert it anew"
    );
}

#[test]
fn what_the_writer_writes_the_reader_reads() {
    let values: Vec<f32> = (0..64).map(|i| i as f32 / 7.0 - 4.0).collect();
    let blocks = quant::quantise_q8_0(&values);
    let raw: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut writer = GgufWriter::new();
    writer
        .string("general.architecture", "llama")
        .u32("a.count", 7)
        .f32("a.eps", 0.25);
    writer.strings("a.names", ["x", "", "long name"].into_iter());
    writer
        .tensor("plain", &[32, 2], TensorType::F32, &raw)
        .tensor("blocks", &[32, 2], TensorType::Q8_0, &blocks);
    let file = writer.finish();
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(gguf.string("general.architecture"), Ok(Some("llama")));
    assert_eq!(gguf.unsigned("a.count"), Ok(Some(7)));
    assert_eq!(gguf.float("a.eps"), Ok(Some(0.25)));
    let names: Vec<Value> = gguf.array("a.names").unwrap().unwrap().iter().collect();
    assert_eq!(
        names,
        [
            Value::String("x"),
            Value::String(""),
            Value::String("long name")
        ]
    );
    assert_eq!(gguf.data(gguf.tensor("plain").unwrap()), raw);
    assert_eq!(gguf.data(gguf.tensor("blocks").unwrap()), blocks);
}

/// What a file that is wrong in one place is refused as.
fn refusal(file: &[u8]) -> Option<GgufFault> {
    match Model::load(file, None) {
        Ok(_) => None,
        Err(EngineError::Gguf { fault, .. }) => Some(fault),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = base();
    let tensors = Gguf::parse(&file).unwrap();
    let tensors = tensors.tensors().iter();
    let data = tensors.clone().map(|t| t.offset).min().unwrap();
    let end = tensors.map(|t| t.offset + t.len).max().unwrap();
    let faults = (0..=end).map(|len| refusal(&file[..len]));
    let mut runs: Vec<(Option<GgufFault>, usize)> = Vec::new();
    for (len, fault) in faults.enumerate() {
        if runs.last().is_none_or(|(last, _)| *last != fault) {
            runs.push((fault, len));
        }
    }
    // First a field is cut, then tensor data or the padding in front of it; only the whole file is right.
    let padding = runs[1].1;
    assert!(padding <= data && data < padding + 32, "{padding} {data}");
    assert_eq!(
        runs,
        [
            (Some(GgufFault::Truncated), 0),
            (Some(GgufFault::TensorOutOfRange), padding),
            (None, end),
        ]
    );
}

/// A file of one or two small tensors, and what is wrong with it.
fn written(write: impl FnOnce(&mut GgufWriter)) -> Vec<u8> {
    let mut writer = GgufWriter::new();
    writer.string("general.architecture", "llama");
    write(&mut writer);
    writer.finish()
}

fn tensor(writer: &mut GgufWriter, name: &str, dims: &[u64]) {
    writer.tensor(name, dims, TensorType::F32, &[0; 64]);
}

#[test]
fn what_contradicts_itself_is_refused_by_its_category() {
    let long_name = "n".repeat(64);
    type Write = Box<dyn FnOnce(&mut GgufWriter)>;
    let cases: Vec<(&str, GgufFault, Write)> = vec![
        (
            "a key twice",
            GgufFault::DuplicateKey,
            Box::new(|w| {
                w.u32("a", 1).u32("a", 1);
            }),
        ),
        (
            "a key twice, with other types",
            GgufFault::DuplicateKey,
            Box::new(|w| {
                w.u32("a", 1).string("a", "b");
            }),
        ),
        (
            "a tensor twice",
            GgufFault::DuplicateTensor,
            Box::new(|w| {
                tensor(w, "a", &[16]);
                tensor(w, "a", &[8]);
            }),
        ),
        (
            "a long name",
            GgufFault::NameTooLong,
            Box::new(move |w| tensor(w, &long_name, &[16])),
        ),
        (
            "no elements",
            GgufFault::ZeroDim,
            Box::new(|w| tensor(w, "a", &[16, 0])),
        ),
        (
            "five dimensions",
            GgufFault::TooManyDims,
            Box::new(|w| tensor(w, "a", &[2, 2, 2, 2, 1])),
        ),
        (
            "no dimensions",
            GgufFault::TooManyDims,
            Box::new(|w| tensor(w, "a", &[])),
        ),
        (
            "more elements than numbers",
            GgufFault::DimsOverflow,
            Box::new(|w| tensor(w, "a", &[1 << 40, 1 << 40])),
        ),
        (
            "more bytes than numbers",
            GgufFault::DimsOverflow,
            Box::new(|w| tensor(w, "a", &[1 << 31, 1 << 31])),
        ),
        (
            "a dimension that is negative elsewhere",
            GgufFault::DimsOverflow,
            Box::new(|w| tensor(w, "a", &[u64::MAX])),
        ),
        (
            "more bytes than the file",
            GgufFault::TensorOutOfRange,
            Box::new(|w| tensor(w, "a", &[1 << 20])),
        ),
        (
            "half a block",
            GgufFault::RowNotBlockMultiple,
            Box::new(|w| {
                w.tensor("a", &[48, 2], TensorType::Q8_0, &[0; 102]);
            }),
        ),
        (
            "an alignment of nothing",
            GgufFault::BadAlignment,
            Box::new(|w| {
                w.u32("general.alignment", 0);
            }),
        ),
        (
            "an alignment of three",
            GgufFault::BadAlignment,
            Box::new(|w| {
                w.u32("general.alignment", 3);
            }),
        ),
        (
            "an alignment of everything",
            GgufFault::BadAlignment,
            Box::new(|w| {
                w.u32("general.alignment", 1 << 31);
            }),
        ),
        (
            "an alignment of words",
            GgufFault::BadAlignment,
            Box::new(|w| {
                w.string("general.alignment", "32");
            }),
        ),
    ];
    for (what, fault, write) in cases {
        assert_eq!(refusal(&written(write)), Some(fault), "{what}");
    }
}

/// Place of a tensor's offset in a file: behind its name, dimensions and type.
fn offset_field(file: &[u8], name: &str, dims: usize) -> usize {
    let mut windows = file.windows(name.len());
    let at = windows.position(|window| window == name.as_bytes());
    at.unwrap() + name.len() + 4 + 8 * dims + 4
}

#[test]
fn offsets_and_counts_at_the_edges_of_their_type_are_refused() {
    let file = written(|w| {
        tensor(w, "first", &[16]);
        tensor(w, "second", &[16]);
    });
    let with = |at: usize, number: u64| {
        let mut file = file.clone();
        file[at..at + 8].copy_from_slice(&number.to_le_bytes());
        refusal(&file)
    };
    let second = offset_field(&file, "second", 1);
    for (number, fault) in [
        (0, GgufFault::TensorOverlap),
        (32, GgufFault::TensorOverlap),
        (63, GgufFault::MisalignedOffset),
        (96, GgufFault::TensorOutOfRange),
        (1 << 63, GgufFault::TensorOutOfRange),
        (u64::MAX - 31, GgufFault::TensorOutOfRange),
        (u64::MAX, GgufFault::MisalignedOffset),
    ] {
        assert_eq!(with(second, number), Some(fault), "offset {number}");
    }
    for (what, at) in [("tensors", 8), ("keys", 16)] {
        for number in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 32, (1 << 20) + 1] {
            let fault = with(at, number);
            assert_eq!(fault, Some(GgufFault::CountOverflow), "{number} {what}");
        }
        let fault = with(at, 1 << 20);
        assert!(
            fault.is_some(),
            "a count within its cap and beyond the file"
        );
    }
}

/// Place of the value of a `u32` key of a file.
fn value_field(file: &[u8], key: &str) -> usize {
    let length = (key.len() as u64).to_le_bytes();
    let entry = [&length[..], key.as_bytes()].concat();
    let at = file.windows(entry.len()).position(|window| window == entry);
    at.unwrap() + entry.len() + 4
}

#[test]
fn hyperparameters_are_needed_typed_and_bounded() {
    for key in [
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
    ] {
        let key = format!("llama.{key}");
        let file = base();
        let value = value_field(&file, &key);
        let edited = |at: usize, bytes: &[u8]| {
            let mut file = file.clone();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            refusal(&file)
        };
        // The key under another name, as a float, and with values that no model has.
        let name = value - 4 - key.len();
        assert_eq!(edited(name, b"x"), Some(GgufFault::MissingKey), "{key}");
        let float = 6u32.to_le_bytes();
        assert_eq!(edited(value - 4, &float), Some(GgufFault::KeyType), "{key}");
        let zero = edited(value, &[0; 4]);
        assert_eq!(zero, Some(GgufFault::BadHyperparameter), "{key}");
        let huge = edited(value, &u32::MAX.to_le_bytes());
        let wanted = match key.as_str() {
            "llama.block_count" => GgufFault::MissingTensor,
            _ => GgufFault::BadHyperparameter,
        };
        assert_eq!(huge, Some(wanted), "{key}");
    }
}

fn base() -> Vec<u8> {
    bytes(&data().join("broken/ok_base.gguf"))
}

/// Bytes before the tensor data, where all structure is.
const HEADER: usize = 2000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_never_panic(edits in prop::collection::vec((0..HEADER, any::<u8>()), 1..8), cut in any::<Option<u16>>()) {
        let mut file = base();
        for (at, byte) in edits {
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut as usize);
        }
        let _ = Model::load(&file, None);
    }

    #[test]
    fn large_numbers_in_any_field_never_panic(at in 4..HEADER, number in prop_oneof![Just(u64::MAX), Just(1 << 63), Just(1 << 31), any::<u64>()]) {
        let mut file = base();
        file[at..at + 8].copy_from_slice(&number.to_le_bytes());
        let _ = Model::load(&file, None);
    }

    #[test]
    fn random_bytes_never_panic(rest in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = Gguf::parse(&[b"GGUF\x03\0\0\0".as_slice(), &rest].concat());
    }
}
