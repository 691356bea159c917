//! What the judging commands print: tables for people, JSON with a stable shape for programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

const MODES: [&str; 6] = [
    "single-graph",
    "legacy-multi-submit",
    "validation-single-graph",
    "validation-legacy",
    "smoke-summary",
    "smoke-full",
];

fn model(name: &str) -> String {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    data.join(format!("models/{name}.gguf"))
        .display()
        .to_string()
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
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema"], 1, "{arguments:?}");
    value
}

fn lines(arguments: &[&str]) -> Vec<String> {
    let output = engine(arguments);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn every_mode_has_a_clean_stream_that_is_dumped_and_judged_alike() {
    let model = model("llama-a.f32");
    let mut names = BTreeSet::new();
    for mode in MODES {
        let judged = json(&["hazards", &model, "--tokens", "7", "--mode", mode, "--json"]);
        assert_eq!(judged["findings"], Value::Array(Vec::new()), "{mode}");
        let dumped = json(&["dump-ir", &model, "--tokens", "7", "--mode", mode, "--json"]);
        assert_eq!(judged["digest"], dumped["digest"]);
        names.insert(dumped["mode"].as_str().unwrap().to_owned());
        let commands = dumped["commands"].as_array().unwrap();
        assert_eq!(judged["commands"], commands.len());
        let submits = commands.iter().filter(|c| c["name"] == "submit").count();
        assert_eq!(dumped["counters"]["submits"], submits);
        assert_eq!(submits > 1, mode.contains("legacy"), "{mode}");
        let taps = commands.iter().filter(|c| c["tap"] == true).count();
        assert_eq!(taps > 0, mode.contains("validation"), "{mode}");
    }
    assert_eq!(names.len(), 6, "{names:?}");
    let refused = engine(&["hazards", &model, "--mode", "cpu-reference"]);
    assert_eq!(refused.status.code(), Some(3));
}

#[test]
fn a_dumped_command_says_who_runs_it_when_and_on_which_bytes() {
    let dumped = json(&["dump-ir", &model("llama-a.f32"), "--tokens", "7", "--json"]);
    assert_eq!(
        keys(&dumped),
        [
            "commands",
            "counters",
            "digest",
            "mode",
            "region_sizes",
            "schema"
        ]
    );
    let commands = dumped["commands"].as_array().unwrap();
    for (index, command) in commands.iter().enumerate() {
        assert_eq!(
            keys(command),
            [
                "command", "index", "name", "origin", "queue", "reads", "submit", "tap", "writes"
            ]
        );
        assert_eq!(command["index"], index);
    }
    let named = |name: &str| commands.iter().find(|c| c["name"] == name).unwrap();
    let write = named("host_write(tokens)");
    assert_eq!(
        (&write["origin"], &write["submit"]),
        (&"host".into(), &0.into())
    );
    assert!(write["queue"].is_null());
    let embed = named("embed_f32#0");
    assert_eq!(
        (&embed["origin"], &embed["queue"]),
        (&"queue".into(), &0.into())
    );
    assert_eq!(keys(&embed["writes"][0]), ["len", "offset", "region"]);
    assert_eq!(embed["writes"][0]["region"], "arena");
    assert_eq!(embed["writes"][0]["len"], 7 * 64 * 4);
    assert_eq!(embed["command"]["dispatch"]["node"], 0);
    let barrier = named("barrier");
    assert_eq!(barrier["command"]["barrier"]["src"][0], "shader_read");
}

#[test]
fn a_dumped_table_has_one_line_per_command() {
    let model = model("llama-a.f32");
    let table = lines(&["dump-ir", &model, "--tokens", "7"]);
    let dumped = json(&["dump-ir", &model, "--tokens", "7", "--json"]);
    assert_eq!(
        table.len(),
        dumped["commands"].as_array().unwrap().len() + 2
    );
    assert!(
        table[0].starts_with("index submit origin command"),
        "{}",
        table[0]
    );
    let embed = table
        .iter()
        .find(|line| line.contains("embed_f32#0"))
        .unwrap();
    assert!(
        embed.contains(" 0 queue0 ") && embed.contains("write:arena["),
        "{embed}"
    );
    let barrier = table
        .iter()
        .find(|line| line.contains(" barrier "))
        .unwrap();
    assert!(barrier.contains("device -> device: arena["), "{barrier}");
    assert!(
        table
            .last()
            .unwrap()
            .starts_with("mode GpuSingleGraph digest ")
    );
}

#[test]
fn a_plan_lists_lifetimes_and_earlier_occupants() {
    let model = model("llama-a.f32");
    let plan = json(&["plan", &model, "--tokens", "24", "--json"]);
    assert_eq!(keys(&plan), ["report", "schema", "state_bytes", "tensors"]);
    let tensors = plan["tensors"].as_array().unwrap();
    let named = |name: &str| tensors.iter().find(|t| t["name"] == name).unwrap();
    assert_eq!(
        keys(&tensors[0]),
        [
            "first",
            "id",
            "last",
            "name",
            "pinned",
            "range",
            "takes_over"
        ]
    );
    assert_eq!(
        (&named("tokens")["pinned"], &named("tokens")["first"]),
        (&true.into(), &0.into())
    );
    assert_eq!(named("tokens")["takes_over"], Value::Array(Vec::new()));
    let later = tensors
        .iter()
        .filter(|t| t["takes_over"] != Value::Array(Vec::new()));
    assert_eq!(plan["report"]["aliased"], later.count());
    assert_eq!(named("blk.0.k_cache")["range"]["region"], "state");
    let table = lines(&["plan", &model, "--tokens", "24"]);
    assert_eq!(table.len(), tensors.len() + 2);
    assert!(table.last().unwrap().contains(" saved "), "{table:?}");
}

#[test]
fn a_path_delta_has_six_rows_and_names_both_sides() {
    let model = model("llama-a.f32");
    let delta = json(&["path-delta", &model, "--tokens", "7", "--json"]);
    assert_eq!(keys(&delta), ["a", "b", "rows", "schema"]);
    assert_eq!(delta["a"]["mode"], "GpuSingleGraph");
    assert_eq!(delta["b"]["mode"], "GpuLegacyMultiSubmit");
    let rows = delta["rows"].as_array().unwrap();
    let differing: Vec<&str> = rows
        .iter()
        .filter(|row| row["same"] == false)
        .map(|row| row["aspect"].as_str().unwrap())
        .collect();
    assert_eq!(rows.len(), 6);
    assert_eq!(differing, ["command_buffer_boundaries", "pending_writes"]);
    assert_eq!(keys(&rows[0]), ["aspect", "only_a", "only_b", "same"]);
    // Taps are no difference.
    let same = json(&[
        "path-delta",
        &model,
        "--a",
        "single-graph",
        "--b",
        "validation-single-graph",
        "--json",
    ]);
    assert_eq!(same["a"]["digest"], same["b"]["digest"]);
    assert!(
        same["rows"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["same"] == true)
    );
    let table = lines(&["path-delta", &model, "--tokens", "7"]);
    assert_eq!(table[0], "a GpuSingleGraph b GpuLegacyMultiSubmit");
    assert!(
        table
            .iter()
            .any(|line| line.starts_with("graph_construction") && line.ends_with("same"))
    );
}

#[test]
fn a_path_delta_as_markers_is_one_closed_run_of_six_lines() {
    let model = model("llama-a.f32");
    let printed = lines(&["path-delta", &model, "--tokens", "7", "--markers"]);
    assert_eq!(printed.len(), 7, "{printed:?}");
    let rows = [
        ("graph_construction", true),
        ("tensor_ids", true),
        ("command_buffer_boundaries", false),
        ("pending_writes", false),
        ("lifetimes", true),
        ("consumer_order", true),
    ];
    for ((line, (row, equal)), seq) in printed.iter().zip(rows).zip(0..) {
        assert!(line.starts_with("[PATH DELTA] v=1 run="), "{line}");
        let told = format!(
            " seq={seq} row={row} path_a=single_graph path_b=legacy_multi_submit equal={equal} count="
        );
        assert!(line.contains(&told), "{line}");
        assert_eq!(line.ends_with(" count=0 left=none right=none"), equal);
    }
    assert!(printed[2].contains(" left=\"submit 0: "), "{}", printed[2]);
    assert!(printed[6].ends_with(" seq=6 lines=6"), "{}", printed[6]);
}

#[test]
fn a_clean_stream_simulates_to_the_references_bits() {
    let model = model("qwen3-a.f32");
    for pass in [
        ["--tokens", "9", "--pos", "0"],
        ["--tokens", "1", "--pos", "4"],
    ] {
        let arguments = [&["sim", &model, "--json", "--n-ctx", "32"][..], &pass].concat();
        let judged = json(&arguments);
        assert_eq!(
            keys(&judged),
            ["digest", "fault", "mode", "schema", "verdict"]
        );
        assert_eq!(judged["verdict"]["bits_equal"], true);
        assert_eq!(judged["verdict"]["first_divergence"], Value::Null);
    }
    let said = lines(&["sim", &model, "--tokens", "3", "--n-ctx", "32"]);
    assert_eq!(
        said,
        ["no divergence: the logits are the reference's, bit for bit"]
    );
}

#[cfg(feature = "faults")]
#[test]
fn a_fault_is_simulated_and_named() {
    let model = model("llama-a.f32");
    let arguments = [
        "sim",
        &model,
        "--tokens",
        "24",
        "--n-ctx",
        "64",
        "--fault",
        "skip_dispatch:1",
    ];
    let said = engine(&arguments);
    assert_eq!(said.status.code(), Some(6), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(
        text.starts_with("first divergence: layer 0 attn_norm (zeros) "),
        "{text}"
    );
    assert!(text.contains("dispatched=false"), "{text}");
    let judged = engine(&[&arguments[..], &["--json"]].concat());
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert_eq!(judged["fault"], "skip_dispatch:1");
    assert_eq!(judged["verdict"]["first_divergence"]["op"], "rms_norm");
    let unknown = engine(&["sim", &model, "--fault", "explode"]);
    assert_eq!(unknown.status.code(), Some(2));
    let message = String::from_utf8(unknown.stderr).unwrap();
    assert!(message.contains("is no fault; known are"), "{message}");
}

#[cfg(not(feature = "faults"))]
#[test]
fn a_build_without_faults_has_no_way_to_ask_for_one() {
    let refused = engine(&["sim", &model("llama-a.f32"), "--fault", "skip_dispatch:1"]);
    assert_eq!(refused.status.code(), Some(2));
}
