//! What the engine prints is what the catalogue reads: every marker, field by field, with units.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use engine::EngineError;
use engine::telemetry::{ForwardProfile, Marker, PathDistance, SingleGraphBlock, Telemetry};
use engine::vk::VkError;
use markers::{Buckets, Catalogue, Decimal, FieldType, Observation, Unit, Value};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use serde_json::{Map, Value as Json, json};

/// Fields that the envelope or the reader adds.
const NOT_PRINTED: &[&str] = &["v", "run", "seq", "margin"];

/// Fields whose numbers have a unit, as their documentation says.
const UNITS: &[(&str, &str, Unit)] = &[
    ("[GPU PERDISPATCH]", "cb_us", Unit::Us),
    ("[GPU PERDISPATCH]", "sum_us", Unit::Us),
    ("[GPU PERDISPATCH]", "gap_us", Unit::Us),
    ("[GPU TIMING BREAKDOWN]", "record_us", Unit::Us),
    ("[GPU TIMING BREAKDOWN]", "wait_us", Unit::Us),
    ("[GPU TIMING BREAKDOWN]", "total_us", Unit::Us),
    ("[DUAL MODEL]", "us", Unit::Us),
    ("[DUAL MODEL]", "resident", Unit::B),
    ("[LAYER PROFILE]", "us", Unit::Us),
    ("[LOGITS PROFILE]", "us", Unit::Us),
    ("[ARENA PLAN]", "peak", Unit::B),
    ("[ARENA PLAN]", "envelope", Unit::B),
    ("[ARENA PLAN]", "saved", Unit::B),
    ("[HAZARD]", "bytes", Unit::B),
];

/// Fields that may hold nothing or what the mode cannot know.
const MAY_BE_UNKNOWN: &[(&str, &str)] = &[
    ("[GPU PERDISPATCH]", "cb_us"),
    ("[LAYER PROFILE]", "layer"),
    ("[LAYER PROFILE]", "us"),
    ("[LOGITS PROFILE]", "us"),
    ("[WORKER EXIT]", "code"),
    ("[WORKER EXIT]", "signal"),
];

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

/// The catalogue's marker of a tag. `[FA CORRECT]` is read by its forms, because others print it in other ways.
fn kind(tag: &str) -> markers::Marker {
    let found = CATALOGUE.markers().iter().find(|marker| {
        marker.tag.as_deref() == Some(tag) || (tag == "[FA CORRECT]" && marker.name == "fa_correct")
    });
    found
        .unwrap_or_else(|| panic!("no marker reads {tag}"))
        .clone()
}

fn text(values: &[String]) -> BoxedStrategy<Json> {
    if !values.is_empty() {
        return select(values.to_vec()).prop_map(Json::from).boxed();
    }
    let readable = |text: &String| text != "n/a" && !text.contains("***");
    "[a-z_]{1,12}|[a-z]{1,4}[,;]|[ -~äλ]{0,24}"
        .prop_filter("words that mean something else", readable)
        .prop_map(Json::from)
        .boxed()
}

fn float() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<f32>().prop_filter("finite", |v| v.is_finite()),
        -100f32..100.0,
        Just(0.0),
    ]
}

fn field(tag: &'static str, field: &markers::Field) -> BoxedStrategy<Json> {
    let known = match field.kind {
        FieldType::Int => (0..u64::from(u32::MAX >> 1)).prop_map(Json::from).boxed(),
        // The engine counts whole microseconds.
        FieldType::Decimal if field.unit == Some(Unit::Us) => {
            (0..u64::from(u32::MAX)).prop_map(Json::from).boxed()
        }
        FieldType::Decimal => float().prop_map(|v| json!(v)).boxed(),
        FieldType::Bool => any::<bool>().prop_map(Json::from).boxed(),
        FieldType::Text => text(&field.values),
        FieldType::IntList => prop::collection::vec(any::<u32>(), 0..6)
            .prop_map(|v| json!(v))
            .boxed(),
        other => panic!("the engine prints no {other:?}"),
    };
    if MAY_BE_UNKNOWN.contains(&(tag, field.name.as_str())) {
        return prop_oneof![Just(Json::Null), known].boxed();
    }
    known
}

fn timing() -> impl Strategy<Value = Json> {
    let bucket = ("[a-z_0-9]{1,16}", 0u64..1000, 0u64..1_000_000)
        .prop_map(|(name, count, us)| json!({"name": name, "count": count, "us": us}));
    let full = (0u64..1_000_000, 0u64..1000, prop::collection::vec(bucket, 0..4)).prop_map(
        |(sum_us, gap_us, buckets)| {
            json!({"ts": "full", "sum_us": sum_us, "gap_us": gap_us, "buckets": buckets})
        },
    );
    prop_oneof![Just(json!({"ts": "summary"})), full]
}

