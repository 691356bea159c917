use markers::CellObservations;

use crate::contrast::{Segment, Selector, Separator, contrast, segments};
use crate::fixtures::{cells, rulebook};

fn full(run: &str, green: bool) -> Vec<Segment> {
    segments(
        &rulebook().catalogue,
        run,
        &cells(green),
        &Selector {
            cell: Some("noop-0-full".into()),
            ..Selector::default()
        },
    )
}

fn ranked(failing: &[Segment], passing: &[Segment]) -> Vec<Separator> {
    contrast(&rulebook().catalogue, failing, passing)
}

fn find<'a>(
    found: &'a [Separator],
    marker: &str,
    field: Option<&str>,
    value: &str,
) -> Option<&'a Separator> {
    found
        .iter()
        .find(|s| s.marker == marker && s.field.as_deref() == field && s.value == value)
}

#[test]
fn what_only_the_failing_side_shows_comes_first() {
    let (failing, passing) = (
        [full("R1", false), full("R3", false)].concat(),
        full("R2", true),
    );
    let found = ranked(&failing, &passing);
    let divergence = find(&found, "first_divergence", None, "present").unwrap();
    assert_eq!(
        (divergence.fail_support, divergence.fail_observable),
        (2, 2)
    );
    assert_eq!(
        (divergence.pass_support, divergence.pass_observable),
        (0, 1)
    );
    assert_eq!(
        (divergence.score_permille, divergence.nameable_as_cause),
        (1000, true)
    );
    assert!(found[0].nameable_as_cause);
    let last_cause = found.iter().rposition(|s| s.nameable_as_cause).unwrap();
    assert!(
        found
            .iter()
            .skip(last_cause + 1)
            .all(|s| !s.nameable_as_cause)
    );
}

#[test]
fn what_the_good_path_shows_too_is_counted_and_no_cause() {
    let found = ranked(&full("R1", false), &full("R2", true));
    let pass = find(&found, "gpu_perdispatch", None, "present").unwrap();
    assert_eq!((pass.also_on_good_path, pass.nameable_as_cause), (1, false));
    assert_eq!(pass.score_permille, 707);
    let bucket = find(
        &found,
        "gpu_perdispatch",
        Some("shader_buckets"),
        "rms_norm",
    )
    .unwrap();
    assert!(!bucket.nameable_as_cause);
}

#[test]
fn absence_counts_only_where_it_could_be_seen() {
    let (failing, passing) = (full("R1", false), full("R2", true));
    // The passing side misses the marker, but its log is cut: no cause is named from that.
    let mut cut = passing.clone();
    cut[0].complete = false;
    let unseen = ranked(&failing, &cut);
    let divergence = find(&unseen, "first_divergence", None, "present").unwrap();
    assert_eq!(
        (divergence.pass_observable, divergence.nameable_as_cause),
        (0, false)
    );
    // Without a witness of the emitter, its silence is no absence.
    let mut mute = passing.clone();
    mute[0]
        .observations
        .retain(|row| row.kind != "gpu_perdispatch");
    assert_eq!(
        find(
            &ranked(&failing, &mute),
            "first_divergence",
            None,
            "present"
        )
        .unwrap()
        .pass_observable,
        0
    );
    // A marker that the failing side lacks is a candidate as absent.
    let swapped = ranked(&passing, &failing);
    assert!(
        find(&swapped, "first_divergence", None, "absent")
            .unwrap()
            .nameable_as_cause
    );
}

#[test]
fn summary_mode_is_no_evidence_about_buckets() {
    let summary = Selector {
        cell: Some("noop-0-summary".into()),
        ..Selector::default()
    };
    let (failing, passing) = (
        full("R1", false),
        segments(&rulebook().catalogue, "R2", &cells(true), &summary),
    );
    let found = ranked(&failing, &passing);
    let bucket = find(
        &found,
        "gpu_perdispatch",
        Some("shader_buckets"),
        "rms_norm",
    )
    .unwrap();
    assert_eq!(
        (bucket.pass_observable, bucket.nameable_as_cause),
        (0, false)
    );
    assert!(
        found
            .iter()
            .all(|s| s.value != "n/a" && !s.value.starts_with("disabled"))
    );
}

#[test]
fn segments_are_cut_by_cell_path_phase_and_test() {
    let cells: Vec<CellObservations> = cells(false);
    assert_eq!(
        segments(&rulebook().catalogue, "R1", &cells, &Selector::default()).len(),
        2
    );
    let legacy = Selector {
        path: Some("legacy_multi_submit".into()),
        ..Selector::default()
    };
    let cut = segments(&rulebook().catalogue, "R1", &cells, &legacy);
    assert_eq!(cut[1].name, "R1/noop-0-full/legacy_multi_submit");
    assert!(
        cut.iter()
            .flat_map(|s| &s.observations)
            .all(|row| row.kind != "gpu_perdispatch")
    );
    assert!(
        cut.iter()
            .flat_map(|s| &s.observations)
            .any(|row| row.kind == "backend")
    );
    let decode = Selector {
        phase: Some("decode".into()),
        ..Selector::default()
    };
    assert!(
        segments(&rulebook().catalogue, "R1", &cells, &decode)[0]
            .observations
            .iter()
            .all(|row| row.kind != "first_divergence")
    );
}

#[test]
fn rows_of_a_path_that_is_not_told_are_no_evidence_about_another() {
    let catalogue = rulebook().catalogue;
    let log = "[GPU SMOKE SINGLE-GRAPH]\n[TOPO] nodes=1\n[GPU SMOKE SINGLE-GRAPH] end\n[TOPO] nodes=2\n\
        [TOPO] nodes=3 path=legacy_multi_submit\n[FA CORRECT] PASS\n";
    let cell = markers::scan(&catalogue, log.as_bytes()).into_cell("c");
    let nodes = |path: &str| -> Vec<String> {
        let selector = Selector {
            path: Some(path.into()),
            ..Selector::default()
        };
        let cut = segments(&catalogue, "R1", std::slice::from_ref(&cell), &selector);
        let rows = cut.iter().flat_map(|segment| &segment.observations);
        rows.map(|row| {
            row.fields
                .get("nodes")
                .map_or(row.kind.clone(), ToString::to_string)
        })
        .collect()
    };
    // What speaks about the cell or a test belongs to every path.
    assert_eq!(
        nodes("single_graph"),
        ["single_graph_block", "1", "fa_correct"]
    );
    assert_eq!(nodes("legacy_multi_submit"), ["3", "fa_correct"]);
}
