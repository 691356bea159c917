//! A person's orders to the forge: which are given, recorded, sent once and followed.

use std::sync::{Arc, Barrier};

use discipline::event::Event;
use discipline::orders::OrderOutcome;
use serde_json::{Value, json};
use service::{ServiceError, api};

use crate::fake::{self, Forge, REPO, Step, ok, status};
use crate::github::bench;
use crate::support::{Bench, SCOPE, codes};

const RUN: &str = "/repos/octo/gpu/actions/runs/7";
const WHY: &str = "the runner was restarted under it";

struct World {
    forge: Forge,
    bench: Bench,
    head: String,
    _token: tempfile::TempDir,
}

fn world() -> World {
    let forge = Forge::start();
    let token = tempfile::tempdir().unwrap();
    let (bench, head) = bench(&forge, &token.path().join("token"), "");
    assert_eq!(RUN, format!("{REPO}/actions/runs/7"));
    World {
        forge,
        bench,
        head,
        _token: token,
    }
}

impl World {
    /// Run 7 at an attempt, as the forge describes it.
    fn described(&self, event: &str, attempt: u32, conclusion: Option<&str>) -> Value {
        let mut run = fake::run(7);
        run["head_sha"] = json!(self.head);
        run["event"] = json!(event);
        run["run_attempt"] = json!(attempt);
        run["conclusion"] = json!(conclusion);
        if conclusion.is_none() {
            run["status"] = json!("in_progress");
        }
        run
    }

    /// What is there of an attempt besides its description.
    fn executed(&self, attempt: u32, jobs: &[Value]) {
        let listed = |key: &str, rows: &[Value]| ok(&json!({"total_count": rows.len(), key: rows}));
        let attempts = format!("{RUN}/attempts/{attempt}");
        self.forge
            .api
            .on(&format!("{attempts}/jobs"), listed("jobs", jobs));
        let artifacts = format!("{RUN}/artifacts");
        self.forge.api.forget(&artifacts);
        self.forge.api.on(&artifacts, listed("artifacts", &[]));
    }

    fn cancel(&self, claim: Option<&str>) -> Result<api::OrderAnswer, ServiceError> {
        self.bench.person(api::CancelRunRequest {
            run_id: "7".into(),
            reason: WHY.into(),
            claim_id: claim.map(str::to_owned),
        })
    }

    fn rerun(&self, reason: &str) -> Result<api::OrderAnswer, ServiceError> {
        self.bench.person(api::RerunRequest {
            run_id: "7".into(),
            reason: reason.into(),
            failed_only: false,
        })
    }

    /// What the journal says of orders, in the order of the records.
    fn journalled(&self) -> Vec<String> {
        let journal = state::JournalReader::open(&self.bench.root().join("state")).unwrap();
        let mut said = Vec::new();
        for record in journal.iter() {
            match record.unwrap().record.as_event() {
                Some(Event::RunOrdered { order }) => {
                    said.push(format!(
                        "{} {} {}",
                        order.id,
                        order.kind.as_str(),
                        order.author.name
                    ));
                }
                Some(Event::RunOrderSettled { order_id, outcome }) => {
                    let word = match outcome {
                        OrderOutcome::Taken => "taken",
                        OrderOutcome::Refused { .. } => "refused",
                        OrderOutcome::Unknown { .. } => "unknown",
                    };
                    said.push(format!("{order_id} {word}"));
                }
                _ => {}
            }
        }
        said
    }
}

