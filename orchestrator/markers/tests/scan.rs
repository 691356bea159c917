//! The scanner over bytes: what it reads, what it refuses, and that chunks, windows and lengths change nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::sync::LazyLock;

use markers::{Catalogue, Diagnostic, Observation, Scan, Scanner, Value, scan};
use proptest::prelude::*;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

const PASS: &str = "role=target path=single_graph phase=decode pass=1 submits=1 dispatches=31 barriers=14 cb_us=913 \
    sum_us=880 gap_us=33 ts=full shader_buckets=[rms_norm:5:40]";
const END: &str = "[TELEMETRY END] v=1 run=0a1b2c3d";

fn pass(seq: u64) -> String {
    format!("[GPU PERDISPATCH] v=1 run=0a1b2c3d seq={seq} {PASS}")
}

fn read(log: impl AsRef<[u8]>) -> Scan {
    scan(&CATALOGUE, log.as_ref())
}

fn kinds(scan: &Scan) -> Vec<(&str, u64)> {
    scan.observations
        .iter()
        .map(|row| (row.kind.as_str(), row.line))
        .collect()
}

fn slice<'l>(log: &'l [u8], row: &Observation) -> &'l str {
    let (start, end) = (
        usize::try_from(row.span.start).unwrap(),
        usize::try_from(row.span.end).unwrap(),
    );
    std::str::from_utf8(&log[start..end]).unwrap()
}

#[test]
fn stamps_marks_colours_and_carriage_returns_are_taken_off_and_spans_stay_raw() {
    let log = format!(
        "\u{feff}2025-11-20T09:46:11.1234567Z \u{1b}[32m[GPU PERDISPATCH]\u{1b}[0m v=1 run=0a1b2c3d seq=0 {PASS}\r\n\
         progress 5/6\rprogress 6/6\r{END} seq=1 lines=1\n"
    );
    let scan = read(&log);
    assert_eq!(kinds(&scan), [("gpu_perdispatch", 1), ("telemetry_end", 2)]);
    assert!(scan.complete, "{:?}", scan.diagnostics);
    assert!(slice(log.as_bytes(), &scan.observations[0]).starts_with("[GPU PERDISPATCH]"));
    assert!(slice(log.as_bytes(), &scan.observations[0]).ends_with("40]"));
    assert_eq!(
        slice(log.as_bytes(), &scan.observations[1]),
        format!("{END} seq=1 lines=1")
    );
}

#[test]
fn a_marker_in_the_middle_of_a_libtest_line_belongs_to_its_test() {
    let log = format!(
        "running 2 tests\ntest first ... {}\n{END} seq=1 lines=1\nnoise ok\nok\ntest second ... ok\n{}\n",
        pass(0),
        pass(0).replace("0a1b", "ffff")
    );
    let scan = read(&log);
    let rows: Vec<(&str, Option<&str>)> = scan
        .observations
        .iter()
        .map(|row| (row.kind.as_str(), row.test.as_deref()))
        .collect();
    assert_eq!(
        rows,
        [
            ("cargo_running", None),
            ("gpu_perdispatch", Some("first")),
            ("telemetry_end", Some("first")),
            ("cargo_test", Some("first")),
            ("cargo_test", Some("second")),
            ("gpu_perdispatch", None),
        ]
    );
    assert_eq!(slice(log.as_bytes(), &scan.observations[1]), pass(0));
    assert_eq!(slice(log.as_bytes(), &scan.observations[3]), "ok");
}

#[test]
fn captured_output_belongs_to_the_test_named_above_it() {
    let log = "running 1 test\ntest a ... FAILED\n\nfailures:\n\n---- a stdout ----\n\
        thread 'a' (1) panicked at src/lib.rs:3:5:\n\nfailures:\n    a\n\n\
        test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    let scan = read(log);
    let panic = scan
        .observations
        .iter()
        .find(|row| row.kind == "panic_site")
        .unwrap();
    assert_eq!(
        (panic.test.as_deref(), panic.text("file")),
        (Some("a"), Some("src/lib.rs"))
    );
}

