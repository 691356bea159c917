//! The `recorded` source: a folder of logs and artifacts in GitHub's layout, so that yesterday's
//! evidence can be read as if it were today's. It never changes and never starts anything.
//!
//! The layout stands in `docs/evidence.md`. Every part may be missing; what a part would have said
//! is then not known, and is not made up. Names come from listings and are compared, never joined,
//! and links are not followed.

mod folder;
mod read;
mod sketch;

use std::path::{Path, PathBuf};

use discipline::model::WhyEmpty;
use exec::Cancel;

use crate::forge::model::{Artifact, WorkflowJob, WorkflowRun, millis};
use crate::forge::{FetchHooks, Fetched, Forge, ForgeError, RunQuery, Target, run_key};
use folder::{Folder, Item};

/// Runs in a folder.
#[derive(Debug, Clone)]
pub struct Recorded {
    root: PathBuf,
}

/// One run's folder.
struct RunFolder {
    name: String,
    folder: Folder,
}

impl Recorded {
    /// The folder at `root`.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open(root: &Path) -> Result<Recorded, ForgeError> {
        if !root.is_dir() {
            return Err(ForgeError::Settings {
                what: format!("there is no folder {} of recorded runs", root.display()),
                remedy: "make it, or set `path` of `[source]` or `[recorded]` to where they are"
                    .into(),
            });
        }
        Ok(Recorded {
            root: root.to_owned(),
        })
    }

    /// Every run: below `runs/`, else each folder with evidence in it, else the root itself.
    fn run_folders(&self) -> Result<Vec<RunFolder>, ForgeError> {
        let root = Folder::read(&self.root)?;
        let parent = match root.folder("runs")? {
            Some(runs) => runs,
            None => root,
        };
        let mut found = Vec::new();
        for name in parent.folder_names() {
            if let Some(folder) = parent.folder(&name)?.filter(sketch::has_evidence) {
                found.push(RunFolder { name, folder });
            }
        }
        if found.is_empty() && sketch::has_evidence(&parent) {
            let name = self.root.file_name().unwrap_or_default();
            found.push(RunFolder {
                name: name.to_string_lossy().into_owned(),
                folder: parent,
            });
        }
        Ok(found)
    }

    fn run_folder(&self, id: &str) -> Result<RunFolder, ForgeError> {
        let folders = self.run_folders()?;
        let names: Vec<String> = folders
            .iter()
            .map(|run| run.name.clone())
            .take(10)
            .collect();
        folders
            .into_iter()
            .find(|run| run.name == id)
            .ok_or_else(|| ForgeError::NoSuchRun {
                id: id
                    .chars()
                    .take(80)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
                what: match names.is_empty() {
                    true => "the folder holds no run".into(),
                    false => format!("it has {}", names.join(", ").escape_debug()),
                },
            })
    }
}

impl RunFolder {
    fn described(&self) -> Result<Option<WorkflowRun>, ForgeError> {
        read::object(&self.folder, "run.json")
    }

    fn newest_attempt(&self, described: Option<&WorkflowRun>) -> Result<u32, ForgeError> {
        let attempts = match self.folder.folder("attempts")? {
            Some(attempts) => attempts.folder_names(),
            None => Vec::new(),
        };
        let numbers = attempts.iter().filter_map(|name| name.parse().ok());
        let stated = described.map_or(1, WorkflowRun::attempt);
        Ok(numbers.max().unwrap_or(1).max(stated))
    }

    fn attempt_folder(&self, attempt: u32) -> Result<Option<Folder>, ForgeError> {
        match self.folder.folder("attempts")? {
            Some(attempts) => attempts.folder(&attempt.to_string()),
            None => Ok(None),
        }
    }

    /// Where files of an attempt may stand: its own folder, and the run's for the newest one.
    fn places(&self, attempt: u32) -> Result<Vec<Folder>, ForgeError> {
        let mut places: Vec<Folder> = self.attempt_folder(attempt)?.into_iter().collect();
        if attempt == self.newest_attempt(self.described()?.as_ref())? {
            places.push(self.folder.clone());
        }
        Ok(places)
    }
}