#[test]
fn a_wasted_run_is_cancelled_once_by_a_person_and_seen_to_its_end() {
    let world = world();
    let (forge, bench) = (&world.forge, &world.bench);
    forge
        .api
        .on(RUN, ok(&world.described("pull_request", 1, None)));
    world.executed(1, &[]);
    let ended = world.described("pull_request", 1, Some("cancelled"));
    forge.api.on(&format!("{RUN}/attempts/1"), ok(&ended));
    let order = format!("{RUN}/cancel");
    forge.api.on(&order, status(202, "{}"));
    forge.api.when_asked(&order, RUN, ok(&ended));

    let by_agent = bench.agent(api::CancelRunRequest {
        run_id: "7".into(),
        reason: WHY.into(),
        claim_id: None,
    });
    assert!(
        matches!(by_agent, Err(ServiceError::OperatorOnly { .. })),
        "{by_agent:?}"
    );
    let mute = bench
        .person(api::CancelRunRequest {
            run_id: "7".into(),
            reason: "x".into(),
            claim_id: None,
        })
        .unwrap();
    assert_eq!(codes(&mute.refused), ["reason_missing"]);
    assert_eq!(forge.api.count(&order), 0);

    let given = world.cancel(None).unwrap();
    assert_eq!(given.refused, []);
    assert_eq!(given.order_id.as_deref(), Some("T1"));
    let run = given.run.unwrap();
    assert_eq!(
        (run.scope.as_str(), run.status.as_str()),
        (SCOPE, "completed")
    );
    let again = world.cancel(None).unwrap();
    assert!(again.had_ended && again.order_id.is_none(), "{again:?}");
    assert_eq!(forge.api.count(&order), 1, "sent once");
    let waited = bench
        .agent(api::WaitForRunRequest {
            run_id: run.run_id,
            max_wait_s: 50,
        })
        .unwrap();
    assert!(waited.done);
    assert_eq!(waited.run.conclusion.as_deref(), Some("cancelled"));
    assert_eq!(world.journalled(), ["T1 cancel ana", "T1 taken"]);
}

/// A run that is begun while another one is pulled takes the id that the other would have had.
#[test]
fn two_runs_that_are_new_at_once_are_two() {
    let world = world();
    let (forge, bench) = (&world.forge, &world.bench);
    let pulled = format!("{REPO}/actions/runs/8");
    let mut run = world.described("push", 1, Some("failure"));
    run["id"] = json!(8);
    for path in [pulled.clone(), format!("{pulled}/attempts/1")] {
        forge.api.on(&path, ok(&run));
    }
    let jobs = [fake::job(5, "paths (debug)")];
    forge.api.on(
        &format!("{pulled}/attempts/1/jobs"),
        ok(&json!({"total_count": 1, "jobs": jobs})),
    );
    forge.api.on(
        &format!("{pulled}/artifacts"),
        ok(&json!({"total_count": 0, "artifacts": []})),
    );
    let barrier = Arc::new(Barrier::new(2));
    let meet = || Step::Meet(Arc::clone(&barrier));
    let mut reply = vec![meet(), meet()];
    reply.extend(fake::bytes(
        b"2026-01-02T03:04:06.0000000Z test x ... FAILED\n",
    ));
    forge.log_reply(5, reply);
    forge
        .api
        .on(RUN, ok(&world.described("pull_request", 1, None)));
    forge.api.on(&format!("{RUN}/cancel"), status(202, "{}"));

    let (full, ordered) = std::thread::scope(|scope| {
        let pulling = scope.spawn(|| {
            bench.agent(api::PullFullLogRequest {
                run_id: "8".into(),
                ..api::PullFullLogRequest::default()
            })
        });
        barrier.wait();
        let ordered = world.cancel(None);
        barrier.wait();
        (pulling.join().unwrap(), ordered)
    });
    let (full, ordered) = (full.unwrap(), ordered.unwrap());
    assert_eq!(ordered.refused, []);
    let ordered = ordered.run.unwrap().run_id;
    assert_ne!(full.run_id, ordered);
    assert_eq!(full.logs.len(), 1, "{full:?}");
}

#[test]
fn a_flaky_run_is_another_attempt_that_is_followed_and_counted() {
    let world = world();
    let forge = &world.forge;
    forge
        .api
        .on(RUN, ok(&world.described("push", 1, Some("failure"))));
    let order = format!("{RUN}/rerun");
    forge.api.on(&order, status(201, "{}"));
    let going = world.described("push", 2, None);
    forge.api.on(&format!("{RUN}/attempts/2"), ok(&going));
    forge.api.when_asked(&order, RUN, ok(&going));

    let given = world.rerun(WHY).unwrap();
    assert_eq!(given.refused, []);
    let second = given.run.unwrap();
    assert_eq!((second.attempt, second.status.as_str()), (2, "in_progress"));
    // It is live now, so a second order has nothing to repeat.
    let twice = world.rerun(WHY).unwrap();
    assert_eq!(codes(&twice.refused), ["run_live"]);
    assert_eq!(forge.api.count(&order), 1);

    let mut job = fake::job(5, "paths (debug)");
    job["conclusion"] = json!("success");
    job["run_attempt"] = json!(2);
    world.executed(2, &[job]);
    let log = b"2026-01-02T03:04:06.0000000Z test path_equivalence_partial_block ... ok\n";
    forge.log(5, log);
    let done = world.described("push", 2, Some("success"));
    let pinned = format!("{RUN}/attempts/2");
    for path in [RUN, pinned.as_str()] {
        forge.api.forget(path);
        forge.api.on(path, ok(&done));
    }
    let waited = world
        .bench
        .agent(api::WaitForRunRequest {
            run_id: second.run_id.clone(),
            max_wait_s: 50,
        })
        .unwrap();
    assert!(waited.done, "{waited:?}");
    let log_id = waited.run.jobs[0].log.clone().unwrap().log_id;
    assert_eq!(log_id, attest::digest::Digest::of(log).to_string());
    let spending = world
        .bench
        .agent(api::LoopStatusRequest::default())
        .unwrap()
        .spending;
    let row = spending
        .iter()
        .find(|row| row.runs.contains(&second.run_id));
    assert!(row.is_some_and(|row| row.spent_ms > 0), "{spending:?}");
    assert_eq!(world.journalled(), ["T1 rerun ana", "T1 taken"]);
}

