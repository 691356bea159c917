use crate::cited::CitedBytes;
use crate::event::{Event, HypothesisBody, Mechanism};
use crate::fixtures::{author, citation, hypothesis_body, playbooks, rulebook, story};
use crate::hypothesis::{HypothesisLookups, admit, admit_falsification};
use crate::model::{HypothesisId, LoopId};
use crate::state::LoopState;
use crate::step::{fold, step};

fn empty() -> LoopState {
    fold(&story()[..3]).unwrap()
}

fn with_dead() -> LoopState {
    let mut state = fold(&story()[..4]).unwrap();
    let killed = Event::HypothesisFalsified {
        hypothesis_id: "H1".into(),
        killer: vec![citation()],
        reason: "the working path skips it too".into(),
        author: author(),
    };
    step(&mut state, &killed).unwrap();
    state
}

fn lookups(body: &HypothesisBody) -> HypothesisLookups {
    HypothesisLookups {
        lines: body
            .sites
            .iter()
            .map(|site| Some(format!("    {}", site.quote)))
            .collect(),
        evidence: CitedBytes::bare(&vec![true; body.evidence.len()]),
    }
}

fn codes(state: &LoopState, body: &HypothesisBody, lookups: &HypothesisLookups) -> Vec<String> {
    let refused = admit(
        state,
        &LoopId::nth(1),
        body,
        lookups,
        &rulebook(),
        &playbooks(),
    );
    refused
        .into_iter()
        .map(|refusal| format!("{} @ {}", refusal.code, refusal.field))
        .collect()
}

#[test]
fn a_cause_with_quote_and_falsifier_enters() {
    let body = hypothesis_body();
    assert_eq!(
        codes(&empty(), &body, &lookups(&body)),
        Vec::<String>::new()
    );
}

#[test]
fn each_missing_part_is_named() {
    type Edit = fn(&mut HypothesisBody);
    let table: [(Edit, &str); 7] = [
        (|b| b.scope = "dream".into(), "scope_not_of_loop @ scope"),
        (
            |b| b.statement = "it breaks".into(),
            "statement_missing @ statement",
        ),
        (|b| b.sites.clear(), "sites_missing @ sites"),
        (
            |b| (b.predicts, b.forbids) = (Vec::new(), Vec::new()),
            "falsifier_missing @ forbids",
        ),
        (
            |b| b.predicts = vec!["it recovers".into()],
            "predicate_malformed @ predicts[0]",
        ),
        (
            |b| b.forbids = vec!["absent first_divergance".into()],
            "marker_unknown @ forbids[0]",
        ),
        (
            |b| b.rivals = vec!["H9".into()],
            "rival_unknown @ rivals[0]",
        ),
    ];
    for (edit, expected) in table {
        let mut body = hypothesis_body();
        edit(&mut body);
        assert_eq!(codes(&empty(), &body, &lookups(&body)), [expected]);
    }
    let body = hypothesis_body();
    let other_loop = admit(
        &empty(),
        &LoopId::nth(9),
        &body,
        &lookups(&body),
        &rulebook(),
        &playbooks(),
    );
    assert_eq!(other_loop[0].code, "loop_unknown");
}

#[test]
fn a_line_that_reads_otherwise_is_refused() {
    let body = hypothesis_body();
    let with_line = |line: Option<&str>| HypothesisLookups {
        lines: vec![line.map(String::from)],
        ..lookups(&body)
    };
    assert_eq!(
        codes(&empty(), &body, &with_line(None)),
        ["site_not_found @ sites[0]"]
    );
    assert_eq!(
        codes(&empty(), &body, &with_line(Some("let normed = input;"))),
        ["quote_differs @ sites[0]"]
    );
    let mut silent = body.clone();
    silent.sites[0].quote = " ".into();
    assert_eq!(
        codes(&empty(), &silent, &with_line(Some(""))),
        ["quote_differs @ sites[0]"]
    );
    let uncited = HypothesisLookups {
        evidence: CitedBytes::bare(&[false]),
        ..lookups(&body)
    };
    assert_eq!(
        codes(&empty(), &body, &uncited),
        ["citation_not_found @ evidence[0]"]
    );
}

#[test]
fn a_dead_theory_in_new_words_is_recognised() {
    let state = with_dead();
    let mut reworded = hypothesis_body();
    reworded.statement = "Attention consumes a buffer that no kernel produced".into();
    reworded.sites[0].quote = "let x = other.attn_norm.skip_dispatch(normed);".into();
    let refused = admit(
        &state,
        &LoopId::nth(1),
        &reworded,
        &lookups(&reworded),
        &rulebook(),
        &playbooks(),
    );
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].code, "resembles_dead_hypothesis");
    assert!(
        refused[0].reason.contains("H1")
            && refused[0].reason.contains("the working path skips it too")
    );

    let other_mechanism = HypothesisBody {
        mechanism: Mechanism::WrongLifetime,
        ..reworded.clone()
    };
    assert_eq!(
        codes(&state, &other_mechanism, &lookups(&other_mechanism)),
        Vec::<String>::new()
    );
    let mut elsewhere = reworded;
    elsewhere.sites[0].quote = "let plan = ArenaPlanner::assign(&requests, envelope)?;".into();
    assert_eq!(
        codes(&state, &elsewhere, &lookups(&elsewhere)),
        Vec::<String>::new()
    );
}

#[test]
fn death_needs_bytes_that_exist_and_a_reason() {
    let state = fold(&story()[..4]).unwrap();
    let ask =
        |state: &LoopState, id: &str, killer: &[_], exists: &[bool], why: &str| -> Vec<String> {
            let refused = admit_falsification(state, &HypothesisId::from(id), killer, exists, why);
            refused.into_iter().map(|refusal| refusal.code).collect()
        };
    let (killer, why) = ([citation()], "the op it calls skipped was dispatched");
    assert_eq!(
        ask(&state, "H1", &killer, &[true], why),
        Vec::<String>::new()
    );
    assert_eq!(
        ask(&state, "H9", &killer, &[true], why),
        ["hypothesis_unknown"]
    );
    assert_eq!(ask(&state, "H1", &[], &[], why), ["killer_missing"]);
    assert_eq!(
        ask(&state, "H1", &killer, &[false], why),
        ["citation_not_found"]
    );
    assert_eq!(ask(&state, "H1", &killer, &[], why), ["citation_not_found"]);
    assert_eq!(
        ask(&state, "H1", &killer, &[true], "agreed"),
        ["reason_missing"]
    );
    assert_eq!(
        ask(&with_dead(), "H1", &killer, &[true], why),
        ["hypothesis_falsified"]
    );
}
