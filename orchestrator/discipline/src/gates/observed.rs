//! What libtest and cargo printed, from the observations of a transcript.

use std::collections::BTreeSet;

use markers::{Observation, Value};

use crate::model::{DeadCode, TestCounts};

/// Summary of a transcript.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) counts: TestCounts,
    /// Names of tests that ran.
    pub(super) names: BTreeSet<String>,
    /// Names with a result of any kind, ignored ones included.
    pub(super) reported: BTreeSet<String>,
    pub(super) failed: BTreeSet<String>,
    pub(super) compile_error: bool,
    /// Items that rustc found unused, before the first test ran.
    pub(super) dead_code: BTreeSet<DeadCode>,
    /// A test binary announced tests and never summed them up.
    pub(super) unfinished: bool,
}

impl Observed {
    pub(super) fn of(observations: &[Observation]) -> Self {
        let mut seen = Self::default();
        let (mut announced, mut summed) = (0_u64, 0_u64);
        // A message and the place that it is about stand on two lines, one behind the other.
        let mut unused: Option<(u64, &str)> = None;
        for observation in observations {
            match observation.kind.as_str() {
                "cargo_running" => announced += 1,
                "cargo_summary" => {
                    summed += 1;
                    seen.counts.passed += count(observation, "passed");
                    seen.counts.failed += count(observation, "failed");
                    seen.counts.ignored += count(observation, "ignored");
                    seen.counts.filtered_out += count(observation, "filtered");
                }
                "cargo_test" => seen.test(observation),
                "dead_code" if announced == 0 => {
                    unused = observation
                        .text("what")
                        .map(|what| (observation.line, what));
                }
                "source_place" => {
                    let (at, message) = (place(observation), unused.take());
                    if let (Some((file, line)), Some((before, what))) = (at, message)
                        && before + 1 == observation.line
                    {
                        let what = what.to_owned();
                        seen.dead_code.insert(DeadCode { file, line, what });
                    }
                }
                "compile_error" => seen.compile_error = true,
                "build_error" if observation.text("stage") == Some("compile") => {
                    seen.compile_error = true;
                }
                _ => {}
            }
        }
        seen.unfinished = announced > summed;
        // cargo compiles everything before the first test runs; later such lines are a test's output.
        seen.compile_error &= announced == 0;
        seen
    }

    fn test(&mut self, observation: &Observation) {
        let Some(name) = observation.text("name") else {
            return;
        };
        self.reported.insert(name.to_owned());
        match observation.text("outcome") {
            Some("ignored") => {}
            outcome => {
                self.names.insert(name.to_owned());
                if outcome == Some("failed") {
                    self.failed.insert(name.to_owned());
                }
            }
        }
    }
}

/// File and line of a place in the sources.
fn place(observation: &Observation) -> Option<(String, u32)> {
    let line = u32::try_from(count(observation, "line")).ok()?;
    Some((observation.text("file")?.to_owned(), line))
}

fn count(observation: &Observation, field: &str) -> u64 {
    match observation.fields.get(field) {
        Some(Value::Number(number)) => number.to_string().parse().unwrap_or(0),
        _ => 0,
    }
}