/// Fields of a marker as JSON, made from what the catalogue says about them.
fn fields(tag: &'static str) -> BoxedStrategy<Map<String, Json>> {
    let kind = kind(tag);
    let of_timing = ["ts", "sum_us", "gap_us", "shader_buckets"];
    let pass = tag == "[GPU PERDISPATCH]";
    let mut all: Vec<(String, BoxedStrategy<Json>)> = kind
        .fields
        .iter()
        .filter(|f| !NOT_PRINTED.contains(&f.name.as_str()))
        .filter(|f| !(pass && of_timing.contains(&f.name.as_str())))
        .map(|f| (f.name.clone(), field(tag, f)))
        .collect();
    if pass {
        all.push(("timing".into(), timing().boxed()));
    }
    let (names, strategies): (Vec<String>, Vec<_>) = all.into_iter().unzip();
    strategies
        .prop_map(move |values| names.iter().cloned().zip(values).collect())
        .boxed()
}

fn any_marker() -> impl Strategy<Value = (Marker, &'static str)> {
    select(Marker::TAGS).prop_flat_map(|tag| {
        fields(tag).prop_map(move |fields| {
            let read = Marker::from_fields(tag, Json::Object(fields.clone())).unwrap();
            let marker = read.unwrap_or_else(|e| panic!("{tag} has other fields: {e}: {fields:?}"));
            (marker, tag)
        })
    })
}

/// The one row that a printed marker is read as, and the catalogue's name for it.
fn read_back(marker: &Marker) -> Observation {
    let mut out = Vec::new();
    let mut telemetry = Telemetry::new(&mut out);
    telemetry.emit(marker).unwrap();
    telemetry.end_run().unwrap();
    let line = String::from_utf8_lossy(&out).into_owned();
    let scan = markers::scan(&CATALOGUE, &out);
    assert_eq!(scan.diagnostics, [], "{line}");
    assert!(scan.complete, "{line}");
    let name = kind(marker.tag()).name;
    let mut rows = scan.observations.into_iter().filter(|row| row.kind == name);
    rows.next().unwrap_or_else(|| panic!("no {name} in {line}"))
}

fn check_number(json: &Json, value: &Value, whole: bool, name: &str) {
    let printed = match json.as_u64() {
        Some(number) if whole => number.to_string(),
        _ => (json.as_f64().unwrap() as f32).to_string(),
    };
    let wanted: Decimal = printed.parse().unwrap();
    assert_eq!(value, &Value::Number(wanted), "{name}");
}

