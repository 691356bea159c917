//! The prediction grammar: text to tree and back, errors that help, and three-valued grading.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::sync::LazyLock;

use markers::{
    Catalogue, CellObservations, Cells, Decimal, FieldPath, Filter, Literal, Op, Predicate,
    Quantifier, Selector, Tolerance, Truth, Unit, Verdict, evaluate, scan,
};
use proptest::prelude::*;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

fn cell(name: &str, log: &str) -> CellObservations {
    scan(&CATALOGUE, log.as_bytes()).into_cell(name)
}

fn grade(text: &str, cells: &[CellObservations]) -> Verdict {
    evaluate(&text.parse().unwrap(), &CATALOGUE, cells)
}

fn backend() -> String {
    "[BACKEND] v=1 run=0a1b2c3d seq=0 backend=vulkan device=\"llvmpipe (LLVM 15)\" driver=x api=1.3.230 cpu_fallback=false mode=GpuSingleGraph\n".to_owned()
}

fn pass(seq: u64, path: &str, cb_us: &str, full: bool) -> String {
    let tail = if full {
        "sum_us=880 gap_us=33 ts=full shader_buckets=[rms_norm:5:40,matvec_f32:15:700]"
    } else {
        "sum_us=n/a gap_us=n/a ts=summary shader_buckets=disabled(mode=summary)"
    };
    format!(
        "[GPU PERDISPATCH] v=1 run=0a1b2c3d seq={seq} role=target path={path} phase=decode pass={seq} submits=1 dispatches=31 barriers=14 cb_us={cb_us} {tail}\n"
    )
}

fn end(seq: u64) -> String {
    format!("[TELEMETRY END] v=1 run=0a1b2c3d seq={seq} lines={seq}\n")
}

/// A complete cell in full mode and one in summary mode.
fn cells() -> Vec<CellObservations> {
    let log = |full| {
        "running 1 test\n".to_owned()
            + "test gpu_x ... "
            + &backend()
            + &pass(1, "single_graph", "900", full)
            + &pass(2, "legacy_multi_submit", "1100", full)
            + &end(3)
            + "ok\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s\n"
    };
    vec![
        cell("noop-0-summary", &log(false)),
        cell("noop-0-full", &log(true)),
    ]
}

