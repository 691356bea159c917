use attest::digest::Digest;

use crate::event::{Event, TurnEnd};
use crate::fixtures::{self, COMMIT, NOW_MS, SCOPE, story};
use crate::green::Colour;
use crate::model::{LoopId, Trigger, Verdict, VerdictKind};
use crate::state::{ClaimPhase, LoopState};
use crate::step::{fold, step};
use crate::turn::{judge_end_turn, next_actions, orient, summary};

fn after(events: usize) -> LoopState {
    fold(&story()[..events]).unwrap()
}

fn until(phase: ClaimPhase) -> LoopState {
    let reached = |state: &LoopState| state.claims.values().any(|claim| claim.phase == phase);
    (0..=story().len()).map(after).find(reached).unwrap()
}

fn blocked(what: &str, unblocked_by: &str) -> TurnEnd {
    TurnEnd::Blocked {
        what: what.into(),
        unblocked_by: unblocked_by.into(),
    }
}

fn codes(state: &LoopState, end: &TurnEnd) -> Vec<String> {
    judge_end_turn(state, &LoopId::nth(1), end)
        .refused
        .into_iter()
        .map(|refusal| refusal.code)
        .collect()
}

fn tools(state: &LoopState) -> Vec<String> {
    next_actions(state, &LoopId::nth(1))
        .into_iter()
        .map(|action| action.tool)
        .collect()
}

fn green() -> LoopState {
    let mut state = fold(&story()).unwrap();
    let playbooks = playbooks::Playbooks::builtin(&fixtures::rulebook().catalogue).unwrap();
    let facts = playbooks::RunFacts::default();
    let classification =
        playbooks::classify(&playbooks, &fixtures::rulebook().catalogue, &facts, &[]);
    let classified = Event::RunClassified {
        run_id: "R2".into(),
        classification,
        green: true,
        catalogue: Digest::of(b"catalogue"),
    };
    let verdict = Verdict {
        run_id: "R2".into(),
        commit: COMMIT.into(),
        kind: VerdictKind::Confirmed,
        grades: Vec::new(),
        rollback_due: false,
        reasons: Vec::new(),
        other_scopes: Vec::new(),
    };
    step(&mut state, &classified).unwrap();
    step(
        &mut state,
        &Event::ClaimVerified {
            claim_id: "C1".into(),
            verdict: Box::new(verdict),
        },
    )
    .unwrap();
    state
}

#[test]
fn staged_needs_a_staged_claim() {
    assert_eq!(codes(&after(3), &TurnEnd::Staged), ["nothing_staged"]);
    assert_eq!(
        codes(&until(ClaimPhase::Gated), &TurnEnd::Staged),
        ["nothing_staged"]
    );
    assert_eq!(
        codes(&until(ClaimPhase::Staged), &TurnEnd::Staged),
        Vec::<String>::new()
    );
    assert_eq!(
        codes(&until(ClaimPhase::Approved), &TurnEnd::Staged),
        Vec::<String>::new()
    );
    assert_eq!(
        codes(&fold(&story()).unwrap(), &TurnEnd::Staged),
        ["nothing_staged"]
    );
}

#[test]
fn green_needs_proof_and_the_verdict() {
    assert_eq!(codes(&after(3), &TurnEnd::Green), ["not_green"]);
    assert_eq!(
        codes(&fold(&story()).unwrap(), &TurnEnd::Green),
        ["not_green"]
    );
    assert_eq!(codes(&green(), &TurnEnd::Green), Vec::<String>::new());
    assert_eq!(tools(&green()), ["end_turn"]);
}

#[test]
fn waiting_is_refused_with_the_work_list() {
    let state = fold(&story()).unwrap();
    for (what, unblocked_by) in [
        ("Waiting for the runner to finish R2", "the runner"),
        ("waiting on CI", "CI turns green"),
        (
            "The verification run has not ended yet",
            "the next run of the scope",
        ),
        ("blocked on the queue of the GPU", "a free slot"),
        ("no fresh signal from hardware", "R2"),
        ("I will continue once the job completes", "job completion"),
        ("pending workflow results", "the workflow completing"),
        ("the logs are stale", "a new baseline run"),
        ("nothing to do for now", "more time for analysis"),
    ] {
        let judged = judge_end_turn(&state, &LoopId::nth(1), &blocked(what, unblocked_by));
        let found: Vec<_> = judged
            .refused
            .iter()
            .map(|refusal| refusal.code.as_str())
            .collect();
        assert!(
            found.contains(&"waiting_is_not_blocked"),
            "{what} / {unblocked_by}: {found:?}"
        );
        assert!(!judged.work.is_empty(), "{what}");
    }
}

#[test]
fn a_named_blocker_ends_the_turn() {
    let state = after(4);
    for (what, unblocked_by) in [
        (
            "the law file contradicts itself: §4 and §7 cannot both hold",
            "a person who decides which law stands",
        ),
        (
            "vkCreateDevice fails: llvmpipe lacks shaderFloat16",
            "an administrator installing mesa 24",
        ),
        (
            "`cargo fetch --locked` fails: the registry is unreachable",
            "network access for the host",
        ),
        (
            "no canary of `lint` can fail: its arguments skip integration tests",
            "the person who owns the gates and the workflow file",
        ),
        (
            "the tree cannot be judged until the law file parses",
            "a policy_change that a person approves",
        ),
        (
            "the fixture model is corrupt: its digest differs",
            "a person restoring the model file",
        ),
    ] {
        assert_eq!(
            codes(&state, &blocked(what, unblocked_by)),
            Vec::<String>::new(),
            "{what}"
        );
    }
    assert_eq!(
        codes(&state, &blocked("", " ")),
        ["blocker_missing", "unblocker_missing"]
    );
    assert_eq!(
        judge_end_turn(&state, &LoopId::nth(8), &TurnEnd::Staged).refused[0].code,
        "loop_unknown"
    );
}

