//! The claim machine, searched: every path, every refusal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use attest::digest::Digest;
use proptest::prelude::*;

use super::{IllegalEvent, fold, step};
use crate::decision::gates_digest;
use crate::event::{Event, PushOutcome, TurnEnd};
use crate::fixtures::{self, COMMIT, PARENT, author, gate_results, story, subject};
use crate::model::{
    ClaimId, GateResult, GateRole, GateRunId, GateVerdict, LoopId, Refusal, RunId, RunStatus,
    Trigger, Verdict, VerdictKind,
};
use crate::state::{ClaimPhase, HypothesisStatus, LoopState, Operation};

const CLAIM: &str = "C1";

fn refusal() -> Refusal {
    Refusal::new("gate_failed", "gates[0]", "it failed", "fix it")
}

fn prologue() -> LoopState {
    fold(&story()[..4]).unwrap()
}

/// The least that gates the claim, so that the search stays small.
fn one_gate() -> Vec<GateResult> {
    gate_results()
        .into_iter()
        .filter(|result| result.role == GateRole::Gate)
        .collect()
}

fn verdict(kind: VerdictKind, rollback_due: bool) -> Event {
    let verdict = Verdict {
        run_id: RunId::nth(2),
        commit: COMMIT.into(),
        kind,
        grades: Vec::new(),
        rollback_due,
        reasons: vec!["reason".into()],
        other_scopes: Vec::new(),
    };
    Event::ClaimVerified {
        claim_id: CLAIM.into(),
        verdict: Box::new(verdict),
    }
}

fn finished(gate_run: &str, results: &[GateResult], refused: Vec<Refusal>) -> Event {
    Event::GatesFinished {
        gate_run_id: gate_run.into(),
        gates_digest: gates_digest(results).unwrap(),
        refused,
    }
}

fn approved(edit: impl Fn(&mut attest::approval::ApprovalSubject)) -> Event {
    let mut subject = subject();
    subject.gates_digest = gates_digest(&one_gate()).unwrap();
    edit(&mut subject);
    Event::ClaimApproved {
        claim_id: CLAIM.into(),
        subject: Box::new(subject),
        signature: "signature".into(),
        signer: "ana".into(),
    }
}

fn intended(commit: &str, old_tip: &str) -> Event {
    Event::PushIntended {
        claim_id: CLAIM.into(),
        commit: commit.into(),
        old_tip: old_tip.into(),
        attestation: "f".repeat(40),
        decision: Digest::of(b"decision"),
        overrides: Vec::new(),
    }
}

fn settled(outcome: PushOutcome) -> Event {
    Event::PushSettled {
        claim_id: CLAIM.into(),
        outcome,
    }
}