#[test]
fn predicates_are_graded() {
    use Truth::{Fails, Holds, NotObservable};
    let cells = cells();
    let check = |text: &str, expect: Truth| {
        let verdict = grade(text, &cells);
        assert_eq!(verdict.truth, expect, "{text}: {}", verdict.why);
        assert_eq!(verdict.predicate, text, "prints as written");
    };
    check("gpu_perdispatch.submits == 1", Holds);
    check("gpu_perdispatch.submits == 2", Fails);
    check(
        "all gpu_perdispatch{path=single_graph}.cb_us <= 900us @*",
        Holds,
    );
    check("gpu_perdispatch{path=single_graph}.cb_us < 0.9ms", Fails);
    check(
        "gpu_perdispatch{path=single_graph}.cb_us < 0.9ms ±1us",
        Holds,
    );
    check("gpu_perdispatch{path=single_graph}.cb_us > 900", Fails);
    check("gpu_perdispatch{path=single_graph}.cb_us >= 900.0", Holds);
    check("gpu_perdispatch{path=single_graph}.cb_us != 900", Fails);
    check("gpu_perdispatch.cb_us == 1000 ±10%", Holds);
    check("gpu_perdispatch.cb_us == 1000 ±9.99%", Fails);
    check("gpu_perdispatch.cb_us == 1ms ±100us", Holds);
    check("gpu_perdispatch.cb_us != 1ms ±100us", Fails);
    check("gpu_perdispatch.cb_us == 1000 ±0.1ms", Holds);
    check("any gpu_perdispatch.cb_us > 1000", Holds);
    check("any gpu_perdispatch.cb_us > 2000", Fails);
    check(
        "gpu_perdispatch{path=single_graph,phase=decode}.dispatches >= 31",
        Holds,
    );
    check(
        "gpu_perdispatch{phase=prefill}.dispatches >= 1",
        NotObservable,
    );
    check("gpu_perdispatch{test=gpu_x}.dispatches == 31", Holds);
    check(
        "gpu_perdispatch{test=other}.dispatches == 31",
        NotObservable,
    );
    check(
        "gpu_perdispatch.shader_buckets.rms_norm.count >= 1 @noop-0-full",
        Holds,
    );
    check(
        "gpu_perdispatch.shader_buckets.rms_norm.count >= 1 @noop-0-summary",
        NotObservable,
    );
    check(
        "gpu_perdispatch.shader_buckets.rms_norm.count >= 1",
        NotObservable,
    );
    check(
        "gpu_perdispatch.shader_buckets.delta_net.count >= 1 @noop-0-full",
        Fails,
    );
    check(
        "gpu_perdispatch.shader_buckets.delta_net.count == 0 @noop-0-full",
        Holds,
    );
    check(
        "gpu_perdispatch.shader_buckets.matvec_f32.us <= 0.7ms @noop-0-full",
        Holds,
    );
    check(
        "gpu_perdispatch.shader_buckets.len == 2 @noop-0-full",
        Holds,
    );
    check(
        "gpu_perdispatch.shader_buckets == populated @noop-0-full",
        Holds,
    );
    check(
        "gpu_perdispatch.shader_buckets == populated @noop-0-summary",
        NotObservable,
    );
    check(
        "gpu_perdispatch.sum_us < 1000 @noop-0-summary",
        NotObservable,
    );
    check("gpu_perdispatch{ts=full}.sum_us < 1000 @noop-0-full", Holds);
    check("backend.cpu_fallback == false", Holds);
    check("backend.device == \"llvmpipe (LLVM 15)\"", Holds);
    check("backend.mode != GpuSingleGraph", Fails);
    check("backend{run=0a1b2c3d}.api == 1.3.230", Holds);
    check("present backend{backend=vulkan}", Holds);
    check("present backend{backend=cpu}", Fails);
    check("absent backend{backend=cpu}", Holds);
    check("absent backend", Fails);
    check("absent first_divergence", Holds);
    check("absent first_divergence{kind=nan} @noop-0-full", Holds);
    check("count cargo_test{outcome=ok} >= 1", Holds);
    check("count cargo_test{outcome=ok} == 2", Fails);
    check("count gpu_perdispatch{} == 2", Holds);
    check("count envelope == 0", Holds);
    check("cargo_summary.seconds <= 1500ms", Holds);
    check("present backend @noop-50-full", NotObservable);
    check("first_divergence.gpu != nan", NotObservable);
}

