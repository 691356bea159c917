use std::sync::LazyLock;

use markers::{CellObservations, Truth};
use playbooks::{Classification, Playbooks, classify};

use crate::fixtures::{COMMIT, SCOPE, cells, policy, rulebook, run};
use crate::green::{Colour, ColourReport, colour, engaged, engagement};
use crate::model::{Conclusion, Run, RunStatus, Trigger};
use crate::policy::Policy;
use crate::run_facts::{Around, run_facts};

fn classified(run: &Run, policy: &Policy, cells: &[CellObservations]) -> Classification {
    static PLAYBOOKS: LazyLock<Playbooks> =
        LazyLock::new(|| Playbooks::builtin(&rulebook().catalogue).unwrap());
    let engaged = engaged(&engagement(policy, run, cells, &rulebook()));
    let facts = run_facts(run, policy, &Around::default(), engaged);
    classify(&PLAYBOOKS, &rulebook().catalogue, &facts, cells)
}

fn judged(run: &Run, policy: &Policy, cells: &[CellObservations]) -> ColourReport {
    let engage = engagement(policy, run, cells, &rulebook());
    colour(
        run,
        Some(&classified(run, policy, cells)),
        &engage,
        policy,
        cells,
    )
}

fn completed(green: bool) -> Run {
    run("R2", COMMIT, Trigger::Manual, green)
}

#[test]
fn success_with_proof_in_every_cell_is_green() {
    let report = judged(&completed(true), &policy(), &cells(true));
    assert_eq!(report.colour, Colour::Green, "{:?}", report.reasons);
    assert_eq!(report.reasons, Vec::<String>::new());
}

#[test]
fn success_without_proof_is_not() {
    let mut bare = policy();
    bare.scope.get_mut(SCOPE).unwrap().engage.clear();
    let mut greedy = policy();
    greedy
        .scope
        .get_mut(SCOPE)
        .unwrap()
        .engage
        .push("any cargo_summary.passed >= 99".into());
    let mut cut = cells(true);
    cut[1].complete = false;
    let mut one_job = completed(true);
    one_job.jobs.truncate(1);
    for (run, policy, cells, word) in [
        (
            completed(true),
            bare,
            cells(true),
            "declares no engagement proof",
        ),
        (completed(true), greedy, cells(true), "is not proven"),
        (completed(true), policy(), cut, "not complete"),
        (
            completed(true),
            policy(),
            cells(true)[..1].to_vec(),
            "noop-0-full",
        ),
        (one_job, policy(), cells(true), "did not run"),
    ] {
        let report = judged(&run, &policy, &cells);
        assert_eq!(
            report.colour,
            Colour::GreenUnproven,
            "{word}: {:?}",
            report.reasons
        );
        assert!(
            report.reasons.iter().any(|reason| reason.contains(word)),
            "{word}: {:?}",
            report.reasons
        );
    }
    let unread = colour(&completed(true), None, &[], &policy(), &cells(true));
    assert_eq!(unread.colour, Colour::GreenUnproven);
}

#[test]
fn failure_is_red_and_silence_is_neither() {
    let failed = judged(&completed(false), &policy(), &cells(false));
    assert_eq!(failed.colour, Colour::Red, "{:?}", failed.reasons);
    let cancelled = Run {
        conclusion: Some(Conclusion::Cancelled),
        ..completed(true)
    };
    let running = Run {
        status: RunStatus::InProgress,
        ..completed(true)
    };
    let idle = Run {
        jobs: Vec::new(),
        ..completed(true)
    };
    for run in [cancelled, running, idle] {
        assert_eq!(
            judged(&run, &policy(), &cells(true)).colour,
            Colour::NoSignal
        );
    }
}

#[test]
fn a_fallback_to_the_cpu_is_red_though_every_assertion_passed() {
    let fallback = "using CPU backend for inference (Vulkan fallback)";
    let catalogue = rulebook().catalogue;
    let cells: Vec<_> = ["noop-0-summary", "noop-0-full"]
        .into_iter()
        .map(|cell| CellObservations {
            cell: cell.into(),
            complete: true,
            observations: markers::scan(
                &catalogue,
                (crate::fixtures::log(cell, true) + fallback + "\n").as_bytes(),
            )
            .observations,
        })
        .collect();
    let report = judged(&completed(true), &policy(), &cells);
    assert_eq!(report.colour, Colour::Red, "{:?}", report.reasons);
}

#[test]
fn engagement_is_one_answer() {
    let grades =
        |cells: &[CellObservations]| engagement(&policy(), &completed(true), cells, &rulebook());
    assert_eq!(engaged(&grades(&cells(true))), Truth::Holds);
    assert_eq!(engaged(&grades(&cells(true)[..1])), Truth::NotObservable);
    assert_eq!(engaged(&[]), Truth::NotObservable);
}
