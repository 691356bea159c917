//! A worker that dies, hangs or babbles is classified, and its parent lives on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use engine::worker::protocol::{Answer, DeviceKind, Prompt, Request, Role};
use engine::worker::{Supervisor, Worker, WorkerError, WorkerOptions};

mod support;

use support::{golden_roots, json};

const BINARY: &str = env!("CARGO_BIN_EXE_engine");

fn model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/llama-a.f32.gguf")
}

fn prompt() -> Prompt {
    Prompt {
        tokens: vec![1, 2, 3],
        greedy: 1,
        ..Prompt::default()
    }
}

/// The faults strike before any device is touched, so the CPU reference serves as well as a driver.
fn faulty(fault: &str) -> Worker {
    let mut options = WorkerOptions::new(BINARY);
    options.environment = vec![("ENGINE_FAULT".into(), fault.into())];
    let mut worker = Worker::start(options).unwrap();
    worker
        .load(model(), DeviceKind::Cpu, Some(16), None)
        .unwrap();
    worker
}

/// Lets a faulty worker predict and returns how it went down.
fn downfall(fault: &str, limit: Duration) -> (engine::telemetry::WorkerExit, String) {
    let mut worker = faulty(fault);
    worker.set_step_timeout(limit);
    let error = worker.predict(prompt(), |_| {}).unwrap_err();
    assert!(!worker.is_usable());
    let again = worker.predict(prompt(), |_| {}).unwrap_err();
    assert_eq!(again, error, "a worker that is down stays down");
    match error {
        WorkerError::Down { exit, detail } => (exit, detail),
        other => panic!("{other:?}"),
    }
}

const PATIENT: Duration = Duration::from_secs(60);

#[test]
fn an_abort_is_a_driver_crash_with_its_signal() {
    let (exit, _) = downfall("worker_abort", PATIENT);
    assert_eq!(
        (exit.class.as_str(), exit.step.as_str()),
        ("driver_crash", "predict")
    );
    #[cfg(unix)]
    assert_eq!((exit.code, exit.signal), (None, Some(6)));
}

#[test]
fn an_exit_in_the_middle_of_a_request_is_a_driver_crash_too() {
    let (exit, _) = downfall("worker_exit", PATIENT);
    assert_eq!((exit.class.as_str(), exit.code), ("driver_crash", Some(0)));
}

#[test]
fn a_hang_is_killed_and_named() {
    let (exit, detail) = downfall("worker_hang", Duration::from_millis(300));
    assert_eq!(
        (exit.class.as_str(), exit.step.as_str()),
        ("gpu_hang", "predict")
    );
    assert_eq!(detail, "TIMEOUT after 300 ms: Worker did not respond");
    #[cfg(unix)]
    assert_eq!(exit.signal, Some(9));
}

#[test]
fn garbage_floods_and_answers_without_end_are_protocol_breaks() {
    for fault in ["worker_garbage", "worker_flood", "worker_babble"] {
        let (exit, detail) = downfall(fault, PATIENT);
        assert_eq!(
            (exit.class.as_str(), exit.step.as_str()),
            ("protocol", "predict"),
            "{fault}: {detail}"
        );
    }
}

#[test]
fn a_hang_while_pipelines_are_built_has_its_own_deadline() {
    let mut options = WorkerOptions::new(BINARY);
    options.environment = vec![("ENGINE_FAULT".into(), "worker_warm_up_hang".into())];
    options.warm_up_timeout = Duration::from_millis(300);
    let mut worker = Worker::start(options).unwrap();
    let error = worker
        .load(model(), DeviceKind::Cpu, Some(16), None)
        .unwrap_err();
    let WorkerError::Down { exit, detail } = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (exit.class.as_str(), exit.step.as_str()),
        ("gpu_hang", "warm_up"),
        "{detail}"
    );
}

/// A program that speaks the protocol's first line and then does what the script says.
#[cfg(unix)]
fn impostor(script: &str) -> Worker {
    let ready = r#"{"kind":"ready","protocol":1,"pid":1,"version":"0"}"#;
    let mut options = WorkerOptions::new("sh");
    options.arguments = vec!["-c".into(), format!("echo '{ready}'; {script}")];
    options.step_timeout = PATIENT;
    Worker::start(options).unwrap()
}

