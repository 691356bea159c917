//! The commands of the binary that need no device.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

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
    let by_device = std::fs::read(&out).unwrap();
    let by_mode = [
        "logits",
        &model,
        "--tokens",
        paths[0],
        "--out",
        paths[1],
        "--mode",
        "cpu-reference",
        "--greedy",
        "4",
    ];
    assert_eq!(json(&by_mode)["greedy"], result["greedy"]);
    assert_eq!(std::fs::read(&out).unwrap(), by_device);
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

/// Runs a command with a text on its stdin.
fn engine_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn texts_become_ids_and_ids_become_texts() {
    let model = model("models/llama-a.q8_0.gguf");
    let text = "Hello \u{4e16}\u{754c}, <|eot_id|> 123\n";
    let printed = engine(&["tokenize", &model, text]);
    let ids: Vec<u32> = serde_json::from_slice(&printed.stdout).unwrap();
    let file = std::fs::read(&model).unwrap();
    let tokenizer = Tokenizer::read(&Gguf::parse(&file).unwrap()).unwrap();
    assert_eq!(ids, tokenizer.encode(text, ControlText::Plain));
    assert_eq!(
        engine_with_input(&["tokenize", &model], text.as_bytes()).stdout,
        printed.stdout
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(
        engine(&["tokenize", &model, "--file", path]).stdout,
        printed.stdout
    );
    let special = json(&["tokenize", &model, text, "--special", "--bos", "--json"]);
    assert_eq!(special["ids"][0], tokenizer.bos().unwrap());
    assert_ne!(special["ids"], serde_json::json!(ids));
    assert_eq!(
        special["ids"].as_array().unwrap().len(),
        special["pieces_hex"].as_array().unwrap().len()
    );
    let listed: Vec<String> = ids.iter().map(u32::to_string).collect();
    let back: Vec<&str> = ["detokenize", &model]
        .into_iter()
        .chain(listed.iter().map(String::as_str))
        .collect();
    assert_eq!(engine(&back).stdout, text.as_bytes());
    let list = folder.path().join("ids.json");
    std::fs::write(&list, &printed.stdout).unwrap();
    let list = list.to_str().unwrap();
    let told = json(&["detokenize", &model, "--tokens", list, "--json"]);
    assert_eq!(told["text"], text);
    assert_eq!(told["bytes_hex"], hex::encode(text));
    let no_text = engine_with_input(&["tokenize", &model], b"\xff\xfe");
    assert_eq!(no_text.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&no_text.stderr).contains("not UTF-8"));
}

#[test]
fn failures_are_json_where_json_was_asked_for() {
    let model = model("models/llama-a.f32.gguf");
    for (arguments, name, code) in [
        (
            vec!["plan", &model, "--envelope", "1000", "--json"],
            "envelope",
            3,
        ),
        (
            vec![
                "run", &model, "--tokens", "600", "--device", "cpu", "--json",
            ],
            "bad_request",
            3,
        ),
        (
            vec![
                "run",
                &model,
                "--tokens",
                "1",
                "--device",
                "cpu",
                "--mode",
                "smoke-full",
                "--json",
            ],
            "profile_conflict",
            3,
        ),
        (
            vec![
                "run",
                &model,
                "--tokens",
                "1",
                "--device",
                "cpu",
                "--set",
                "ENGINE_SURPRISE=1",
                "--json",
            ],
            "bad_request",
            3,
        ),
        (
            vec!["detokenize", &model, "99999", "--json"],
            "bad_request",
            3,
        ),
        (
            vec!["tokenize", "/nonexistent.gguf", "a", "--json"],
            "io",
            1,
        ),
    ] {
        let output = engine(&arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["error"]["code"], name, "{arguments:?}");
        assert!(!told["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_run_is_quiet_unless_markers_are_asked_for() {
    let model = model("models/llama-a.f32.gguf");
    let run = [
        "run", &model, "--tokens", "1,2", "--n", "2", "--device", "cpu",
    ];
    let quiet = engine(&run);
    assert!(quiet.status.success());
    assert_eq!(quiet.stderr, b"", "{quiet:?}");
    let loud = engine(&[&run[..], &["--markers"]].concat());
    assert_eq!(loud.stdout, quiet.stdout);
    let markers = String::from_utf8(loud.stderr).unwrap();
    for tag in ["[BACKEND] ", "[TELEMETRY END] ", "[WORKER EXIT] "] {
        assert!(markers.contains(tag), "{markers}");
    }
    let told = json(&[&run[..], &["--json"]].concat());
    assert_eq!(told["backend"], "cpu");
    assert_eq!(told["tokens"].as_array().unwrap().len(), 2);
}

/// Direct children of a process.
#[cfg(target_os = "linux")]
fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let ids = list.split_whitespace();
    ids.map(|id| id.parse().unwrap()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_run_leaves_no_worker_behind() {
    let model = model("models/llama-a.f32.gguf");
    let arguments = [
        "run", &model, "--tokens", "1", "--n", "250", "--device", "cpu",
    ];
    let mut run = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(run.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    let workers = children(run.id());
    assert_eq!(workers.len(), 1, "one worker works");
    let interrupt = Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    assert!(!run.wait().unwrap().success());
    let gone = |pid: u32| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        // A process that nobody has reaped yet has ended, too.
        Ok(stat) => stat.contains(") Z "),
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !gone(workers[0]) {
        assert!(Instant::now() < deadline, "the worker outlives its parent");
        std::thread::park_timeout(Duration::from_millis(20));
    }
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
