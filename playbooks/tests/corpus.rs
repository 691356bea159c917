//! Every class has a corpus log that classifies as its name says, whole and from any window over its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use markers::{Catalogue, Scanner};
use playbooks::{Classification, Playbooks, RunFacts, classify};
use proptest::prelude::*;

struct Corpus {
    catalogue: Catalogue,
    playbooks: Playbooks,
}

impl Corpus {
    fn open_once() -> &'static Self {
        static CORPUS: LazyLock<Corpus> = LazyLock::new(Corpus::open);
        &CORPUS
    }

    fn open() -> Self {
        let catalogue = Catalogue::builtin().unwrap();
        let playbooks = Playbooks::builtin(&catalogue).unwrap();
        Self {
            catalogue,
            playbooks,
        }
    }

    fn read(&self, class: &str) -> (Vec<u8>, RunFacts) {
        let file = |suffix: &str| folder().join(format!("{class}.{suffix}"));
        let log = std::fs::read(file("log"))
            .unwrap_or_else(|error| panic!("class {class} has no corpus log: {error}"));
        let facts = toml::from_str(&std::fs::read_to_string(file("facts.toml")).unwrap()).unwrap();
        (log, facts)
    }

    fn whole(&self, class: &str) -> Classification {
        let (log, facts) = self.read(class);
        let scan = markers::scan(&self.catalogue, &log);
        assert!(scan.complete, "{class}: {:?}", scan.diagnostics);
        classify(
            &self.playbooks,
            &self.catalogue,
            &facts,
            &[scan.into_cell("noop-0-full")],
        )
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus")
}

#[test]
fn every_class_has_a_log_that_classifies_as_its_name_says() {
    let corpus = Corpus::open();
    for class in corpus.playbooks.classes() {
        let result = corpus.whole(class.name.as_str());
        assert_eq!(result.class, class.name, "{:#?}", result.hits);
        assert_eq!(result.catalogue, corpus.catalogue.digest());
        assert_eq!(result.playbooks, corpus.playbooks.digest());
    }
}

#[test]
fn a_window_that_holds_a_deciding_line_gives_the_verdict_of_the_whole_log() {
    let corpus = Corpus::open();
    let mut windows = 0;
    for class in corpus.playbooks.classes() {
        let whole = corpus.whole(class.name.as_str());
        let (log, facts) = corpus.read(class.name.as_str());
        let last = whole.anchors.iter().map(|anchor| anchor.line).max();
        let mut offset = 0;
        for (line, content) in (1..).zip(log.split_inclusive(|b| *b == b'\n')) {
            if last.is_some_and(|last| line > last) {
                break;
            }
            let mut scanner = Scanner::window(&corpus.catalogue, offset, line);
            scanner.push(&log[usize::try_from(offset).unwrap()..]);
            let cell = scanner.finish().into_cell("noop-0-full");
            let window = classify(&corpus.playbooks, &corpus.catalogue, &facts, &[cell]);
            assert_eq!(
                window.class, whole.class,
                "{} from line {line}: {:#?}",
                class.name, window.hits
            );
            assert!(
                window
                    .anchors
                    .iter()
                    .all(|anchor| whole.anchors.contains(anchor) || anchor.test.is_some())
            );
            offset += content.len() as u64;
            windows += 1;
        }
    }
    assert!(windows > 200, "{windows}");
}

#[test]
fn anchors_are_the_lines_that_decide() {
    let corpus = Corpus::open();
    for (class, needle) in [
        ("build", "error[E0308]"),
        ("vulkan_init", "fallback)"),
        ("driver_crash", "class=driver_crash"),
        ("gpu_hang", "Worker did not respond"),
        ("invalid_setup", "invalidated (conflicting_modes)"),
        ("test", "FAILED"),
        ("infra", "lost communication"),
    ] {
        let (log, _) = corpus.read(class);
        let result = corpus.whole(class);
        assert!(!result.anchors.is_empty(), "{class}");
        let texts: Vec<String> = result
            .anchors
            .iter()
            .map(|anchor| {
                let bytes = &log[usize::try_from(anchor.span.start).unwrap()
                    ..usize::try_from(anchor.span.end).unwrap()];
                let line = log
                    .split(|b| *b == b'\n')
                    .nth(usize::try_from(anchor.line - 1).unwrap())
                    .unwrap();
                assert!(line.ends_with(bytes), "{class}: span and line disagree");
                String::from_utf8_lossy(bytes).replace("\u{1b}[0m", "")
            })
            .collect();
        assert!(
            texts.iter().any(|text| text.contains(needle)),
            "{class}: {texts:#?}"
        );
    }
}

