//! A whole state folder on real files: opening, killing, restoring, rebuilding.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use discipline::event::Event;
use state::{
    Anchor, Change, Entry, Error, EvidenceStore, Index, JournalReader, Logged, Note, OpenOptions,
    Record, Snapshot, StateDir,
};

fn options() -> OpenOptions {
    OpenOptions {
        reserve_bytes: 1 << 20,
        ..OpenOptions::new(1_700_000_000_000)
    }
}

fn open(root: &Path) -> Result<StateDir, Error> {
    StateDir::open(root, &options())
}

fn record(number: u64) -> Record {
    let event = Event::GroupEnded {
        pgid: 7,
        start_ticks: number,
    };
    Record::event(number as i64, 1000, "test", event)
}

fn append(state: &mut StateDir, numbers: std::ops::Range<u64>) {
    for number in numbers {
        state.journal.append(&record(number), Anchor::Due).unwrap();
    }
}

fn number(logged: &Logged) -> Option<u64> {
    match logged.record.as_event() {
        Some(Event::GroupEnded { start_ticks, .. }) => Some(*start_ticks),
        _ => None,
    }
}

fn numbers(state: &StateDir) -> Vec<u64> {
    let logged = state.journal.iter().map(Result::unwrap);
    logged.filter_map(|logged| number(&logged)).collect()
}

fn notes(state: &StateDir) -> Vec<Note> {
    let logged = state.journal.iter().map(Result::unwrap);
    logged
        .filter_map(|logged| match logged.record.entry {
            Entry::Note(note) => Some(note),
            Entry::Event(_) => None,
        })
        .collect()
}

/// A projection: each number under its own key.
fn project(logged: &Logged) -> Vec<Change> {
    let put = |number: u64| Change::Put {
        table: "numbers",
        key: number.to_be_bytes().to_vec(),
        value: logged.head.seq.to_be_bytes().to_vec(),
    };
    number(logged).map(put).into_iter().collect()
}

fn keys(index: &Index) -> Vec<Vec<u8>> {
    let found = index.scan("numbers", b"").unwrap();
    found.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn a_new_folder_has_the_layout_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let mut state = open(&root).unwrap();
    append(&mut state, 0..3);
    state.evidence.put_log(b"a log\n").unwrap();
    let head = state.journal.head();
    drop(state);
    for name in [
        "journal",
        "HEAD",
        "evidence",
        "index",
        "rooms",
        "quarantine",
    ] {
        assert!(root.join(name).exists(), "{name}");
    }
    let state = open(&root).unwrap();
    assert_eq!(state.journal.head(), head);
    assert_eq!(numbers(&state), [0, 1, 2]);
    let logged = state.journal.read(2).unwrap().unwrap();
    assert_eq!((logged.head.seq, logged.record), (2, record(1)));
    assert!(notes(&state).is_empty());
}

#[test]
fn the_reserve_occupies_space() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let state = open(&root).unwrap();
    assert!(state.reserve.is_held());
    let blocks = fs::metadata(root.join("journal/reserve")).unwrap().blocks();
    assert!(blocks * 512 >= 1 << 20, "{blocks} blocks");
}

#[test]
fn a_second_writer_is_told_who_holds_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let mut child = reexecute("hold", &root);
    wait_for(&mut child, "holding");
    match open(&root) {
        Err(Error::Held { pid, .. }) => assert_eq!(pid, Some(child.id())),
        other => panic!("{other:?}"),
    }
    // Readers need no lock.
    assert_eq!(JournalReader::open(&root).unwrap().head().seq, 5);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(numbers(&open(&root).unwrap()).len(), 5);
}

#[test]
fn readers_see_what_the_writer_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let mut state = open(&root).unwrap();
    append(&mut state, 0..70);
    let digest = state.evidence.put_blob(b"exhibit").unwrap();
    let reader = JournalReader::open(&root).unwrap();
    let read: Vec<Logged> = reader.iter().map(Result::unwrap).collect();
    assert_eq!(
        read,
        state.journal.iter().map(Result::unwrap).collect::<Vec<_>>()
    );
    assert_eq!(reader.fault(), None);
    let store = EvidenceStore::read_only(&state.paths.evidence);
    assert_eq!(store.get_blob(&digest).unwrap(), b"exhibit");
    assert!(matches!(store.put_blob(b"new"), Err(Error::Full { .. })));
}