#[cfg(unix)]
#[test]
fn whatever_comes_instead_of_an_answer_is_classified() {
    // The request has been read when the script goes on behind `read`.
    for (script, class) in [
        ("read line; kill -SEGV $$", "driver_crash"),
        ("read line; exit 134", "driver_crash"),
        ("exec 1>&-; cat >/dev/null", "driver_crash"),
        ("read line; echo; cat >/dev/null", "protocol"),
        ("read line; echo null; cat >/dev/null", "protocol"),
        (
            "read line; echo '{\"kind\":\"bye\",\"id\":99}'; cat >/dev/null",
            "protocol",
        ),
        (
            "read line; echo '{\"kind\":\"bye\",\"id\":1}'; cat >/dev/null",
            "protocol",
        ),
        (
            "read line; printf '\\377\\376\\n'; cat >/dev/null",
            "protocol",
        ),
        ("read line; printf '{\"kind\":\"loaded\"'", "protocol"),
        (
            "read line; while echo '{\"kind\":\"progress\",\"id\":1,\"step\":\"weights\",\"done\":1,\"total\":2}'; do :; done",
            "protocol",
        ),
    ] {
        let mut worker = impostor(script);
        let error = worker
            .load(model(), DeviceKind::Cpu, Some(16), None)
            .unwrap_err();
        assert_eq!(error.class(), Some(class), "{script}: {error}");
        assert!(!worker.is_usable());
    }
}

