//! The builtin catalogue: it loads, every file is listed, and wrong files are named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;

use markers::{BUILTIN_FILES, Catalogue, Error};

#[test]
fn the_builtin_catalogue_loads_and_every_example_is_true() {
    let catalogue = Catalogue::builtin().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(catalogue.markers().len(), BUILTIN_FILES.len());
}

#[test]
fn every_file_of_the_folder_is_listed_in_order() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    let names: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let listed: Vec<&str> = BUILTIN_FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, names.iter().map(String::as_str).collect::<Vec<_>>());
}

const FILE: &str = r#"
name = "oven"
title = "how hot the oven is"
owner = "kitchen"
tag = "[OVEN]"

[[field]]
name = "heat"
type = "int"

[[match]]
log = "[OVEN] heat=200"
fields = { heat = "200" }

[[not_match]]
log = "[OVEN] heat=hot"
why = "`hot` is no number"
"#;

fn load(text: &str) -> Result<Catalogue, Error> {
    Catalogue::with_project([("oven.toml", text)])
}

#[test]
fn a_project_adds_a_marker_with_one_file_and_the_digest_changes() {
    let catalogue = load(FILE).unwrap();
    assert_eq!(catalogue.marker("oven").unwrap().owner, "kitchen");
    assert_ne!(catalogue.digest(), Catalogue::builtin().unwrap().digest());
    assert_eq!(
        markers::scan(&catalogue, b"[OVEN] heat=7\n").counts["oven"],
        1
    );
    let (a, b) = (
        ("a.toml", FILE),
        (
            "b.toml",
            BUILTIN_FILES
                .iter()
                .find(|(name, _)| *name == "coopmat_notice.toml")
                .unwrap()
                .1,
        ),
    );
    let reversed = Catalogue::load([b, a]);
    match (Catalogue::load([a, b]), reversed) {
        (Ok(one), Ok(other)) => assert_eq!(one.digest(), other.digest()),
        (one, other) => panic!("{one:?} {other:?}"),
    }
}

#[test]
fn wrong_files_and_examples_stop_the_load_and_are_named() {
    let check = |from: &str, to: &str, expect: &str| {
        let text = FILE.replacen(from, to, 1);
        assert_ne!(text, FILE, "{from}");
        let error = load(&text).unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains("oven"), "{error}");
    };
    check(
        "heat=200\"",
        "heat=300\"",
        "match 1 is wrong: heat reads as `300`",
    );
    check(
        "[OVEN] heat=200",
        "OVEN heat=200",
        "match 1 is wrong: it reads as 0 rows",
    );
    check(
        "heat=hot",
        "heat=100",
        "not_match 1 is wrong: it reads as a row although `hot` is no number",
    );
    check("type = \"int\"", "type = \"integer\"", "unknown variant");
    check("owner", "ovner", "unknown field");
    check("name = \"oven\"", "name = \"Oven oven\"", "snake case");
    check("name = \"oven\"", "name = \"count\"\n# oven", "keyword");
    check("name = \"heat\"", "name = \"run\"", "reserved");
    check("[OVEN]", "OVEN TWO", "one word");
    check("tag = \"[OVEN]\"", "", "either a `tag` or");
    check(
        "tag = \"[OVEN]\"",
        "tag = \"[BACKEND]\"",
        "already belongs to `backend`",
    );
    check(
        "[[match]]",
        "[[witness]]\nmarker = \"stove\"\n\n[[match]]",
        "no marker of this catalogue",
    );
    check(
        "[[match]]",
        "[[witness]]\nmarker = \"backend\"\nfields = { heat = \"1\" }\n\n[[match]]",
        "does not exist",
    );
    check(
        "type = \"int\"",
        "type = \"int\"\nneeds = { mode = \"full\" }",
        "needs `mode`",
    );
    check(
        "tag = \"[OVEN]\"",
        "[[form]]\ntext = \"{heat} degrees\"\nplace = \"line\"",
        "literal text",
    );
    check(
        "tag = \"[OVEN]\"",
        "[[form]]\ntext = \"heat {cold}\"\nplace = \"line\"",
        "no field",
    );
    check(
        "tag = \"[OVEN]\"",
        "[[form]]\ntext = \"hot oven\"\nplace = \"line\"",
        "never gives `heat`",
    );
    let twice = Catalogue::with_project([("oven.toml", FILE), ("oven2.toml", FILE)]).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "marker `oven` is defined by oven.toml and again by oven2.toml; rename one"
    );
}

