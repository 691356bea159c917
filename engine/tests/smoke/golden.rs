//! Golden cases: prompts, continuations and logits that another implementation computed in `f64`.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

/// One prompt with everything known about it.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) prompt: Vec<u32>,
    pub(crate) greedy: Vec<u32>,
    /// One row per prompt position.
    pub(crate) logits: Vec<Vec<f32>>,
    /// Row `i` is what `greedy[i]` was chosen from; empty where it was not stored.
    pub(crate) decode_logits: Vec<Vec<f32>>,
}

/// The cases of one model file.
pub(crate) struct Golden {
    pub(crate) model: PathBuf,
    /// Largest relative difference that an engine with `f32` activations may have.
    pub(crate) tolerance: f32,
    cases: Vec<Case>,
}

impl Golden {
    pub(crate) fn load(name: &str) -> Self {
        let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let read = |path: String| {
            std::fs::read(data.join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"))
        };
        let json: Value = serde_json::from_slice(&read(format!("golden/{name}.json"))).unwrap();
        let arrays = arrays(&read(format!("golden/{name}.safetensors")));
        let noise = json["f32_noise_rel"].as_f64().unwrap() as f32;
        let cases = json["cases"].as_array().unwrap();
        Self {
            model: data.join(format!("models/{name}.gguf")),
            tolerance: (5.0 * noise).max(1e-4),
            cases: cases.iter().map(|case| read_case(case, &arrays)).collect(),
        }
    }

    pub(crate) fn case(&self, id: &str) -> &Case {
        self.cases.iter().find(|case| case.id == id).unwrap()
    }

    pub(crate) fn cases(&self) -> &[Case] {
        &self.cases
    }
}

type Arrays = HashMap<String, Vec<Vec<f32>>>;

fn read_case(case: &Value, arrays: &Arrays) -> Case {
    let ids = |key: &str| -> Vec<u32> { serde_json::from_value(case[key].clone()).unwrap() };
    let rows = |key: &str| -> Vec<Vec<f32>> {
        case[key]
            .as_str()
            .map(|name| arrays[name].clone())
            .unwrap_or_default()
    };
    assert_eq!(case["logits_first_pos"], 0, "the subset stores every row");
    Case {
        id: case["id"].as_str().unwrap().to_owned(),
        prompt: ids("prompt"),
        greedy: ids("greedy"),
        logits: rows("logits"),
        decode_logits: rows("decode_logits"),
    }
}

/// F32 matrices of a safetensors file: `u64` header length, JSON header, raw data.
fn arrays(bytes: &[u8]) -> Arrays {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: HashMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = &bytes[8 + length..];
    let matrices = header
        .into_iter()
        .filter(|(_, entry)| entry["dtype"] == "F32");
    matrices
        .map(|(name, entry)| {
            let at = |i: usize| entry["data_offsets"][i].as_u64().unwrap() as usize;
            let columns = entry["shape"][1].as_u64().unwrap() as usize;
            (name, rows(&data[at(0)..at(1)], columns))
        })
        .collect()
}

/// Rows of little-endian `f32` values.
pub(crate) fn rows(bytes: &[u8], columns: usize) -> Vec<Vec<f32>> {
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    values.chunks(columns).map(<[f32]>::to_vec).collect()
}