/// Everything that can happen to one claim, honest and dishonest.
fn alphabet() -> Vec<Event> {
    let claim_id = || ClaimId::from(CLAIM);
    let reason = || "reason".to_owned();
    let other = "9".repeat(40);
    let mut proposals = vec![fixtures::proposal(), fixtures::proposal()];
    if let Event::ClaimProposed { refused, .. } = &mut proposals[1] {
        refused.push(refusal());
    }
    let edited = |edit: fn(&mut GateResult)| {
        let mut results = one_gate();
        results.iter_mut().for_each(edit);
        results
    };
    let on_other_tree = edited(|result| result.tree = "9".repeat(40));
    let failed = edited(|result| result.verdict = GateVerdict::Refused);
    let mut events = proposals;
    for gate_run in ["G1", "G2"] {
        let gate_run_id = || GateRunId::from(gate_run);
        events.push(Event::GatesStarted {
            claim_id: claim_id(),
            gate_run_id: gate_run_id(),
        });
        for results in [
            one_gate(),
            on_other_tree.clone(),
            failed.clone(),
            Vec::new(),
        ] {
            let each = results.iter().cloned().map(Box::new);
            events.extend(each.map(|result| Event::GateFinished {
                gate_run_id: gate_run_id(),
                result,
            }));
            events.push(finished(gate_run, &results, Vec::new()));
            events.push(finished(gate_run, &results, vec![refusal()]));
        }
        events.push(Event::GatesCancelled {
            gate_run_id: gate_run_id(),
            reason: reason(),
        });
    }
    let staged = |commit: &str| Event::ClaimStaged {
        claim_id: claim_id(),
        commit: commit.into(),
        shown_digest: subject().shown_digest,
    };
    // A person may be led to sign anything; what was signed must then be worth nothing.
    for results in [on_other_tree, failed, Vec::new()] {
        let digest = gates_digest(&results).unwrap();
        events.push(approved(|subject| subject.gates_digest = digest.clone()));
    }
    events.extend([
        staged(COMMIT),
        approved(|_| ()),
        approved(|subject| subject.commit = "9".repeat(40)),
        approved(|subject| subject.tree = "9".repeat(40)),
        approved(|subject| subject.old_tip = "9".repeat(40)),
        approved(|subject| subject.gates_digest = Digest::of(b"other")),
        approved(|subject| subject.shown_digest = Digest::of(b"other")),
        Event::ClaimRejected {
            claim_id: claim_id(),
            reason: reason(),
            author: author(),
        },
        Event::ClaimWithdrawn {
            claim_id: claim_id(),
            reason: reason(),
        },
        Event::ClaimInvalidated {
            claim_id: claim_id(),
            reason: reason(),
        },
        Event::ClaimExpired {
            claim_id: claim_id(),
        },
        intended(COMMIT, PARENT),
        intended(&other, PARENT),
        intended(COMMIT, &other),
        settled(PushOutcome::Pushed),
        settled(PushOutcome::Refused {
            message: "stale info".into(),
        }),
        settled(PushOutcome::Unknown {
            message: "connection lost".into(),
        }),
        Event::VerificationStarted {
            claim_id: claim_id(),
            run_id: "R1".into(),
        },
        Event::VerificationStarted {
            claim_id: claim_id(),
            run_id: "R2".into(),
        },
        verdict(VerdictKind::Confirmed, false),
        verdict(VerdictKind::Confirmed, true),
        verdict(VerdictKind::Refuted, false),
        verdict(VerdictKind::Inconclusive, false),
        Event::VerdictPublished {
            claim_id: claim_id(),
            object: "e".repeat(40),
        },
    ]);
    events
}

/// What later events can depend on, without what only counts.
fn shape(state: &LoopState) -> String {
    let claim = state.claims.get(&ClaimId::from(CLAIM)).map(|claim| {
        let approved = claim
            .approval
            .as_ref()
            .map(|approval| &approval.subject.commit);
        let sent = claim
            .push
            .as_ref()
            .map(|push| (&push.commit, &push.old_tip, &push.message));
        let graded = claim.verdict.as_ref().map(|verdict| verdict.kind);
        (
            claim.phase,
            &claim.gate_run_id,
            &claim.gates_digest,
            &claim.commit,
            approved,
            sent,
            graded,
            &claim.verdict_object,
        )
    });
    let results = |run: &crate::state::GateRun| -> Vec<_> {
        run.results
            .iter()
            .map(|result| (result.tree.clone(), result.verdict))
            .collect()
    };
    let gate_runs: Vec<_> = state
        .gate_runs
        .values()
        .map(|run| (run.status, results(run)))
        .collect();
    format!("{claim:?} {gate_runs:?} {:?}", state.closed_scopes.keys())
}

/// Moves of spec 4, "States". `gating` is the way from checked to gated.
fn table() -> BTreeSet<(ClaimPhase, ClaimPhase)> {
    use ClaimPhase as P;
    let mut table = BTreeSet::from([
        (P::Checked, P::Gating),
        (P::Gating, P::Gated),
        (P::Gating, P::Checked),
        (P::Gated, P::Staged),
        (P::Staged, P::Approved),
        (P::Staged, P::Rejected),
        (P::Approved, P::PushIntent),
        (P::Approved, P::Expired),
        (P::PushIntent, P::Pushed),
        (P::PushIntent, P::Approved),
        (P::PushIntent, P::PushUnknown),
        (P::PushUnknown, P::Pushed),
        (P::PushUnknown, P::Approved),
        (P::Pushed, P::Verifying),
        (P::Verifying, P::Confirmed),
        (P::Verifying, P::Refuted),
        (P::Verifying, P::Inconclusive),
    ]);
    for from in [
        P::Drafted,
        P::Checked,
        P::Gating,
        P::Gated,
        P::Staged,
        P::Approved,
    ] {
        table.extend([(from, P::Withdrawn), (from, P::Invalidated)]);
    }
    table
}