fn check(json: &Json, value: &Value, name: &str) {
    match (json, value) {
        (Json::Null, Value::NotAvailable | Value::Nothing) => {}
        (Json::Bool(a), Value::Bool(b)) => assert_eq!(a, b, "{name}"),
        (Json::String(a), Value::Text(b)) => assert_eq!(a, b, "{name}"),
        (Json::Number(number), Value::Number(_)) => {
            check_number(json, value, number.is_u64(), name);
        }
        (Json::Array(a), Value::List(b)) => {
            assert_eq!(a.len(), b.len(), "{name}");
            for (a, b) in a.iter().zip(b) {
                check_number(a, b, true, name);
            }
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn check_timing(timing: &Json, row: &Observation) {
    assert_eq!(row.text("ts"), timing["ts"].as_str());
    if timing["ts"] == "summary" {
        assert_eq!(row.fields["sum_us"], Value::NotAvailable);
        assert_eq!(row.fields["gap_us"], Value::NotAvailable);
        let disabled = Buckets::Disabled("mode=summary".into());
        assert_eq!(row.fields["shader_buckets"], Value::Buckets(disabled));
        return;
    }
    check(&timing["sum_us"], &row.fields["sum_us"], "sum_us");
    check(&timing["gap_us"], &row.fields["gap_us"], "gap_us");
    let wanted = timing["buckets"].as_array().unwrap();
    match &row.fields["shader_buckets"] {
        Value::Buckets(Buckets::Empty) => assert!(wanted.is_empty()),
        Value::Buckets(Buckets::Populated(buckets)) => {
            assert_eq!(buckets.len(), wanted.len());
            for (bucket, wanted) in buckets.iter().zip(wanted) {
                assert_eq!(bucket.name, wanted["name"].as_str().unwrap());
                check(
                    &wanted["count"],
                    &Value::Number(bucket.count.clone()),
                    "count",
                );
                check(&wanted["us"], &Value::Number(bucket.us.clone()), "us");
            }
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn what_is_printed_is_what_is_read((marker, tag) in any_marker()) {
        let row = read_back(&marker);
        let printed = serde_json::to_value(&marker).unwrap();
        let mut seen: BTreeSet<&str> = NOT_PRINTED.iter().copied().collect();
        for (name, json) in printed.as_object().unwrap() {
            if name == "timing" {
                check_timing(json, &row);
                seen.extend(["ts", "sum_us", "gap_us", "shader_buckets"]);
                continue;
            }
            let value = row.fields.get(name);
            check(json, value.unwrap_or_else(|| panic!("{tag} {name} is not read")), name);
            seen.insert(name);
        }
        let surplus: Vec<_> = row.fields.keys().filter(|key| !seen.contains(key.as_str())).collect();
        prop_assert!(surplus.is_empty(), "{tag} {surplus:?}");
    }
}

#[test]
fn units_are_the_same_on_both_sides() {
    let mut wanted: BTreeSet<(&str, String, String)> = BTreeSet::new();
    let mut found = BTreeSet::new();
    for (tag, field, unit) in UNITS {
        wanted.insert((tag, (*field).to_owned(), format!("{unit:?}")));
    }
    for tag in Marker::TAGS {
        let printed = printed_fields(tag);
        for field in kind(tag).fields {
            if let (Some(unit), true) = (field.unit, printed.contains(&field.name)) {
                found.insert((*tag, field.name, format!("{unit:?}")));
            }
        }
    }
    assert_eq!(found, wanted);
}

/// Names of the fields that a marker prints.
fn printed_fields(tag: &'static str) -> BTreeSet<String> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = fields(tag).new_tree(&mut runner).unwrap();
    let marker = Marker::from_fields(tag, Json::Object(tree.current())).unwrap();
    let line = {
        let mut out = Vec::new();
        Telemetry::new(&mut out).emit(&marker.unwrap()).unwrap();
        String::from_utf8(out).unwrap()
    };
    let keys = line.split(' ').filter_map(|pair| pair.split_once('='));
    keys.map(|(key, _)| key.to_owned()).collect()
}

/// What one phrase of the engine is read as: the only rows that a log of it has.
fn read_phrase(phrase: &impl std::fmt::Display) -> Vec<Observation> {
    let mut out = Vec::new();
    Telemetry::new(&mut out).phrase(phrase).unwrap();
    let scan = markers::scan(&CATALOGUE, &out);
    assert_eq!(scan.diagnostics, [], "{phrase}");
    scan.observations
}

/// The row of that kind, and that each of its fields has the value that was printed.
fn check_phrase(phrase: &impl std::fmt::Display, kind: &str, fields: &[(&str, Json)]) {
    let rows = read_phrase(phrase);
    let row = rows.iter().find(|row| row.kind == kind);
    let row = row.unwrap_or_else(|| panic!("no {kind} in {phrase}"));
    for (name, json) in fields {
        match (json, &row.fields[*name]) {
            (Json::Number(number), Value::Number(read)) => {
                let wanted: Decimal = match number.as_u64() {
                    Some(whole) => whole.to_string().parse().unwrap(),
                    None => number.as_f64().unwrap().to_string().parse().unwrap(),
                };
                assert_eq!(read, &wanted, "{name} of {phrase}");
            }
            (json, value) => check(json, value, name),
        }
    }
}

fn distance() -> impl Strategy<Value = f64> {
    prop_oneof![0f64..1.0, 0f64..1e-9, Just(0.0)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn phrases_of_passes_are_read_as_printed(
        numbers in prop::array::uniform5(0u64..u64::from(u32::MAX)),
        path in select(vec!["single_graph", "legacy_multi_submit"]),
        phase in select(vec!["prefill", "decode"]),
    ) {
        let [pass, total, record, wait, tokens] = numbers;
        let profile = ForwardProfile { path: path.into(), phase: phase.into(), pass, total, record, wait, tokens };
        let fields = [
            ("path", json!(path)), ("phase", json!(phase)), ("pass", json!(pass)), ("total", json!(total)),
            ("record", json!(record)), ("wait", json!(wait)), ("tokens", json!(tokens)),
        ];
        check_phrase(&profile, "forward_profile", &fields);
    }

    #[test]
    fn distances_of_paths_are_read_as_printed(kl in distance(), gap in distance(), row in 0u64..100_000) {
        let phrase = PathDistance {
            kl_sym_top5: kl, kl_limit: 1e-4, top1_gap: gap, gap_limit: 0.01, row,
            a: "single_graph".into(), b: "cpu_reference".into(),
        };
        let both = [("value", json!(kl)), ("limit", json!(1e-4)), ("position", json!(row))];
        check_phrase(&phrase, "kl_top5", &both);
        check_phrase(&phrase, "kl_top5", &[("gap", json!(gap)), ("a", json!("single_graph")), ("b", json!("cpu_reference"))]);
        check_phrase(&phrase, "top1_gap", &[("value", json!(gap)), ("limit", json!(0.01)), ("position", json!(row))]);
    }

    #[test]
    fn refusals_of_memory_are_read_with_both_numbers(a in any::<u32>(), b in any::<u32>(), budget in any::<bool>()) {
        let (needed, remaining) = (u64::from(a), u64::from(b));
        let numbers = [("needed", json!(needed)), ("remaining", json!(remaining))];
        if budget {
            check_phrase(&VkError::Budget { needs: needed, remain: remaining }, "envelope", &numbers);
        } else {
            check_phrase(&EngineError::Envelope { needed, remaining }, "envelope", &numbers);
        }
        let chunks = VkError::ChunkRefused {
            allocated: a as usize, wanted: b as usize, what: "vkAllocateMemory", code: "ERROR_OUT_OF_DEVICE_MEMORY".into(),
        };
        check_phrase(&chunks, "chunk_abort", &[("allocated", json!(a)), ("wanted", json!(b))]);
    }
}

#[test]
fn edges_and_failures_of_the_device_are_read_as_printed() {
    for (edge, word) in [
        (SingleGraphBlock::Begin, "begin"),
        (SingleGraphBlock::End, "end"),
    ] {
        check_phrase(&edge, "single_graph_block", &[("edge", json!(word))]);
    }
    let lost = VkError::DeviceLost {
        what: "vkWaitForFences",
    };
    check_phrase(&lost, "device_lost", &[("call", json!("vkWaitForFences"))]);
    for (error, what) in [
        (
            VkError::NoLoader {
                detail: "none".into(),
            },
            "loader",
        ),
        (
            VkError::NoDriver {
                detail: "none".into(),
            },
            "driver",
        ),
        (VkError::NoDevice { seen: Vec::new() }, "device"),
    ] {
        check_phrase(&error, "vulkan_unavailable", &[("what", json!(what))]);
    }
}

/// Markers of the catalogue that the engine owns and prints in other ways than by tag: as phrases, which the tests above
/// read back, or as messages of its workers, which `worker_harness` and the catalogue's own examples hold.
const BY_WORDING: &[&str] = &[
    "chunk_abort",
    "device_lost",
    "envelope",
    "forward_profile",
    "kl_top5",
    "single_graph_block",
    "telemetry_end",
    "top1_gap",
    "vulkan_unavailable",
    "worker_invalidated",
    "worker_message",
    "worker_timeout",
];

/// Markers that an engine may print and this one does not, with the reason.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "backend_fallback",
        "law §7: there is nothing to fall back with",
    ),
    (
        "fa_cpu_run",
        "law §7: no run of a kernel is answered by the CPU",
    ),
    ("coopmat_notice", "no kernel uses cooperative matrices"),
    (
        "lora_apply",
        "no adapters in this build; workers answer `unsupported`",
    ),
    (
        "lora_unload",
        "no adapters in this build; workers answer `unsupported`",
    ),
    ("qwen35_hybrid", "the architectures of this build are dense"),
];

#[test]
fn every_marker_that_the_engine_owns_is_printed_or_says_why_not() {
    let owned: BTreeSet<&str> = CATALOGUE
        .markers()
        .iter()
        .filter(|marker| marker.owner == "engine")
        .map(|marker| marker.name.as_str())
        .collect();
    let tagged: Vec<String> = Marker::TAGS.iter().map(|tag| kind(tag).name).collect();
    let mut accounted: BTreeSet<&str> = tagged.iter().map(String::as_str).collect();
    assert_eq!(accounted.len(), Marker::TAGS.len());
    let others = BY_WORDING.iter().copied();
    for name in others.chain(NOT_HERE.iter().map(|(name, _)| *name)) {
        assert!(accounted.insert(name), "{name} is accounted for twice");
    }
    assert_eq!(accounted, owned);
}
