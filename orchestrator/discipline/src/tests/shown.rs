use crate::decision::{DecisionInput, gates_digest};
use crate::fixtures::{citation, good_input, log, rulebook, story};
use crate::model::GateRole;
use crate::shown::{ClaimCard, card, shown_digest};
use crate::step::fold;

fn shown(input: &DecisionInput) -> ClaimCard {
    let text = log("noop-0-full", false);
    let cite = citation();
    let cited = vec![text[cite.byte_start as usize..cite.byte_end as usize].to_owned()];
    card(
        &"C1".into(),
        1000,
        input,
        &cited,
        &fold(&story()).unwrap(),
        &rulebook(),
    )
}

#[test]
fn the_card_says_everything_a_signature_stands_for() {
    let card = shown(&good_input());
    assert_eq!(card.refused, Vec::new());
    let text = serde_json::to_string_pretty(&card).unwrap();
    insta::assert_snapshot!(text.replace(&rulebook().catalogue_digest().to_string(), "CATALOGUE"));
}

#[test]
fn the_digest_follows_every_visible_change() {
    let digest = |input: &DecisionInput| shown_digest(&shown(input)).unwrap();
    let good = good_input();
    assert_eq!(digest(&good), digest(&good_input()));
    let mut worded = good.clone();
    worded.body.reasoning.push('!');
    let mut larger = good.clone();
    larger.diff.behavioural_lines += 1;
    let mut elsewhere = good.clone();
    elsewhere.target.commit = Some("9".repeat(40));
    for other in [worded, larger, elsewhere] {
        assert_ne!(digest(&other), digest(&good));
    }
}

#[test]
fn weak_proof_is_labelled_and_painted_text_is_cleaned() {
    let mut input = good_input();
    let gates = input.gates.as_mut().unwrap();
    for result in gates
        .results
        .iter_mut()
        .filter(|result| result.role == GateRole::PinOnBase)
    {
        result.failed_tests.clear();
        result.compile_error = true;
    }
    gates.gates_digest = gates_digest(&gates.results).unwrap();
    input.body.author = "ana\u{1b}[2K\u{202e}".into();
    let card = shown(&input);
    assert!(
        card.labels[0].starts_with("weak proof"),
        "{:?}",
        card.labels
    );
    assert_eq!(card.author, "ana\u{fffd}[2K\u{fffd}");
}