#[test]
fn what_a_cell_could_not_have_shown_is_not_observable() {
    let check = |log: &str, text: &str, expect: Truth, why: &str| {
        let verdict = grade(text, &[cell("c", log)]);
        assert_eq!(verdict.truth, expect, "{text}: {}", verdict.why);
        assert!(verdict.why.contains(why), "{text}: {}", verdict.why);
    };
    let cut = backend() + &pass(1, "single_graph", "900", true);
    let broken = "error: could not compile `engine` (lib) due to 1 previous error\n";
    check(
        broken,
        "absent first_divergence",
        Truth::NotObservable,
        "no gpu_perdispatch",
    );
    check(
        broken,
        "count cargo_test{outcome=ok} == 0",
        Truth::NotObservable,
        "no cargo_running",
    );
    check(
        broken,
        "present cargo_test",
        Truth::NotObservable,
        "no cargo_running",
    );
    check(broken, "absent build_error", Truth::Fails, "1 rows");
    check(
        &cut,
        "absent first_divergence",
        Truth::NotObservable,
        "incomplete",
    );
    check(
        &cut,
        "gpu_perdispatch.cb_us < 1000",
        Truth::NotObservable,
        "incomplete",
    );
    check(
        &cut,
        "gpu_perdispatch.cb_us > 1000",
        Truth::Fails,
        "10.0 % under",
    );
    check(
        &cut,
        "any gpu_perdispatch.cb_us < 1000",
        Truth::Holds,
        "1 of 1",
    );
    check(
        &cut,
        "any gpu_perdispatch.cb_us > 1000",
        Truth::NotObservable,
        "incomplete",
    );
    check(&cut, "count gpu_perdispatch >= 1", Truth::Holds, "1 rows");
    check(&cut, "count gpu_perdispatch <= 0", Truth::Fails, "1 rows");
    check(
        &cut,
        "count gpu_perdispatch == 1",
        Truth::NotObservable,
        "incomplete",
    );
    check(&cut, "count gpu_perdispatch != 0", Truth::Holds, "1 rows");
    check(&cut, "present gpu_perdispatch", Truth::Holds, "1 rows");
    let masked = backend() + &pass(1, "single_graph", "9***0", true) + &end(2);
    check(
        &masked,
        "gpu_perdispatch.cb_us < 1000",
        Truth::NotObservable,
        "masked",
    );
    check(
        &masked,
        "present gpu_perdispatch{cb_us=900}",
        Truth::NotObservable,
        "masked",
    );
    check(
        &masked,
        "absent gpu_perdispatch{cb_us=900}",
        Truth::NotObservable,
        "masked",
    );
    check(
        &masked,
        "count gpu_perdispatch{cb_us=900} == 1",
        Truth::NotObservable,
        "may be meant",
    );
    check(
        &masked,
        "count gpu_perdispatch{cb_us=900} <= 1",
        Truth::Holds,
        "0 rows",
    );
    check(
        &masked,
        "present gpu_perdispatch{cb_us=900,path=legacy_multi_submit}",
        Truth::Fails,
        "no row",
    );
    assert_eq!(grade("present backend", &[]).truth, Truth::NotObservable);
}

#[test]
fn lists_are_compared_whole_by_item_and_by_length() {
    let file = "name = \"top\"\ntitle = \"t\"\nowner = \"o\"\ntag = \"TOP\"\n\
        [[field]]\nname = \"ids\"\ntype = \"int_list\"\n[[field]]\nname = \"names\"\ntype = \"text_list\"\noptional = true\n\
        [[match]]\nlog = \"TOP ids=[3, 1,2] names=[a,b]\"\nfields = { ids = \"[3,1,2]\" }\n\
        [[not_match]]\nlog = \"TOP ids=[3,x]\"\nwhy = \"`x` is no number\"\n";
    let catalogue = Catalogue::with_project([("top.toml", file)]).unwrap();
    let cells = [scan(&catalogue, b"TOP ids=[3,1,2] names=[a,b]\n").into_cell("c")];
    let check = |text: &str, expect: Truth| {
        let verdict = evaluate(&text.parse().unwrap(), &catalogue, &cells);
        assert_eq!(verdict.truth, expect, "{text}: {}", verdict.why);
    };
    check("top.ids == [3,1,2]", Truth::Holds);
    check("top.ids == [3,1]", Truth::Fails);
    check("top.ids != [1,2,3]", Truth::Holds);
    check("top.ids.0 >= 3", Truth::Holds);
    check("top.ids.2 == 3", Truth::Fails);
    check("top.ids.3 == 1", Truth::NotObservable);
    check("top.ids.len == 3", Truth::Holds);
    check("top.names.1 == b", Truth::Holds);
    check("present top{names=[a,b]}", Truth::Holds);
    check("top.ids == [3us,1,2]", Truth::NotObservable);
    check("top.ids < [9]", Truth::NotObservable);
}

