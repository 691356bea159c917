use markers::Truth;
use playbooks::{Playbooks, classify};

use crate::fixtures::{COMMIT, policy, rulebook, run};
use crate::model::{Conclusion, ProcessExit, Run, Trigger};
use crate::run_facts::{Around, run_facts};

fn class(run: &Run) -> String {
    let catalogue = rulebook().catalogue;
    let playbooks = Playbooks::builtin(&catalogue).unwrap();
    let facts = run_facts(run, &policy(), &Around::default(), Truth::NotObservable);
    classify(&playbooks, &catalogue, &facts, &[])
        .class
        .to_string()
}

#[test]
fn what_this_machine_could_not_start_is_no_signal_whatever_the_reason() {
    let mut started = run("R1", COMMIT, Trigger::Manual, false);
    started.conclusion = Some(Conclusion::Unknown("not executed: no space left".into()));
    let mut never = started.clone();
    for job in &mut never.jobs {
        job.steps.clear();
        job.log = None;
    }
    assert_eq!(class(&never), "no_signal");
    // A run that executed steps is not excused by an odd conclusion.
    assert_ne!(class(&started), "no_signal");
}

#[test]
fn the_first_step_that_failed_speaks_for_the_run() {
    let facts = |run: &Run| run_facts(run, &policy(), &Around::default(), Truth::Holds);
    let mut red = run("R1", COMMIT, Trigger::Manual, false);
    assert_eq!(
        (facts(&red).exit_code, facts(&red).signal),
        (Some(101), None)
    );
    assert!(facts(&red).all_cells && facts(&red).executed_steps == 2);
    red.jobs[0].steps[0].exit = ProcessExit::Code(0);
    red.jobs[1].steps[0].exit = ProcessExit::Signal(11);
    assert_eq!(
        (facts(&red).exit_code, facts(&red).signal),
        (None, Some(11))
    );
    red.jobs[1].log = None;
    assert!(!facts(&red).all_cells);
}
