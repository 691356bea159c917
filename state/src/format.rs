//! Bodies of journal records, by version. Nothing else in this crate serialises an event.
//!
//! A body is one JSON object whose first field is its version `v`. A version, once released, is
//! only ever read: a change that old readers would misread makes a new one, and `fixtures/` keeps a
//! journal of each.

use discipline::event::Event;
use serde::{Deserialize, Serialize};

/// Newest body version this build writes and reads.
pub const VERSION: u64 = 1;

/// What happened, when, and on whose behalf.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Unix time in milliseconds, from the caller's clock.
    pub at_ms: i64,
    /// User id of the peer that caused it.
    pub uid: u32,
    /// Self-declared name of that peer, unverified.
    pub by: String,
    /// What happened.
    pub entry: Entry,
}

/// Something that happened to a loop, or to the state itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An event of the fold.
    Event(Box<Event>),
    /// Housekeeping; no part of the fold.
    Note(Note),
}

/// What was done to the state folder itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Bytes after the last whole record were moved to `quarantine/`.
    Quarantined {
        /// File name under `quarantine/`.
        file: String,
        /// How many bytes.
        bytes: u64,
        /// SHA-256 of them, hex.
        sha256: String,
        /// Why they were no record.
        reason: String,
    },
    /// A daemon began to write that differs from the one before it.
    Started {
        /// Version of greenloop.
        version: String,
        /// The toolchain that runs and gates are built with: versions and digests.
        toolchain: String,
    },
    /// The index was given the state as of the record before this one.
    Folded {
        /// The build that folded it.
        build: String,
        /// `sha256:` and the digest of its bytes, hex.
        sha256: String,
    },
    /// Stored bytes were dropped that nothing rests on.
    Pruned {
        /// Their digests.
        files: Vec<String>,
        /// What they took on disk.
        bytes: u64,
    },
    /// A person chose to go on with a journal its anchor did not confirm.
    RestoreAccepted {
        /// The person's reason.
        reason: String,
        /// What was wrong.
        refused: String,
        /// Record the anchor proved, where it could be read.
        anchor_seq: Option<u64>,
        /// Hash the anchor proved, hex.
        anchor_hash: Option<String>,
        /// Last record that was kept.
        kept_seq: u64,
    },
}

impl Record {
    /// A record of an event.
    pub fn event(at_ms: i64, uid: u32, by: impl Into<String>, event: Event) -> Record {
        Record {
            at_ms,
            uid,
            by: by.into(),
            entry: Entry::Event(Box::new(event)),
        }
    }

    /// The event, unless this is housekeeping.
    pub fn as_event(&self) -> Option<&Event> {
        match &self.entry {
            Entry::Event(event) => Some(event),
            Entry::Note(_) => None,
        }
    }
}

/// One of the last two is there. They are fields, not a flattened enum, which would be read twice.
#[derive(Serialize, Deserialize)]
struct RecordV1<E, N, T> {
    v: u64,
    at_ms: i64,
    uid: u32,
    by: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<E>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<N>,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u64,
}

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Newer { found: u64 },
    Malformed(String),
}

/// The bytes of a body in the newest version.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let (event, note) = match &record.entry {
        Entry::Event(event) => (Some(&**event), None),
        Entry::Note(note) => (None, Some(note)),
    };
    serde_json::to_vec(&RecordV1 {
        v: VERSION,
        at_ms: record.at_ms,
        uid: record.uid,
        by: record.by.as_str(),
        event,
        note,
    })
}

/// Reads a body of any version.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, Unreadable> {
    let malformed = |error: serde_json::Error| Unreadable::Malformed(error.to_string());
    let record: Result<RecordV1<Box<Event>, Note, String>, _> = serde_json::from_slice(bytes);
    let version = match &record {
        Ok(record) => record.v,
        // What a newer version says need not have this one's shape.
        Err(_) => {
            let VersionOnly { v } = serde_json::from_slice(bytes).map_err(malformed)?;
            v
        }
    };
    if version > VERSION {
        return Err(Unreadable::Newer { found: version });
    }
    let record = record.map_err(malformed)?;
    let entry = match (record.event, record.note) {
        (Some(event), None) => Entry::Event(event),
        (None, Some(note)) => Entry::Note(note),
        _ => {
            let what = "it is neither an event nor a note, or both";
            return Err(Unreadable::Malformed(what.to_owned()));
        }
    };
    Ok(Record {
        at_ms: record.at_ms,
        uid: record.uid,
        by: record.by,
        entry,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> Record {
        let event = Event::GroupEnded {
            pgid: 12,
            start_ticks: 345,
        };
        Record::event(1_700_000_000_123, 1000, "an agent", event)
    }

    /// Bodies as version 1 wrote them. Lines are added here, never changed.
    const V1: [&str; 6] = [
        r#"{"v":1,"at_ms":1700000000123,"uid":1000,"by":"an agent","event":{"event":"group_ended","pgid":12,"start_ticks":345}}"#,
        r#"{"v":1,"at_ms":5,"uid":0,"by":"daemon","note":{"note":"quarantined","file":"f","bytes":9,"sha256":"ab","reason":"a record is cut short"}}"#,
        r#"{"v":1,"at_ms":6,"uid":0,"by":"daemon","note":{"note":"started","version":"0.1.0","toolchain":"rustc 1.95.0 sha256:cd"}}"#,
        r#"{"v":1,"at_ms":7,"uid":0,"by":"daemon","note":{"note":"folded","build":"0.1.0 1 2","sha256":"sha256:ef"}}"#,
        r#"{"v":1,"at_ms":8,"uid":0,"by":"ana","note":{"note":"pruned","files":["sha256:ef"],"bytes":9}}"#,
        r#"{"v":1,"at_ms":8,"uid":1000,"by":"ana","event":{"event":"override_granted","granted":{"id":"V1","code":"budget_exceeded","scope":"smoke","reason":"the night shift pays","granted_ms":8,"expires_ms":9,"author":{"uid":1000,"name":"ana"}}}}"#,
    ];

    #[test]
    fn bodies_of_version_1_are_read_and_written_as_ever() {
        assert_eq!(decode(V1[0].as_bytes()).unwrap(), ended());
        for body in V1 {
            let record = decode(body.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(encode(&record).unwrap()).unwrap(), body);
        }
    }

    #[test]
    fn newer_and_malformed_bodies_are_told_apart() {
        let newer = V1[0].replace("\"v\":1", "\"v\":2");
        assert_eq!(
            decode(newer.as_bytes()),
            Err(Unreadable::Newer { found: 2 })
        );
        for body in [
            "",
            "{}",
            "[]",
            "{\"v\":1}",
            "{\"v\":1,\"event\":{\"event\":\"no such\"}}",
        ] {
            let read = decode(body.as_bytes());
            assert!(
                matches!(read, Err(Unreadable::Malformed(_))),
                "{body}: {read:?}"
            );
        }
    }
}
