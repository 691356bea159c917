//! Looks at this machine and this repository: what is missing, what mends it, and what this
//! deployment cannot prevent.
//!
//! Each look is one function that answers with findings; none changes anything, and no secret is
//! read beyond what tells whether it is one.

mod credentials;
mod deployment;
mod machine;
mod programs;
mod repository;
mod rules;

use serde::Serialize;

use crate::place::Place;

pub(crate) use deployment::Deployment;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Works, and could be better or safer.
    Advice,
    /// Something will not work.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// False when something will not work.
    pub ok: bool,
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// The command, or the act, that mends it; empty when there is nothing to mend.
    pub remedy: String,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Level::Ok, found, "")
    }

    fn advice(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, Level::Advice, found, remedy)
    }

    fn missing(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(name, Level::Missing, found, remedy)
    }

    fn new(
        name: &'static str,
        level: Level,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            ok: level != Level::Missing,
            level,
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Diagnosis {
    /// In the order in which things are needed.
    pub findings: Vec<Finding>,
    /// `A`, `B` or `C` of the trust model.
    pub deployment: Deployment,
    /// What this deployment cannot prevent.
    pub cannot_prevent: Vec<String>,
}

/// Looks at everything. `place` is the repository, or why there is none.
pub(crate) fn diagnose(place: Result<Place, anyhow::Error>) -> Diagnosis {
    let place = place.map_err(|error| format!("{error:#}"));
    let wants_device = match &place {
        Ok(place) => repository::wants_device(place),
        Err(_) => false,
    };
    let mut findings = programs::look(wants_device);
    match &place {
        Err(why) => findings.push(Finding::missing(
            "repository",
            why.clone(),
            "change into the repository under care, or name it with --repo",
        )),
        Ok(place) => {
            findings.extend(repository::look(place));
            findings.extend(rules::look(place));
            findings.extend(machine::look(place));
        }
    }
    let readable = credentials::look(place.as_ref().ok());
    let deployment = deployment::of(place.as_ref().ok());
    let cannot_prevent = deployment::cannot_prevent(deployment, &readable);
    findings.extend(readable.into_iter().map(|credential| credential.finding()));
    Diagnosis {
        findings,
        deployment,
        cannot_prevent,
    }
}