#[test]
fn every_broken_file_is_refused_by_a_worker_that_lives_on() {
    let mut worker = Worker::start(WorkerOptions::new(BINARY)).unwrap();
    let mut refused = 0;
    for root in golden_roots() {
        let manifest = json(&root.join("broken/MANIFEST.json"));
        for entry in manifest["files"].as_array().unwrap() {
            let name = entry["file"].as_str().unwrap();
            let loaded = worker.load(root.join(name), DeviceKind::Cpu, Some(16), None);
            let acceptable = entry["also_acceptable"].as_array().unwrap();
            match loaded {
                Ok(_) => assert!(
                    entry["expect"] == "ok" || acceptable.iter().any(|a| a == "ok"),
                    "{name} was loaded"
                ),
                Err(WorkerError::Refused { code, message }) => {
                    refused += 1;
                    assert_eq!(entry["expect"], "error", "{name}: {message}");
                    assert!(code.starts_with("gguf_"), "{name}: {code}");
                }
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
    assert!(refused >= 14, "{refused}");
    worker.shutdown().unwrap();
}

#[test]
fn adapters_are_refused_with_what_to_do_instead() {
    let mut worker = Worker::start(WorkerOptions::new(BINARY)).unwrap();
    let adapter = || PathBuf::from("adapter.gguf");
    let apply = |id| Request::LoraApply {
        id,
        adapter: adapter(),
        scale: 1.0,
    };
    let unload = |id| Request::LoraUnload {
        id,
        adapter: adapter(),
    };
    for error in [
        worker.ask(apply, |_| {}).unwrap_err(),
        worker.ask(unload, |_| {}).unwrap_err(),
    ] {
        assert!(
            matches!(&error, WorkerError::Refused { code, message } if code == "unsupported" && message.contains("merge")),
            "{error}"
        );
    }
    worker.shutdown().unwrap();
}

#[test]
fn settings_of_a_request_stand_above_the_environment() {
    let mut options = WorkerOptions::new(BINARY);
    options.environment = vec![("CORTEX_NOOP_DISPATCHES".into(), "5".into())];
    let mut worker = Worker::start(options).unwrap();
    worker
        .load(model(), DeviceKind::Cpu, Some(16), None)
        .unwrap();
    let with = |name: &str, value: &str| Prompt {
        settings: [(name.to_owned(), value.to_owned())].into(),
        ..prompt()
    };
    let conflict = worker.predict(prompt(), |_| {}).unwrap_err();
    assert!(
        matches!(conflict, WorkerError::Invalidated { .. }),
        "{conflict}"
    );
    worker
        .predict(with("ENGINE_NOOP_DISPATCHES", "0"), |_| {})
        .unwrap();
    let unknown = worker
        .predict(with("ENGINE_SURPRISE", "1"), |_| {})
        .unwrap_err();
    assert!(
        matches!(&unknown, WorkerError::Refused { message, .. } if message.contains("ENGINE_FUSE_QKV")),
        "{unknown}"
    );
}

#[test]
fn a_supervisor_starts_another_worker_after_a_crash() {
    let mut options = WorkerOptions::new(BINARY);
    options.environment = vec![("ENGINE_FAULT".into(), "worker_abort".into())];
    let mut supervisor = Supervisor::new(options);
    let mut pids = Vec::new();
    for _ in 0..2 {
        let worker = supervisor.worker().unwrap();
        worker
            .load(model(), DeviceKind::Cpu, Some(16), None)
            .unwrap();
        pids.push(worker.pid());
        let error = worker.predict(prompt(), |_| {}).unwrap_err();
        assert_eq!(error.class(), Some("driver_crash"));
    }
    assert_ne!(pids[0], pids[1]);
}

#[test]
fn a_program_that_is_no_worker_is_a_protocol_break_and_a_missing_one_cannot_start() {
    let mut options = WorkerOptions::new(BINARY);
    options.arguments = vec!["--version".into()];
    let error = Worker::start(options).unwrap_err();
    assert_eq!(error.class(), Some("protocol"), "{error}");
    let error = Worker::start(WorkerOptions::new("/nonexistent/engine")).unwrap_err();
    assert!(matches!(error, WorkerError::Spawn { .. }), "{error}");
}

#[test]
fn refusals_leave_the_worker_alive() {
    let mut worker = Worker::start(WorkerOptions::new(BINARY)).unwrap();
    let refused = |error: WorkerError| match error {
        WorkerError::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let error = worker.predict(prompt(), |_| {}).unwrap_err();
    assert_eq!(refused(error), "bad_request", "no model yet");
    let error = worker
        .load("/nonexistent.gguf", DeviceKind::Cpu, None, None)
        .unwrap_err();
    assert_eq!(refused(error), "io");
    worker
        .load(model(), DeviceKind::Cpu, Some(16), None)
        .unwrap();
    for tokens in [vec![], vec![600], vec![0; 17]] {
        let error = worker
            .predict(Prompt { tokens, ..prompt() }, |_| {})
            .unwrap_err();
        assert_eq!(refused(error), "bad_request");
    }
    let error = worker
        .predict(
            Prompt {
                legacy: true,
                ..prompt()
            },
            |_| {},
        )
        .unwrap_err();
    assert!(
        matches!(&error, WorkerError::Invalidated { reason_code, .. } if reason_code == "profile_conflict"),
        "{error}"
    );
    let exit = worker.shutdown().unwrap();
    assert_eq!((exit.class.as_str(), exit.code), ("clean", Some(0)));
}

/// Lines straight to a worker's stdin, and the answers that come back.
fn converse(lines: &[&[u8]]) -> Vec<Answer> {
    let mut child = Command::new(BINARY)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
    }
    drop(stdin);
    let answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let answers = answers
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert!(child.wait().unwrap().success());
    answers
}

#[test]
fn garbage_on_stdin_gets_typed_errors_and_the_next_request_is_served() {
    let long = vec![b'x'; (8 << 20) + 1];
    let shutdown = serde_json::to_vec(&Request::Shutdown { id: 7 }).unwrap();
    let answers = converse(&[
        b"not json",
        b"\xff\xfe\x00",
        br#"{"op":"predict","id":1,"prompt":{"tokens":"many"}}"#,
        br#"{"op":"unload","id":2,"surprise":true}"#,
        &long,
        b"",
        &shutdown,
    ]);
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Answer::Error { code, .. } => code.as_str(),
            Answer::Ready { .. } => "ready",
            Answer::Bye { id: 7 } => "bye",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        codes,
        [
            "ready",
            "bad_request",
            "bad_request",
            "bad_request",
            "bad_request",
            "line_too_long",
            "bye"
        ]
    );
}

#[test]
fn a_worker_whose_stdin_ends_finishes_what_it_was_asked() {
    let load = serde_json::to_vec(&Request::Load {
        id: 1,
        model: model(),
        device: DeviceKind::Cpu,
        n_ctx: Some(16),
        budget: None,
        role: Role::Target,
    })
    .unwrap();
    let predict = serde_json::to_vec(&Request::Predict {
        id: 2,
        prompt: prompt(),
    })
    .unwrap();
    let answers = converse(&[&load, &predict]);
    assert!(
        matches!(answers.last(), Some(Answer::Result { id: 2, .. })),
        "{answers:?}"
    );
}
