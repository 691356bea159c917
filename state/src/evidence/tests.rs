//! The store on real files, and on a disk that fails.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attest::digest::Digest;
use proptest::prelude::*;

use super::container::{self, BLOCK, TRAILER};
use super::{EvidenceStore, Kind, Lines};
use crate::storage::sim::{Fault, Luck, SimDisk};
use crate::storage::{RealStorage, Storage};
use crate::{Error, LogReader, Reserve};

fn open(storage: Arc<dyn Storage>, root: &Path) -> Result<EvidenceStore, Error> {
    let reserve = Reserve::open(Arc::clone(&storage), &root.join("reserve"), 1 << 20)?;
    EvidenceStore::open(storage, &root.join("evidence"), reserve)
}

fn real() -> (tempfile::TempDir, EvidenceStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(Arc::new(RealStorage), folder.path()).unwrap();
    (folder, store)
}

fn file_of(folder: &tempfile::TempDir, digest: &Digest, kind: &str) -> PathBuf {
    let hex = digest.to_hex();
    let name = format!("{hex}.{kind}");
    folder.path().join("evidence").join(&hex[..2]).join(name)
}

/// Every answer a reader gives, compared with the plain bytes.
fn check(log: &LogReader, bytes: &[u8]) {
    assert_eq!(log.total_bytes(), bytes.len() as u64);
    assert_eq!(*log.sha256(), Digest::of(bytes));
    assert!(log.read_range(0, u64::MAX).unwrap() == bytes);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(log.total_lines(), lines.len() as u64);
    let mut start = 0;
    let step = (lines.len() / 7).max(1);
    for (number, line) in lines.iter().enumerate() {
        if number % step == 0 {
            let line_number = number as u64 + 1;
            assert_eq!(log.line_to_offset(line_number).unwrap(), Some(start));
            let last = start + line.len() as u64 - 1;
            assert_eq!(log.offset_to_line(start).unwrap(), Some(line_number));
            assert_eq!(log.offset_to_line(last).unwrap(), Some(line_number));
            let expect = Lines {
                byte_start: start,
                byte_end: last + 1,
                line_start: line_number,
                line_end: line_number,
                bytes: line.to_vec(),
            };
            assert!(log.read_lines(line_number, 1).unwrap() == expect);
        }
        start += line.len() as u64;
    }
    assert_eq!(log.line_to_offset(0).unwrap(), None);
    assert_eq!(log.line_to_offset(lines.len() as u64 + 1).unwrap(), None);
    assert_eq!(log.offset_to_line(bytes.len() as u64).unwrap(), None);
    log.verify().unwrap();
}

#[test]
fn logs_of_every_shape_come_back_whole() {
    let (_folder, store) = real();
    let numbered = (0..90_000).map(|n| format!("line {n} of many\n"));
    let block = vec![b'a'; BLOCK];
    for bytes in [
        Vec::new(),
        b"\n".to_vec(),
        b"no newline".to_vec(),
        b"\xff\xfe\0\r\n\x80 invalid \xc3\x28\n".to_vec(),
        numbered.collect::<String>().into_bytes(),
        block.clone(),
        [block.as_slice(), b"\n"].concat(),
        [&block[1..], b"\n", b"next block"].concat(),
        vec![b'\n'; BLOCK + 3],
    ] {
        let entry = store.put_log(&bytes).unwrap();
        let log = store.open_log(&entry.digest).unwrap();
        assert_eq!(
            (entry.bytes, entry.lines),
            (log.total_bytes(), log.total_lines())
        );
        check(&log, &bytes);
    }
    assert_eq!(store.verify_all().unwrap().intact, 9);
}

#[test]
fn pages_across_blocks_in_any_order_are_the_bytes_between() {
    let (_folder, store) = real();
    let text: String = (0..200_000)
        .map(|n| format!("line {n} of many\n"))
        .collect();
    let bytes = text.as_bytes();
    let entry = store.put_log(bytes).unwrap();
    let log = store.open_log(&entry.digest).unwrap();
    let blocks = bytes.len() / BLOCK + 1;
    assert!(
        blocks >= 4,
        "a page crosses into blocks that are not at hand"
    );
    let mut luck = Luck::new(3);
    for _ in 0..200 {
        let edge = luck.below(blocks) * BLOCK;
        let start = edge.saturating_sub(luck.below(4000)) as u64;
        let line = log.offset_to_line(start).unwrap().unwrap();
        let page = log.read_lines(line, 1 + luck.below(400) as u64).unwrap();
        let place = page.byte_start as usize..page.byte_end as usize;
        assert!(page.bytes == bytes[place], "line {line}");
        assert!(text[page.byte_start as usize..].starts_with(&format!("line {} ", line - 1)));
    }
}

