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
