//! What files alone say about a run that nobody described: that there were jobs, and what they
//! wrote. How they ended is not known and stays so.

use std::collections::BTreeSet;

use super::folder::{Folder, Item};
use crate::archive::{Archive, Limits};
use crate::forge::ForgeError;
use crate::forge::model::{Artifact, Status, WorkflowJob, WorkflowRun, WorkflowStep};

/// Conclusion of what was recorded without one.
const UNKNOWN: &str = "unknown";
/// Endings of logs.
const LOGS: &[&str] = &[".log", ".txt"];

/// True when there is anything that makes a run.
pub(super) fn has_evidence(folder: &Folder) -> bool {
    let described = ["run.json", "jobs.json"]
        .iter()
        .any(|name| folder.file(name).is_some());
    let names = folder.folder_names();
    let parts = ["attempts", "jobs", "artifacts"];
    described
        || names.iter().any(|name| parts.contains(&name.as_str()))
        || !folder.ending(&[".log", ".txt", ".zip"]).is_empty()
}

pub(super) fn run(name: &str) -> WorkflowRun {
    WorkflowRun {
        name: Some(name.to_owned()),
        status: Some(Status::Completed),
        ..WorkflowRun::default()
    }
}

/// Jobs by their logs: files, else the archive's whole logs.
pub(super) fn jobs(place: &Folder) -> Result<Vec<WorkflowJob>, ForgeError> {
    let logs = log_files(place)?;
    let names: Vec<String> = match logs.is_empty() {
        false => logs.iter().map(|item| item.stem().to_owned()).collect(),
        true => archived_jobs(place)?,
    };
    let numbered = (1u64..).zip(names);
    Ok(numbered
        .map(|(position, name)| job(position, name))
        .collect())
}

fn job(position: u64, name: String) -> WorkflowJob {
    let unknown = Some(UNKNOWN.to_owned());
    WorkflowJob {
        // The forge's own id where the file is named by it.
        id: name.parse().unwrap_or(position),
        name,
        status: Some(Status::Completed),
        conclusion: unknown.clone(),
        runner_id: Some(1),
        steps: vec![WorkflowStep {
            name: "recorded".into(),
            status: Some(Status::Completed),
            conclusion: unknown,
            number: 1,
            ..WorkflowStep::default()
        }],
        ..WorkflowJob::default()
    }
}

fn log_files(place: &Folder) -> Result<Vec<Item>, ForgeError> {
    let mut found: Vec<Item> = match place.folder("jobs")? {
        Some(jobs) => jobs.ending(LOGS).into_iter().cloned().collect(),
        None => Vec::new(),
    };
    found.extend(place.ending(LOGS).into_iter().cloned());
    Ok(found)
}

fn archived_jobs(place: &Folder) -> Result<Vec<String>, ForgeError> {
    let Some(item) = attempt_logs(std::slice::from_ref(place))? else {
        return Ok(Vec::new());
    };
    let Ok(archive) = Archive::open(item.open()?, Limits::default()) else {
        return Ok(Vec::new());
    };
    let names = archive
        .entries()
        .iter()
        .filter_map(|entry| whole_log(&entry.name));
    let names: BTreeSet<&str> = names.collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The job's name in `N_JOB.txt`.
fn whole_log(entry: &str) -> Option<&str> {
    let (number, name) = entry.strip_suffix(".txt")?.split_once('_')?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (plain && !name.contains('/')).then_some(name)
}

pub(super) fn job_log(places: &[Folder], job_id: u64) -> Result<Option<Item>, ForgeError> {
    let id = job_id.to_string();
    for place in places {
        let logs = log_files(place)?;
        if let Some(item) = logs.iter().find(|item| item.stem() == id) {
            return Ok(Some(item.clone()));
        }
        if place.file("jobs.json").is_some() {
            continue;
        }
        let position = usize::try_from(job_id)
            .ok()
            .and_then(|id| id.checked_sub(1));
        if let Some(item) = position.and_then(|position| logs.get(position)) {
            return Ok(Some(item.clone()));
        }
    }
    Ok(None)
}

/// `logs.zip`, else the one archive that looks like it.
pub(super) fn attempt_logs(places: &[Folder]) -> Result<Option<Item>, ForgeError> {
    for place in places {
        if let Some(item) = place.file("logs.zip") {
            return Ok(Some(item.clone()));
        }
        for item in place.ending(&[".zip"]) {
            if holds_job_logs(item)? {
                return Ok(Some(item.clone()));
            }
        }
    }
    Ok(None)
}

fn holds_job_logs(item: &Item) -> Result<bool, ForgeError> {
    let archive = Archive::open(item.open()?, Limits::default());
    Ok(archive.is_ok_and(|archive| {
        let mut names = archive.entries().iter().map(|entry| entry.name.as_str());
        names.any(|name| whole_log(name).is_some())
    }))
}

/// Artifacts by their files.
pub(super) fn artifacts(folder: &Folder) -> Result<Vec<Artifact>, ForgeError> {
    let files = artifact_files(folder)?;
    let numbered = (1u64..).zip(files);
    numbered
        .map(|(position, item)| {
            let size = item.open()?.metadata().map(|data| data.len());
            Ok(Artifact {
                id: item.stem().parse().unwrap_or(position),
                name: artifact_name(&item).to_owned(),
                size_in_bytes: size.map_err(ForgeError::io(format!("read {}", item.name)))?,
                ..Artifact::default()
            })
        })
        .collect()
}

/// `NAME.zip` is the artifact NAME; any other file is one that was uploaded as it is.
fn artifact_name(item: &Item) -> &str {
    item.name.strip_suffix(".zip").unwrap_or(&item.name)
}

fn artifact_files(folder: &Folder) -> Result<Vec<Item>, ForgeError> {
    if let Some(artifacts) = folder.folder("artifacts")? {
        return Ok(artifacts.files.into_values().collect());
    }
    let mut found = Vec::new();
    for item in folder.ending(&[".zip"]) {
        if item.name != "logs.zip" && !holds_job_logs(item)? {
            found.push(item.clone());
        }
    }
    Ok(found)
}

/// By the forge's id, else by name, else by position.
pub(super) fn artifact(
    folder: &Folder,
    artifact_id: u64,
    name: &str,
) -> Result<Option<Item>, ForgeError> {
    let files = artifact_files(folder)?;
    let id = artifact_id.to_string();
    let by_id = files.iter().find(|item| artifact_name(item) == id);
    let by_name = || files.iter().find(|item| artifact_name(item) == name);
    Ok(by_id.or_else(by_name).cloned())
}