fn phase(state: &LoopState) -> Option<ClaimPhase> {
    state
        .claims
        .get(&ClaimId::from(CLAIM))
        .map(|claim| claim.phase)
}

/// What must be true of every claim that is on its way to the remote or beyond.
fn assert_earned(state: &LoopState) {
    let claim = &state.claims[&ClaimId::from(CLAIM)];
    let approval = &claim
        .approval
        .as_ref()
        .expect("no push without approval")
        .subject;
    assert_eq!(Some(&approval.commit), claim.commit.as_ref());
    assert_eq!(approval.tree, claim.body.tree);
    assert_eq!(approval.old_tip, claim.body.parent);
    assert_eq!(Some(&approval.gates_digest), claim.gates_digest.as_ref());
    assert_eq!(gates_digest(&claim.results).unwrap(), approval.gates_digest);
    for gate in &claim.body.gates {
        let ran = |r: &&GateResult| &r.gate == gate && r.role == GateRole::Gate;
        let result = claim
            .results
            .iter()
            .find(ran)
            .expect("no push without each gate");
        assert_eq!(
            (&result.tree, result.verdict),
            (&claim.body.tree, GateVerdict::Passed)
        );
    }
    let push = claim.push.as_ref().expect("intent is on record");
    assert_eq!(
        (&push.commit, &push.old_tip),
        (&approval.commit, &approval.old_tip)
    );
}

#[test]
fn no_path_reaches_the_remote_without_gates_of_that_tree_and_approval_of_that_commit() {
    use ClaimPhase as P;
    let alphabet = alphabet();
    let mut seen = BTreeSet::new();
    let mut moves = BTreeSet::new();
    let mut phases = BTreeSet::new();
    let mut start = prologue();
    let pushed = fixtures::run(
        "R2",
        COMMIT,
        Trigger::Push {
            claim: CLAIM.into(),
        },
        true,
    );
    step(&mut start, &Event::RunChanged { run: pushed }).unwrap();
    let mut queue = VecDeque::from([start]);
    while let Some(state) = queue.pop_front() {
        for event in &alphabet {
            let mut next = state.clone();
            match step(&mut next, event) {
                Err(_) => assert_eq!(next, state, "a refused event changes nothing: {event:?}"),
                Ok(()) => {
                    // A second result of one gate adds nothing to the search.
                    let crowded = next.gate_runs.values().any(|run| run.results.len() > 1);
                    if let (Some(from), Some(to)) = (phase(&state), phase(&next)) {
                        moves.extend((from != to).then_some((from, to)));
                    }
                    let reached = phase(&next);
                    phases.extend(reached);
                    if reached.is_some_and(|p| {
                        matches!(p, P::PushIntent | P::PushUnknown | P::Pushed | P::Verifying)
                            || matches!(p, P::Confirmed | P::Refuted | P::Inconclusive)
                    }) {
                        assert_earned(&next);
                    }
                    if crowded || !seen.insert(shape(&next)) {
                        continue;
                    }
                    queue.push_back(next);
                }
            }
        }
    }
    assert_eq!(moves, table());
    assert_eq!(phases, P::ALL.into_iter().collect());
    assert!(seen.len() > 500, "the search visited {} states", seen.len());
}

#[test]
fn the_story_is_legal_and_survives_being_written_down() {
    let state = fold(&story()).unwrap();
    let claim = &state.claims[&ClaimId::from(CLAIM)];
    assert_eq!(claim.phase, ClaimPhase::Verifying);
    assert_eq!(claim.results, gate_results());
    assert_eq!(state.head_seq, story().len() as u64);
    let counters = &state.loops[&LoopId::nth(1)].counters;
    assert_eq!(
        (counters.proposals, counters.gate_runs, counters.pushes),
        (1, 1, 1)
    );
    assert_eq!(counters.runner_ms, 240_000);
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<LoopState>(&text).unwrap(), state);
}

