#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(entries, CompressionMethod::Deflated)
}

fn zip_with(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn open(bytes: &[u8]) -> Result<Archive<Cursor<&[u8]>>, ArchiveError> {
    Archive::open(Cursor::new(bytes), Limits::default())
}

fn copied(archive: &mut Archive<Cursor<&[u8]>>, index: usize) -> Result<Vec<u8>, EntryError> {
    let mut out = Vec::new();
    let copied = archive.copy(index, &mut out)?;
    assert_eq!(copied.bytes, out.len() as u64);
    assert_eq!(copied.sha256, Digest::of(&out));
    Ok(out)
}

/// Overwrites every occurrence; sizes stay.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter_map(|(at, window)| (window == from).then_some(at))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// Offsets of local and central headers, by their signatures.
fn headers(bytes: &[u8], signature: &[u8; 4]) -> Vec<usize> {
    let windows = bytes.windows(4).enumerate();
    windows
        .filter_map(|(at, window)| (window == signature).then_some(at))
        .collect()
}

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";

#[test]
fn entries_come_out_as_they_went_in() {
    let log = b"2026-01-02T03:04:05.0000000Z hello\r\n\0\xff".repeat(9_000);
    let bytes = zip_of(&[
        ("0_gpu.txt", &log),
        ("gpu/1_Set up.txt", b""),
        ("gpu/", b""),
    ]);
    let mut archive = open(&bytes).unwrap();
    let names: Vec<&str> = archive.entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["0_gpu.txt", "gpu/1_Set up.txt", "gpu/"]);
    assert!(archive.entries()[2].is_folder);
    assert_eq!(copied(&mut archive, 0).unwrap(), log);
    assert_eq!(copied(&mut archive, 1).unwrap(), b"");
}