#[test]
fn five_failing_tests_collapse_to_two_groups() {
    let corpus = Corpus::open();
    let result = corpus.whole("test");
    let groups: Vec<(usize, &str, bool)> = result
        .groups
        .iter()
        .map(|group| (group.tests.len(), group.signature.as_str(), group.complete))
        .collect();
    assert_eq!(
        groups,
        [
            (3, "tensor_stage=attn_norm kind=zeros op=rms_norm", true),
            (2, "tensor_stage=logits kind=drift op=matvec_f32", true),
        ]
    );
    assert_eq!(result.sub.as_deref(), Some("mixed"));
    assert_eq!(result.unread_panics, []);
    assert_eq!(
        result.groups[0].panic_sites,
        [
            "engine/tests/gpu_smoke.rs:57",
            "engine/tests/gpu_smoke.rs:93"
        ]
    );
}

#[test]
fn a_panic_that_nothing_explains_keeps_its_group_incomplete() {
    let corpus = Corpus::open();
    let log = "running 2 tests\ntest gpu_histogram_full_a ... \nthread 'gpu_histogram_full_a' (7) panicked at engine/tests/gpu_smoke.rs:9:5:\nFAILED\n\
        test b - should panic ... \nthread 'b' (8) panicked at engine/tests/gpu_smoke.rs:12:5:\nok\n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    let cell = markers::scan(&corpus.catalogue, log.as_bytes()).into_cell("c");
    let facts = RunFacts {
        conclusion: Some("failure".into()),
        executed_steps: 3,
        ..RunFacts::default()
    };
    let result = classify(&corpus.playbooks, &corpus.catalogue, &facts, &[cell]);
    assert_eq!(
        (result.class.as_str(), result.sub.as_deref()),
        ("test", Some("histogram_full"))
    );
    assert_eq!(result.groups.len(), 1);
    assert!(!result.groups[0].complete);
    assert_eq!(
        result.groups[0].signature,
        "panic engine/tests/gpu_smoke.rs:9"
    );
    let unread: Vec<u64> = result
        .unread_panics
        .iter()
        .map(|anchor| anchor.line)
        .collect();
    assert_eq!(unread, [3], "the panic of a passed test is read");
}

#[test]
fn exclusions_beat_matches_and_are_reported() {
    let corpus = Corpus::open();
    let crash = corpus.whole("driver_crash");
    assert!(
        crash
            .anchors
            .iter()
            .all(|anchor| anchor.test.as_deref() == Some("gpu_correctness_smoke_llama_q8_0"))
    );
    assert!(crash.excluded.iter().any(|hit| {
        hit.anchors
            .iter()
            .any(|a| a.test.as_deref() == Some("gpu_correctness_smoke_survives_a_killed_worker"))
    }));
    let facts = RunFacts {
        conclusion: Some("failure".into()),
        executed_steps: 3,
        ..RunFacts::default()
    };
    let check = |log: &str, excluded: &str| {
        let cell = markers::scan(&corpus.catalogue, log.as_bytes()).into_cell("c");
        let result = classify(&corpus.playbooks, &corpus.catalogue, &facts, &[cell]);
        assert_eq!(result.class, "unclassified", "{log}");
        assert!(
            result
                .excluded
                .iter()
                .any(|hit| hit.class == excluded && !hit.reason.is_empty()),
            "{result:#?}"
        );
    };
    check(
        "AMD GPU: skipping cooperative-matrix feature (ACCESS_VIOLATION)\n",
        "driver_crash",
    );
    check(
        "[FA CORRECT] FAIL: GPU-FA run fell back to CPU: using CPU backend for inference (Vulkan fallback)\n",
        "vulkan_init",
    );
    check(
        "running 1 test\ntest kills ... [WORKER EXIT] v=1 run=0a1b2c3d seq=0 pid=1 code=none signal=6 class=driver_crash step=idle\nok\n",
        "driver_crash",
    );
}