#[test]
fn ids_follow_each_other() {
    let state = fold(&story()).unwrap();
    let next = (
        state.next_loop_id(),
        state.next_claim_id(),
        state.next_hypothesis_id(),
    );
    assert_eq!(next, ("L2".into(), "C2".into(), "H2".into()));
    assert_eq!(
        (state.next_run_id(), state.next_gate_run_id()),
        ("R3".into(), "G2".into())
    );
    let mut many = state;
    let tenth = fixtures::run("R10", COMMIT, Trigger::Manual, true);
    step(&mut many, &Event::RunChanged { run: tenth }).unwrap();
    assert_eq!(many.next_run_id(), RunId::nth(11));
}

/// After the whole story, each of these is illegal, with the reason.
#[test]
fn illegal_events_are_typed_errors() {
    let whole = fold(&story()).unwrap();
    let unknown = |what| move |e: &IllegalEvent| matches!(e, IllegalEvent::Unknown { what: w, .. } if *w == what);
    type Is = Box<dyn Fn(&IllegalEvent) -> bool>;
    let mut other_source = fixtures::run("R1", PARENT, Trigger::Manual, false);
    other_source.head_sha = COMMIT.into();
    let mut back = fixtures::run("R1", PARENT, Trigger::Manual, false);
    back.status = RunStatus::Queued;
    let mut changed_body = fixtures::proposal();
    if let Event::ClaimProposed {
        body,
        idempotency_key,
        ..
    } = &mut changed_body
    {
        body.reasoning.push('!');
        idempotency_key.push('!');
    }
    let cases: Vec<(Event, Is)> = vec![
        (
            story()[0].clone(),
            Box::new(|e| matches!(e, IllegalEvent::Beginning)),
        ),
        (
            story()[1].clone(),
            Box::new(|e| matches!(e, IllegalEvent::Exists { what: "loop", .. })),
        ),
        (
            fixtures::proposal(),
            Box::new(|e| matches!(e, IllegalEvent::KeyUsed { .. })),
        ),
        (
            changed_body,
            Box::new(|e| {
                matches!(
                    e,
                    IllegalEvent::Mismatch {
                        field: "claim_digest",
                        ..
                    }
                )
            }),
        ),
        (
            Event::RunChanged { run: other_source },
            Box::new(|e| {
                matches!(
                    e,
                    IllegalEvent::Mismatch {
                        field: "head_sha",
                        ..
                    }
                )
            }),
        ),
        (
            Event::RunChanged { run: back },
            Box::new(|e| matches!(e, IllegalEvent::RunWentBack { .. })),
        ),
        (
            Event::ClaimExpired {
                claim_id: "C7".into(),
            },
            Box::new(unknown("claim")),
        ),
        (
            finished("G7", &[], Vec::new()),
            Box::new(unknown("gate run")),
        ),
        (
            finished("G1", &gate_results(), Vec::new()),
            Box::new(|e| matches!(e, IllegalEvent::GateRunEnded { .. })),
        ),
        (
            settled(PushOutcome::Pushed),
            Box::new(|e| {
                matches!(
                    e,
                    IllegalEvent::Transition {
                        from: ClaimPhase::Verifying,
                        ..
                    }
                )
            }),
        ),
        (
            Event::HypothesisFalsified {
                hypothesis_id: "H1".into(),
                killer: Vec::new(),
                reason: "consensus of five".into(),
                author: author(),
            },
            Box::new(|e| matches!(e, IllegalEvent::NotFalsifiable { .. })),
        ),
        (
            Event::GroupEnded {
                pgid: 1,
                start_ticks: 1,
            },
            Box::new(unknown("process group")),
        ),
        (
            fixtures::counted("pushes", 1),
            Box::new(|e| matches!(e, IllegalEvent::Counter { .. })),
        ),
    ];
    for (event, is) in cases {
        let mut state = whole.clone();
        let illegal = step(&mut state, &event).expect_err("illegal");
        assert!(is(&illegal), "{event:?}: {illegal:?}");
        assert_eq!(state, whole);
        assert!(
            illegal.to_string().len() > 20 && !illegal.to_string().ends_with('.'),
            "{illegal}"
        );
    }
    assert_eq!(
        step(&mut LoopState::default(), &story()[1]),
        Err(IllegalEvent::Beginning)
    );
}