#[test]
fn an_order_whose_answer_is_lost_is_read_from_the_run_and_not_sent_again() {
    let mut world = world();
    let order = format!("{RUN}/rerun");
    world
        .forge
        .api
        .on(RUN, ok(&world.described("push", 1, Some("failure"))));
    world.forge.api.on(&order, vec![Step::Reset]);
    world.forge.api.on(&order, status(201, "{}"));
    let lost = world.rerun(WHY);
    assert!(matches!(lost, Err(ServiceError::Ci(_))), "{lost:?}");
    assert_eq!(world.journalled(), ["T1 rerun ana", "T1 unknown"]);
    let again = world.rerun(WHY).unwrap();
    assert_eq!(codes(&again.refused), ["order_open"], "{again:?}");

    // It had arrived. Whoever comes next reads that, and the next daemon goes on with it.
    world.bench.close();
    let going = world.described("push", 2, None);
    world.forge.api.forget(RUN);
    world.forge.api.on(RUN, ok(&going));
    world.bench.reopen();
    let live = world.rerun(WHY).unwrap();
    assert_eq!(codes(&live.refused), ["run_live"], "{live:?}");
    assert_eq!(world.forge.api.count(&order), 1, "sent once");
    assert_eq!(
        world.journalled(),
        ["T1 rerun ana", "T1 unknown", "T1 taken"]
    );
}

#[test]
fn what_the_forge_refuses_is_journalled_and_can_be_ordered_again() {
    let world = world();
    let order = format!("{RUN}/rerun");
    world
        .forge
        .api
        .on(RUN, ok(&world.described("push", 1, Some("failure"))));
    world.forge.api.on(
        &order,
        status(403, "{\"message\":\"Resource not accessible\"}"),
    );
    for _ in 0..2 {
        let error = world.rerun(WHY).unwrap_err().to_string();
        assert!(error.contains("write access to actions"), "{error}");
    }
    let journalled = world.journalled();
    assert_eq!(
        journalled,
        ["T1 rerun ana", "T1 refused", "T2 rerun ana", "T2 refused"]
    );
}

#[test]
fn orders_that_buy_no_evidence_or_are_not_the_loops_are_refused() {
    let world = world();
    let forge = &world.forge;
    forge.api.on(
        RUN,
        ok(&world.described("pull_request", 1, Some("failure"))),
    );
    let refused = world.rerun(WHY).unwrap();
    assert_eq!(codes(&refused.refused), ["run_not_of_a_push"]);
    let mut stranger = world.described("push", 1, Some("failure"));
    stranger["path"] = json!(".github/workflows/docs.yml");
    forge.api.forget(RUN);
    forge.api.on(RUN, ok(&stranger));
    let refused = world.rerun(WHY).unwrap();
    assert_eq!(codes(&refused.refused), ["run_of_no_scope"]);
    let orders = ["/cancel", "/rerun", "/rerun-failed-jobs"].map(|rest| format!("{RUN}{rest}"));
    assert!(orders.iter().all(|path| forge.api.count(path) == 0));
    let local = Bench::new();
    let here = local
        .person(api::CancelRunRequest {
            run_id: "7".into(),
            reason: WHY.into(),
            claim_id: None,
        })
        .unwrap();
    assert_eq!(codes(&here.refused), ["source_takes_no_orders"]);
}