#[test]
fn a_torn_tail_is_quarantined_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    append(&mut open(&root).unwrap(), 0..3);
    let log = root.join("journal/log");
    let mut bytes = fs::read(&log).unwrap();
    bytes.extend_from_slice(b"torn");
    fs::write(&log, bytes).unwrap();
    let state = open(&root).unwrap();
    assert_eq!(numbers(&state), [0, 1, 2]);
    let [Note::Quarantined { file, bytes: 4, .. }] = &notes(&state)[..] else {
        panic!("{:?}", notes(&state))
    };
    assert_eq!(
        fs::read(root.join("quarantine").join(file)).unwrap(),
        b"torn"
    );
    drop(state);
    assert_eq!(notes(&open(&root).unwrap()).len(), 1);
}

#[test]
fn a_restored_backup_is_refused_until_a_person_accepts_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    append(&mut open(&root).unwrap(), 0..3);
    let log = root.join("journal/log");
    let backup = fs::read(&log).unwrap();
    let nothing = StateDir::accept_restore(&root, &options(), "why not");
    assert!(matches!(nothing, Err(Error::NothingToAccept)));
    let mut state = open(&root).unwrap();
    append(&mut state, 3..9);
    state.journal.anchor().unwrap();
    state.index.catch_up(&state.journal, &mut project).unwrap();
    drop(state);
    fs::write(&log, &backup).unwrap();
    let refused = open(&root).unwrap_err();
    assert!(matches!(
        refused,
        Error::AnchorAhead {
            anchor_seq: 9,
            journal_seq: 3,
            ..
        }
    ));
    assert!(refused.to_string().contains("accept-restore"), "{refused}");
    let mut state = StateDir::accept_restore(&root, &options(), "disk died").unwrap();
    assert_eq!(numbers(&state), [0, 1, 2]);
    let [
        Note::RestoreAccepted {
            reason,
            anchor_seq,
            kept_seq,
            ..
        },
    ] = &notes(&state)[..]
    else {
        panic!("{:?}", notes(&state))
    };
    assert_eq!(
        (reason.as_str(), *anchor_seq, *kept_seq),
        ("disk died", Some(9), 3)
    );
    let caught_up = state.index.catch_up(&state.journal, &mut project).unwrap();
    assert!(caught_up.rebuilt);
    assert_eq!(keys(&state.index).len(), 3);
    drop(state);
    assert_eq!(numbers(&open(&root).unwrap()), [0, 1, 2]);
}

#[test]
fn records_cut_between_anchors_are_noticed_by_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let mut state = open(&root).unwrap();
    append(&mut state, 0..3);
    let log = root.join("journal/log");
    let earlier = fs::read(&log).unwrap();
    append(&mut state, 3..6);
    assert_eq!(state.journal.anchored().seq, 0);
    state.index.catch_up(&state.journal, &mut project).unwrap();
    drop(state);
    fs::write(&log, earlier).unwrap();
    match open(&root) {
        Err(Error::AnchorAhead {
            anchor,
            anchor_seq: 6,
            journal_seq: 3,
        }) => {
            assert_eq!(anchor, "the index");
        }
        other => panic!("{other:?}"),
    }
    let state = StateDir::accept_restore(&root, &options(), "cut by hand").unwrap();
    assert_eq!(numbers(&state), [0, 1, 2]);
    drop(state);
    open(&root).unwrap();
}