#[test]
fn what_is_no_archive_is_named() {
    let cases: &[(&[u8], Found)] = &[
        (b"", Found::Empty),
        (b"{\"message\":\"Not Found\"}", Found::Json),
        (b" [ {\"a\":1} ]", Found::Json),
        (b"<?xml version=\"1.0\"?><Error>", Found::Xml),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", Found::Html),
        (b"\x1f\x8b\x08\0", Found::Gzip),
        (b"[GPU SMOKE OP NORM] layer=1", Found::Raw),
        (b"PK\x07\x08 spanned", Found::Raw),
    ];
    for (bytes, wanted) in cases {
        match open(bytes).err() {
            Some(ArchiveError::NotAnArchive { found }) => assert_eq!(found, *wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
    let empty = zip_of(&[]);
    assert!(open(&empty).unwrap().entries().is_empty());
}

#[test]
fn an_archive_behind_other_bytes_is_not_read() {
    let mut bytes = b"#!/bin/sh\n".to_vec();
    bytes.extend(zip_of(&[("a", b"b")]));
    assert!(matches!(
        open(&bytes).err(),
        Some(ArchiveError::NotAnArchive { found: Found::Raw })
    ));
}

#[test]
fn duplicate_names_refuse_the_archive() {
    let bytes = replaced(
        &zip_of(&[("log-a", b"1"), ("log-b", b"2")]),
        b"log-b",
        b"log-a",
    );
    assert!(matches!(
        open(&bytes).err(),
        Some(ArchiveError::DuplicateNames)
    ));
}

#[test]
fn overlapping_entries_refuse_the_archive() {
    let mut bytes = zip_of(&[("a", b"first"), ("b", b"other")]);
    let second = headers(&bytes, CENTRAL)[1];
    // Offset of the local header: both entries now share the first one's bytes.
    bytes[second + 42..second + 46].copy_from_slice(&0u32.to_le_bytes());
    assert!(matches!(open(&bytes).err(), Some(ArchiveError::Overlap)));
}

#[test]
fn a_bad_checksum_fails_its_entry_alone() {
    let bytes = zip_with(
        &[("a", b"first log"), ("b", b"other log")],
        CompressionMethod::Stored,
    );
    let bytes = replaced(&bytes, b"first log", b"first lag");
    let mut archive = open(&bytes).unwrap();
    assert!(matches!(copied(&mut archive, 0), Err(EntryError::Checksum)));
    assert_eq!(copied(&mut archive, 1).unwrap(), b"other log");
}

#[test]
fn encrypted_and_unknown_entries_fail_alone() {
    let mut bytes = zip_of(&[("a", b"secret"), ("b", b"odd"), ("c", b"plain")]);
    let (local, central) = (headers(&bytes, LOCAL), headers(&bytes, CENTRAL));
    bytes[local[0] + 6] |= 1;
    bytes[central[0] + 8] |= 1;
    bytes[local[1] + 8] = 97;
    bytes[central[1] + 10] = 97;
    let mut archive = open(&bytes).unwrap();
    assert!(matches!(
        copied(&mut archive, 0),
        Err(EntryError::Encrypted)
    ));
    assert!(matches!(
        copied(&mut archive, 1),
        Err(EntryError::Method { .. })
    ));
    assert_eq!(copied(&mut archive, 2).unwrap(), b"plain");
}

#[test]
fn limits_hold() {
    let zeros = vec![0; 40 << 20];
    let bytes = zip_of(&[("a", &zeros), ("b", b"small")]);
    let with = |limits| Archive::open(Cursor::new(bytes.as_slice()), limits);
    let base = Limits::default();
    assert!(matches!(
        with(Limits {
            archive_bytes: 10,
            ..base
        })
        .err(),
        Some(ArchiveError::TooLarge { limit: 10, .. })
    ));
    assert!(matches!(
        with(Limits { entries: 1, ..base }).err(),
        Some(ArchiveError::TooManyEntries {
            entries: 2,
            limit: 1
        })
    ));
    let mut archive = with(base).unwrap();
    // Deflate packs zeros a thousand times: no log does.
    assert!(matches!(
        copied(&mut archive, 0),
        Err(EntryError::Ratio { .. })
    ));
    assert_eq!(copied(&mut archive, 1).unwrap(), b"small");
    let mut archive = with(Limits {
        entry_bytes: 1 << 20,
        ..base
    })
    .unwrap();
    assert!(matches!(
        copied(&mut archive, 0),
        Err(EntryError::TooLarge { .. })
    ));
    let mut archive = with(Limits {
        total_bytes: 7,
        ..base
    })
    .unwrap();
    assert_eq!(copied(&mut archive, 1).unwrap(), b"small");
    assert!(matches!(
        copied(&mut archive, 1),
        Err(EntryError::TooLarge { limit: 2 })
    ));
}

#[test]
fn names_are_data_and_never_paths() {
    let bytes = zip_of(&[
        ("../../etc/passwd", b"x"),
        ("/abs", b"y"),
        ("a\\b\0c", b"z"),
    ]);
    let mut archive = open(&bytes).unwrap();
    let names: Vec<String> = archive.entries().iter().map(|e| e.name.clone()).collect();
    assert_eq!(names, ["../../etc/passwd", "/abs", "a\\b\0c"]);
    assert_eq!(copied(&mut archive, 0).unwrap(), b"x");
}

fn entry(index: usize, name: &str) -> Entry {
    Entry {
        index,
        name: name.into(),
        bytes: 1,
        is_folder: name.ends_with('/'),
    }
}

fn attributed(jobs: &[&str], names: &[&str]) -> Vec<Attribution> {
    let entries: Vec<Entry> = names.iter().enumerate().map(|(i, n)| entry(i, n)).collect();
    attribute(jobs, &entries)
}

#[test]
fn jobs_and_steps_are_told_by_name() {
    let found = attributed(
        &["gpu (0, full)", "lint", "absent"],
        &[
            "0_gpu (0, full).txt",
            "gpu (0, full)/",
            "gpu (0, full)/1_Set up job.txt",
            "gpu (0, full)/12_Run cargo test.txt",
            "gpu (0, full)/system.txt",
            "-1_lint.txt",
            "readme",
        ],
    );
    let gpu = found[0].as_ref().unwrap();
    assert_eq!(gpu.whole, Some(0));
    assert_eq!(gpu.steps, [(1, 2), (12, 3)].into());
    assert_eq!(found[1].as_ref().unwrap().whole, Some(5));
    assert_eq!(found[2], Ok(JobEntries::default()));
}

#[test]
fn a_job_with_only_some_step_files_keeps_what_there_is() {
    let found = attributed(&["gpu"], &["gpu/2_Build.txt", "gpu/system.txt"]);
    let gpu = found[0].as_ref().unwrap();
    assert_eq!(gpu.whole, None);
    assert_eq!(gpu.steps, [(2, 0)].into());
}

#[test]
fn ambiguous_names_are_left_to_the_job_call() {
    assert_eq!(
        attributed(&["gpu", "gpu"], &["0_gpu.txt", "1_gpu.txt"]),
        [Err(Uncertain::SharedName), Err(Uncertain::SharedName)]
    );
    // One is stripped to the other's name: neither is certain.
    assert_eq!(
        attributed(&["a/b", "ab"], &["0_ab.txt"]),
        [Err(Uncertain::SharedName), Err(Uncertain::SharedName)]
    );
    assert_eq!(
        attributed(&["a: b"], &["0_a b.txt"]),
        [Err(Uncertain::StrippedName)]
    );
    assert_eq!(
        attributed(&["gpu"], &["0_gpu.txt", "3_gpu.txt"]),
        [Err(Uncertain::SharedEntry)]
    );
}

#[test]
fn a_name_cut_inside_an_emoji_is_left_to_the_job_call() {
    // 89 units and an emoji of two: the archive's name ends in half of it.
    let long = format!("{}\u{1f600} tail", "x".repeat(89));
    let cut = format!("0_{}\u{fffd}.txt", "x".repeat(89));
    assert_eq!(attributed(&[&long], &[&cut]), [Err(Uncertain::LongName)]);
    let exact = format!("{}\u{1f600}", "x".repeat(88));
    let file = format!("0_{exact}.txt");
    let found = attributed(&[&exact], &[&file]);
    assert_eq!(found[0].as_ref().unwrap().whole, Some(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever happens to an archive on its way: no panic, and an entry that comes out is whole.
    #[test]
    fn random_corruptions_never_give_half_a_log(
        stored in any::<bool>(),
        cut in proptest::option::of(0.0f64..1.0),
        flips in proptest::collection::vec((0.0f64..1.0, any::<u8>()), 0..6),
        inserted in proptest::option::of((0.0f64..1.0, proptest::collection::vec(any::<u8>(), 1..40))),
    ) {
        let logs: Vec<Vec<u8>> = (0..4usize)
            .map(|n| format!("line {n} of the log\n").repeat(40 * n).into_bytes())
            .collect();
        let method = if stored { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        let mut bytes = zip_with(
            &[("0_a.txt", &logs[0]), ("a/1_b.txt", &logs[1]), ("1_c.txt", &logs[2]), ("d", &logs[3])],
            method,
        );
        let place = |part: f64, length: usize| ((part * length as f64) as usize).min(length);
        if let Some((part, extra)) = inserted {
            let at = place(part, bytes.len());
            bytes.splice(at..at, extra);
        }
        for (part, value) in flips {
            let at = place(part, bytes.len() - 1);
            bytes[at] = value;
        }
        if let Some(part) = cut {
            bytes.truncate(place(part, bytes.len()));
        }
        if let Ok(mut archive) = open(&bytes) {
            for index in 0..archive.entries().len() {
                if let Ok(out) = copied(&mut archive, index) {
                    prop_assert!(logs.contains(&out), "an entry came out changed");
                }
            }
        }
    }
}
