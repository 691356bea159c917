//! Shared by the integration tests: golden files and the values in them.
#![allow(dead_code, reason = "every test binary uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use serde_json::Value;

/// A profile for each of the six modes that have a stream.
pub(crate) fn gpu_profiles() -> Vec<ExecutionProfile> {
    let legacy = ("ENGINE_FORCE_MULTI_SUBMIT", "1");
    let cases: [(RequestKind, &[(&str, &str)]); 6] = [
        (RequestKind::Production, &[]),
        (RequestKind::Smoke, &[legacy]),
        (RequestKind::Validation, &[]),
        (RequestKind::Validation, &[legacy]),
        (RequestKind::Smoke, &[("ENGINE_PERDISPATCH", "summary")]),
        (RequestKind::Smoke, &[("ENGINE_PERDISPATCH", "full")]),
    ];
    let profile = |(kind, vars): (RequestKind, &[(&str, &str)])| {
        let environment = EnvSnapshot::from_vars(vars.iter().copied());
        ExecutionProfile::resolve(&environment, kind).unwrap()
    };
    let profiles: Vec<_> = cases.into_iter().map(profile).collect();
    let modes: std::collections::BTreeSet<_> = profiles.iter().map(|p| p.mode).collect();
    assert_eq!(modes.len(), 6, "{modes:?}");
    profiles
}

/// Folders with golden files: the subset inside the project, and the whole set beside it where that exists.
pub(crate) fn golden_roots() -> Vec<PathBuf> {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole = crate_root.join("../../shared/golden");
    let roots = [crate_root.join("tests/data"), whole];
    roots
        .into_iter()
        .filter(|root| root.join("models").is_dir())
        .collect()
}

/// The subset inside the project.
pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A file's bytes.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&bytes(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Arrays of a safetensors file, raw.
pub(crate) fn safetensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = bytes(path);
    let header_len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..8 + header_len]).unwrap();
    let data = &file[8 + header_len..];
    let array = |value: &Value| {
        let at = |i: usize| value["data_offsets"][i].as_u64().unwrap() as usize;
        data[at(0)..at(1)].to_vec()
    };
    header
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(name, value)| (name.clone(), array(value)))
        .collect()
}

/// `f32` values of little-endian bytes.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    engine::quant::words(bytes).map(f32::from_bits).collect()
}

/// Numbers of a JSON list.
pub(crate) fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

/// Largest difference over largest reference value; infinite where a value is no number.
pub(crate) fn relative_error(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    let difference = got.iter().zip(want).fold(0f32, |worst, (g, w)| {
        let difference = (g - w).abs();
        if difference.is_nan() {
            f32::INFINITY
        } else {
            worst.max(difference)
        }
    });
    if difference == 0.0 {
        0.0
    } else {
        difference / largest.max(f32::MIN_POSITIVE)
    }
}

/// One golden case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) prompt: Vec<u32>,
    pub(crate) greedy: Vec<u32>,
    pub(crate) argmax: Vec<u32>,
    /// Position of the first row of `logits`.
    pub(crate) first_pos: usize,
    pub(crate) logits: Vec<f32>,
    pub(crate) decode_logits: Option<Vec<f32>>,
}

/// Golden values of one model file.
#[derive(Debug, Clone)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) model: PathBuf,
    pub(crate) n_vocab: usize,
    pub(crate) f32_noise: f32,
    pub(crate) cases: Vec<Case>,
}

impl Golden {
    /// The case of that name.
    pub(crate) fn case(&self, id: &str) -> &Case {
        self.cases.iter().find(|case| case.id == id).unwrap()
    }

    /// Largest relative error of an engine with `f32` activations.
    pub(crate) fn required(&self) -> f32 {
        (5.0 * self.f32_noise).max(1e-4)
    }

    /// Largest relative error of a reference with `f64` accumulation.
    pub(crate) fn strict(&self) -> f32 {
        1e-5 + 2.0 * self.f32_noise
    }
}

/// Every model with golden values, of all roots, whose architecture is among these; adapters have their own files.
pub(crate) fn golden_models(architectures: &[&str]) -> Vec<Golden> {
    let mut found = Vec::new();
    for root in golden_roots() {
        let folder = std::fs::read_dir(root.join("golden")).unwrap();
        let mut names: Vec<String> = folder
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let name = name.strip_suffix(".json")?;
                (!name.ends_with(".lora")).then(|| name.to_owned())
            })
            .collect();
        names.sort();
        for name in names {
            let description = json(&root.join(format!("golden/{name}.json")));
            if architectures.contains(&description["arch"].as_str().unwrap()) {
                found.extend(golden(&root, &name));
            }
        }
    }
    found
}

/// Golden values of `NAME.TYPE` under a root, or `None` where the root does not have them.
pub(crate) fn golden(root: &Path, name: &str) -> Option<Golden> {
    let description = root.join(format!("golden/{name}.json"));
    if !description.exists() {
        return None;
    }
    let value = json(&description);
    let arrays = safetensors(&root.join(format!("golden/{name}.safetensors")));
    let case = |case: &Value| Case {
        id: case["id"].as_str().unwrap().to_owned(),
        prompt: ids(&case["prompt"]),
        greedy: ids(&case["greedy"]),
        argmax: ids(&case["argmax"]),
        first_pos: case["logits_first_pos"].as_u64().unwrap() as usize,
        logits: floats(&arrays[case["logits"].as_str().unwrap()]),
        decode_logits: case["decode_logits"]
            .as_str()
            .map(|array| floats(&arrays[array])),
    };
    Some(Golden {
        name: name.to_owned(),
        model: root.join(value["gguf"].as_str().unwrap()),
        n_vocab: value["n_vocab"].as_u64().unwrap() as usize,
        f32_noise: value["f32_noise_rel"].as_f64().unwrap() as f32,
        cases: value["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(case)
            .collect(),
    })
}