#[test]
fn units_convert_exactly() {
    let log = "canonical envelope needs 3221225472 B but only 2000000000 B remain\n";
    let check = |text: &str, expect: Truth| {
        let verdict = grade(text, &[cell("c", log)]);
        assert_eq!(verdict.truth, expect, "{text}: {}", verdict.why);
    };
    for text in [
        "3GiB",
        "3072MiB",
        "3145728KiB",
        "3221225472B",
        "3221225472",
        "3.221225472GB",
        "3221.225472MB",
    ] {
        check(&format!("envelope.needed == {text}"), Truth::Holds);
    }
    check("envelope.needed == 3221225.472kB", Truth::Holds);
    check("envelope.needed == 3GB", Truth::Fails);
    check("envelope.remaining == 2GiB ±140MiB", Truth::Fails);
    check("envelope.remaining == 2GiB ±141MiB", Truth::Holds);
    let log = backend() + &pass(1, "single_graph", "1500", true) + &end(2);
    for text in ["1500us", "1.5ms", "0.0015s", "1500000ns"] {
        assert_eq!(
            grade(
                &format!("gpu_perdispatch.cb_us == {text}"),
                &[cell("c", &log)]
            )
            .truth,
            Truth::Holds,
            "{text}"
        );
    }
}

#[test]
fn floats_that_are_no_numbers_are_compared_as_what_they_are() {
    let row = |gpu: &str| {
        format!(
            "FIRST_DIVERGENCE v=1 run=0a1b2c3d seq=0 path=single_graph phase=prefill pass=0 layer=0 tensor_stage=a kind=nan cpu=1.5e-4 gpu={gpu} op=b dispatched=true inputs_ok=true\n{}",
            end(1)
        )
    };
    let check = |gpu: &str, text: &str, expect: Truth| {
        assert_eq!(
            grade(text, &[cell("c", &row(gpu))]).truth,
            expect,
            "{gpu}: {text}"
        );
    };
    check("NaN", "first_divergence.gpu == nan", Truth::Holds);
    check("NaN", "first_divergence.gpu != 0", Truth::Holds);
    check("NaN", "first_divergence.gpu < 1e30", Truth::Fails);
    check("0", "first_divergence.gpu == nan", Truth::Fails);
    check("0", "first_divergence.gpu != nan", Truth::Holds);
    check("inf", "first_divergence.gpu > 1e300", Truth::Holds);
    check("-inf", "first_divergence.gpu < -1e300", Truth::Holds);
    check("-inf", "first_divergence.gpu == inf", Truth::Fails);
    check("n/a", "first_divergence.gpu == 0", Truth::NotObservable);
    check("1", "first_divergence.cpu == 0.00015", Truth::Holds);
    check("1", "first_divergence.inputs_ok == true", Truth::Holds);
}

#[test]
fn a_verdict_names_rows_values_and_margins() {
    let log = "kl_sym_top5=1.037e-4 limit=1e-4 position=12\n";
    let verdict = grade("kl_top5.value <= 1e-4", &[cell("c", log)]);
    assert_eq!(verdict.truth, Truth::Fails);
    assert_eq!(verdict.catalogue, CATALOGUE.digest());
    let text = serde_json::to_string_pretty(&verdict)
        .unwrap()
        .replace(CATALOGUE.digest(), "sha256:…");
    insta::assert_snapshot!(text);
    assert_eq!(
        serde_json::from_str::<Verdict>(&serde_json::to_string(&verdict).unwrap()).unwrap(),
        verdict
    );
}

#[test]
fn a_flood_of_rows_keeps_those_that_decide() {
    let mut log = backend();
    for seq in 1..=200 {
        log += &pass(
            seq,
            "single_graph",
            if seq == 150 { "2000" } else { "900" },
            true,
        );
    }
    let verdict = grade(
        "gpu_perdispatch.cb_us < 1000",
        &[cell("c", &(log + &end(201)))],
    );
    assert_eq!(
        (verdict.cells[0].rows, verdict.cells[0].observed.len()),
        (200, 64)
    );
    assert_eq!(verdict.cells[0].observed[0].truth, Truth::Fails);
    assert_eq!(verdict.cells[0].observed[0].line, 151);
}