#[test]
fn the_next_actions_follow_the_claim() {
    assert_eq!(tools(&after(2)), ["propose_claim", "edit"]);
    assert_eq!(tools(&after(3)), ["open_hypothesis", "edit"]);
    assert_eq!(tools(&after(4)), ["propose_claim", "edit"]);
    assert_eq!(tools(&until(ClaimPhase::Checked)), ["run_gates", "edit"]);
    assert_eq!(tools(&until(ClaimPhase::Gating)), ["edit"]);
    assert_eq!(tools(&until(ClaimPhase::Staged)), ["end_turn", "edit"]);
    assert_eq!(
        tools(&until(ClaimPhase::Approved)),
        ["request_push", "edit"]
    );
    let mut closed = after(4);
    let proposal = fixtures::proposal();
    step(&mut closed, &proposal).unwrap();
    closed
        .closed_scopes
        .insert(SCOPE.into(), fixtures::closure());
    let actions = next_actions(&closed, &LoopId::nth(1));
    assert!(
        actions
            .iter()
            .any(|action| action.why.contains("rollback of C1")),
        "{actions:?}"
    );
    assert_eq!(
        next_actions(&LoopState::default(), &LoopId::nth(1))[0].tool,
        "open_loop"
    );
}

#[test]
fn a_scope_shows_the_age_of_its_signal() {
    let none = summary(&after(2), SCOPE, NOW_MS);
    assert_eq!(
        (none.colour, none.run_id, none.age_ms),
        (Colour::NoSignal, None, None)
    );
    let red = summary(&after(3), SCOPE, NOW_MS);
    assert_eq!((red.colour, red.age_ms), (Colour::Red, Some(480_000)));
    let mut unproven = after(3);
    let newer = crate::model::Run {
        created_ms: NOW_MS,
        ..fixtures::run("R5", COMMIT, Trigger::Manual, true)
    };
    step(&mut unproven, &Event::RunChanged { run: newer }).unwrap();
    assert_eq!(
        summary(&unproven, SCOPE, NOW_MS).colour,
        Colour::GreenUnproven
    );
    let proven = summary(&green(), SCOPE, NOW_MS);
    assert_eq!(
        (proven.colour, proven.run_id),
        (Colour::Green, Some("R2".into()))
    );
}

#[test]
fn asking_twice_without_news_says_so() {
    let mut state = after(4);
    let first = orient(&state, &LoopId::nth(1), None);
    assert!(!first.nothing_new && first.note.is_none());
    step(&mut state, &fixtures::counted("reorientations", 1)).unwrap();
    let second = orient(&state, &LoopId::nth(1), Some(first.news_seq));
    assert!(second.nothing_new);
    assert_eq!(second.next_write.unwrap().tool, "propose_claim");
    // A staged claim lets the turn end, which writes nothing: the next look is told to work on.
    let staged = until(ClaimPhase::Staged);
    let again = orient(&staged, &LoopId::nth(1), Some(staged.news_seq));
    assert_eq!(tools(&staged)[0], "end_turn");
    assert_eq!(again.next_write.unwrap().tool, "edit");
    insta::assert_snapshot!(
        second.note.unwrap(),
        @"Nothing has changed since you last asked: no new bytes, runs, commits or decisions. Looking again finds nothing; go on with `propose_claim`: H1 stands: fix it, pin it with a test, and propose."
    );
    step(&mut state, &fixtures::proposal()).unwrap();
    assert!(!orient(&state, &LoopId::nth(1), Some(second.news_seq)).nothing_new);
}

#[test]
fn a_person_is_not_asked_for_what_the_rules_decide() {
    let state = fold(&story()[..4]).unwrap();
    let codes = |what: &str, unblocked_by: &str| -> Vec<String> {
        let end = TurnEnd::Blocked {
            what: what.into(),
            unblocked_by: unblocked_by.into(),
        };
        let judged = judge_end_turn(&state, &LoopId::nth(1), &end);
        judged
            .refused
            .into_iter()
            .map(|refusal| format!("{} @ {}", refusal.code, refusal.field))
            .collect()
    };
    let asked = "policy_decides @ what";
    assert_eq!(
        codes("should I run the gates of the fix", "ana answers"),
        [asked]
    );
    assert_eq!(
        codes("it is open whether to write the test first", "ana answers"),
        [asked]
    );
    assert_eq!(
        codes("may we propose the claim now", "ana answers"),
        [asked]
    );
    assert_eq!(
        codes("the fix is written", "ana tells me to push it"),
        ["policy_decides @ unblocked_by"]
    );
    // What really lies with a person.
    for (what, by) in [
        (
            "the model file is missing on this machine",
            "ana copies the model file",
        ),
        (
            "the driver is older than the engine needs",
            "an administrator updates the driver",
        ),
        (
            "the law does not say which tolerance holds",
            "ana writes the tolerance into the law",
        ),
    ] {
        assert_eq!(codes(what, by), [""; 0], "{what}");
    }
}
