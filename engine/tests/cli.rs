//! The commands of the binary that need no device.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::path::PathBuf;
use std::process::{Command, Output};

use engine::gguf::Gguf;
use engine::tok::{ControlText, ControlTokens, Tokenizer};
use serde_json::Value;

fn model(name: &str) -> String {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    data.join(name).display().to_string()
}

fn engine(arguments: &[&str]) -> Output {
    // The outer environment must not choose modes for these tests.
    let clean = std::env::vars().filter(|(name, _)| !name.starts_with("ENGINE_"));
    Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(arguments)
        .env_clear()
        .envs(clean)
        .output()
        .unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = engine(arguments);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn both_modes_record_clean_streams_that_differ_in_their_submits() {
    let model = model("models/llama-a.f32.gguf");
    let mut submits = Vec::new();
    for mode in ["single-graph", "legacy-multi-submit"] {
        let judged = json(&["hazards", &model, "--tokens", "7", "--mode", mode, "--json"]);
        assert_eq!(judged["findings"], Value::Array(Vec::new()), "{mode}");
        let dumped = json(&["dump-ir", &model, "--tokens", "7", "--mode", mode, "--json"]);
        assert_eq!(judged["digest"], dumped["digest"]);
        let commands = dumped["ir"]["commands"].as_array().unwrap();
        submits.push(commands.iter().filter(|c| **c == "submit_boundary").count());
    }
    assert_eq!(submits[0], 1);
    assert!(submits[1] > 1, "{submits:?}");
    let delta = engine(&["path-delta", &model, "--tokens", "7"]);
    let text = String::from_utf8(delta.stdout).unwrap();
    assert!(text.contains("differs") && text.contains("same"), "{text}");
}

#[test]
fn a_plan_that_does_not_fit_is_refused_with_both_numbers() {
    let model = model("models/llama-a.f32.gguf");
    assert!(engine(&["plan", &model]).status.success());
    let refused = engine(&["plan", &model, "--envelope", "1000"]);
    assert_eq!(refused.status.code(), Some(3));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("canonical envelope needs ")
            && message.contains(" B but only 1000 B remain"),
        "{message}"
    );
}

#[test]
fn logits_of_the_reference_reach_a_file_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let (tokens, out) = (
        folder.path().join("tokens.json"),
        folder.path().join("out.f32"),
    );
    std::fs::write(&tokens, "[364, 309, 400]").unwrap();
    let paths = [tokens.to_str().unwrap(), out.to_str().unwrap()];
    let model = model("models/llama-a.q8_0.gguf");
    let result = json(&[
        "logits", &model, "--tokens", paths[0], "--out", paths[1], "--device", "cpu", "--greedy",
        "4",
    ]);
    assert_eq!(result["n_vocab"], 600);
    assert_eq!(result["greedy"].as_array().unwrap().len(), 4);
    assert_eq!(std::fs::metadata(&out).unwrap().len(), 3 * 600 * 4);
}

#[test]
fn a_text_is_continued_by_the_bytes_of_the_tokens_that_follow_it() {
    let (model, reference) = (
        model("models/qwen3-a.f32.gguf"),
        ["--device", "cpu", "--n", "6"],
    );
    let run = |input: [&str; 2]| {
        let output = engine(&[vec!["run", &model], input.to_vec(), reference.to_vec()].concat());
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let file = std::fs::read(&model).unwrap();
    let tokenizer = Tokenizer::read(&Gguf::parse(&file).unwrap()).unwrap();
    let text = "The second dispatch";
    let ids = tokenizer.encode(text, ControlText::Plain);
    let listed: Vec<String> = ids.iter().map(u32::to_string).collect();
    let followed: Vec<u32> = String::from_utf8(run(["--tokens", &listed.join(",")]))
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    assert_eq!(followed.len(), 6);
    let mut expected = tokenizer.decode(&followed, ControlTokens::Written).unwrap();
    expected.push(b'\n');
    assert_eq!(run(["--prompt", text]), expected);
    let neither = engine(&["run", &model]);
    assert_eq!(neither.status.code(), Some(2));
}

#[test]
fn unusable_input_has_its_exit_code_and_remedy() {
    let f32 = model("models/llama-a.f32.gguf");
    let broken = model("broken/trunc_data.gguf");
    for (arguments, code, phrase) in [
        (vec!["plan", "/nonexistent.gguf"], 1, "/nonexistent.gguf"),
        (vec!["plan", &broken], 3, "get the file again"),
        (vec!["plan", &f32, "--pos", "1000000"], 3, "load with more"),
        (vec!["plan", &f32, "--tokens", "0"], 3, "give 1 to"),
        (vec!["explode"], 2, "unrecognized"),
    ] {
        let output = engine(&arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(phrase), "{arguments:?}: {message}");
    }
}