#[test]
fn an_index_catches_up_and_survives_its_own_destruction() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let mut state = open(&root).unwrap();
    append(&mut state, 0..5);
    let caught_up = state.index.catch_up(&state.journal, &mut project).unwrap();
    assert_eq!((caught_up.records, caught_up.rebuilt), (5, true));
    append(&mut state, 5..8);
    let caught_up = state.index.catch_up(&state.journal, &mut project).unwrap();
    assert_eq!((caught_up.records, caught_up.rebuilt), (3, false));
    assert_eq!(state.index.applied(), Some(state.journal.head()));
    let before = state.index.scan("numbers", b"").unwrap();
    assert_eq!(before.len(), 8);
    let snapshot = Snapshot {
        head: state.journal.head(),
        bytes: b"folded".to_vec(),
    };
    state.index.save_snapshot(&snapshot).unwrap();
    assert_eq!(state.index.snapshot(&state.journal), Some(snapshot.clone()));
    drop(state);
    // A different index each time: gone, replaced by a file, garbage inside.
    for destroy in [
        (|index: &Path| fs::remove_dir_all(index).unwrap()) as fn(&Path),
        |index| {
            fs::remove_dir_all(index).unwrap();
            fs::write(index, b"not a folder").unwrap();
        },
        |index| {
            for entry in fs::read_dir(index).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let length = fs::metadata(&path).unwrap().len() as usize;
                    fs::write(path, vec![0xA5; length.min(1 << 16)]).unwrap();
                }
            }
        },
    ] {
        destroy(&root.join("index"));
        let mut state = open(&root).unwrap();
        let caught_up = state.index.catch_up(&state.journal, &mut project).unwrap();
        assert_eq!((caught_up.records, caught_up.rebuilt), (8, true));
        assert_eq!(state.index.scan("numbers", b"").unwrap(), before);
        assert_eq!(state.index.snapshot(&state.journal), None);
    }
}

#[test]
fn projections_change_with_their_head_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = open(&folder.path().join("state")).unwrap();
    append(&mut state, 0..2);
    let head = state.journal.head();
    let put = |key: &[u8], value: &[u8]| Change::Put {
        table: "idempotency",
        key: key.to_vec(),
        value: value.to_vec(),
    };
    let remove = Change::Remove {
        table: "idempotency",
        key: b"a".to_vec(),
    };
    state
        .index
        .apply(head, [put(b"a", b"1"), put(b"ab", b"2")])
        .unwrap();
    assert_eq!(
        state.index.get("idempotency", b"a").unwrap(),
        Some(b"1".to_vec())
    );
    assert_eq!(state.index.get("idempotenc", b"ya").unwrap(), None);
    state.index.apply(head, [remove]).unwrap();
    assert_eq!(state.index.get("idempotency", b"a").unwrap(), None);
    let left = state.index.scan("idempotency", b"a").unwrap();
    assert_eq!(left, [(b"ab".to_vec(), b"2".to_vec())]);
}

/// Folders under `fixtures/`, each a journal and its anchor as that version wrote them.
fn fixture(version: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(version)
}

#[test]
fn journals_of_format_1_are_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("journal")).unwrap();
    fs::copy(fixture("v1").join("log"), root.join("journal/log")).unwrap();
    fs::copy(fixture("v1").join("HEAD"), root.join("HEAD")).unwrap();
    let mut state = open(root).unwrap();
    let read: Vec<Logged> = state.journal.iter().map(Result::unwrap).collect();
    assert_eq!(read.len(), 4);
    let created = Event::StateCreated {
        root_commit: "0".repeat(40),
        remote: "file:///somewhere.git".to_owned(),
    };
    assert_eq!(read[0].record, Record::event(0, 0, "daemon", created));
    assert_eq!(numbers(&state), [1, 2]);
    assert_eq!(notes(&state).len(), 1);
    append(&mut state, 3..4);
}

/// Writes the fixture of the present version; run it once, when a version is released.
#[test]
#[ignore = "writes a file that must never change again"]
fn write_fixture() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let mut state = open(&root).unwrap();
    let created = Event::StateCreated {
        root_commit: "0".repeat(40),
        remote: "file:///somewhere.git".to_owned(),
    };
    let first = Record::event(0, 0, "daemon", created);
    state.journal.append(&first, Anchor::Now).unwrap();
    append(&mut state, 1..3);
    drop(state);
    let log = root.join("journal/log");
    let torn = [fs::read(&log).unwrap(), b"torn".to_vec()].concat();
    fs::write(&log, torn).unwrap();
    open(&root).unwrap();
    let target = fixture(&format!("v{}", state::format::VERSION));
    assert!(
        !target.join("log").exists(),
        "released fixtures stay as they are"
    );
    fs::create_dir_all(&target).unwrap();
    fs::copy(&log, target.join("log")).unwrap();
    fs::copy(root.join("HEAD"), target.join("HEAD")).unwrap();
}

