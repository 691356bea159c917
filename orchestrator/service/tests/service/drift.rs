//! What a daemon says about state that is not as the one before left it.

use std::fs;

use service::api;
use state::{Anchor, Entry, Note, OpenOptions, Record, StateDir};

use crate::support::{Bench, run};

fn drift(bench: &Bench) -> Vec<String> {
    let status = bench.agent(api::LoopStatusRequest::default());
    status.unwrap().drift
}

/// A claim that waits for its approval: loop, claim, digest.
fn staged(bench: &Bench) -> (String, String, String) {
    let red = bench.run_scope();
    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h", "skipped_work", "the last block is skipped");
    let commit = bench.fix();
    let draft = bench.good_draft(&red, &hypothesis, &commit);
    let proposed = bench.propose(&loop_id, "c", draft);
    let (claim, digest) = (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap());
    assert_eq!(bench.gates(&loop_id, &claim, 300).state, "staged");
    (loop_id, claim, digest)
}

#[test]
fn another_toolchain_than_the_last_daemons_is_said() {
    let mut bench = Bench::new();
    let (_, claim, _) = staged(&bench);
    bench.reopen();
    assert_eq!(drift(&bench), Vec::<String>::new(), "nothing has moved");
    bench.close();
    let root = bench.root().join("state");
    let mut state = StateDir::open(&root, &OpenOptions::new(1)).unwrap();
    // As a daemon on another toolchain would have noted it.
    let note = Note::Started {
        version: "0.0.9".into(),
        toolchain: "rustc 0.9.0 sha256:00".into(),
    };
    let record = Record {
        at_ms: 1,
        uid: 0,
        by: "daemon".into(),
        entry: Entry::Note(note),
    };
    state.journal.append(&record, Anchor::Now).unwrap();
    drop(state);
    bench.reopen();
    let said = drift(&bench);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("the daemon before used rustc 0.9.0"),
        "{said:?}"
    );
    assert!(
        !said[0].contains(&claim),
        "its gates ran with this toolchain"
    );
}

#[test]
fn a_journal_that_the_remote_knows_more_of_is_noticed() {
    let mut bench = Bench::new();
    let (loop_id, claim, digest) = staged(&bench);
    let (state, backup) = (bench.root().join("state"), bench.root().join("backup"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        run(
            &bench.root(),
            "cp",
            &["-r", from.to_str().unwrap(), to.to_str().unwrap()],
        );
    };
    copy(&state, &backup);
    bench.approve(&claim);
    assert_eq!(bench.push(&loop_id, &claim, &digest).refused, []);
    let hook = bench.remote_path().join("hooks/update");
    let no_checkpoint = "#!/bin/sh\nif [ \"$1\" = refs/greenloop/log ]; then exit 1; fi\n";
    fs::write(&hook, no_checkpoint).unwrap();
    run(&bench.root(), "chmod", &["+x", hook.to_str().unwrap()]);
    assert_eq!(bench.verified(&claim).state, "confirmed");
    let refs = bench.remote_refs();
    assert!(!refs.contains_key("refs/greenloop/log"), "{refs:?}");
    fs::remove_file(&hook).unwrap();
    // What a daemon could not add, it or the next one adds when the remote is read again.
    bench.reopen();
    bench.agent(api::ListInvariantsRequest::default()).unwrap();
    let refs = bench.remote_refs();
    assert!(refs.contains_key("refs/greenloop/log"), "{refs:?}");
    let checkpoints = || {
        run(
            &bench.remote_path(),
            "git",
            &["rev-list", "--count", "refs/greenloop/log"],
        )
    };
    assert_eq!(checkpoints(), "1");
    let told = run(
        &bench.remote_path(),
        "git",
        &["log", "--format=%B", "refs/greenloop/log"],
    );
    assert!(
        told.contains("journal record ") && told.contains("Journal-Head: sha256:"),
        "{told}"
    );
    bench.reopen();
    bench.run_scope();
    assert_eq!(drift(&bench), Vec::<String>::new(), "the journal is whole");

    bench.reopen_on("backup");
    // Everything in the folder fits together: only the remote knows better.
    bench.run_scope();
    let said = drift(&bench);
    let cut = said
        .iter()
        .any(|line| line.contains("the remote's checkpoint proves record"));
    assert!(cut, "{said:?}");
    assert!(fs::exists(state.join("HEAD")).unwrap());
}
