//! Orders to a forge through the real program.

use serde_json::{Value, json};

use crate::fake::{self, Forge, REPO, TOKEN, ok, status};
use crate::pull::project;

const WHY: &str = "--reason=the runner was restarted under it";

/// Run 7 at an attempt.
fn described(head: &str, attempt: u32, conclusion: Option<&str>) -> Value {
    let mut run = fake::run(7);
    run["head_sha"] = json!(head);
    run["run_attempt"] = json!(attempt);
    run["conclusion"] = json!(conclusion);
    if conclusion.is_none() {
        run["status"] = json!("in_progress");
    }
    run
}

#[test]
fn a_person_runs_a_run_again_cancels_it_and_sees_its_end() {
    let forge = Forge::start();
    let (home, head) = project(&forge);
    let run = format!("{REPO}/actions/runs/7");
    let (rerun, cancel) = (format!("{run}/rerun-failed-jobs"), format!("{run}/cancel"));
    forge
        .api
        .on(&run, ok(&described(&head, 1, Some("failure"))));
    forge.api.on(&rerun, status(201, "{}"));
    forge.api.on(&cancel, status(202, "{}"));
    let going = ok(&described(&head, 2, None));
    let ended = ok(&described(&head, 2, Some("cancelled")));
    let attempt = format!("{run}/attempts/2");
    for path in [&run, &attempt] {
        forge.api.when_asked(&rerun, path, going.clone());
        forge.api.when_asked(&cancel, path, ended.clone());
    }
    let none = |key: &str| ok(&json!({"total_count": 0, key: []}));
    forge.api.on(&format!("{attempt}/jobs"), none("jobs"));
    forge.api.on(&format!("{run}/artifacts"), none("artifacts"));

    let mute = home.greenloop(&["rerun", "7", "--reason", "flaky"]);
    assert_eq!(mute.code, 3, "{mute:?}");
    assert!(mute.out.contains("reason_missing"), "{mute:?}");
    let again = home.greenloop(&["rerun", "7", "--failed", WHY]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("T1: the forge took it"), "{again:?}");
    assert!(
        again.out.contains("R2 is attempt 2 of it, in_progress"),
        "{again:?}"
    );
    let stopped = home.greenloop(&["cancel", "R2", WHY, "--json"]).json();
    assert_eq!(stopped["order_id"], "T2", "{stopped}");
    let late = home.greenloop(&["cancel", "R2", WHY]);
    assert_eq!(late.code, 0, "{late:?}");
    assert!(late.out.contains("nothing was done"), "{late:?}");
    // Its end is read without anybody asking; it executed nothing.
    let waited = home.greenloop(&["wait", "R2"]);
    assert_eq!(waited.code, 5, "{waited:?}");
    home.greenloop(&["stop"]);
    assert_eq!((forge.api.count(&rerun), forge.api.count(&cancel)), (1, 1));
    for said in [&mute, &again, &late, &waited] {
        assert!(
            !said.out.contains(TOKEN) && !said.err.contains(TOKEN),
            "{said:?}"
        );
    }
}