#[test]
fn a_zero_reference_side_is_said_to_be_the_wrong_one() {
    let corpus = Corpus::open();
    let log = "FIRST_DIVERGENCE v=1 run=0a1b2c3d seq=0 path=single_graph phase=prefill pass=0 layer=0 tensor_stage=attn_norm kind=drift cpu=0 gpu=0.5 op=rms_norm dispatched=true inputs_ok=true\n";
    let cell = markers::scan(&corpus.catalogue, log.as_bytes()).into_cell("c");
    let result = classify(
        &corpus.playbooks,
        &corpus.catalogue,
        &RunFacts::default(),
        &[cell],
    );
    assert!(
        result
            .notes
            .iter()
            .any(|note| note.contains("blames the wrong side"))
    );
}

#[test]
fn a_classification_survives_its_text_form() {
    let corpus = Corpus::open();
    let result = corpus.whole("test");
    let text = toml::to_string(&result).unwrap();
    assert_eq!(toml::from_str::<Classification>(&text).unwrap(), result);
}

/// Blocks that logs are made of, each whole lines.
const BLOCKS: &[&str] = &[
    "##[group]Run cargo test\nerror[E0308]: only quoted\nTIMEOUT after 1 ms: Worker did not respond\n##[endgroup]\n",
    "\u{1b}[0m\u{1b}[0;32m   Compiling\u{1b}[0m engine v0.1.0\n",
    "running 2 tests\ntest a ... ok\ntest b ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
    "running 1 test\ntest gpu_correctness_smoke_x ... noise\nFIRST_DIVERGENCE v=1 run=0a1b2c3d seq=0 path=single_graph phase=prefill pass=0 layer=0 tensor_stage=attn_norm kind=zeros cpu=0.5 gpu=0 op=rms_norm dispatched=false inputs_ok=true\n[TELEMETRY END] v=1 run=0a1b2c3d seq=1 lines=1\nthread 'gpu_correctness_smoke_x' (7) panicked at engine/tests/gpu_smoke.rs:9:5:\nFAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
    "running 1 test\ntest kills ... [WORKER EXIT] v=1 run=0a1b2c3e seq=0 pid=1 code=none signal=6 class=driver_crash step=idle\n[TELEMETRY END] v=1 run=0a1b2c3e seq=1 lines=1\nok\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
    "running 1 test\ntest dies ... [WORKER EXIT] v=1 run=0a1b2c3f seq=0 pid=1 code=none signal=11 class=driver_crash step=predict\n[TELEMETRY END] v=1 run=0a1b2c3f seq=1 lines=1\nFAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
    "WARN using CPU backend for inference (Vulkan fallback)\n",
    "WARN AMD GPU: skipping cooperative-matrix feature (ACCESS_VIOLATION)\n",
    "[FA CORRECT] FAIL: GPU-FA run fell back to CPU\n",
    "##[error]The self-hosted runner lost communication with the server.\n",
    "error: could not compile `engine` (lib) due to 1 previous error\n",
    "##[error]Process completed with exit code 101.\n",
];