#[test]
fn a_due_rollback_closes_the_scope_until_the_rollback_lands() {
    let mut state = fold(&story()).unwrap();
    step(&mut state, &verdict(VerdictKind::Confirmed, true)).unwrap();
    assert_eq!(
        state.closed_scopes[fixtures::SCOPE].claim_id,
        ClaimId::from(CLAIM)
    );
    use attest::claim::ClaimKind::{Fix, Rollback};
    assert!(state.scope_closed_for(fixtures::SCOPE, Fix).is_some());
    assert!(state.scope_closed_for(fixtures::SCOPE, Rollback).is_none());
}

#[test]
fn a_killed_rival_leaves_a_survivor() {
    let mut state = prologue();
    let mut body = fixtures::hypothesis_body();
    body.rivals.push("H1".into());
    let opened = Event::HypothesisOpened {
        hypothesis_id: "H2".into(),
        loop_id: LoopId::nth(1),
        body,
        idempotency_key: "h2".into(),
        author: author(),
    };
    step(&mut state, &opened).unwrap();
    let killed = Event::HypothesisFalsified {
        hypothesis_id: "H1".into(),
        killer: vec![fixtures::citation()],
        reason: "the op was dispatched".into(),
        author: author(),
    };
    step(&mut state, &killed).unwrap();
    assert_eq!(
        state.hypotheses[&"H2".into()].status,
        HypothesisStatus::Surviving
    );
    assert_eq!(
        state.hypotheses[&"H1".into()].status,
        HypothesisStatus::Falsified
    );
    assert!(step(&mut state, &killed).is_err());
    assert_eq!(state.loops[&LoopId::nth(1)].counters.hypotheses_killed, 1);
}

#[test]
fn counters_turn_ends_and_process_groups_are_no_news() {
    let mut state = prologue();
    let news = state.news_seq;
    let end = |end, refused| Event::TurnEndAsked {
        loop_id: LoopId::nth(1),
        end,
        refused,
        author: author(),
    };
    step(&mut state, &fixtures::counted("reads", 3)).unwrap();
    step(&mut state, &end(TurnEnd::Staged, vec![refusal()])).unwrap();
    assert_eq!((state.news_seq, state.head_seq), (news, news + 2));
    step(&mut state, &end(TurnEnd::Green, Vec::new())).unwrap();
    let found = &state.loops[&LoopId::nth(1)];
    assert_eq!(
        (
            found.open,
            found.counters.reads,
            found.counters.refused_ends
        ),
        (false, 3, 1)
    );
    let illegal = step(&mut state, &fixtures::proposal()).unwrap_err();
    assert!(matches!(illegal, IllegalEvent::LoopEnded { .. }));
}

#[test]
fn keys_of_two_loops_are_two_keys() {
    let state = prologue();
    assert_eq!(
        state.known(Operation::OpenHypothesis(&LoopId::nth(1)), "h1"),
        Some("H1")
    );
    assert_eq!(
        state.known(Operation::OpenHypothesis(&LoopId::nth(2)), "h1"),
        None
    );
    assert_eq!(
        state.known(Operation::ProposeClaim(&LoopId::nth(1)), "h1"),
        None
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Any order of events is folded or refused, and folding again gives the same state.
    #[test]
    fn folding_is_total_and_repeatable(order in prop::collection::vec(0_usize..70, 0..60)) {
        let alphabet = alphabet();
        let mut state = prologue();
        let mut accepted: Vec<Event> = story()[..4].to_vec();
        for event in order.iter().filter_map(|at| alphabet.get(*at)) {
            if step(&mut state, event).is_ok() {
                accepted.push(event.clone());
            }
        }
        prop_assert_eq!(fold(&accepted).unwrap(), state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// An event that is refused or not kept leaves no trace; one that is kept counts as it does in a fold.
    #[test]
    fn what_is_not_durable_never_happened(
        order in prop::collection::vec((0_usize..90, any::<bool>()), 0..60),
    ) {
        let mut events = alphabet();
        events.extend(story());
        events.push(Event::GroupStarted {
            pgid: 7,
            start_ticks: 8,
            session: 9,
            boot_id: "boot".into(),
            purpose: "test".into(),
        });
        events.push(Event::GroupEnded { pgid: 7, start_ticks: 8 });
        let mut state = prologue();
        for (at, kept) in order {
            let Some(event) = events.get(at % events.len()) else { continue };
            let before = state.clone();
            let mut folded = before.clone();
            let legal = step(&mut folded, event).is_ok();
            prop_assert!(legal || folded == before);
            let result = super::step_durably(&mut state, event, || match kept {
                true => Ok(()),
                false => Err(IllegalEvent::Beginning),
            });
            prop_assert_eq!(result.is_ok(), legal && kept);
            prop_assert_eq!(&state, if legal && kept { &folded } else { &before });
        }
    }
}

#[test]
fn a_trial_that_was_interrupted_is_taken_back() {
    let before = prologue();
    let mut state = before.clone();
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        super::step_durably(
            &mut state,
            &fixtures::proposal(),
            || -> Result<(), IllegalEvent> { panic!("within") },
        )
    }));
    assert!(interrupted.is_err());
    assert_ne!(state.claims, before.claims);
    state.roll_back();
    assert_eq!(state, before);
    state.roll_back();
    assert_eq!(state, before);
}

