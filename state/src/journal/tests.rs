//! The journal on a disk that cuts, flips, fills up and fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::Digest as _;

use super::{Anchor, Head, MAX_BODY, RawJournal, Recovery, record};
use crate::storage::sim::{Fault, Luck, SimDisk};
use crate::{Error, Reserve};

const RESERVE: u64 = 4 << 20;

fn root() -> PathBuf {
    PathBuf::from("/state")
}

fn log() -> PathBuf {
    root().join("journal").join("log")
}

fn reserve(disk: &SimDisk) -> Result<Arc<Reserve>, Error> {
    Reserve::open(Arc::new(disk.clone()), &root().join("reserve"), RESERVE)
}

fn open(disk: &SimDisk) -> Result<(RawJournal, Recovery), Error> {
    RawJournal::open(Arc::new(disk.clone()), reserve(disk)?, &root())
}

fn accept(disk: &SimDisk) -> Result<(RawJournal, Recovery), Error> {
    RawJournal::open_accepting(Arc::new(disk.clone()), reserve(disk)?, &root())
}

fn body(number: usize) -> Vec<u8> {
    format!("body {number}{}", ".".repeat(number % 5)).into_bytes()
}

fn bodies(journal: &RawJournal) -> Vec<Vec<u8>> {
    (1..=journal.head().seq)
        .map(|seq| journal.read(seq).unwrap().unwrap().1)
        .collect()
}

fn submitted(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(body).collect()
}

/// A disk with a journal of `count` records, the anchor after `anchored` of them.
fn written(count: usize, anchored: usize) -> SimDisk {
    let disk = SimDisk::new();
    let (mut journal, recovery) = open(&disk).unwrap();
    assert_eq!(recovery, Recovery::default());
    for number in 0..count {
        let anchor = if number + 1 == anchored {
            Anchor::Now
        } else {
            Anchor::Due
        };
        journal.append(&body(number), anchor).unwrap();
    }
    assert_eq!(journal.anchored().seq, anchored as u64);
    disk
}

/// Where each record of `written` ends; the header ends at the first.
fn ends(count: usize) -> Vec<usize> {
    let mut end = record::HEADER;
    let mut ends = vec![end];
    for number in 0..count {
        end += 4 + 8 + 32 + body(number).len() + 32;
        ends.push(end);
    }
    ends
}

#[test]
fn what_was_appended_is_read_back_in_order_by_the_next_opening() {
    let disk = written(50, 50);
    let (journal, recovery) = open(&disk).unwrap();
    assert_eq!(bodies(&journal), submitted(50));
    assert_eq!(recovery, Recovery::default());
    assert_eq!(journal.read(0).unwrap(), None);
    assert_eq!(journal.read(51).unwrap(), None);
    assert_eq!(disk.content(&log()).len(), ends(50)[50]);
}

#[test]
fn the_head_is_anchored_at_least_every_64_records() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    for number in 0..200 {
        let head = journal.append(b"x", Anchor::Due).unwrap();
        assert_eq!(head.seq, number + 1);
        assert!(head.seq - journal.anchored().seq < 64);
    }
    assert_eq!(journal.anchored().seq, 192);
}

#[test]
fn every_truncation_keeps_whole_records_or_is_refused() {
    let disk = written(50, 25);
    let whole = disk.content(&log());
    let ends = ends(50);
    for length in 0..whole.len() {
        let cut = disk.copy();
        cut.overwrite(&log(), &whole[..length]);
        let kept = ends.iter().filter(|end| **end <= length).count();
        match open(&cut) {
            Ok((journal, recovery)) => {
                assert!(kept > 25, "cut at {length} was accepted");
                assert_eq!(bodies(&journal), submitted(kept - 1), "cut at {length}");
                let torn = !ends.contains(&length);
                assert_eq!(recovery.quarantined.is_some(), torn, "cut at {length}");
            }
            Err(Error::NotAJournal { .. }) => assert_eq!(kept, 0, "cut at {length}"),
            Err(Error::AnchorAhead {
                anchor_seq,
                journal_seq,
                ..
            }) => {
                assert!((1..=25).contains(&kept), "cut at {length}");
                assert_eq!((anchor_seq, journal_seq), (25, kept as u64 - 1));
            }
            Err(error) => panic!("cut at {length}: {error}"),
        }
    }
}

