use crate::decision::{Decision, DecisionInput, Stage};
use crate::fixtures::{COMMIT, PARENT, good_input, rulebook, story};
use crate::permit::{PushPermit, grant};
use crate::rules::decide;
use crate::state::{Claim, ClaimPhase};
use crate::step::fold;

fn approved() -> Claim {
    let to_approval = story().len() - 4;
    let claim = fold(&story()[..to_approval])
        .unwrap()
        .claims
        .values()
        .next()
        .cloned()
        .unwrap();
    assert_eq!(claim.phase, ClaimPhase::Approved);
    claim
}

fn ask(
    input: &DecisionInput,
    decision: &Decision,
    claim: &Claim,
) -> Result<PushPermit, Vec<String>> {
    let granted = grant(
        decision,
        input,
        &rulebook(),
        claim,
        "f".repeat(40),
        "https://example.org/r.git".into(),
    );
    granted.map_err(|refused| refused.into_iter().map(|refusal| refusal.code).collect())
}

#[test]
fn an_approved_claim_gets_a_permit_for_exactly_its_commit() {
    let input = good_input();
    let decision = decide(&input, &rulebook(), Stage::Push);
    let permit = ask(&input, &decision, &approved()).unwrap();
    assert_eq!((permit.commit(), permit.old_tip()), (COMMIT, PARENT));
    assert_eq!(
        (permit.ref_name(), permit.claim_id().as_str()),
        ("refs/heads/main", "C1")
    );
    assert_eq!(
        permit.attestation_ref(),
        format!("refs/greenloop/attest/{COMMIT}")
    );
    assert_eq!(permit.decision_digest(), &decision.digest().unwrap());
}

#[test]
fn every_other_phase_gets_none() {
    let input = good_input();
    let decision = decide(&input, &rulebook(), Stage::Push);
    for phase in ClaimPhase::ALL
        .into_iter()
        .filter(|phase| *phase != ClaimPhase::Approved)
    {
        let claim = Claim {
            phase,
            ..approved()
        };
        assert_eq!(
            ask(&input, &decision, &claim).unwrap_err(),
            ["claim_not_approved"],
            "{phase}"
        );
    }
}

#[test]
fn a_forged_or_earlier_decision_gets_none() {
    let mut closed = good_input();
    closed.target.scope_closed = Some("C0 broke a guard".into());
    let forged = decide(&good_input(), &rulebook(), Stage::Push);
    assert_eq!(
        ask(&closed, &forged, &approved()).unwrap_err(),
        ["scope_closed", "decision_not_reproduced"]
    );
    let early = decide(&good_input(), &rulebook(), Stage::Gates);
    assert_eq!(
        ask(&good_input(), &early, &approved()).unwrap_err(),
        ["decision_not_reproduced"]
    );
    let empty = Decision {
        rules: Vec::new(),
        ..forged
    };
    assert_eq!(
        ask(&good_input(), &empty, &approved()).unwrap_err(),
        ["decision_not_reproduced"]
    );
}

#[test]
fn a_decision_about_another_claim_gets_none() {
    let input = good_input();
    let decision = decide(&input, &rulebook(), Stage::Push);
    let other_commit = Claim {
        commit: Some("9".repeat(40)),
        ..approved()
    };
    let unsigned = Claim {
        approval: None,
        ..approved()
    };
    for claim in [other_commit, unsigned] {
        assert_eq!(
            ask(&input, &decision, &claim).unwrap_err(),
            ["decision_of_other_claim"]
        );
    }
    let nameless = grant(
        &decision,
        &input,
        &rulebook(),
        &approved(),
        String::new(),
        "r".into(),
    )
    .unwrap_err();
    assert_eq!(nameless[0].code, "permit_incomplete");
}
