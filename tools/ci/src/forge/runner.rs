//! Whether anybody is there to take a job.

use serde::{Deserialize, Serialize};

use super::model::Runner;

/// State of the runners that a job's labels ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunnerState {
    /// The credential may not see the runners.
    NotVisible,
    /// No runner has all the labels.
    NoneFits,
    /// Runners fit, and none is connected.
    Offline {
        /// Their names.
        names: Vec<String>,
    },
    /// Every connected runner that fits executes a job.
    Busy {
        /// Their names.
        names: Vec<String>,
    },
    /// At least one waits for a job.
    Idle {
        /// Names of those that wait.
        names: Vec<String>,
    },
}

impl RunnerState {
    /// State of the self-hosted runners that have all the labels; case does not matter.
    ///
    /// `runners` is `None` where the credential may not see them.
    #[must_use]
    pub fn of(runners: Option<&[Runner]>, labels: &[String]) -> RunnerState {
        let Some(runners) = runners else {
            return RunnerState::NotVisible;
        };
        let fit: Vec<&Runner> = runners.iter().filter(|r| r.has_labels(labels)).collect();
        let names = |keep: &dyn Fn(&Runner) -> bool| -> Vec<String> {
            let kept = fit.iter().filter(|runner| keep(runner));
            kept.map(|runner| runner.name.clone()).collect()
        };
        let idle = names(&|runner| runner.is_online() && !runner.busy);
        let busy = names(&|runner| runner.is_online() && runner.busy);
        match (fit.is_empty(), idle.is_empty(), busy.is_empty()) {
            (true, ..) => RunnerState::NoneFits,
            (_, false, _) => RunnerState::Idle { names: idle },
            (_, true, false) => RunnerState::Busy { names: busy },
            (_, true, true) => RunnerState::Offline {
                names: names(&|_| true),
            },
        }
    }

    /// Whether a job would wait for somebody to come back or to be set up.
    #[must_use]
    pub fn takes_nothing(&self) -> bool {
        matches!(self, RunnerState::NoneFits | RunnerState::Offline { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(name: &str, status: &str, busy: bool, labels: &[&str]) -> Runner {
        let labels: Vec<_> = labels
            .iter()
            .map(|l| serde_json::json!({"name": l}))
            .collect();
        let described = serde_json::json!({
            "id": 1, "name": name, "os": "Windows", "status": status, "busy": busy, "labels": labels,
        });
        serde_json::from_value(described).unwrap()
    }

    #[test]
    fn the_runner_that_fits_decides() {
        let asks = ["self-hosted".to_owned(), "GPU".to_owned()];
        let of = |runners: &[Runner]| RunnerState::of(Some(runners), &asks);
        let gpu = ["self-hosted", "gpu"];
        let names = |name: &str| vec![name.to_owned()];
        assert_eq!(RunnerState::of(None, &asks), RunnerState::NotVisible);
        let elsewhere = runner("cpu", "online", false, &["self-hosted"]);
        assert_eq!(of(std::slice::from_ref(&elsewhere)), RunnerState::NoneFits);
        let off = runner("rig", "offline", false, &gpu);
        let offline = of(&[elsewhere, off.clone()]);
        assert_eq!(
            offline,
            RunnerState::Offline {
                names: names("rig")
            }
        );
        assert!(offline.takes_nothing() && !RunnerState::NotVisible.takes_nothing());
        let busy = runner("second", "online", true, &gpu);
        let found = of(&[off.clone(), busy.clone()]);
        assert_eq!(
            found,
            RunnerState::Busy {
                names: names("second")
            }
        );
        let idle = runner("third", "online", false, &gpu);
        let found = of(&[off, busy, idle]);
        assert_eq!(
            found,
            RunnerState::Idle {
                names: names("third")
            }
        );
        assert!(!found.takes_nothing());
    }

    #[test]
    fn a_word_for_a_state_that_is_not_known_is_not_online() {
        let odd = runner("rig", "sleeping", false, &[]);
        assert!(RunnerState::of(Some(&[odd]), &[]).takes_nothing());
    }
}