#[test]
fn syntax_errors_name_the_column_and_what_was_expected() {
    let check = |text: &str, column: usize, expected: &str| match text.parse::<Predicate>() {
        Err(markers::Error::Syntax {
            column: at,
            expected: what,
            ..
        }) => {
            assert_eq!(at, column, "{text}: {what}");
            assert!(what.contains(expected), "{text}: {what}");
        }
        other => panic!("{text}: {other:?}"),
    };
    check("", 1, "marker");
    check("Backend.x == 1", 1, "marker");
    check("backend", 8, ".field");
    check("backend.cpu_fallback", 21, "==");
    check("backend.cpu_fallback = false", 22, "==");
    check("backend.cpu_fallback ==", 24, "a value");
    check(
        "backend.cpu_fallback == false maybe",
        31,
        "±tolerance, @cell or the end",
    );
    check("backend.cpu_fallback == false ±x", 32, "tolerance");
    check("backend.cpu_fallback == false ±-1", 32, "tolerance");
    check("gpu_perdispatch.cb_us == 1 ±5us%", 32, "@cell or the end");
    check("backend.cpu_fallback == false @", 32, "cell name");
    check("backend.cpu_fallback == false @a b", 34, "the end");
    check("backend{mode}.x == 1", 13, "`=`");
    check("backend{mode==x}.x == 1", 13, "`=`");
    check("backend{mode=x.y == 1", 18, "`}`");
    check("backend.x == \"open", 19, "closing");
    check("backend.x == [1,2", 18, "`]`");
    check("backend.x == [[[[[1]]]]]", 18, "flatter");
    check("count backend", 14, "==");
    check("count backend >= 1.5", 19, "@cell or the end");
    check("count backend >= 01", 18, "whole number");
    check("count backend >= many", 18, "whole number");
    check("present all", 9, "marker");
    check("present backend.mode", 16, "@cell or the end");
    check("backend.x == \"ü\" ±", 19, "tolerance");
    check(&"x".repeat(5_000), 1, "4096 bytes");
}

#[test]
fn names_and_types_that_do_not_fit_are_refused_with_the_nearest() {
    let check = |text: &str, expect: &str| {
        let error = Predicate::parse_checked(text, &CATALOGUE)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expect), "{text}: {error}");
        let predicate: Predicate = text.parse().unwrap();
        assert_eq!(
            evaluate(&predicate, &CATALOGUE, &cells()).truth,
            Truth::NotObservable
        );
    };
    check(
        "present gpu_per_dispatch",
        "did you mean `gpu_perdispatch`?",
    );
    check("gpu_perdispatch.cbus == 1", "did you mean `cb_us`?");
    check("present gpu_perdispatch{pth=x}", "did you mean `path`?");
    check(
        "present gpu_perdispatch{path=single}",
        "did you mean `single_graph`?",
    );
    check("gpu_perdispatch.cb_us == 3B", "measured in us");
    check("gpu_perdispatch.pass == 3us", "has no unit");
    check("gpu_perdispatch.cb_us == 3 ±1B", "measured in us");
    check("gpu_perdispatch.cb_us == fast", "holds a number");
    check("backend.cpu_fallback == 0", "true or false");
    check("backend.cpu_fallback < true", "compare it with == or !=");
    check("backend.mode == x ±1", "tolerance");
    check("gpu_perdispatch.cb_us.us == 1", "no parts");
    check(
        "gpu_perdispatch.shader_buckets.rms_norm == 1",
        ".NAME.count",
    );
    check("gpu_perdispatch.shader_buckets == full", "populated");
    check("backend.mode == [a]", "not the list");
}

fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_]{0,8}".prop_filter("keywords open a predicate", |name| {
        !["all", "any", "present", "absent", "count"].contains(&name.as_str())
    })
}

fn decimal() -> impl Strategy<Value = Decimal> {
    "[0-9]{1,6}(\\.[0-9]{1,6})?(e-?[0-9]{1,2})?".prop_map(|text| text.parse().unwrap())
}