#[test]
fn an_echoed_script_is_no_telemetry() {
    let log = format!(
        "##[group]Run cargo test\n{}\nerror[E0308]: quoted\n##[endgroup]\n##[group]Results\n{}\n##[endgroup]\n{END} seq=1 lines=1\n",
        pass(5),
        pass(0)
    );
    let scan = read(&log);
    assert_eq!(kinds(&scan), [("gpu_perdispatch", 6), ("telemetry_end", 8)]);
    assert!(scan.complete);
}

#[test]
fn masked_values_are_never_numbers() {
    let scan = read(
        pass(0)
            .replace("cb_us=913", "cb_us=9***3")
            .replace("sum_us=880", "sum_us=***"),
    );
    let fields = &scan.observations[0].fields;
    assert_eq!(
        (&fields["cb_us"], &fields["sum_us"]),
        (&Value::Masked, &Value::Masked)
    );
}

#[test]
fn gaps_missing_trailers_and_wrong_counts_make_a_log_incomplete() {
    let check = |log: String, complete: bool, expect: &[&str]| {
        let scan = read(&log);
        let codes: Vec<String> = scan
            .diagnostics
            .iter()
            .map(|d| {
                serde_json::to_value(d).unwrap()["code"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(
            (scan.complete, codes.as_slice()),
            (complete, expect.map_to_strings().as_slice()),
            "{log}"
        );
    };
    check(
        format!("{}\n{}\n{END} seq=2 lines=2\n", pass(0), pass(1)),
        true,
        &[],
    );
    check(
        format!("{}\n{}\n{END} seq=3 lines=3\n", pass(0), pass(2)),
        false,
        &["seq_gap"],
    );
    check(
        format!("{}\n{END} seq=2 lines=2\n", pass(0)),
        false,
        &["seq_gap"],
    );
    check(
        format!("{}\n", pass(1)),
        false,
        &["seq_gap", "missing_trailer"],
    );
    check(format!("{}\n", pass(0)), false, &["missing_trailer"]);
    check(
        format!("{}\n{END} seq=1 lines=4\n", pass(0)),
        false,
        &["trailer_count"],
    );
    check(
        format!("{}\n{END} seq=1 lines=***\n", pass(0)),
        false,
        &["trailer_count"],
    );
    check(pass(0).replace("seq=0", "seq=***"), false, &["no_sequence"]);
    let exit = "[WORKER EXIT] v=1 run=ffffffff seq=0 pid=1 code=none signal=11 class=driver_crash step=predict\n\
        [TELEMETRY END] v=1 run=ffffffff seq=1 lines=1\n";
    check(format!("{}\n{exit}", pass(0)), true, &["missing_trailer"]);
    let clean = exit.replace("driver_crash", "clean");
    check(format!("{}\n{clean}", pass(0)), false, &["missing_trailer"]);
    check(format!("{exit}{}\n", pass(0)), false, &["missing_trailer"]);
    // Two processes of one run, their lines interleaved.
    let other = [pass(0), pass(1), format!("{END} seq=2 lines=2")];
    check(
        format!(
            "{0}\n{0}\n{1}\n{1}\n{2}\n{2}\n",
            other[0], other[1], other[2]
        ),
        true,
        &[],
    );
    check(
        format!(
            "{}\n{END} seq=1 lines=1\n",
            pass(0).replace(" pass=1", " pass=x")
        ),
        false,
        &["bad_grammar", "seq_gap"],
    );
    check(
        format!("{} extra=1\n{END} seq=1 lines=1\n", pass(0)),
        true,
        &["unknown_field"],
    );
    check(
        format!("{}\n{END} seq=1 lines=1\n", pass(0).replace("v=1", "v=2")),
        false,
        &["bad_grammar", "seq_gap"],
    );
    check(
        "running 1 test\ntest a ... begun\n".to_owned(),
        true,
        &["no_outcome"],
    );
}

trait MapToStrings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl MapToStrings for &[&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[test]
fn a_run_that_ended_is_forgotten_and_a_thousand_processes_of_one_run_are_too_many() {
    let pair = format!("{}\n{END} seq=1 lines=1\n", pass(0));
    let twice = read(format!("{pair}{pair}"));
    assert!(twice.complete, "{:?}", twice.diagnostics);
    let after = read(format!("{pair}{}\n", pass(2)));
    let gap = |d: &Diagnostic| {
        matches!(
            d,
            Diagnostic::SeqGap {
                expected: 0,
                found: 2,
                line: 3,
                ..
            }
        )
    };
    assert!(after.diagnostics.iter().any(gap), "{:?}", after.diagnostics);
    let begun = format!("{}\n", pass(0)).repeat(1_001);
    let unfollowed = |scan: &Scan| {
        let lines = scan.diagnostics.iter().filter_map(|d| match d {
            Diagnostic::NoSequence { line, .. } => Some(*line),
            _ => None,
        });
        lines.collect::<Vec<u64>>()
    };
    assert_eq!(unfollowed(&read(&begun)), [1_001]);
    assert!(unfollowed(&read(pair.repeat(2_000))).is_empty());
}

#[test]
fn a_line_of_fifty_megabytes_is_read_in_bounded_memory() {
    let mut scanner = Scanner::new(&CATALOGUE);
    let phrase = "canonical envelope needs 3948937216 B but only 2147483648 B remain";
    let chunk = vec![b'x'; 1 << 16];
    scanner.push(b"before\n");
    for _ in 0..400 {
        scanner.push(&chunk);
    }
    scanner.push(phrase.as_bytes());
    for _ in 0..400 {
        scanner.push(&chunk);
    }
    scanner.push(format!("\n{}\n{END} seq=1 lines=1\n", pass(0)).as_bytes());
    let scan = scanner.finish();
    assert_eq!(
        kinds(&scan),
        [
            ("envelope", 2),
            ("gpu_perdispatch", 3),
            ("telemetry_end", 4)
        ]
    );
    assert_eq!(scan.observations[0].span.start, 7 + 400 * (1 << 16));
    let bytes = 800 * (1 << 16) + phrase.len() as u64;
    assert_eq!(scan.diagnostics, [Diagnostic::LongLine { line: 2, bytes }]);
    assert!(scan.complete);
}

#[test]
fn a_phrase_on_any_cut_between_segments_is_found_once() {
    let phrase = "canonical envelope needs 3 B but only 2 B remain";
    for shift in [0, 1, 20, 8190, 8192, 8200, 9000] {
        let mut log = vec![b'x'; (1 << 20) - shift];
        log.extend_from_slice(phrase.as_bytes());
        log.resize(3 << 20, b'y');
        let found = read(&log);
        assert_eq!(found.counts.get("envelope"), Some(&1), "shift {shift}");
    }
}

#[test]
fn a_tagged_line_too_long_to_hold_is_refused_not_cut() {
    let log = format!("{} {}\n", pass(0), "y".repeat(2 << 20));
    let scan = read(&log);
    assert!(scan.observations.is_empty());
    assert!(
        scan.diagnostics
            .iter()
            .any(|d| matches!(d, Diagnostic::BadGrammar { line: 1, .. }))
    );
}

#[test]
fn a_list_of_hundreds_of_entries_comes_back_whole() {
    let list: Vec<String> = (0..300).map(|n| format!("k{n}:{n}:{n}")).collect();
    let scan = read(pass(0).replace("rms_norm:5:40", &list.join(",")));
    let Value::Buckets(markers::Buckets::Populated(buckets)) =
        &scan.observations[0].fields["shader_buckets"]
    else {
        panic!("no buckets");
    };
    assert_eq!((buckets.len(), buckets[299].name.as_str()), (300, "k299"));
}

#[test]
fn a_window_believes_nothing_before_an_end_of_a_group_it_did_not_see_begin() {
    let log = format!("{}\n##[endgroup]\n{}\n", pass(3), pass(9));
    let mut scanner = Scanner::window(&CATALOGUE, 1_000, 50);
    scanner.push(log.as_bytes());
    let scan = scanner.finish();
    assert_eq!(kinds(&scan), [("gpu_perdispatch", 52)]);
    assert_eq!(
        scan.diagnostics[0],
        Diagnostic::WindowInGroup { line: 51, rows: 1 }
    );
    assert!(scan.observations[0].span.start > 1_000);
}

#[test]
fn observations_can_be_drained_and_have_a_stable_text_form() {
    let mut scanner = Scanner::new(&CATALOGUE);
    scanner.push(format!("{}\n", pass(0)).as_bytes());
    let drained = scanner.take_observations();
    scanner.push(format!("{END} seq=1 lines=1\n").as_bytes());
    let scan = scanner.finish();
    assert_eq!(
        (
            drained.len(),
            scan.observations.len(),
            scan.counts["gpu_perdispatch"]
        ),
        (1, 1, 1)
    );
    let text = serde_json::to_string_pretty(&drained[0]).unwrap();
    assert_eq!(
        serde_json::from_str::<Observation>(&text).unwrap(),
        drained[0]
    );
    insta::assert_snapshot!(text);
}

#[test]
fn bytes_that_are_no_text_are_read_around() {
    let mut log = b"\xff\xfe\x00\x01 garbage \x1b[ \x1b]0;title\x07\n".to_vec();
    log.extend_from_slice(pass(0).as_bytes());
    log.extend_from_slice(b"\n\xff[GPU PERDISPATCH]\n");
    log.extend_from_slice(format!("{END} seq=1 lines=1").as_bytes());
    let scan = read(&log);
    assert_eq!(kinds(&scan), [("gpu_perdispatch", 2), ("telemetry_end", 4)]);
    assert_eq!((scan.lines, scan.bytes), (4, log.len() as u64));
}

/// A line whose rows are known, and one that only looks alike.
fn line() -> impl Strategy<Value = (String, Option<&'static str>)> {
    let stamp = prop_oneof![
        Just(""),
        Just("2025-11-20T09:46:11.1234567Z "),
        Just("\u{feff}")
    ];
    let body = prop_oneof![
        (0_u64..1_000_000, 0_u64..9).prop_map(|(us, pass)| (
            format!("[ARENA PLAN] v=1 run=0a1b2c3d seq=0 requests={pass} peak={us} aliased=1 pinned=1 envelope={us}"),
            Some("arena_plan")
        )),
        (1_u64..9).prop_map(|n| (format!("x canonical envelope needs {n} B but only 0 B remain"), Some("envelope"))),
        Just(("using CPU backend for inference (CUDA fallback)".to_owned(), Some("backend_fallback"))),
        Just(("see [ARENA PLAN] v=1 run=0a1b2c3d seq=0 requests=1 peak=1 aliased=1 pinned=1 envelope=1".to_owned(), None)),
        Just(("[ARENA PLAN] v=1 run=0a1b2c3d seq=0 requests=1 peak=1 aliased=1 pinned=1".to_owned(), None)),
        Just(("[ARENA PLAN]v=1 run=0a1b2c3d seq=0 requests=1 peak=1 aliased=1 pinned=1 envelope=1".to_owned(), None)),
        Just(("canonical envelope needs some B but only 0 B remain".to_owned(), None)),
        Just(("thread 'x' panicked at night".to_owned(), None)),
        "[a-z =:\\[\\]]{0,40}".prop_map(|text| (format!("~{text}"), None)),
    ];
    (stamp, body).prop_map(|(stamp, (body, kind))| (format!("{stamp}{body}"), kind))
}

proptest! {
    #[test]
    fn rows_equal_the_truth_of_a_generator(lines in prop::collection::vec(line(), 0..40)) {
        let log: String = lines.iter().map(|(text, _)| format!("{text}\n")).collect();
        let expected: Vec<(&str, u64)> =
            (1..).zip(&lines).filter_map(|(line, (_, kind))| Some(((*kind)?, line))).collect();
        let scan = read(&log);
        prop_assert_eq!(kinds(&scan), expected);
    }

    #[test]
    fn chunks_of_any_size_give_the_same_scan(
        lines in prop::collection::vec(line(), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(1_usize..50, 1..20),
    ) {
        let mut log: Vec<u8> = lines.iter().flat_map(|(text, _)| format!("{text}\r\n").into_bytes()).collect();
        log.extend_from_slice(&noise);
        let whole = read(&log);
        let mut scanner = Scanner::new(&CATALOGUE);
        let (mut rest, mut cuts) = (log.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            scanner.push(chunk);
            rest = tail;
        }
        prop_assert_eq!(scanner.finish(), whole);
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let scan = read(&bytes);
        prop_assert_eq!(scan.bytes, bytes.len() as u64);
    }

    #[test]
    fn foreign_pairs_never_panic(tail in "(\\PC|[\\[\\]\"=: \\\\*]|v=1|run=|seq=[0-9]|ts=full){0,60}") {
        read(format!("[GPU PERDISPATCH] {tail}\ntest x ... {tail}\nthread '{tail}"));
    }
}

#[test]
fn rows_take_the_path_of_the_block_they_stand_in_until_the_test_ends() {
    let log = "running 2 tests\ntest a ... [GPU SMOKE SINGLE-GRAPH]\n[TOPO] nodes=3\n[TOPO] path=legacy_multi_submit nodes=4\n\
        [GPU SMOKE SINGLE-GRAPH] end\n[TOPO] nodes=5\n[GPU SMOKE SINGLE-GRAPH] begin\nok\ntest b ... [TOPO] nodes=6\nok\n";
    let scan = read(log);
    let rows: Vec<(String, Option<&str>)> = scan
        .observations
        .iter()
        .filter(|row| row.kind == "topo")
        .map(|row| (row.fields["nodes"].to_string(), row.text("path")))
        .collect();
    let expected = [
        ("3", Some("single_graph")),
        ("4", Some("legacy_multi_submit")),
        ("5", None),
        ("6", None),
    ];
    assert_eq!(rows, expected.map(|(nodes, path)| (nodes.to_owned(), path)));
}

#[test]
fn values_with_a_unit_are_read_in_the_unit_of_their_field() {
    let scan = read(
        "[GPU TIMING BREAKDOWN] wait_us=1.5ms submit_us=2us\n[DUAL MODEL] role=a resident=1.5KiB us=3 ns\n\
         [DUAL MODEL] role=a resident=1.0005KiB\n[DUAL MODEL] role=a resident=3ms\n[DUAL MODEL] role=a us=***ms\n",
    );
    let field = |row: usize, name: &str| scan.observations[row].fields[name].to_string();
    assert_eq!(field(0, "wait_us"), "1500");
    assert_eq!(field(0, "submit_us"), "2");
    assert_eq!(field(1, "resident"), "1536");
    assert_eq!(scan.observations[2].fields["us"], Value::Masked);
    assert_eq!(scan.observations.len(), 3);
    let wrong: Vec<u64> = scan
        .diagnostics
        .iter()
        .filter_map(|d| match d {
            Diagnostic::BadGrammar { line, .. } => Some(*line),
            _ => None,
        })
        .collect();
    assert_eq!(wrong, [3, 4]);
}

#[test]
fn a_numbered_line_of_an_unknown_kind_is_no_gap() {
    let log = format!(
        "{}\n[BRAND NEW] v=1 run=0a1b2c3d seq=1 what=ever\n{END} seq=2 lines=2\n",
        pass(0)
    );
    let scan = read(&log);
    assert!(scan.complete, "{:?}", scan.diagnostics);
    let legacy = format!(
        "{}\n[TOPO] v=1 run=0a1b2c3d seq=1 nodes=3\n{END} seq=2 lines=2\n",
        pass(0)
    );
    assert!(read(&legacy).complete);
    assert!(!read(legacy.replace("seq=1 ", "")).complete);
}

#[test]
fn a_margin_says_by_how_many_percent_a_value_is_over_its_limit() {
    let scan =
        read("kl_sym_top5 1.037e-4 against 1e-4: 3.7 % over\nkl_sym_top5=0.5e-4 limit=1e-4\n");
    let margins: Vec<String> = scan
        .observations
        .iter()
        .map(|row| row.fields["margin"].to_string())
        .collect();
    assert_eq!(margins, ["3.7", "-50"]);
}

#[test]
fn rows_given_out_one_by_one_are_those_that_are_kept() {
    let log = format!(
        "running 1 test\ntest a ... {}\n[TOPO] nodes=3\nkl_sym_top5=1e-5 limit=1e-4\nok\n{END} seq=1 lines=1",
        pass(0)
    );
    let kept = read(&log);
    let mut given = Vec::new();
    let mut numbers = 0;
    let mut take = |row: &markers::RowRef<'_>| {
        given.push(row.to_observation());
        row.numbers(|_, number| numbers += u32::from(number.is_some()));
    };
    let mut scanner = Scanner::new(&CATALOGUE);
    scanner.push_each(log.as_bytes(), &mut take);
    let scan = scanner.finish_each(&mut take);
    assert_eq!(given, kept.observations);
    assert_eq!((scan.counts, scan.complete), (kept.counts, kept.complete));
    assert_eq!(numbers, 1 + 11 + 1 + 2 + 3);
}

/// The builtin catalogue with a file more, or with one changed.
fn changed(add: Option<(&str, &str)>, edit: Option<(&str, &str, &str)>) -> Catalogue {
    let mut files: Vec<(String, String)> = markers::BUILTIN_FILES
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    if let Some((name, from, to)) = edit {
        let file = files.iter_mut().find(|(file, _)| file == name).unwrap();
        assert!(file.1.contains(from), "{from}");
        file.1 = file.1.replacen(from, to, 1);
    }
    files.extend(add.map(|(name, text)| (name.to_owned(), text.to_owned())));
    Catalogue::load(files.iter().map(|(n, t)| (n.as_str(), t.as_str()))).unwrap()
}

const OVEN: &str = "name = \"oven\"\ntitle = \"t\"\nowner = \"o\"\ntag = \"[OVEN]\"\n\n[[field]]\nname = \"heat\"\ntype = \"int\"\n\n\
    [[match]]\nlog = \"[OVEN] heat=7\"\n\n[[not_match]]\nlog = \"[OVEN]\"\nwhy = \"no heat\"\n";

#[test]
fn a_new_kind_is_answered_without_the_log_where_its_tag_began_no_line() {
    let known = CATALOGUE.files();
    let with_oven = changed(Some(("oven.toml", OVEN)), None);
    let log = format!("{}\n[BRAND NEW] x\n{END} seq=1 lines=1\n", pass(0));
    let scan = read(&log);
    let carried = scan.under(&with_oven, known).unwrap();
    assert_eq!(carried, markers::scan(&with_oven, log.as_bytes()));
    // The tag began a line, so the log must be read.
    assert!(
        read(format!("{log}[OVEN] heat=7\n"))
            .under(&with_oven, known)
            .is_none()
    );
    assert!(
        read(format!("{log}test x ... [OVEN] heat=7\n"))
            .under(&with_oven, known)
            .is_none()
    );
    // In prose it did not.
    let prose = format!("{log}see [OVEN] heat=7\n");
    assert_eq!(
        read(&prose).under(&with_oven, known).unwrap(),
        markers::scan(&with_oven, prose.as_bytes())
    );
    // A phrase may stand anywhere.
    let phrase = OVEN.replace(
        "tag = \"[OVEN]\"",
        "[[form]]\ntext = \"[OVEN] heat={heat}\"\nplace = \"anywhere\"",
    );
    assert!(
        scan.under(&changed(Some(("oven.toml", &phrase)), None), known)
            .is_none()
    );
    // A kind that is read another way: only where it never came.
    let edit = Some(("hazard.toml", "name = \"op\"", "name = \"operation\""));
    assert!(scan.under(&changed(None, edit), known).is_some());
    let edit = Some((
        "gpu_perdispatch.toml",
        "what one pass submitted",
        "what a pass submitted",
    ));
    assert!(scan.under(&changed(None, edit), known).is_none());
    // A kind that is gone: only where it never came.
    assert!(scan.under(&CATALOGUE, with_oven.files()).is_some());
}

#[test]
fn the_slope_of_waiting_over_noops_tells_overhead_from_work() {
    let cell = |noops: u64, wait: &str| {
        let log = format!(
            "[GPU TIMING BREAKDOWN] path=single_graph phase=decode noops={noops} wait_us={wait}\n\
             [GPU TIMING BREAKDOWN] path=single_graph phase=prefill noops=0 wait_us=5\n"
        );
        read(log).into_cell("c")
    };
    let cells = [cell(0, "100"), cell(50, "175.5"), cell(100, "250")];
    let slopes = markers::slopes(&cells, "timing_breakdown", "noops", "wait_us");
    assert_eq!(slopes.len(), 1, "a single step has no slope: {slopes:?}");
    assert_eq!(
        (
            slopes[0].slope.to_string().as_str(),
            slopes[0].rows,
            slopes[0].steps
        ),
        ("1.5", 3, 3)
    );
    assert_eq!(slopes[0].of["phase"], "decode");
    let falling = [cell(0, "100"), cell(100, "90")];
    let slopes = markers::slopes(&falling, "timing_breakdown", "noops", "wait_us");
    assert_eq!(slopes[0].slope.to_string(), "-0.1");
}
