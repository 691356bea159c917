//! Orders to the forge: sent once, whatever becomes of the answer.

use ci::forge::ForgeError;
use ci::github::Rerun;
use exec::Cancel;
use serde_json::{Value, json};

use crate::fake::{Forge, REPO, Step, ok, run, status};

const RUN: &str = "/repos/octo/gpu/actions/runs/7";

/// Run 7 as it is at each look.
fn looks(forge: &Forge, states: &[(&str, u32)]) {
    for (state, attempt) in states {
        let mut run = run(7);
        run["status"] = json!(state);
        run["run_attempt"] = json!(attempt);
        if *state != "completed" {
            run["conclusion"] = Value::Null;
        }
        forge.api.on(RUN, ok(&run));
    }
}

fn cancel() -> Cancel {
    Cancel::new().unwrap()
}

#[test]
fn a_run_is_cancelled_by_one_order() {
    assert_eq!(RUN, format!("{REPO}/actions/runs/7"));
    let forge = Forge::start();
    looks(&forge, &[("in_progress", 1)]);
    let order = format!("{RUN}/cancel");
    forge.api.on(&order, status(202, "{}"));
    forge.api.when_asked(&order, RUN, ok(&run(7)));
    let after = forge.client().cancel_run("7", &cancel()).unwrap();
    assert!(after.is_completed());
    assert_eq!(forge.api.count(&format!("{RUN}/cancel")), 1);
}

#[test]
fn a_run_that_has_ended_is_not_cancelled() {
    let forge = Forge::start();
    looks(&forge, &[("completed", 1)]);
    assert!(
        forge
            .client()
            .cancel_run("7", &cancel())
            .unwrap()
            .is_completed()
    );
    assert_eq!(forge.api.count(&format!("{RUN}/cancel")), 0);
}

#[test]
fn a_run_that_ended_before_the_order_came_is_no_error() {
    let forge = Forge::start();
    looks(&forge, &[("in_progress", 1), ("completed", 1)]);
    forge.api.on(&format!("{RUN}/cancel"), status(409, "{}"));
    assert!(
        forge
            .client()
            .cancel_run("7", &cancel())
            .unwrap()
            .is_completed()
    );
}

#[test]
fn an_order_whose_answer_was_lost_is_read_back_and_not_sent_again() {
    let forge = Forge::start();
    looks(&forge, &[("completed", 1), ("completed", 1), ("queued", 2)]);
    forge.api.on(&format!("{RUN}/rerun"), vec![Step::Reset]);
    let after = forge.client().rerun("7", Rerun::All, &cancel()).unwrap();
    assert_eq!(after.attempt(), 2);
    assert_eq!(forge.api.count(&format!("{RUN}/rerun")), 1);
}

#[test]
fn an_order_that_never_arrived_is_an_error_and_not_sent_again() {
    let forge = Forge::start();
    looks(&forge, &[("completed", 1)]);
    let path = format!("{RUN}/rerun-failed-jobs");
    forge.api.on(&path, vec![Step::Reset]);
    let error = forge
        .client()
        .rerun("7", Rerun::Failed, &cancel())
        .unwrap_err();
    assert!(matches!(error, ForgeError::Network { .. }), "{error}");
    assert!(error.to_string().contains("sent once"), "{error}");
    assert_eq!(forge.api.count(&path), 1);
}

#[test]
fn a_token_that_may_only_read_is_told_what_it_lacks() {
    let forge = Forge::start();
    looks(&forge, &[("completed", 1)]);
    let path = format!("{RUN}/rerun");
    forge.api.on(
        &path,
        status(403, "{\"message\":\"Resource not accessible\"}"),
    );
    let error = forge
        .client()
        .rerun("7", Rerun::All, &cancel())
        .unwrap_err();
    assert!(error.to_string().contains("write access"), "{error}");
}

#[test]
fn a_run_that_goes_on_is_not_run_again() {
    let forge = Forge::start();
    looks(&forge, &[("in_progress", 1)]);
    let error = forge
        .client()
        .rerun("7", Rerun::All, &cancel())
        .unwrap_err();
    assert!(error.to_string().contains("has not ended"), "{error}");
    assert_eq!(forge.api.count(&format!("{RUN}/rerun")), 0);
}