#[test]
fn every_flipped_bit_is_refused_or_set_aside() {
    let disk = written(50, 25);
    let whole = disk.content(&log());
    let last = ends(50)[49];
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let copy = disk.copy();
        copy.overwrite(&log(), &flipped);
        match open(&copy) {
            // Nothing follows the last record, so it might have been torn.
            Ok((journal, recovery)) => {
                assert!(bit / 8 >= last, "bit {bit} went unseen");
                assert_eq!(bodies(&journal), submitted(49), "bit {bit}");
                assert!(recovery.quarantined.is_some(), "bit {bit}");
            }
            Err(error) => {
                assert!(bit / 8 < last, "bit {bit}: {error}");
                assert_eq!(
                    copy.content(&log()),
                    flipped,
                    "bit {bit}: evidence was changed"
                );
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_the_anchor_is_refused() {
    let disk = written(3, 3);
    let path = root().join("HEAD");
    let whole = disk.content(&path);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let copy = disk.copy();
        copy.overwrite(&path, &flipped);
        let result = open(&copy);
        assert!(
            matches!(result, Err(Error::Anchor { .. })),
            "bit {bit}: {result:?}"
        );
    }
    for length in 0..whole.len() {
        let copy = disk.copy();
        copy.overwrite(&path, &whole[..length]);
        assert!(open(&copy).is_err(), "cut at {length}");
    }
}

#[test]
fn missing_files_are_told_apart_from_a_new_state() {
    let disk = written(3, 3);
    let no_anchor = disk.copy();
    no_anchor.erase(&root().join("HEAD"));
    assert!(matches!(open(&no_anchor), Err(Error::Anchor { .. })));
    let no_log = disk.copy();
    no_log.erase(&log());
    assert!(matches!(
        open(&no_log),
        Err(Error::AnchorAhead { anchor_seq: 3, .. })
    ));
    no_log.erase(&root().join("HEAD"));
    assert_eq!(open(&no_log).unwrap().0.head().seq, 0);
}

#[test]
fn a_rewritten_history_is_refused() {
    let disk = written(5, 5);
    let other = SimDisk::new();
    let (mut journal, _) = open(&other).unwrap();
    for _ in 0..5 {
        journal.append(b"another story", Anchor::Due).unwrap();
    }
    disk.overwrite(&log(), &other.content(&log()));
    assert!(matches!(open(&disk), Err(Error::Forked { seq: 5, .. })));
}

#[test]
fn a_newer_framing_names_both_versions() {
    let disk = written(1, 1);
    let mut bytes = disk.content(&log());
    bytes[..record::HEADER].copy_from_slice(&record::header_of_version(9));
    disk.overwrite(&log(), &bytes);
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NewerFormat {
                found: 9,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_newer_anchor_names_both_versions_and_is_not_accepted_away() {
    let disk = written(1, 1);
    let head = root().join("HEAD");
    let front = "greenloop head v2\nsomething new\n";
    let sum = hex::encode(sha2::Sha256::digest(front));
    disk.overwrite(&head, format!("{front}sum {sum}\n").as_bytes());
    let error = open(&disk).unwrap_err().to_string();
    assert!(
        error.contains("format 2, this version reads up to 1"),
        "{error}"
    );
    assert!(!error.contains("accept-restore"), "{error}");
}

#[test]
fn accepting_goes_on_from_the_last_valid_record() {
    let disk = written(50, 50);
    let whole = disk.content(&log());
    let ends = ends(50);
    let mut flipped = whole.clone();
    flipped[ends[30] + 50] ^= 1;
    let head_lost = disk.copy();
    head_lost.erase(&root().join("HEAD"));
    let log_lost = disk.copy();
    log_lost.erase(&log());
    let mut header_lost = whole.clone();
    header_lost[3] ^= 1;
    for (name, disk, bytes, kept) in [
        (
            "restored",
            disk.copy(),
            Some(whole[..ends[20]].to_vec()),
            20,
        ),
        (
            "torn",
            disk.copy(),
            Some(whole[..ends[20] + 7].to_vec()),
            20,
        ),
        ("damaged", disk.copy(), Some(flipped), 30),
        ("anchor lost", head_lost, None, 50),
        ("journal lost", log_lost, None, 0),
        ("header lost", disk.copy(), Some(header_lost), 0),
    ] {
        if let Some(bytes) = bytes {
            disk.overwrite(&log(), &bytes);
        }
        assert!(open(&disk).is_err(), "{name} opened");
        let (mut journal, _) = accept(&disk).unwrap();
        assert_eq!(bodies(&journal), submitted(kept), "{name}");
        journal.append(b"goes on", Anchor::Due).unwrap();
        drop(journal);
        let (journal, _) = open(&disk).unwrap();
        assert_eq!(journal.head().seq, kept as u64 + 1, "{name}");
    }
}

#[test]
fn quarantine_keeps_the_bytes_it_took_away() {
    let disk = written(5, 2);
    let mut bytes = disk.content(&log());
    bytes.extend_from_slice(b"half a record");
    disk.overwrite(&log(), &bytes);
    let (_, recovery) = open(&disk).unwrap();
    let Some(crate::Note::Quarantined { file, bytes, .. }) = recovery.quarantined else {
        panic!("nothing was set aside")
    };
    assert_eq!(bytes, 13);
    let kept = disk.content(&root().join("quarantine").join(file));
    assert_eq!(kept, b"half a record");
}

/// Opens, appends until something fails, and says what was acknowledged.
fn play(disk: &SimDisk, count: usize) -> usize {
    let Ok((mut journal, _)) = open(disk) else {
        return 0;
    };
    let start = usize::try_from(journal.head().seq).unwrap();
    for number in start..count {
        let anchor = if number % 4 == 3 {
            Anchor::Now
        } else {
            Anchor::Due
        };
        if journal.append(&body(number), anchor).is_err() {
            return number;
        }
    }
    count
}

/// What was acknowledged is there, and besides it at most the record that was being written.
fn check_survivors(disk: &SimDisk, acknowledged: usize, context: &str) {
    let (journal, _) = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = bodies(&journal);
    assert!(
        (acknowledged..=acknowledged + 1).contains(&found.len()),
        "{context}: {acknowledged} acknowledged, {} found",
        found.len()
    );
    assert_eq!(found, submitted(found.len()), "{context}");
}

const SCRIPT: usize = 12;

fn script_calls() -> usize {
    let disk = SimDisk::new();
    assert_eq!(play(&disk, SCRIPT), SCRIPT);
    disk.calls()
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_acknowledged() {
    for call in 1..=script_calls() + 1 {
        for seed in 0..24 {
            let disk = SimDisk::new();
            disk.fail(call, Fault::PowerCut);
            let acknowledged = play(&disk, SCRIPT);
            let mut luck = Luck::new(seed * 1000 + call as u64);
            let found = disk.crash(&mut luck);
            check_survivors(
                &found,
                acknowledged,
                &format!("cut at call {call}, seed {seed}"),
            );
        }
    }
}

#[test]
fn a_power_cut_during_recovery_loses_nothing_either() {
    for call in (1..=script_calls() + 1).step_by(2) {
        for seed in 0..6 {
            let disk = SimDisk::new();
            disk.fail(call, Fault::PowerCut);
            let acknowledged = play(&disk, SCRIPT);
            let mut luck = Luck::new(seed * 977 + call as u64);
            let found = disk.crash(&mut luck);
            for again in 1..20 {
                let recovering = found.copy();
                recovering.fail(again, Fault::PowerCut);
                let opened = open(&recovering).map(|(journal, _)| journal.head().seq);
                let found_again = recovering.crash(&mut luck);
                let context = format!("cut at {call}, then {again}, seed {seed}");
                check_survivors(&found_again, acknowledged, &context);
                if let Ok(seen) = opened {
                    let (journal, _) = open(&found_again).unwrap();
                    assert!(journal.head().seq >= seen, "{context}: shown, then lost");
                }
            }
        }
    }
}

#[test]
fn a_failing_call_poisons_the_handle_and_loses_nothing_acknowledged() {
    let opening = {
        let disk = SimDisk::new();
        open(&disk).unwrap();
        disk.calls()
    };
    for fault in [Fault::Eio, Fault::Enospc, Fault::Short] {
        for call in opening + 1..=script_calls() {
            let disk = SimDisk::new();
            disk.fail(call, fault);
            let (mut journal, _) = open(&disk).unwrap();
            let mut acknowledged = 0;
            let mut failed = None;
            for number in 0..SCRIPT {
                let anchor = if number % 4 == 3 {
                    Anchor::Now
                } else {
                    Anchor::Due
                };
                match journal.append(&body(number), anchor) {
                    Ok(head) => {
                        assert!(
                            failed.is_none(),
                            "{fault:?} at {call}: wrote after {failed:?}"
                        );
                        assert_eq!(head.seq, number as u64 + 1);
                        acknowledged += 1;
                    }
                    Err(error) if failed.is_some() => {
                        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
                    }
                    Err(error) => failed = Some(error),
                }
            }
            let mut luck = Luck::new(call as u64);
            let context = format!("{fault:?} at {call}");
            for _ in 0..8 {
                check_survivors(&disk.crash(&mut luck), acknowledged, &context);
            }
            // Opened again without a crash, it goes on; what it says then survives a crash too.
            let Ok((mut journal, _)) = open(&disk) else {
                panic!("{context}: does not open again")
            };
            let found = bodies(&journal).len();
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "{context}"
            );
            journal.append(&body(found), Anchor::Due).unwrap();
            drop(journal);
            for _ in 0..8 {
                check_survivors(
                    &disk.crash(&mut luck),
                    found + 1,
                    &format!("{context}, later"),
                );
            }
        }
    }
}

#[test]
fn a_full_disk_still_takes_small_records_from_the_reserve() {
    let disk = SimDisk::new();
    let reserve = reserve(&disk).unwrap();
    let storage = Arc::new(disk.clone());
    let (mut journal, _) = RawJournal::open(storage, Arc::clone(&reserve), &root()).unwrap();
    disk.set_free(4096);
    assert!(reserve.is_held());
    let large = vec![b'x'; 1 << 20];
    let error = journal.append(&large, Anchor::Due).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(!reserve.is_held());
    journal.append(b"rolled back", Anchor::Now).unwrap();
    drop(journal);
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(bodies(&journal), vec![b"rolled back".to_vec()]);
}

#[test]
fn a_full_disk_still_takes_an_anchor_from_the_reserve() {
    let disk = SimDisk::new();
    let reserve = reserve(&disk).unwrap();
    let storage = Arc::new(disk.clone());
    let (mut journal, _) = RawJournal::open(storage, Arc::clone(&reserve), &root()).unwrap();
    // There is room for the record, which was set aside with the one before; not for its anchor.
    journal.append(b"staged", Anchor::Now).unwrap();
    disk.set_free(0);
    journal.append(b"rejected", Anchor::Now).unwrap();
    assert_eq!(journal.anchored().seq, 2);
    assert!(!reserve.is_held());
    drop(journal);
    // Neither does opening need more than the reserve.
    disk.set_free(RESERVE);
    let reserve = self::reserve(&disk).unwrap();
    disk.set_free(0);
    let (journal, _) = RawJournal::open(Arc::new(disk.clone()), reserve, &root()).unwrap();
    assert_eq!(bodies(&journal).len(), 2);
}

#[test]
fn a_body_no_reader_would_accept_is_refused_and_harms_nothing() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    let error = journal
        .append(&vec![0; MAX_BODY + 1], Anchor::Due)
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    journal.append(b"small", Anchor::Due).unwrap();
}

#[test]
fn a_record_changed_under_an_open_journal_is_noticed_when_it_is_read() {
    let disk = written(3, 3);
    let (journal, _) = open(&disk).unwrap();
    let mut bytes = disk.content(&log());
    let middle = ends(3)[1] + 50;
    bytes[middle] ^= 1;
    disk.overwrite(&log(), &bytes);
    assert!(matches!(
        journal.read(2),
        Err(Error::Damaged { seq: 1, .. })
    ));
    assert!(journal.read(1).unwrap().is_some());
}

#[test]
fn heads_chain_from_the_header() {
    let disk = written(2, 2);
    let (journal, _) = open(&disk).unwrap();
    let bytes = disk.content(Path::new("/state/journal/log"));
    let first = journal.read(1).unwrap().unwrap().0;
    let prev = &bytes[record::HEADER + 12..record::HEADER + 44];
    assert_eq!(prev, record::genesis().hash.0);
    assert_eq!(journal.hash_at(0), Some(record::genesis().hash));
    let second = &bytes[ends(1)[1] + 12..ends(1)[1] + 44];
    assert_eq!(second, first.hash.0);
    assert_eq!(
        journal.head(),
        Head {
            seq: 2,
            hash: journal.hash_at(2).unwrap()
        }
    );
}

proptest::proptest! {
    #[test]
    fn foreign_bytes_never_panic_and_never_grow_records(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
        with_header in proptest::prelude::any::<bool>(),
    ) {
        let disk = written(0, 0);
        let front = if with_header { record::header().to_vec() } else { Vec::new() };
        disk.overwrite(&log(), &[front, bytes].concat());
        if let Ok((journal, _)) = open(&disk) {
            proptest::prop_assert_eq!(journal.head().seq, 0);
        }
    }
}
