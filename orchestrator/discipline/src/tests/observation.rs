use attest::digest::Digest;

use crate::cited::{Books, CitedBytes};
use crate::event::{Event, Mechanism};
use crate::fixtures::{author, citation, playbooks, rulebook, story};
use crate::model::{HypothesisId, LoopId};
use crate::observation::{
    Bearing, Grade, Memory, ObservationBody, ObservationKind, Quoted, admit_observation, grade,
    grade_of,
};
use crate::state::LoopState;
use crate::step::{fold, step};

/// A loop with one open hypothesis.
fn state() -> LoopState {
    fold(&story()[..4]).unwrap()
}

fn measured() -> ObservationBody {
    ObservationBody {
        hypothesis_id: "H1".into(),
        kind: ObservationKind::Measurement,
        memory: Some(Memory::Device),
        bearing: Bearing::For,
        statement: "the arena holds zeros after the pass".into(),
        citations: vec![citation()],
        quoted: None,
    }
}

fn quoted(bytes: u64, source: &str) -> ObservationBody {
    ObservationBody {
        kind: ObservationKind::Citation,
        citations: Vec::new(),
        quoted: Some(Quoted {
            source: source.into(),
            digest: Digest::of(b"x"),
            bytes,
        }),
        ..measured()
    }
}

fn codes(body: &ObservationBody, exists: bool) -> Vec<String> {
    let state = state();
    let refused = admit_observation(
        &state.loops[&LoopId::nth(1)],
        &state.hypotheses[&HypothesisId::nth(1)],
        body,
        &CitedBytes::bare(&vec![exists; body.citations.len()]),
        Books {
            catalogue: &rulebook().catalogue,
            playbooks: &playbooks(),
        },
    );
    refused
        .into_iter()
        .map(|refusal| format!("{} @ {}", refusal.code, refusal.field))
        .collect()
}

#[test]
fn how_it_was_made_decides_what_it_is_worth() {
    use Mechanism::{MissingBarrier, WrongReference};
    let of = |kind, memory, mechanism| {
        let body = ObservationBody {
            kind,
            memory,
            ..measured()
        };
        grade(&body, mechanism)
    };
    let (host, device) = (Some(Memory::Host), Some(Memory::Device));
    let measurement = ObservationKind::Measurement;
    assert_eq!(of(measurement, device, MissingBarrier), Grade::Observed);
    assert_eq!(of(measurement, host, MissingBarrier), Grade::Analogue);
    assert_eq!(of(measurement, host, WrongReference), Grade::Observed);
    assert_eq!(
        of(ObservationKind::Derivation, None, MissingBarrier),
        Grade::Derived
    );
    assert_eq!(
        of(ObservationKind::Citation, device, MissingBarrier),
        Grade::Analogue
    );
    assert_eq!(
        of(ObservationKind::Statement, device, MissingBarrier),
        Grade::Guess
    );
    assert!(Grade::Guess < Grade::Analogue && Grade::Derived < Grade::Observed);
}

#[test]
fn each_missing_part_is_named() {
    type Edit = fn(&mut ObservationBody);
    assert_eq!(codes(&measured(), true), Vec::<String>::new());
    let table: [(Edit, &str); 5] = [
        (
            |b| b.statement = "zeros".into(),
            "statement_missing @ statement",
        ),
        (|b| b.citations.clear(), "citations_missing @ citations"),
        (|b| b.memory = None, "memory_missing @ memory"),
        (
            |b| b.quoted = quoted(1, "a manual").quoted,
            "bytes_not_cited @ bytes",
        ),
        (
            |b| (b.kind, b.quoted) = (ObservationKind::Citation, None),
            "bytes_missing @ bytes",
        ),
    ];
    for (edit, expected) in table {
        let mut body = measured();
        edit(&mut body);
        assert_eq!(codes(&body, true), [expected]);
    }
    assert_eq!(
        codes(&measured(), false),
        ["citation_not_found @ citations[0]"]
    );
    assert_eq!(codes(&quoted(1, "a manual"), true), Vec::<String>::new());
    assert_eq!(codes(&quoted(1, " "), true), ["source_missing @ source"]);
    assert_eq!(
        codes(&quoted((64 << 10) + 1, "a manual"), true),
        ["bytes_length @ bytes"]
    );
}

#[test]
fn a_hypothesis_is_worth_its_best_support() {
    let mut state = state();
    let id = HypothesisId::nth(1);
    let worth = |state: &LoopState| grade_of(state, &state.hypotheses[&id]);
    assert_eq!(
        worth(&state),
        Grade::Derived,
        "it was opened with log bytes"
    );
    let record = |state: &mut LoopState, bearing| {
        let recorded = Event::ObservationRecorded {
            observation_id: state.next_observation_id(),
            loop_id: LoopId::nth(1),
            body: ObservationBody {
                bearing,
                ..measured()
            },
            idempotency_key: format!("{bearing:?}"),
            author: author(),
        };
        step(state, &recorded).unwrap();
        assert!(
            step(&mut state.clone(), &recorded).is_err(),
            "an id is given once"
        );
    };
    record(&mut state, Bearing::Against);
    assert_eq!(
        worth(&state),
        Grade::Derived,
        "what speaks against it supports nothing"
    );
    record(&mut state, Bearing::For);
    assert_eq!(worth(&state), Grade::Observed);
    assert_eq!(state.observations_of(&id).len(), 2);
}