#[test]
fn every_required_kind_is_there() {
    let catalogue = Catalogue::builtin().unwrap();
    let answered: BTreeSet<&str> = catalogue
        .markers()
        .iter()
        .filter_map(|marker| marker.requirement.as_deref())
        .collect();
    let required: Vec<String> = (1..=22).map(|number| format!("M{number}")).collect();
    assert_eq!(
        answered,
        required.iter().map(String::as_str).collect::<BTreeSet<_>>()
    );
}

/// Ids of the host signatures that a catalogue must show.
const SIGNATURES: &[&str] = &[
    "amdgpu.ring_timeout",
    "crash_loop",
    "cuda.sticky",
    "host.hung_task",
    "nvidia.fallen_off_bus",
    "nvidia.open_kmod_required",
    "nvidia.open_kmod_unsupported",
    "nvidia.xid",
    "pinned_alloc_freeze",
    "silent_reset",
    "vk.coopmat_info",
    "vk.device_lost",
    "win.access_violation",
    "win.kernel_power_41_silent",
    "win.kernel_power_41_tdr",
    "worker.hang",
];

#[test]
fn every_host_signature_has_two_examples_and_two_near_misses() {
    let mut shown = BTreeSet::new();
    for (name, text) in BUILTIN_FILES {
        let file: toml::Table = text.parse().unwrap();
        let Some(ids) = file.get("signatures").and_then(toml::Value::as_array) else {
            continue;
        };
        let examples = |list: &str| file[list].as_array().unwrap();
        for id in ids.iter().map(|id| id.as_str().unwrap()) {
            let own = |example: &&toml::Value| {
                let fields = example.get("fields");
                ["signature", "id"].iter().all(|key| {
                    fields
                        .and_then(|fields| fields.get(key))
                        .is_none_or(|value| value.as_str() == Some(id) || ids.len() == 1)
                })
            };
            let positive = examples("match").iter().filter(own).count();
            assert!(positive >= 2, "{name}: {id} has {positive} examples");
            assert!(examples("not_match").len() >= 2, "{name}: {id}");
            assert!(shown.insert(id.to_owned()), "{id} is shown twice");
        }
    }
    assert_eq!(
        shown,
        SIGNATURES.iter().map(|id| (*id).to_owned()).collect()
    );
}

#[test]
fn the_list_of_host_signatures_is_that_of_the_facts_where_they_are_at_hand() {
    let facts = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/signatures.toml");
    let Ok(text) = std::fs::read_to_string(facts) else {
        return;
    };
    let facts: toml::Table = text.parse().unwrap();
    let ids: BTreeSet<&str> = facts["sig"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sig| sig["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, SIGNATURES.iter().copied().collect());
}

#[test]
fn wrong_blocks_margins_and_phrases_stop_the_load() {
    let check = |from: &str, to: &str, expect: &str| {
        let text = FILE.replacen(from, to, 1);
        assert_ne!(text, FILE, "{from}");
        let error = load(&text).unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains("oven"), "{error}");
    };
    check(
        "tag = \"[OVEN]\"",
        "tag = \"[OVEN]\"\nopens = { path = \"{cold}\" }",
        "`opens` names `cold`",
    );
    check(
        "type = \"int\"",
        "type = \"int\"\nmargin = [\"heat\", \"limit\"]",
        "`margin` names `limit`",
    );
    check(
        "tag = \"[OVEN]\"",
        "[[form]]\ntext = \"of {heat}\"\nplace = \"anywhere\"\n\n[[form]]\ntext = \"o{heat}\"\nplace = \"anywhere\"",
        "too short",
    );
    check(
        "tag = \"[OVEN]\"",
        "tag = \"[OVEN] [\"",
        "`[BRACKETED TEXT]`",
    );
}