impl Forge for Recorded {
    fn label(&self) -> &'static str {
        "recorded"
    }

    fn run(
        &self,
        run_id: &str,
        attempt: Option<u32>,
        _cancel: &Cancel,
    ) -> Result<WorkflowRun, ForgeError> {
        let found = self.run_folder(run_id)?;
        let described = found.described()?;
        let newest = found.newest_attempt(described.as_ref())?;
        let attempt = attempt.unwrap_or(newest);
        let own = match found.attempt_folder(attempt)? {
            Some(folder) => read::object(&folder, "run.json")?,
            None if attempt == newest => None,
            None => {
                return Err(ForgeError::NoSuchRun {
                    id: run_id.to_owned(),
                    what: format!("no attempt {attempt}; the newest is {newest}"),
                });
            }
        };
        let mut run = own
            .or(described)
            .unwrap_or_else(|| sketch::run(&found.name));
        run.run_attempt = Some(attempt);
        Ok(run)
    }

    fn jobs(
        &self,
        run_id: &str,
        attempt: u32,
        _cancel: &Cancel,
    ) -> Result<Vec<WorkflowJob>, ForgeError> {
        let found = self.run_folder(run_id)?;
        let places = found.places(attempt)?;
        for place in &places {
            let listed: Option<Vec<WorkflowJob>> = read::list(place, "jobs.json", "jobs")?;
            let of_attempt = |job: &WorkflowJob| job.run_attempt.is_none_or(|own| own == attempt);
            if let Some(jobs) = listed {
                return Ok(jobs.into_iter().filter(of_attempt).collect());
            }
        }
        match places.first() {
            Some(place) => sketch::jobs(place),
            None => Ok(Vec::new()),
        }
    }

    fn artifacts(&self, run_id: &str, _cancel: &Cancel) -> Result<Vec<Artifact>, ForgeError> {
        let found = self.run_folder(run_id)?;
        match read::list(&found.folder, "artifacts.json", "artifacts")? {
            Some(listed) => Ok(listed),
            None => sketch::artifacts(&found.folder),
        }
    }

    fn runs(&self, query: &RunQuery, cancel: &Cancel) -> Result<Vec<WorkflowRun>, ForgeError> {
        let mut runs = Vec::new();
        for found in self.run_folders()? {
            let run = self.run(&found.name, None, cancel)?;
            let file = run.workflow_file().map(str::to_owned);
            let fits = |wanted: &Option<String>, has: Option<&str>| {
                wanted
                    .as_deref()
                    .is_none_or(|wanted| has.is_none_or(|has| has == wanted))
            };
            if fits(&query.workflow, file.as_deref())
                && fits(&query.branch, run.head_branch.as_deref())
                && fits(&query.head_sha, Some(run.head_sha.as_str()))
            {
                runs.push(run);
            }
        }
        let newest = |run: &WorkflowRun| (millis(run.created_at.as_deref()), run_key(run));
        runs.sort_by_key(|run| std::cmp::Reverse(newest(run)));
        if query.most > 0 {
            runs.truncate(query.most);
        }
        Ok(runs)
    }

    fn fetch(&self, target: &Target, hooks: &mut FetchHooks<'_>) -> Result<Fetched, ForgeError> {
        let (found, what) = match target {
            Target::JobLog {
                run_id,
                attempt,
                job_id,
            } => {
                let places = self.run_folder(run_id)?.places(*attempt)?;
                if let Some(why) = read::why(&places, &format!("{job_id}.why"))? {
                    return Ok(Fetched::Absent(why, "as the record says".into()));
                }
                (
                    sketch::job_log(&places, *job_id)?,
                    format!("jobs/{job_id}.log"),
                )
            }
            Target::AttemptLogs { run_id, attempt } => {
                let places = self.run_folder(run_id)?.places(*attempt)?;
                (sketch::attempt_logs(&places)?, "logs.zip".to_owned())
            }
            Target::Artifact {
                run_id,
                artifact_id,
                name,
            } => {
                let folder = self.run_folder(run_id)?.folder;
                let found = sketch::artifact(&folder, *artifact_id, name)?;
                (found, format!("artifacts/{artifact_id}.zip"))
            }
        };
        match found {
            Some(item) => spooled(&item, hooks),
            None => Ok(Fetched::Absent(
                WhyEmpty::Missing,
                format!("the folder has no {what}"),
            )),
        }
    }
}

/// Copies a file out of the folder; one that grows or shrinks meanwhile is not proven.
fn spooled(item: &Item, hooks: &mut FetchHooks<'_>) -> Result<Fetched, ForgeError> {
    let (spool, stated) = read::spool(item, hooks)?;
    Ok(match spool.bytes() == stated {
        true => Fetched::Whole(spool),
        false => Fetched::Unproven(spool, "the file changed while it was read".into()),
    })
}