fn unit() -> impl Strategy<Value = Option<Unit>> {
    prop::option::of(prop::sample::select(Unit::ALL.to_vec()))
}

fn literal() -> impl Strategy<Value = Literal> {
    let leaf = prop_oneof![
        (decimal(), unit()).prop_map(|(value, unit)| Literal::Number { value, unit }),
        "[A-Za-z_/:][A-Za-z_/:.-]{0,8}".prop_map(Literal::Word),
        "\\PC{0,12}".prop_map(Literal::Quoted),
    ];
    leaf.prop_recursive(2, 8, 4, |item| {
        prop::collection::vec(item, 0..4).prop_map(Literal::List)
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    let filter = (name(), literal()).prop_map(|(field, value)| Filter { field, value });
    (
        name(),
        prop::option::of(prop::collection::vec(filter, 0..3)),
    )
        .prop_map(|(marker, filters)| Selector { marker, filters })
}

fn op() -> impl Strategy<Value = Op> {
    prop::sample::select(vec![Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge])
}

fn some_cells() -> impl Strategy<Value = Option<Cells>> {
    prop::option::of(prop_oneof![
        Just(Cells::Every),
        "[a-z0-9_.-]{1,12}".prop_map(Cells::One)
    ])
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let quantifier = prop::option::of(prop::sample::select(vec![Quantifier::All, Quantifier::Any]));
    let field = (name(), prop::collection::vec("[A-Za-z0-9_-]{1,6}", 0..3));
    let tolerance = prop::option::of(prop_oneof![
        (decimal(), unit()).prop_map(|(value, unit)| Tolerance::Absolute { value, unit }),
        decimal().prop_map(Tolerance::Percent),
    ]);
    prop_oneof![
        (
            quantifier,
            selector(),
            field,
            op(),
            literal(),
            tolerance,
            some_cells()
        )
            .prop_map(
                |(quantifier, selector, (field, path), op, value, tolerance, cells)| {
                    Predicate::Compare {
                        quantifier,
                        selector,
                        field: FieldPath { field, path },
                        op,
                        value,
                        tolerance,
                        cells,
                    }
                }
            ),
        (any::<bool>(), selector(), some_cells()).prop_map(|(present, selector, cells)| {
            Predicate::Presence {
                present,
                selector,
                cells,
            }
        }),
        (selector(), op(), any::<u64>(), some_cells()).prop_map(|(selector, op, count, cells)| {
            Predicate::Count {
                selector,
                op,
                count,
                cells,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_and_prints_the_same(predicate in predicate()) {
        let text = predicate.to_string();
        let read: Predicate = text.parse().map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(&read, &predicate);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn foreign_text_never_panics(text in "(\\PC|[a-z_]{1,8}|[{}.=<>±@*%\" \\[\\],]|present |count |all ){0,30}") {
        if let Ok(predicate) = text.parse::<Predicate>() {
            let printed = predicate.to_string();
            prop_assert_eq!(printed.parse::<Predicate>().unwrap(), predicate);
        }
    }

    #[test]
    fn slack_only_ever_turns_a_failure_into_a_success(value in 0_u64..2_000, bound in 0_u64..2_000, slack in 0_u64..500, op in op()) {
        prop_assume!(op != Op::Ne);
        let log = backend() + &pass(1, "single_graph", &value.to_string(), true) + &end(2);
        let cells = [cell("c", &log)];
        let strict = grade(&format!("gpu_perdispatch.cb_us {op} {bound}"), &cells).truth;
        let loose = grade(&format!("gpu_perdispatch.cb_us {op} {bound} ±{slack}us"), &cells).truth;
        prop_assert!(strict != Truth::Holds || loose == Truth::Holds);
        let widest = grade(&format!("gpu_perdispatch.cb_us {op} {bound} ±{}us", value.abs_diff(bound) + 1), &cells).truth;
        prop_assert_eq!(widest, Truth::Holds);
    }
}
