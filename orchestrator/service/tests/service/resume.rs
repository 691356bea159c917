//! A service that ends at any moment leaves a state that the next one goes on with: the same ids,
//! the same digests, nothing pushed twice.

use service::api;

use crate::support::Bench;

fn start(bench: &Bench, wait: bool) -> api::RunView {
    let request = api::StartRunRequest {
        scope: crate::support::SCOPE.into(),
        cell: None,
        commit: None,
        wait,
    };
    bench.person(request).unwrap().run.unwrap()
}

fn runs(bench: &Bench) -> Vec<api::RunView> {
    bench.agent(api::ListRunsRequest::default()).unwrap().runs
}

fn ended(bench: &Bench, run_id: &str) -> api::RunView {
    loop {
        let request = api::WaitForRunRequest {
            run_id: run_id.into(),
            max_wait_s: 50,
        };
        let answer = bench.agent(request).unwrap();
        if answer.done {
            return answer.run;
        }
    }
}

#[test]
fn an_interrupted_run_is_closed_and_tried_again() {
    let mut bench = Bench::new();
    let first = start(&bench, false);
    // In progress, or still queued: both are gone on with.
    bench.reopen();
    let all = runs(&bench);
    let newest = ended(&bench, &all[0].run_id);
    assert_eq!(newest.conclusion.as_deref(), Some("failure"));
    let live = runs(&bench)
        .iter()
        .filter(|run| run.status != "completed")
        .count();
    assert_eq!(live, 0);
    match all.len() {
        1 => assert_eq!(newest.run_id, first.run_id),
        _ => {
            assert_eq!((all.len(), newest.attempt), (2, 2));
            assert_eq!(all[1].conclusion.as_deref(), Some("cancelled"));
        }
    }
}

#[test]
fn every_phase_survives_the_end_of_the_service() {
    let mut bench = Bench::new();
    let red = start(&bench, true);
    bench.reopen();
    assert_eq!(runs(&bench), std::slice::from_ref(&red));

    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h1", "skipped_work", "the last block is skipped");
    bench.reopen();
    assert_eq!(bench.open_loop(), loop_id);
    let again = bench.hypothesis(&loop_id, "h1", "skipped_work", "the last block is skipped");
    assert_eq!(again, hypothesis);

    let commit = bench.fix();
    let draft = bench.good_draft(&red, &hypothesis, &commit);
    let proposed = bench.propose(&loop_id, "c1", draft.clone());
    bench.reopen();
    assert_eq!(bench.propose(&loop_id, "c1", draft), proposed);
    let (claim, digest) = (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap());

    // In the middle of the gates: the same gate run goes on.
    let begun = bench.gates(&loop_id, &claim, 0);
    assert!(!begun.done);
    let gate_run = begun.gate_run_id.unwrap();
    bench.reopen();
    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(
        (gates.state.as_str(), gates.refused.len()),
        ("staged", 0),
        "{:?}",
        gates.refused
    );
    assert_eq!(gates.gate_run_id.as_deref(), Some(gate_run.as_str()));
    assert_eq!(gates.results.len(), 6, "each process once");

    let staged = bench.claim(&claim);
    bench.reopen();
    assert_eq!(bench.claim(&claim), staged);

    bench.approve(&claim);
    let approved = bench.claim(&claim);
    bench.reopen();
    assert_eq!(bench.claim(&claim), approved);

    // Right after the push, while its run executes.
    let pushed = bench.push(&loop_id, &claim, &digest);
    let at_remote = bench.pushed_refs();
    bench.reopen();
    let again = bench.push(&loop_id, &claim, &digest);
    assert_eq!(again.pushed_commit, pushed.pushed_commit);
    let verified = bench.verified(&claim);
    assert_eq!(verified.state, "confirmed", "{verified:?}");
    assert_eq!(bench.pushed_refs(), at_remote, "pushed once");
    bench.reopen();
    assert_eq!(bench.verified(&claim), verified);
    let status = bench.agent(api::LoopStatusRequest::default()).unwrap();
    assert_eq!(status.scopes[0].signal, "green");
    assert_eq!(status.r#loop.unwrap().counters.pushes, 1);
}

#[test]
fn a_second_look_without_news_says_so() {
    let bench = Bench::new();
    bench.open_loop();
    let look = || bench.agent(api::LoopStatusRequest::default()).unwrap();
    assert!(!look().unchanged_since_last_call);
    let second = look();
    assert!(second.unchanged_since_last_call);
    assert_eq!(second.r#loop.unwrap().counters.reorientations, 1);
    assert!(!second.next_actions.is_empty());
}
