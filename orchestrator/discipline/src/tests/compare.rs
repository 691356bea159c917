use markers::CellObservations;

use crate::compare::{Change, Comparison, Delta, compare};
use crate::fixtures::{cells, rulebook};

/// One cell that showed these lines.
fn cell(name: &str, lines: &[&str]) -> CellObservations {
    let text = lines.join("\n") + "\n";
    let scan = markers::scan(&rulebook().catalogue, text.as_bytes());
    let tags = lines.iter().filter(|line| line.contains(" v=1 run="));
    assert_eq!(scan.observations.len(), tags.count(), "{text}");
    CellObservations {
        cell: name.into(),
        complete: true,
        observations: scan.observations,
    }
}

fn pass(pass: u32, rest: &str) -> String {
    format!(
        "[GPU PERDISPATCH] v=1 run=0a1b2c3d seq=0 role=target path=single_graph phase=decode pass={pass} {rest}"
    )
}

fn compared(base: &[&str], head: &[&str]) -> Comparison {
    compare(
        &rulebook().catalogue,
        &[cell("c", base)],
        &[cell("c", head)],
    )
}

fn find<'a>(found: &'a Comparison, field: &str) -> &'a Delta {
    let mut deltas = found.deltas.iter();
    deltas
        .find(|delta| delta.field.as_deref() == Some(field))
        .unwrap_or_else(|| panic!("no delta of {field}: {:?}", found.deltas))
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let found = compare(&rulebook().catalogue, &cells(false), &cells(false));
    assert_eq!(found, Comparison::default());
}

#[test]
fn red_and_green_differ_in_the_divergence_and_the_test() {
    let found = compare(&rulebook().catalogue, &cells(false), &cells(true));
    let gone = found.deltas.iter().find(|d| d.marker == "first_divergence");
    let gone = gone.unwrap();
    assert_eq!(
        (gone.change, gone.field.as_deref()),
        (Change::Vanished, None)
    );
    assert!(gone.observable && gone.base_line.is_some() && gone.head_line.is_none());
    let outcome = find(&found, "outcome");
    let text = |value: &Option<markers::Value>| value.as_ref().unwrap().to_string();
    assert_eq!(
        (text(&outcome.base), text(&outcome.head)),
        ("failed".into(), "ok".into())
    );
    assert_eq!(
        outcome.at.fields["name"], "gpu_correctness_smoke_forward",
        "rows are compared with the row of the same test"
    );
}

#[test]
fn numbers_move_by_an_exact_margin_and_buckets_one_by_one() {
    let rest = "submits=1 dispatches=31 barriers=14 ";
    let base = pass(
        2,
        &format!("{rest}cb_us=200 sum_us=880 gap_us=33 ts=full shader_buckets=[rope:2:40,add:5:7]"),
    );
    let head = pass(
        2,
        &format!("{rest}cb_us=250 sum_us=880 gap_us=33 ts=full shader_buckets=[rope:2:44,mul:1:9]"),
    );
    let found = compared(&[&base], &[&head]);
    let margin = find(&found, "cb_us").margin.clone().unwrap();
    assert_eq!(
        (margin.difference.to_string(), margin.percent.unwrap()),
        ("50".into(), "25.0".into())
    );
    let us = find(&found, "shader_buckets[rope].us");
    assert_eq!(us.margin.as_ref().unwrap().difference.to_string(), "4");
    assert_eq!(find(&found, "shader_buckets[add]").change, Change::Vanished);
    assert_eq!(find(&found, "shader_buckets[mul]").change, Change::Appeared);
    assert_eq!(found.deltas.len(), 4, "{:?}", found.deltas);
}

#[test]
fn what_a_mode_cannot_show_is_compared_with_nothing() {
    let rest = "submits=1 dispatches=31 barriers=14 cb_us=200 ";
    let full = pass(
        2,
        &format!("{rest}sum_us=880 gap_us=33 ts=full shader_buckets=[rope:2:40]"),
    );
    let summary = pass(
        2,
        &format!("{rest}sum_us=n/a gap_us=n/a ts=summary shader_buckets=disabled(mode=summary)"),
    );
    let found = compared(&[&full], &[&summary]);
    let fields: Vec<_> = found.deltas.iter().map(|d| d.field.as_deref()).collect();
    assert_eq!(fields, [Some("ts")]);
}

#[test]
fn rows_pair_by_pass_and_not_by_order() {
    let rest =
        "submits=1 dispatches=31 barriers=14 cb_us=200 sum_us=1 gap_us=1 ts=full shader_buckets=[]";
    let (first, second) = (pass(1, rest), pass(2, rest));
    let found = compared(&[&first, &second], &[&second]);
    assert_eq!(found.deltas.len(), 1);
    assert_eq!(found.deltas[0].at.fields["pass"], "1");
    assert_eq!(found.deltas[0].change, Change::Vanished);
}

#[test]
fn absence_in_a_log_that_could_not_show_it_is_said_to_be_nothing() {
    let divergence = "FIRST_DIVERGENCE v=1 run=0a1b2c3d seq=0 path=single_graph phase=prefill pass=0 layer=0 \
                      tensor_stage=attn_norm kind=zeros cpu=0.4375 gpu=0 op=rms_norm dispatched=false inputs_ok=true";
    // Nothing of the emitter stands in the head, which therefore says nothing about it.
    let found = compared(&[divergence], &["nothing of it"]);
    let gone = found.deltas.iter().find(|d| d.marker == "first_divergence");
    assert!(!gone.unwrap().observable);
}

#[test]
fn vectors_part_at_their_first_difference() {
    use markers::{Observation, Span, Value};
    let list = |texts: &[&str]| {
        Value::List(
            texts
                .iter()
                .map(|t| Value::Number(t.parse().unwrap()))
                .collect(),
        )
    };
    let catalogue = rulebook().catalogue;
    let (marker, field) = catalogue
        .markers()
        .iter()
        .find_map(|marker| {
            let field = marker.fields.iter().find(|f| f.name == "cb_us")?;
            Some((marker.name.clone(), field.name.clone()))
        })
        .unwrap();
    let row = |value: Value| CellObservations {
        cell: "c".into(),
        complete: true,
        observations: vec![Observation {
            kind: marker.clone(),
            fields: [(field.clone(), value)].into(),
            span: Span { start: 0, end: 1 },
            line: 1,
            test: None,
        }],
    };
    let found = compare(
        &catalogue,
        &[row(list(&["1", "2", "3", "4"]))],
        &[row(list(&["1", "2", "3.5"]))],
    );
    let first = found.deltas[0].first_difference.clone().unwrap();
    assert_eq!((first.index, first.differing), (2, 2));
    assert_eq!(first.margin.unwrap().difference.to_string(), "0.5");
}

#[test]
fn cells_of_one_side_are_named() {
    let catalogue = rulebook().catalogue;
    let found = compare(&catalogue, &[cell("a", &[])], &[cell("b", &[])]);
    assert_eq!(
        (found.only_base, found.only_head),
        (vec!["a".into()], vec!["b".into()])
    );
}
