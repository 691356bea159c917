//! Foreign and broken model files: typed errors, no panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use engine::gguf::{Gguf, GgufWriter, TensorType, Value};
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
