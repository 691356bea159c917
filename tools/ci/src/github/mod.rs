//! The `github` source: GitHub Actions over its REST API.
//!
//! `client` asks, `pages` lists, `download` fetches files, `orders` cancels and runs again, `rate` knows when to wait,
//! `redirect` where not to go. The runtime inside is this module's own; everything outside is
//! plain functions that can be cancelled.

mod client;
mod download;
mod orders;
mod pages;
mod rate;
mod redirect;
mod settings;

use exec::Cancel;
use serde::de::DeserializeOwned;

use crate::forge::model::{Artifact, Runner, WorkflowJob, WorkflowRun, typed};
use crate::forge::{FetchHooks, Fetched, Forge, ForgeError, RunQuery, Target};
use client::Client;

pub use orders::Rerun;
pub use settings::{Credential, GITHUB_API, GithubSettings, Patience, SecretSource};

/// One repository at one forge.
pub struct Github {
    client: Client,
}

impl Github {
    /// Prepares the connection; nothing is asked yet.
    ///
    /// # Errors
    /// The address is not https, the repository is not `owner/name`, or this machine has no
    /// certificates.
    pub fn new(settings: GithubSettings) -> Result<Github, ForgeError> {
        let word = |part: &str| {
            !part.is_empty()
                && !matches!(part, "." | "..")
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts = settings.repository.split_once('/');
        if !parts.is_some_and(|(owner, name)| word(owner) && word(name)) {
            return Err(ForgeError::Settings {
                what: format!(
                    "`{}` is not `owner/name`",
                    settings.repository.escape_debug()
                ),
                remedy: "set `repository` of `[source]` in greenloop.toml".into(),
            });
        }
        Ok(Github {
            client: Client::new(settings)?,
        })
    }

    /// Self-hosted runners of the repository; `None` where the credential may not see them.
    ///
    /// # Errors
    /// The forge cannot be read.
    pub fn runners(&self, cancel: &Cancel) -> Result<Option<Vec<Runner>>, ForgeError> {
        let path = self.client.repository("actions/runners?per_page=100");
        match pages::all(&self.client, &path, "runners", cancel) {
            Ok(runners) => Ok(Some(runners)),
            Err(ForgeError::Forbidden { .. } | ForgeError::NoSuchRun { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn object<T: DeserializeOwned>(
        &self,
        path: &str,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<T, ForgeError> {
        let answer = self.client.get(path, doing, cancel)?;
        let value = serde_json::from_slice(&answer.body)
            .map_err(|error| ForgeError::malformed(doing, format!("not JSON: {error}")))?;
        typed(value).map_err(|error| ForgeError::malformed(doing, error))
    }

    fn run_path(&self, run_id: &str, rest: &str) -> Result<String, ForgeError> {
        if run_id.is_empty() || run_id.len() > 20 || !run_id.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ForgeError::NoSuchRun {
                id: run_id
                    .chars()
                    .take(80)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
                what: "GitHub numbers its runs".into(),
            });
        }
        Ok(self
            .client
            .repository(&format!("actions/runs/{run_id}{rest}")))
    }

    /// One window of runs, newest first.
    fn window(
        &self,
        query: &RunQuery,
        created: Option<&str>,
        most: usize,
        cancel: &Cancel,
    ) -> Result<pages::Listing<WorkflowRun>, ForgeError> {
        let base = match &query.workflow {
            Some(file) => format!("actions/workflows/{}/runs", encoded(file)),
            None => "actions/runs".into(),
        };
        let page = most.clamp(1, 100);
        let page = if most == 0 { 100 } else { page };
        let mut path = format!("{}?per_page={page}", self.client.repository(&base));
        for (name, value) in [
            ("branch", query.branch.as_deref()),
            ("head_sha", query.head_sha.as_deref()),
            ("created", created),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        pages::some(&self.client, &path, "workflow_runs", most, cancel)
    }
}

impl Forge for Github {
    fn label(&self) -> &'static str {
        "github"
    }

    fn run(
        &self,
        run_id: &str,
        attempt: Option<u32>,
        cancel: &Cancel,
    ) -> Result<WorkflowRun, ForgeError> {
        let rest = attempt.map(|attempt| format!("/attempts/{attempt}"));
        let path = self.run_path(run_id, rest.as_deref().unwrap_or_default())?;
        let run: Result<WorkflowRun, ForgeError> = self.object(&path, "reading the run", cancel);
        let run = match run {
            Err(ForgeError::NoSuchRun { what, .. }) => {
                return Err(ForgeError::NoSuchRun {
                    id: run_id.to_owned(),
                    what: match attempt {
                        Some(attempt) => format!("attempt {attempt}: {what}"),
                        None => what,
                    },
                });
            }
            run => run?,
        };
        let right = run.id.to_string() == run_id
            && attempt.is_none_or(|attempt| run.run_attempt == Some(attempt));
        match right {
            true => Ok(run),
            false => Err(ForgeError::malformed(
                "reading the run",
                "it is another run",
            )),
        }
    }

    fn jobs(
        &self,
        run_id: &str,
        attempt: u32,
        cancel: &Cancel,
    ) -> Result<Vec<WorkflowJob>, ForgeError> {
        let path = self.run_path(run_id, &format!("/attempts/{attempt}/jobs?per_page=100"))?;
        pages::all(&self.client, &path, "jobs", cancel)
    }

    fn artifacts(&self, run_id: &str, cancel: &Cancel) -> Result<Vec<Artifact>, ForgeError> {
        let path = self.run_path(run_id, "/artifacts?per_page=100")?;
        pages::all(&self.client, &path, "artifacts", cancel)
    }

    fn runs(&self, query: &RunQuery, cancel: &Cancel) -> Result<Vec<WorkflowRun>, ForgeError> {
        let mut all = std::collections::BTreeMap::new();
        let mut created: Option<String> = None;
        loop {
            let before = all.len();
            let window = self.window(query, created.as_deref(), query.most, cancel)?;
            let reached = window.total > pages::WINDOW || created.is_some();
            all.extend(window.rows);
            let enough = query.most > 0 && all.len() >= query.most;
            let times = all
                .values()
                .filter_map(|run: &WorkflowRun| run.created_at.clone());
            let Some(oldest) = times
                .min()
                .filter(|_| reached && !enough && all.len() > before)
            else {
                break;
            };
            // A listing ends after a thousand rows; the next one begins where it ended.
            created = Some(format!("<={oldest}"));
        }
        let mut runs: Vec<WorkflowRun> = all.into_values().collect();
        runs.sort_by(|a, b| (&b.created_at, b.id).cmp(&(&a.created_at, a.id)));
        if query.most > 0 {
            runs.truncate(query.most);
        }
        Ok(runs)
    }

    fn fetch(&self, target: &Target, hooks: &mut FetchHooks<'_>) -> Result<Fetched, ForgeError> {
        let (path, doing) = match target {
            Target::JobLog { job_id, .. } => (
                self.client
                    .repository(&format!("actions/jobs/{job_id}/logs")),
                "fetching the job's log",
            ),
            Target::AttemptLogs { run_id, attempt } => (
                self.run_path(run_id, &format!("/attempts/{attempt}/logs"))?,
                "fetching the attempt's logs",
            ),
            Target::Artifact { artifact_id, .. } => (
                self.client
                    .repository(&format!("actions/artifacts/{artifact_id}/zip")),
                "fetching the artifact",
            ),
        };
        download::fetch(&self.client, &path, doing, hooks)
    }
}

/// Percent-encoding of a value in a path or query (RFC 3986, unreserved characters stay).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