#[test]
fn a_line_of_50_megabytes_is_a_line() {
    let (_folder, store) = real();
    let mut writer = store.log_writer().unwrap();
    writer.write_all(b"before\n").unwrap();
    let mut luck = Luck::new(7);
    for _ in 0..50 {
        let piece: Vec<u8> = (0..1_000_000)
            .map(|_| b'a' + luck.below(26) as u8)
            .collect();
        writer.write_all(&piece).unwrap();
    }
    writer.write_all(b"\nafter\n").unwrap();
    let entry = writer.finish().unwrap();
    assert_eq!((entry.bytes, entry.lines), (50_000_014, 3));
    let log = store.open_log(&entry.digest).unwrap();
    assert_eq!(log.line_to_offset(2).unwrap(), Some(7));
    assert_eq!(log.offset_to_line(25_000_000).unwrap(), Some(2));
    let after = log.read_lines(3, 10).unwrap();
    assert_eq!(
        (after.byte_start, after.bytes),
        (50_000_008, b"after\n".to_vec())
    );
    assert_eq!((after.line_start, after.line_end), (3, 3));
    assert_eq!(log.read_lines(2, 1).unwrap().bytes.len(), 50_000_001);
    log.verify().unwrap();
}

#[test]
fn lines_past_the_end_are_empty_not_wrong() {
    let (_folder, store) = real();
    let entry = store.put_log(b"one\ntwo").unwrap();
    let log = store.open_log(&entry.digest).unwrap();
    let none = log.read_lines(3, 5).unwrap();
    assert_eq!(
        (none.byte_start, none.byte_end, none.bytes.len()),
        (7, 7, 0)
    );
    assert_eq!((none.line_start, none.line_end), (3, 2));
    assert_eq!(log.read_lines(0, 1).unwrap().bytes, b"one\n");
    assert_eq!(log.read_lines(2, u64::MAX).unwrap().bytes, b"two");
    assert_eq!(log.read_range(5, 100).unwrap(), b"wo");
    assert!(log.read_range(100, 100).unwrap().is_empty());
}

#[test]
fn equal_content_is_kept_once_and_mends_damage() {
    let (folder, store) = real();
    let first = store.put_log(b"the same\n").unwrap();
    let path = file_of(&folder, &first.digest, "log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = store.open_log(&first.digest).unwrap().verify();
    assert!(matches!(damaged, Err(Error::EvidenceDamaged { .. })));
    assert_eq!(store.put_log(b"the same\n").unwrap(), first);
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.verify_all().unwrap().intact, 1);
}

#[test]
fn every_flipped_bit_of_a_stored_log_is_noticed() {
    let (folder, store) = real();
    let raw: String = (0..40).map(|n| format!("[GPU] pass={n}\n")).collect();
    let entry = store.put_log(raw.as_bytes()).unwrap();
    let path = file_of(&folder, &entry.digest, "log");
    let whole = std::fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, flipped).unwrap();
        let read = store
            .open_log(&entry.digest)
            .and_then(|log| log.read_range(0, u64::MAX));
        assert!(read.is_err(), "bit {bit} went unseen");
    }
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(store.open_log(&entry.digest).is_err(), "cut at {length}");
    }
    assert_eq!(store.verify_all().unwrap().damaged.len(), 1);
}

#[test]
fn blobs_are_kept_as_they_are_and_checked_when_read() {
    let (folder, store) = real();
    let digest = store.put_blob(b"\0dump\xff").unwrap();
    let path = file_of(&folder, &digest, "blob");
    assert_eq!(std::fs::read(&path).unwrap(), b"\0dump\xff");
    assert_eq!(store.get_blob(&digest).unwrap(), b"\0dump\xff");
    assert!(store.has(&digest, Kind::Blob).unwrap());
    assert!(!store.has(&digest, Kind::Log).unwrap());
    std::fs::write(&path, b"\0dumb\xff").unwrap();
    assert!(matches!(
        store.get_blob(&digest),
        Err(Error::EvidenceDamaged { .. })
    ));
    let other = Digest::of(b"never stored");
    assert!(matches!(
        store.get_blob(&other),
        Err(Error::NoEvidence { .. })
    ));
    assert!(matches!(
        store.open_log(&other),
        Err(Error::NoEvidence { .. })
    ));
}

#[test]
fn a_log_under_the_name_of_another_is_damaged() {
    let (folder, store) = real();
    let one = store.put_log(b"one\n").unwrap().digest;
    let two = store.put_log(b"two\n").unwrap().digest;
    std::fs::copy(file_of(&folder, &one, "log"), file_of(&folder, &two, "log")).unwrap();
    let error = store.open_log(&two).unwrap_err();
    assert!(error.to_string().contains("another log"), "{error}");
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let (folder, store) = real();
    let mut writer = store.log_writer().unwrap();
    writer.append(&vec![b'x'; 3 * BLOCK]).unwrap();
    drop(writer);
    assert!(store.list().unwrap().is_empty());
    let drafts = std::fs::read_dir(folder.path().join("evidence").join("tmp")).unwrap();
    assert_eq!(drafts.count(), 0);
}

