//! Words that make a claim read better than it is: predictions and conditions that decide nothing, text
//! that a screen shows otherwise, evidence of something else.

use service::api;

use super::{Field, Row, only};
use crate::dishonest::as_it_is;
use crate::support::{Bench, RED_TEST, SCOPE};

const WORDS: &[Row] = &[
    (
        "equal, give or take everything",
        as_it_is,
        |d| d.prediction = vec!["all first_divergence.gpu == 700 ±699".into()],
        &[("recovery_is_not_equality", "prediction[0]", "±699")],
    ),
    (
        "equal, give or take a hundred percent",
        as_it_is,
        |d| d.prediction = vec!["all first_divergence{kind=zeros}.gpu == 379 ±99%".into()],
        &[("recovery_is_not_equality", "prediction[0]", "±99%")],
    ),
    (
        "a test that the change adds is there",
        |r| {
            crate::dishonest::append(
                r,
                "tests/unit.rs",
                "\n#[test]\nfn totals_are_right() {\n    assert_eq!(blocks::totals(&[]), []);\n}\n",
            )
        },
        |d| d.prediction = vec!["present cargo_test{name=totals_are_right}".into()],
        &[(
            "prediction_names_no_outcome",
            "prediction[0]",
            "totals_are_right",
        )],
    ),
    (
        "more tests than today",
        as_it_is,
        |d| d.prediction = vec!["count cargo_test >= 5".into()],
        &[(
            "prediction_names_no_outcome",
            "prediction[0]",
            "count cargo_test",
        )],
    ),
    (
        "a rollback condition that no number can meet",
        as_it_is,
        |d| d.rollback_if = vec!["count first_divergence < 0".into()],
        &[("rollback_cannot_hold", "rollback_if[0]", "< 0")],
    ),
    (
        "a rollback condition that contradicts itself",
        as_it_is,
        |d| d.rollback_if = vec!["present first_divergence{kind=zeros,kind=drift}".into()],
        &[("predicate_type", "rollback_if[0]", "asked for twice")],
    ),
    (
        "a guard that no run can break",
        as_it_is,
        |d| {
            d.guards.push(api::GuardView {
                scope: SCOPE.into(),
                predicate: "count first_divergence >= 0".into(),
            })
        },
        &[("guard_cannot_break", "guards[1].predicate", ">= 0")],
    ),
    (
        "a value that the field never has",
        as_it_is,
        |d| d.rollback_if = vec!["present first_divergence{kind=wrong}".into()],
        &[("predicate_type", "rollback_if[0]", "kind")],
    ),
    (
        "a duration where the field has none",
        as_it_is,
        |d| d.prediction[0] = "all first_divergence.layer == 2us".into(),
        &[("predicate_type", "prediction[0]", "us")],
    ),
    (
        "a marker's name in other letters",
        as_it_is,
        |d| d.prediction[0] = "absent FIRST_DIVERGENCE".into(),
        &[("predicate_malformed", "prediction[0]", "")],
    ),
    (
        "reasoning that clears the screen and draws another card",
        as_it_is,
        |d| {
            d.reasoning
                .push_str("\u{1b}[2J\u{1b}[HAll gates passed, nothing to see here")
        },
        &[("text_hides_characters", "reasoning", "U+001B")],
    ),
    (
        "reasoning that reads backwards",
        as_it_is,
        |d| d.reasoning.push_str(" \u{202e}desrever si siht"),
        &[("text_hides_characters", "reasoning", "U+202E")],
    ),
    (
        "a message that reads backwards",
        as_it_is,
        |d| d.message.push_str("\n\n\u{2066}approved by ana\u{2069}"),
        &[("text_hides_characters", "message", "U+2066")],
    ),
    (
        "a trailer whose name begins with nothing visible",
        as_it_is,
        |d| d.message.push_str("\n\n\u{200b}Claim-Id: C99"),
        &[("text_hides_characters", "message", "U+200B")],
    ),
    (
        "a trailer of the daemon's with a space before its colon",
        as_it_is,
        |d| d.message.push_str("\n\nCLAIM-DIGEST : sha256:00"),
        &[("message_forges_trailer", "message", "CLAIM-DIGEST")],
    ),
    (
        "a carriage return that writes over the subject",
        as_it_is,
        |d| d.message.insert_str(0, "nothing to see\r"),
        &[(
            "message_control_characters",
            "message",
            "control characters",
        )],
    ),
    (
        "a rollback, so that nobody asks for a cause or a test",
        as_it_is,
        |d| {
            d.kind = "rollback".into();
            d.hypothesis_id = None;
            d.pinned_test = None;
        },
        &[("rollback_not_due", "kind", "is open")],
    ),
    (
        "the fixed tree itself as a baseline without a change",
        |r| {
            crate::support::run(r, "git", &["checkout", "-q", "origin/main", "--", "."]);
        },
        |d| {
            d.kind = "baseline".into();
            d.sites.clear();
        },
        &[("signal_exists", "kind", "already has an executed run")],
    ),
    (
        "another test's own name for the pinned one",
        as_it_is,
        |d| d.pinned_test.as_mut().unwrap().name = format!("{RED_TEST} --skip everything"),
        &[("pinned_test_not_found", "pinned_test.name", "--skip")],
    ),
];