fn reexecute(role: &str, root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--nocapture", "--ignored"])
        .env("STATE_TEST_ROLE", role)
        .env("STATE_TEST_ROOT", root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for(child: &mut Child, word: &str) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    lines.map(Result::unwrap).find(|line| line == word).unwrap();
}

/// The body of re-executed processes.
#[test]
#[ignore = "the body of processes that other tests start"]
fn role() {
    let (Ok(role), Ok(root)) = (
        std::env::var("STATE_TEST_ROLE"),
        std::env::var("STATE_TEST_ROOT"),
    ) else {
        return;
    };
    let root = Path::new(&root);
    let mut state = open(root).unwrap();
    match role.as_str() {
        "hold" => {
            append(&mut state, 0..5);
            println!("\nholding");
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        // Works until it is killed, and says on a line of its own what is durable by then.
        "work" => {
            let mut out = std::io::stdout();
            for number in numbers(&state).len() as u64.. {
                let anchor = if number % 5 == 0 {
                    Anchor::Now
                } else {
                    Anchor::Due
                };
                let head = state.journal.append(&record(number), anchor).unwrap();
                let log = format!("log {number}\n").repeat(3000);
                let stored = state.evidence.put_log(log.as_bytes()).unwrap();
                let logged = state.journal.read(head.seq).unwrap().unwrap();
                state.index.apply(head, project(&logged)).unwrap();
                writeln!(out, "\nack {number} {}", stored.digest).unwrap();
            }
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    for round in 0..40_usize {
        let mut child = reexecute("work", &root);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after a few acknowledgements, sometimes before the first: while it opens.
        let mut wanted = [0, 1, 2, 3, 5, 8, 13][round % 7];
        let take = |line: String, acknowledged: &mut Vec<(u64, String)>| {
            let mut words = line.strip_prefix("ack ")?.split(' ');
            acknowledged.push((words.next()?.parse().ok()?, words.next()?.to_owned()));
            Some(())
        };
        if wanted == 0 {
            // Somewhere within opening: after a number of turns that differs by round.
            for _ in 0..round * 200 {
                std::thread::yield_now();
            }
        }
        while wanted > 0 {
            let line = lines.next().unwrap().unwrap();
            if take(line, &mut acknowledged).is_some() {
                wanted -= 1;
            }
        }
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            take(line, &mut acknowledged);
        }
        child.wait().unwrap();
        let mut state = open(&root).unwrap();
        let found = numbers(&state);
        let expect: Vec<u64> = (0..found.len() as u64).collect();
        assert_eq!(found, expect, "round {round}");
        assert!(
            (acknowledged.len()..=acknowledged.len() + 1).contains(&found.len()),
            "round {round}: {} acknowledged, {} found",
            acknowledged.len(),
            found.len()
        );
        for (number, digest) in &acknowledged {
            let log = state.evidence.open_log(&digest.parse().unwrap()).unwrap();
            assert_eq!(
                log.read_lines(1, 1).unwrap().bytes,
                format!("log {number}\n").as_bytes()
            );
        }
        assert!(state.evidence.verify_all().unwrap().damaged.is_empty());
        state.index.catch_up(&state.journal, &mut project).unwrap();
        assert_eq!(keys(&state.index).len(), found.len());
        // What was found counts as shown from here on.
        let unheard = found.len() - acknowledged.len();
        if unheard > 0 {
            let number = found.len() as u64 - 1;
            let log = format!("log {number}\n").repeat(3000);
            let stored = state.evidence.put_log(log.as_bytes()).unwrap();
            acknowledged.push((number, stored.digest.to_string()));
        }
    }
    assert!(
        acknowledged.len() > 150,
        "only {} acknowledged",
        acknowledged.len()
    );
}