/// On a failing disk an entry is there whole or not at all.
fn check_whole_or_absent(store: &EvidenceStore, raw: &[u8], blob: &[u8], context: &str) {
    for stored in store.list().unwrap() {
        match stored.kind {
            Kind::Log => {
                let log = store.open_log(&stored.digest).unwrap();
                assert!(log.read_range(0, u64::MAX).unwrap() == raw, "{context}");
            }
            Kind::Blob => assert!(store.get_blob(&stored.digest).unwrap() == blob, "{context}"),
        }
    }
    assert!(store.verify_all().unwrap().damaged.is_empty(), "{context}");
}

#[test]
fn a_power_cut_at_any_call_leaves_no_half_entry_and_loses_no_finished_one() {
    let raw: Vec<u8> = (0..BLOCK + 77).map(|n| (n % 251) as u8).collect();
    let blob = &raw[..300];
    let root = PathBuf::from("/state");
    let play = |disk: &SimDisk| -> Vec<Digest> {
        let mut finished = Vec::new();
        if let Ok(store) = open(Arc::new(disk.clone()), &root) {
            finished.extend(store.put_log(&raw).map(|entry| entry.digest));
            finished.extend(store.put_blob(blob));
        }
        finished
    };
    let dry = SimDisk::new();
    assert_eq!(play(&dry).len(), 2);
    for call in 1..=dry.calls() + 1 {
        for fault in [Fault::PowerCut, Fault::Eio, Fault::Enospc, Fault::Short] {
            let disk = SimDisk::new();
            disk.fail(call, fault);
            let finished = play(&disk);
            for seed in 0..4 {
                let context = format!("{fault:?} at {call}, seed {seed}");
                let found = disk.crash(&mut Luck::new(call as u64 * 31 + seed));
                let store = open(Arc::new(found), &root).unwrap();
                check_whole_or_absent(&store, &raw, blob, &context);
                let listed = store.list().unwrap();
                for digest in &finished {
                    let kept = listed.iter().any(|stored| stored.digest == *digest);
                    assert!(kept, "{context}: a finished entry is gone");
                }
            }
        }
    }
}

#[test]
fn a_store_without_its_reserve_takes_nothing_new_until_there_is_room_for_it() {
    let disk = SimDisk::new();
    let root = PathBuf::from("/state");
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let reserve = Reserve::open(Arc::clone(&storage), &root.join("reserve"), 1 << 20).unwrap();
    let store = EvidenceStore::open(storage, &root.join("evidence"), Arc::clone(&reserve));
    let store = store.unwrap();
    let kept = store.put_blob(b"before").unwrap();
    let mut half = store.log_writer().unwrap();
    reserve.give_up();
    disk.set_free(4096);
    let full = |result: Result<_, Error>| matches!(result, Err(Error::Full { .. }));
    assert!(full(store.put_blob(b"after").map(drop)));
    assert!(full(half.append(&vec![0; BLOCK])));
    assert!(half.finish().is_err());
    assert_eq!(store.get_blob(&kept).unwrap(), b"before");
    disk.set_free(2 << 20);
    store.put_blob(b"after").unwrap();
    assert!(reserve.is_held());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pages_reassemble_to_the_digest(
        pieces in proptest::collection::vec((any::<u8>(), 0usize..400_000), 0..8),
        page in 1u64..700_000,
    ) {
        let (_folder, store) = real();
        let mut raw = Vec::new();
        let mut writer = store.log_writer().unwrap();
        for (byte, length) in pieces {
            let mut piece = vec![byte; length];
            if let Some(last) = piece.last_mut() {
                *last = b'\n';
            }
            writer.append(&piece).unwrap();
            raw.extend_from_slice(&piece);
        }
        let entry = writer.finish().unwrap();
        let log = store.open_log(&entry.digest).unwrap();
        let mut pages = Vec::new();
        while (pages.len() as u64) < log.total_bytes() {
            pages.extend(log.read_range(pages.len() as u64, page).unwrap());
        }
        prop_assert_eq!(Digest::of(&pages), entry.digest);
        check(&log, &raw);
    }

    #[test]
    fn foreign_indexes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        trailer in proptest::collection::vec(any::<u8>(), TRAILER),
        size in any::<u64>(),
    ) {
        let trailer: [u8; TRAILER] = trailer.try_into().unwrap();
        let _any = container::index_length(&trailer, size);
        let _any = container::decode(&bytes, &trailer, size);
    }

    #[test]
    fn foreign_indexes_with_the_right_digest_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        size in 0u64..1000,
    ) {
        use sha2::{Digest as _, Sha256};
        let mut trailer = [0; TRAILER];
        if bytes.len() > 52 {
            let count = ((bytes.len() - 52) / 44) as u32;
            bytes[48..52].copy_from_slice(&count.to_le_bytes());
        }
        trailer[8..40].copy_from_slice(&Sha256::digest(&bytes));
        let _any = container::decode(&bytes, &trailer, size);
    }
}
