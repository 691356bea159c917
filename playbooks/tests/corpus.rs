//! Every class has a corpus log that classifies as its name says, whole and from any window over its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::path::{Path, PathBuf};

use markers::{Catalogue, Scanner};
use playbooks::{Classification, Playbooks, RunFacts, classify};

struct Corpus {
    catalogue: Catalogue,
    playbooks: Playbooks,
}

impl Corpus {
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