#[test]
fn the_alphabet_reaches_every_claim_event() {
    let names: BTreeMap<String, u32> =
        alphabet().iter().fold(BTreeMap::new(), |mut names, event| {
            let value = serde_json::to_value(event).unwrap();
            *names
                .entry(value["event"].as_str().unwrap().to_owned())
                .or_default() += 1;
            names
        });
    assert_eq!(names.len(), 16, "{names:?}");
}

#[test]
fn a_failed_attempt_leaves_its_fingerprint() {
    let grade = |role: &str, predicate: &str, truth| crate::model::Grade {
        role: role.into(),
        predicate: predicate.into(),
        truth,
        observed: String::new(),
        failed_before: false,
    };
    let after = |kind, rollback_due| {
        let Event::ClaimVerified {
            claim_id,
            mut verdict,
        } = verdict(kind, rollback_due)
        else {
            unreachable!()
        };
        verdict.grades = vec![
            grade(
                "prediction",
                "absent first_divergence",
                markers::Truth::Holds,
            ),
            grade("guard", "absent envelope", markers::Truth::Fails),
            grade("guard", "absent chunk_abort", markers::Truth::Holds),
            grade("rollback_if", "present envelope", markers::Truth::Holds),
            grade(
                "rollback_if",
                "present chunk_abort",
                markers::Truth::NotObservable,
            ),
        ];
        let mut events = story();
        events.push(Event::ClaimVerified { claim_id, verdict });
        fold(&events).unwrap()
    };
    let mut body = fixtures::good_body();
    body.tree = "8".repeat(40);
    let attempts = |state: &LoopState, body: &attest::claim::ClaimBody, file: &str| {
        state.failed_attempts(body, &BTreeSet::from([file.to_owned()]))
    };
    // Green and yet to be rolled back is a failure too.
    for state in [
        after(VerdictKind::Refuted, false),
        after(VerdictKind::Confirmed, true),
    ] {
        let found = attempts(&state, &body, fixtures::CHANGED);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].claim_id.as_str(), found[0].tree.as_str()),
            (CLAIM, fixtures::TREE)
        );
        assert_eq!(found[0].broken_guards, ["absent envelope"]);
        assert_eq!(found[0].held_rollbacks, ["present envelope"]);
        assert!(found[0].predictions_held, "what it predicted came true");
        assert!(found[0].overlaps && !attempts(&state, &body, "README.md")[0].overlaps);
    }
    let state = after(VerdictKind::Refuted, false);
    let other_law = attest::claim::ClaimBody {
        failing_invariant: "§5".into(),
        ..body.clone()
    };
    assert_eq!(attempts(&state, &other_law, fixtures::CHANGED), []);
    assert_eq!(
        attempts(
            &after(VerdictKind::Confirmed, false),
            &body,
            fixtures::CHANGED
        ),
        []
    );
    assert_eq!(
        attempts(
            &after(VerdictKind::Inconclusive, false),
            &body,
            fixtures::CHANGED
        ),
        []
    );
}