#[test]
fn words_that_decide_nothing_are_no_claim() {
    Field::over(Bench::new()).play(WORDS);
}

/// A claim that nobody could read is not parsed, kept or shown.
#[test]
fn a_claim_of_many_megabytes_is_not_taken() {
    let field = Field::over(Bench::new());
    let mut draft = field.draft(&field.honest);
    draft.reasoning = "because it is so ".repeat(200_000);
    let error = field.check(&draft).unwrap_err();
    assert_eq!((error.code(), error.fixable()), ("bad_argument", true));
    assert!(error.to_string().starts_with("`draft`"), "{error}");
    let mut draft = field.draft(&field.honest);
    draft.prediction = vec!["absent first_divergence".into(); 100_000];
    assert_eq!(field.check(&draft).unwrap_err().code(), "bad_argument");
}

/// Waiting, in words that avoid the word.
#[test]
fn a_turn_does_not_end_with_the_runner_in_other_words() {
    let field = Field::over(Bench::new());
    for (what, unblocked_by, place) in [
        (
            "the hardware results have not arrived",
            "their arrival",
            "what",
        ),
        (
            "the verdict of the card is outstanding",
            "the verdict",
            "what",
        ),
        (
            "nothing can be done before tonight's nightly",
            "tomorrow morning",
            "what",
        ),
        (
            "the remote machine is busy with someone else's build",
            "it gets idle",
            "what",
        ),
        ("CI is slow today", "CI", "what"),
        (
            "the forge has not answered yet",
            "an answer of the forge",
            "what",
        ),
    ] {
        let end = api::EndTurnRequest {
            loop_id: field.loop_id.clone(),
            end: api::EndHow::Blocked {
                what: what.into(),
                unblocked_by: unblocked_by.into(),
            },
        };
        let answer = field.bench.agent(end).unwrap();
        assert!(!answer.accepted, "{what}");
        let stops = answer
            .refused
            .iter()
            .any(|refusal| refusal.code == "waiting_is_not_blocked" && refusal.field == place);
        assert!(stops, "{what}: {:?}", answer.refused);
    }
}

/// What an agent's own code printed in a gate is no evidence of what the runner showed.
pub(super) fn transcript_as_evidence(field: &Field, transcript: &api::LogView) {
    let mut draft = field.draft(&field.honest);
    draft.evidence[0].log_id = transcript.log_id.clone();
    draft.evidence[0].byte_start = 0;
    let page = field.bench.agent(api::ReadLogRequest {
        log_id: transcript.log_id.clone(),
        offset: None,
        line: Some(1),
        max_bytes: None,
        view: api::LogViewKind::Raw,
    });
    let first = page.unwrap().data.find('\n').unwrap() + 1;
    draft.evidence[0].byte_end = first as u64;
    (draft.evidence[0].line_start, draft.evidence[0].line_end) = (1, 1);
    let refused = field.check(&draft).unwrap();
    let stops = |code: &str| {
        refused
            .iter()
            .any(|refusal| refusal.code == code && refusal.field == "evidence[0]")
    };
    assert!(stops("evidence_other_scope"), "{refused:?}");
    draft = field.draft(&field.honest);
    draft.baseline_run = Some("G1".into());
    only(
        &field.check(&draft).unwrap(),
        ("baseline_run_unknown", "baseline_run", "G1"),
    );
}
