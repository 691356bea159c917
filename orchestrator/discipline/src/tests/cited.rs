use markers::{CellObservations, scan};

use crate::cited::{Books, Cause, Cited, CitedBytes, fires_on_good_path, judge};
use crate::event::Mechanism;
use crate::fixtures::{hypothesis_body, playbooks, rulebook};
use crate::model::RunId;

const ENVELOPE: &str = "v=1 run=0a1b2c3d seq=";

/// One test that fails on one path and one that passes on both, with what `extra` prints in each.
fn log(extra: impl Fn(&str) -> String) -> String {
    let pass = |path: &str, seq: u32, dispatches: u32| {
        format!(
            "[GPU PERDISPATCH] {ENVELOPE}{seq} role=target path={path} phase=prefill pass=0 submits=1 \
             dispatches={dispatches} barriers=8 cb_us=100 sum_us=n/a gap_us=n/a ts=summary \
             shader_buckets=disabled(mode=summary)\n"
        )
    };
    let divergence = format!(
        "FIRST_DIVERGENCE {ENVELOPE}3 path=single_graph phase=prefill pass=0 layer=0 tensor_stage=attn_norm \
         kind=zeros cpu=0.4375 gpu=0 op=rms_norm dispatched=false inputs_ok=true last_writer=none region=arena\n"
    );
    let backend = format!(
        "[BACKEND] {ENVELOPE}0 backend=vulkan device=\"llvmpipe\" driver=\"Mesa\" api=1.3.230 cpu_fallback=false \
         mode=GpuSingleGraph\n"
    );
    let test =
        |name: &str, body: String, end: &str| format!("test {name} ... {backend}{body}{end}\n");
    let legacy = pass("legacy_multi_submit", 1, 37);
    format!(
        "running 2 tests\n{}{}",
        test(
            "wrong",
            legacy.clone() + &pass("single_graph", 2, 35) + &divergence + &extra("wrong"),
            "FAILED"
        ),
        test(
            "right",
            legacy + &pass("single_graph", 2, 37) + &extra("right"),
            "ok"
        ),
    )
}

fn cells(text: &str) -> Vec<CellObservations> {
    vec![CellObservations {
        cell: "noop-0-full".into(),
        complete: true,
        observations: scan(&rulebook().catalogue, text.as_bytes()).observations,
    }]
}

/// Refusals of one citation of the first row that `wanted` takes.
fn cited(
    text: &str,
    mechanism: Mechanism,
    wanted: impl Fn(&markers::Observation) -> bool,
) -> Vec<String> {
    let cells = cells(text);
    let row = cells[0]
        .observations
        .iter()
        .find(|row| wanted(row))
        .unwrap();
    let run = RunId::nth(1);
    let bytes = CitedBytes {
        cited: vec![Cited {
            exists: true,
            rows: vec![row.clone()],
            run: Some(run.clone()),
        }],
        runs: [(run, cells.clone())].into(),
    };
    let mut body = hypothesis_body();
    body.mechanism = mechanism;
    body.predicts = vec!["any first_divergence{path=single_graph}.dispatched == false".into()];
    let (rulebook, playbooks) = (rulebook(), playbooks());
    let books = Books {
        catalogue: &rulebook.catalogue,
        playbooks: &playbooks,
    };
    let refused = judge("citations", &bytes, &Cause::of(&body), books);
    refused
        .into_iter()
        .map(|refusal| format!("{} @ {}", refusal.code, refusal.field))
        .collect()
}

fn misses(times: u32) -> impl Fn(&str) -> String {
    move |test| {
        let from = if test == "wrong" { 0 } else { times };
        (from..from + times)
            .map(|n| format!("[GPU SMOKE CACHE KEY MISS] {ENVELOPE}{n} cache=graph key=k{n} cached=none differs=kv_len path=single_graph phase=prefill\n"))
            .collect()
    }
}

#[test]
fn what_fires_where_the_output_is_right_is_no_cause() {
    let text = log(misses(72));
    let miss = |row: &markers::Observation| row.kind == "cache_key_miss";
    assert_eq!(
        cited(&text, Mechanism::StaleCacheKey, miss),
        ["fires_on_good_path @ citations[0]"]
    );
    // Where it fires on the failing side alone it separates.
    let text = log(|test| match test {
        "wrong" => misses(12)("wrong"),
        _ => String::new(),
    });
    assert_eq!(cited(&text, Mechanism::StaleCacheKey, miss), [""; 0]);
}

#[test]
fn a_value_that_only_the_failing_side_shows_separates() {
    let text = log(|_| String::new());
    let passes = |path: &'static str, dispatches: &'static str| {
        move |row: &markers::Observation| {
            let shown = row.fields.get("dispatches").map(ToString::to_string);
            row.text("path") == Some(path) && shown.as_deref() == Some(dispatches)
        }
    };
    let skipped = Mechanism::SkippedWork;
    assert_eq!(cited(&text, skipped, passes("single_graph", "35")), [""; 0]);
    assert_eq!(
        cited(&text, skipped, passes("single_graph", "37")),
        ["fires_on_good_path @ citations[0]"]
    );
    let divergence = |row: &markers::Observation| row.kind == "first_divergence";
    assert_eq!(cited(&text, skipped, divergence), [""; 0]);
}

#[test]
fn data_of_another_path_does_not_speak_for_this_one() {
    let text = log(|_| String::new());
    let legacy = |row: &markers::Observation| row.text("path") == Some("legacy_multi_submit");
    let found = cited(&text, Mechanism::SkippedWork, legacy);
    assert!(
        found.contains(&"observation_other_path @ citations[0]".to_owned()),
        "{found:?}"
    );
}

#[test]
fn a_reference_of_zeros_accuses_the_reference() {
    let drift = "FIRST_DIVERGENCE v=1 run=0a1b2c3d seq=4 path=single_graph phase=prefill pass=0 layer=1 \
                 tensor_stage=ffn_out kind=drift cpu=0 gpu=0.25 op=matvec dispatched=true inputs_ok=true \
                 last_writer=none region=arena\n";
    let text = log(|test| {
        if test == "wrong" {
            drift.into()
        } else {
            String::new()
        }
    });
    let zeros = |row: &markers::Observation| row.text("kind") == Some("drift");
    assert_eq!(
        cited(&text, Mechanism::SkippedWork, zeros),
        ["reference_is_zeros @ citations[0]"]
    );
    assert_eq!(cited(&text, Mechanism::WrongReference, zeros), [""; 0]);
}

#[test]
fn a_run_without_a_working_side_refuses_nothing() {
    let (rulebook, playbooks) = (rulebook(), playbooks());
    let books = Books {
        catalogue: &rulebook.catalogue,
        playbooks: &playbooks,
    };
    let text = log(misses(3))
        .replace("\nok\n", "\nFAILED\n")
        .replace("legacy_multi_submit", "single_graph");
    let cells = cells(&text);
    for row in &cells[0].observations {
        assert_eq!(fires_on_good_path(books, row, &cells), None, "{row:?}");
    }
}
