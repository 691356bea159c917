//! What a push would do to the runs that are live, and whether anybody is there to run it.

use serde::{Deserialize, Serialize};

/// The forecast, as gathered before a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastFacts {
    /// Live runs that the push's runs would meet in a concurrency group.
    pub meets: Vec<MetRun>,
    /// What could not be read or asked, one sentence each: a run may be met that is not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Who would run the push.
    pub runner: RunnerFact,
    /// Runners on Windows that may take the scope's jobs, by name. One that runs as a service has no GPU; the forge
    /// does not tell whether it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session_unknown: Vec<String>,
}

/// A live run in a concurrency group of the push.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetRun {
    /// Its id here, such as `R3`; the forge's own where it was never pulled.
    pub run: String,
    /// Its workflow file.
    pub workflow: String,
    /// The group, as the workflow of the tree to be pushed writes it.
    pub group: String,
    /// What the push does to it.
    pub effect: MetEffect,
}

/// What a newer run does to one of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetEffect {
    /// Ends it while it runs.
    Cancels,
    /// Takes its place in the queue; it never runs.
    Replaces,
    /// Waits until it has ended.
    WaitsFor,
}

impl MetEffect {
    /// True when the run is lost.
    #[must_use]
    pub fn loses(self) -> bool {
        !matches!(self, Self::WaitsFor)
    }
}

/// State of the runners that the scope's workflow asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunnerFact {
    /// Nobody was asked, or the credential may not see them.
    #[default]
    NotKnown,
    /// This machine runs it.
    ThisMachine,
    /// The forge's own machines run it.
    Hosted,
    /// No runner has all the labels.
    NoneFits {
        /// What the workflow asks for.
        labels: Vec<String>,
    },
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
        /// Their names.
        names: Vec<String>,
    },
}

impl ForecastFacts {
    /// Runs that the push would lose, by name.
    pub fn lost(&self) -> impl Iterator<Item = &MetRun> {
        self.meets.iter().filter(|met| met.effect.loses())
    }

    /// One sentence per run that is met and per runner state worth knowing, for card and answers.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let met = self.meets.iter().map(|met| {
            let word = match met.effect {
                MetEffect::Cancels => "cancels",
                MetEffect::Replaces => "takes the place of",
                MetEffect::WaitsFor => "waits for",
            };
            format!(
                "the push {word} {} ({}, group `{}`)",
                met.run, met.workflow, met.group
            )
        });
        let runner = match &self.runner {
            RunnerFact::NoneFits { labels } => {
                Some(format!("no runner has the labels {}", labels.join(", ")))
            }
            RunnerFact::Offline { names } => {
                Some(format!("the runner is offline: {}", names.join(", ")))
            }
            RunnerFact::Busy { names } => Some(format!("the runner is busy: {}", names.join(", "))),
            RunnerFact::Idle { names } => Some(format!("the runner is idle: {}", names.join(", "))),
            RunnerFact::NotKnown | RunnerFact::ThisMachine | RunnerFact::Hosted => None,
        };
        let session = (!self.session_unknown.is_empty()).then(|| {
            format!(
                "on Windows a runner sees no GPU as a service, only in an interactive session, and the forge does not \
                 tell which it is: {}",
                self.session_unknown.join(", ")
            )
        });
        let unknown = self.unknown.iter().map(|why| format!("not known: {why}"));
        met.chain(runner).chain(session).chain(unknown).collect()
    }
}
