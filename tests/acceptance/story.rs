//! The loop closes once, end to end, on the project whose gates take seconds.

use acceptance::story::{Audience, STEPS, play};
use acceptance::support::project::Project;

#[derive(Default)]
struct Heard {
    steps: usize,
    proved: Vec<String>,
}

impl Audience for Heard {
    fn step(&mut self, number: usize, _title: &str) {
        self.steps = number;
    }

    fn proved(&mut self, text: &str) {
        self.proved.push(text.to_owned());
    }
}

#[test]
fn the_loop_closes_on_the_fixture_project() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let mut heard = Heard::default();
    let ending = play(Project::Fixture, work.path(), runtime.path(), &mut heard)
        .unwrap_or_else(|error| panic!("{error:#}\nproved before:\n{}", heard.proved.join("\n")));
    assert_eq!(heard.steps, STEPS);
    assert_eq!(ending.commit.len(), 40);
    let said = heard.proved.join("\n");
    for must in [
        "reassembles to its digest",
        "cannot be named",
        "refused with",
        "verdict: confirmed",
    ] {
        assert!(said.contains(must), "nobody said `{must}`:\n{said}");
    }
}
