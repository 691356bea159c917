//! Which claims owe which exhibit, over the shipped playbooks.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use markers::{Catalogue, Observation, scan};
use playbooks::{CLASS_FILES, Error, Playbooks, SCOPE_FILES, demanded_exhibits};

const ROWS: [&str; 6] = [
    "graph_construction",
    "tensor_ids",
    "command_buffer_boundaries",
    "pending_writes",
    "lifetimes",
    "consumer_order",
];

/// A test of a log with the rows of a path delta that it prints.
fn test(name: &str, rows: &[&str], outcome: &str) -> String {
    let mut log = format!("running 1 test\ntest {name} ... ");
    for row in rows {
        log.push_str(&format!("[PATH DELTA] row={row} equal=true\n"));
    }
    log + outcome + "\n"
}

/// Family and missing rows of what is owed.
type Owed = Vec<(String, Vec<String>)>;

fn owed(pinned: Option<&str>, log: &str) -> Owed {
    let catalogue = Catalogue::builtin().unwrap();
    let playbooks = Playbooks::builtin(&catalogue).unwrap();
    let rows: Vec<Observation> = scan(&catalogue, log.as_bytes())
        .into_cell("cell")
        .observations;
    let demanded = demanded_exhibits(&playbooks, pinned, &rows);
    let owed = demanded.into_iter();
    owed.map(|one| (one.family.to_owned(), one.missing))
        .collect()
}

fn path_equivalence(missing: &[&str]) -> Owed {
    let missing = missing.iter().map(|row| (*row).to_owned()).collect();
    vec![("path_equivalence".to_owned(), missing)]
}

#[test]
fn a_path_delta_is_owed_by_what_is_pinned_or_cited() {
    let path = "gpu_path_equivalence_single_graph_vs_legacy";
    let other = "gpu_correctness_smoke_llama_f32_logits";
    let whole = test(path, &ROWS, "FAILED");
    let five = test(path, &ROWS[..5], "FAILED");
    let twice = test(path, &[ROWS[0], ROWS[0]], "FAILED");
    let elsewhere = test(other, &ROWS, "FAILED");
    let diverged = format!(
        "running 1 test\ntest {path} ... FIRST_DIVERGENCE path=single_graph phase=prefill pass=0 layer=0 tensor_stage=attn_norm kind=zeros cpu=1 gpu=0 op=rms_norm dispatched=false inputs_ok=true\nFAILED\n"
    );
    let cases: [(&str, Option<&str>, &str, Owed); 9] = [
        ("nothing pinned, nothing cited", None, "", vec![]),
        (
            "another test",
            Some(other),
            &test(other, &[], "FAILED"),
            vec![],
        ),
        ("pinned alone", Some(path), "", path_equivalence(&ROWS)),
        (
            "cited alone",
            None,
            &test(path, &[], "FAILED"),
            path_equivalence(&ROWS),
        ),
        (
            "a divergence inside the test",
            None,
            &diverged,
            path_equivalence(&ROWS),
        ),
        ("whole", Some(path), &whole, path_equivalence(&[])),
        (
            "one row short",
            Some(path),
            &five,
            path_equivalence(&ROWS[5..]),
        ),
        (
            "one row twice",
            Some(path),
            &twice,
            path_equivalence(&ROWS[1..]),
        ),
        (
            "rows of another test",
            Some(path),
            &elsewhere,
            path_equivalence(&ROWS),
        ),
    ];
    for (name, pinned, log, want) in cases {
        assert_eq!(owed(pinned, log), want, "{name}");
    }
    // A test of the family that passed is no failure, whatever it printed.
    assert_eq!(owed(Some(other), &test(path, &ROWS, "ok")), vec![]);
}

#[test]
fn an_exhibit_that_no_log_can_show_stops_the_load() {
    let catalogue = Catalogue::builtin().unwrap();
    let load = |from: &str, to: &str| {
        let edited: Vec<(&str, String)> = CLASS_FILES
            .iter()
            .map(|(file, text)| {
                let text = if *file == "test.toml" {
                    assert!(text.contains(from));
                    text.replacen(from, to, 1)
                } else {
                    (*text).to_owned()
                };
                (*file, text)
            })
            .collect();
        let files = edited.iter().map(|(file, text)| (*file, text.as_str()));
        Playbooks::load(files, SCOPE_FILES.iter().copied(), &catalogue)
    };
    assert!(load("show = \"engine", "show = \"engine").is_ok());
    let unknown = load("marker = \"path_delta\"", "marker = \"path_delat\"");
    assert!(
        matches!(unknown, Err(Error::Predicate { .. })),
        "{unknown:?}"
    );
    let field = load("field = \"row\"\nvalues", "field = \"wor\"\nvalues");
    assert!(matches!(field, Err(Error::Predicate { .. })), "{field:?}");
    let silent = load(
        "show = \"engine path-delta MODEL --markers\"",
        "show = \" \"",
    );
    let why = silent.map(|_| ()).unwrap_err().to_string();
    assert!(
        why.contains("`path_equivalence` needs `values` and `show`"),
        "{why}"
    );
}
