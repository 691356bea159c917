//! What a pull found, file by file, as it is kept in the evidence store and shown later.

use ci::forge::{Pulled, PulledArtifact, PulledJob};
use serde::{Deserialize, Serialize};

use crate::api::{LinkView, StepView};
use crate::views;

/// The last pull of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PullReport {
    /// One per job that was asked for.
    pub(crate) jobs: Vec<FileReport>,
    /// One per artifact.
    pub(crate) artifacts: Vec<FileReport>,
    /// About the run as a whole.
    pub(crate) notes: Vec<String>,
    /// Tells a run without artifacts from one whose artifacts nobody asked for.
    #[serde(default)]
    pub(crate) artifacts_asked: bool,
}

/// One file of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FileReport {
    /// The source's id.
    pub(crate) id: u64,
    /// What became of it.
    pub(crate) fate: String,
    /// Why, for artifacts.
    pub(crate) detail: String,
    /// Every place that was asked.
    pub(crate) links: Vec<LinkView>,
    /// Steps, where they are proven.
    pub(crate) steps: Vec<StepView>,
}

pub(crate) fn report_of(pulled: &Pulled) -> PullReport {
    PullReport {
        jobs: pulled.jobs.iter().map(of_job).collect(),
        artifacts: pulled.artifacts.iter().map(of_artifact).collect(),
        notes: pulled.notes.clone(),
        artifacts_asked: false,
    }
}

impl PullReport {
    /// The reports of an older pull about what this one did not ask for.
    pub(crate) fn with_older(mut self, older: PullReport) -> PullReport {
        let add = |files: &mut Vec<FileReport>, older: Vec<FileReport>| {
            for file in older {
                if !files.iter().any(|known| known.id == file.id) {
                    files.push(file);
                }
            }
        };
        add(&mut self.jobs, older.jobs);
        add(&mut self.artifacts, older.artifacts);
        self.artifacts_asked |= older.artifacts_asked;
        self
    }
}

fn of_job(pulled: &PulledJob) -> FileReport {
    let links = pulled.links.iter().map(|link| LinkView {
        link: link.link.to_string(),
        outcome: link.outcome.to_string(),
        detail: link.detail.clone(),
    });
    let steps = pulled.steps.iter().flatten().map(|step| StepView {
        number: step.number,
        name: step.name.clone(),
        byte_start: step.byte_start,
        byte_end: step.byte_end,
    });
    FileReport {
        id: pulled.job.id,
        fate: pulled.fate.as_str().into(),
        detail: String::new(),
        links: links.collect(),
        steps: steps.collect(),
    }
}

fn of_artifact(pulled: &PulledArtifact) -> FileReport {
    let why = pulled.why_empty.map(views::why_empty_word);
    let detail = match why {
        Some(why) => format!("{why}: {}", pulled.detail),
        None => pulled.detail.clone(),
    };
    FileReport {
        id: pulled.artifact.id,
        fate: pulled.fate.as_str().into(),
        detail,
        links: Vec::new(),
        steps: Vec::new(),
    }
}