proptest! {
    /// A window that holds every line the verdict rests on gives the verdict of the whole log, wherever it begins:
    /// what it cannot know of the test it begins in does not decide.
    #[test]
    fn a_window_over_a_made_up_log_gives_the_verdict_of_the_whole(
        blocks in prop::collection::vec(prop::sample::select(BLOCKS), 1..12),
        cut in 0_usize..200,
        stamped in any::<bool>(),
    ) {
        let corpus = Corpus::open_once();
        let stamp = if stamped { "2025-11-20T09:46:11.1234567Z " } else { "" };
        let log: String = blocks
            .iter()
            .flat_map(|block| block.split_inclusive('\n'))
            .map(|line| format!("{stamp}{line}"))
            .collect();
        let facts = RunFacts {
            conclusion: Some("failure".into()),
            executed_steps: 3,
            exit_code: Some(101),
            ..RunFacts::default()
        };
        let verdict = |scan: markers::Scan| {
            classify(&corpus.playbooks, &corpus.catalogue, &facts, &[scan.into_cell("c")])
        };
        let whole = verdict(markers::scan(&corpus.catalogue, log.as_bytes()));
        let lines: Vec<&str> = log.split_inclusive('\n').collect();
        let first = whole.anchors.iter().map(|anchor| anchor.line).min().unwrap_or(1);
        let from = cut % usize::try_from(first).unwrap();
        let offset: usize = lines[..from].iter().map(|line| line.len()).sum();
        let mut scanner = Scanner::window(&corpus.catalogue, offset as u64, from as u64 + 1);
        scanner.push(&log.as_bytes()[offset..]);
        let window = verdict(scanner.finish());
        let lines_of = |result: &Classification| -> Vec<u64> {
            result.anchors.iter().map(|anchor| anchor.line).collect()
        };
        prop_assert_eq!(
            (&window.class, lines_of(&window)),
            (&whole.class, lines_of(&whole)),
            "from line {}:\n{}", from + 1, log
        );
    }
}

#[test]
fn runs_without_a_signal_are_told_apart_and_a_storm_is_counted() {
    let corpus = Corpus::open_once();
    let check = |facts: RunFacts, sub: &str, fact: &str| {
        let result = classify(&corpus.playbooks, &corpus.catalogue, &facts, &[]);
        assert_eq!(result.class, "no_signal", "{facts:?}");
        assert_eq!(result.disposition, playbooks::Disposition::NoSignal);
        assert_eq!(result.sub.as_deref(), Some(sub));
        assert!(
            result.hits[0].facts.iter().any(|known| known == fact),
            "{:?}",
            result.hits[0].facts
        );
    };
    let queued = |runner| RunFacts {
        status: Some("queued".into()),
        runner,
        ..RunFacts::default()
    };
    let cancelled = |in_a_row| RunFacts {
        status: Some("completed".into()),
        conclusion: Some("cancelled".into()),
        cancelled_in_a_row: in_a_row,
        ..RunFacts::default()
    };
    check(
        queued(playbooks::RunnerState::Offline),
        "runner_offline",
        "runner = Offline",
    );
    check(
        queued(playbooks::RunnerState::Idle),
        "runner_idle",
        "runner = Idle",
    );
    check(
        queued(playbooks::RunnerState::Busy),
        "queued",
        "status = \"queued\"",
    );
    check(
        cancelled(94),
        "cancel_in_progress_storm",
        "cancelled_in_a_row = 94",
    );
    check(cancelled(2), "never_started", "conclusion = \"cancelled\"");
}

#[test]
fn a_reference_of_zeros_is_named_whatever_shows_it() {
    let corpus = Corpus::open_once();
    let noted = |log: &str| {
        let cell = markers::scan(&corpus.catalogue, log.as_bytes()).into_cell("c");
        let result = classify(
            &corpus.playbooks,
            &corpus.catalogue,
            &RunFacts::default(),
            &[cell],
        );
        result.notes.iter().any(|note| note.contains("wrong side"))
    };
    assert!(noted("[GPU SMOKE CPU NORM] op=rms_norm norm=0.000\n"));
    assert!(!noted("[GPU SMOKE OP NORM] op=rms_norm norm=0\n"));
    assert!(noted(
        "[GPU SMOKE FA_SUMMARY] all_zero=false has_nan=false cpu_all_zero=true\n"
    ));
    assert!(!noted(
        "[GPU SMOKE FA_SUMMARY] all_zero=true has_nan=false cpu_all_zero=false\n"
    ));
    assert!(noted(
        "[VALIDATE L0] stage=attn_norm side=output status=drift cpu=0 gpu=0.5\n"
    ));
}
