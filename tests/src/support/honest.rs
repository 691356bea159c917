//! Honest claims on seeded bugs: what `stories/honest.toml` and a bug's own description say together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::Brief;
use super::git::git;
use super::mcp::Mcp;
use super::project::Scene;
use super::repository_root;

/// The name of the project's own integration-test target for tests that name no other.
const SMOKE: &str = "gpu_smoke";

/// `stories/honest.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Honest {
    /// The one cell that a scene keeps of a scope.
    pub cells: BTreeMap<String, String>,
    /// Scopes that a scene's policy has in addition.
    pub scope: toml::Table,
    /// Claims, one per bug.
    pub claim: Vec<Known>,
}

/// What the author of a claim knows of one bug beyond its description.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// File stem in `engine/bugs`.
    pub bug: String,
    /// The description itself, of a bug that has none there.
    #[serde(skip)]
    pub own: Option<Bug>,
    /// Cargo package of the pinned test.
    #[serde(default = "engine")]
    pub package: String,
    /// Gates by name.
    #[serde(default = "engine_gates")]
    pub gates: Vec<String>,
    /// Among those that are tried at every change.
    #[serde(default)]
    pub short: bool,
    /// Proof scope.
    pub scope: String,
    /// `TARGET::TEST`, or a test of the smoke suite.
    pub pinned: String,
    /// Mechanism, from the closed list.
    pub mechanism: String,
    /// Function that holds every hunk of the fix.
    pub function: Option<String>,
    /// First line of the commit message.
    pub subject: String,
    /// What the cause predicts, beside the red test.
    #[serde(default)]
    pub predicts: Vec<String>,
    /// Predictions beside those that the pinned test and its suite pass.
    #[serde(default)]
    pub predictions: Vec<String>,
    /// Rollback conditions, where the usual ones would not do.
    #[serde(default)]
    pub rollback_if: Vec<String>,
    /// What is cited besides the red test. Without it the claim must be refused, and for nothing else.
    pub exhibit: Option<Exhibit>,
}

/// Lines of one marker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhibit {
    /// The marker.
    pub marker: String,
    /// How many of its lines, from the first on.
    pub lines: usize,
}

fn engine() -> String {
    "engine".to_owned()
}

fn engine_gates() -> Vec<String> {
    vec!["engine_unit".to_owned(), "engine_smoke".to_owned()]
}

/// What is read of a bug's own description.
#[derive(Debug, Clone, Deserialize)]
pub struct Bug {
    title: String,
    patch: PathBuf,
    invariant: String,
    breaks: String,
    #[serde(default)]
    red: Vec<Red>,
}

#[derive(Debug, Clone, Deserialize)]
struct Red {
    test: String,
}

/// Reads `stories/honest.toml`.
///
/// # Errors
/// It cannot be read.
pub fn read() -> Result<Honest> {
    let path = repository_root().join("tests/stories/honest.toml");
    toml::from_str(&std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())
}

impl Honest {
    /// Gives the policy of a scene the scopes and cells of these claims.
    ///
    /// # Errors
    /// The policy does not read, or lacks a scope or cell that is named here.
    pub fn edit_policy(&self, repo: &Path) -> Result<()> {
        let path = repo.join("greenloop.toml");
        let mut policy: toml::Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
        let scopes = policy.get_mut("scope").and_then(toml::Value::as_table_mut);
        let scopes = scopes.context("the policy has no scope")?;
        for (scope, kept) in &self.cells {
            let cells = scopes
                .get_mut(scope)
                .and_then(|scope| scope.get_mut("cells"));
            let cells = cells.and_then(toml::Value::as_array_mut);
            let cells = cells.with_context(|| format!("scope {scope} has no cells"))?;
            cells.retain(|cell| cell.get("name").and_then(toml::Value::as_str) == Some(kept));
            ensure!(cells.len() == 1, "scope {scope} has no cell {kept}");
        }
        scopes.extend(self.scope.clone());
        Ok(std::fs::write(&path, toml::to_string(&policy)?)?)
    }
}

impl Known {
    /// The claim of a story's brief.
    #[must_use]
    pub fn of(brief: &Brief) -> Self {
        let pin = &brief.pinned_test;
        Self {
            bug: String::new(),
            own: Some(Bug {
                title: brief.goal.clone(),
                patch: brief.bug_patch.clone(),
                invariant: brief.failing_invariant.clone(),
                breaks: brief.reasoning.clone(),
                red: Vec::new(),
            }),
            package: pin.package.clone(),
            gates: brief.gates.clone(),
            short: false,
            scope: brief.scope.clone(),
            pinned: format!("{}::{}", pin.target, pin.name),
            mechanism: brief.cause.mechanism.clone(),
            function: brief.sites.first().and_then(|site| site.function.clone()),
            subject: brief.message.lines().next().unwrap_or_default().to_owned(),
            predicts: brief.cause.predicts.clone(),
            predictions: brief.predictions.clone(),
            rollback_if: brief.rollback_if.clone(),
            exhibit: None,
        }
    }

    /// The patch that brings the bug, from the repository's root.
    ///
    /// # Errors
    /// The bug's description cannot be read.
    pub fn patch(&self) -> Result<PathBuf> {
        Ok(match &self.own {
            Some(own) => own.patch.clone(),
            None => Path::new("engine/bugs").join(self.description()?.patch),
        })
    }

    fn description(&self) -> Result<Bug> {
        if let Some(own) = &self.own {
            return Ok(own.clone());
        }
        let path = repository_root()
            .join("engine/bugs")
            .join(format!("{}.toml", self.bug));
        let bug: Bug = toml::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        let red = bug.red.iter().any(|red| red.test == self.pinned);
        ensure!(red, "{} does not call {} red", path.display(), self.pinned);
        Ok(bug)
    }

    /// Target and name of the pinned test.
    fn pin(&self) -> (&str, &str) {
        self.pinned
            .split_once("::")
            .unwrap_or((SMOKE, &self.pinned))
    }

    /// Opens the hypothesis, writes the fix and proposes it; answers with what was refused, by tool.
    ///
    /// # Errors
    /// A tool failed, or the hypothesis was refused.
    pub fn propose(&self, scene: &Scene, agent: &Mcp, run_id: &str) -> Result<Refusals> {
        let (loop_id, draft) = self.prepare(scene, agent, run_id)?;
        let request = json!({ "loop_id": loop_id, "draft": draft });
        let check = agent.call("check_claim", request)?;
        let request = json!({ "loop_id": loop_id, "draft": draft, "idempotency_key": "good" });
        let proposed = agent.call("propose_claim", request)?;
        Ok(Refusals {
            check: refused(&check),
            propose: refused(&proposed),
            claim_id: proposed
                .get("claim_id")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }

    /// Opens the hypothesis and writes the fix; answers with the loop and the claim's draft.
    ///
    /// # Errors
    /// As [`Known::propose`].
    pub fn prepare(&self, scene: &Scene, agent: &Mcp, run_id: &str) -> Result<(String, Value)> {
        self.prepare_with(scene, agent, run_id, |_| Ok(()))
    }

    /// As [`Known::prepare`], with the tree edited beside the fix.
    ///
    /// # Errors
    /// As [`Known::propose`], and those of the edit.
    pub fn prepare_with(
        &self,
        scene: &Scene,
        agent: &Mcp,
        run_id: &str,
        edit: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<(String, Value)> {
        let bug = self.description()?;
        let request =
            json!({ "goal": bug.title, "scopes": [self.scope], "idempotency_key": "honest" });
        let loop_id = text(&agent.call("open_loop", request)?, "/loop_id")?;
        let commit = fix(&scene.repo, &scene.base, &self.patch()?, edit)?;
        let hunks = hunks(&scene.repo, &scene.base, &commit)?;
        let opened = agent.call(
            "open_hypothesis",
            self.hypothesis(scene, &bug, &loop_id, &hunks)?,
        )?;
        ensure!(
            refused(&opened).is_empty(),
            "the hypothesis was refused: {opened}"
        );
        let cause = text(&opened, "/hypothesis/hypothesis_id")?;
        let pulled = agent.call("pull_full_log", json!({ "run_id": run_id }))?;
        let log_id = text(&pulled, "/logs/0/log/log_id")?;
        let mut evidence = vec![self.evidence(agent, &log_id)?];
        let mut draft = self.draft(&bug, &hunks, &demanded(&scene.repo)?);
        draft["change"] = json!({ "repo_path": scene.repo, "commit": commit });
        draft["evidence"] = json!(evidence);
        draft["baseline_run"] = json!(run_id);
        draft["hypothesis_id"] = json!(cause);
        if let Some(exhibit) = &self.exhibit {
            refused_without(agent, &loop_id, &draft)?;
            evidence.extend(exhibit.cite(agent, &log_id)?);
            draft["evidence"] = json!(evidence);
        }
        Ok((loop_id, draft))
    }

    fn hypothesis(&self, scene: &Scene, bug: &Bug, loop_id: &str, hunks: &[Hunk]) -> Result<Value> {
        let (_, name) = self.pin();
        let (file, line, quote) = quoted(&scene.repo, &scene.base, hunks)?;
        let mut predicts = self.predicts.clone();
        predicts.push(format!("any cargo_test{{name={name}}}.outcome == failed"));
        Ok(json!({
            "loop_id": loop_id, "scope": self.scope, "mechanism": self.mechanism,
            "statement": bug.title, "commit": scene.base,
            "sites": [{ "file": file, "line": line, "quote": quote }],
            "predicts": predicts,
            "forbids": [format!("all cargo_test{{name={name}}}.outcome == ok")],
            "idempotency_key": "cause",
        }))
    }

    /// The line that says that the pinned test failed.
    fn evidence(&self, agent: &Mcp, log_id: &str) -> Result<Value> {
        let (_, name) = self.pin();
        let filter = json!({ "name": name, "outcome": "failed" });
        let request =
            json!({ "log_id": log_id, "kinds": ["cargo_test"], "where": filter, "limit": 1 });
        let answer = agent.call("extract_markers", request)?;
        let seen = answer.pointer("/observations/0");
        let seen = seen.with_context(|| format!("{name} did not fail in {log_id}"))?;
        Ok(citation(log_id, seen))
    }

    fn draft(&self, bug: &Bug, hunks: &[Hunk], guards: &[Value]) -> Value {
        let (target, name) = self.pin();
        let mut predictions = self.predictions.clone();
        predictions.push("all cargo_summary.failed == 0".to_owned());
        predictions.push(format!("all cargo_test{{name={name}}}.outcome == ok"));
        let mut rollback_if = self.rollback_if.clone();
        if rollback_if.is_empty() {
            rollback_if.push("present worker_exit{class=driver_crash}".to_owned());
        }
        let sites: Vec<Value> = hunks
            .iter()
            .map(|hunk| hunk.site(self.function.as_deref()))
            .collect();
        // Where the daemon runs pushes, every guarded scope costs a run of its own.
        let scopes: BTreeSet<&str> = guards
            .iter()
            .filter_map(|guard| guard["scope"].as_str())
            .chain([self.scope.as_str()])
            .collect();
        json!({
            "kind": "fix",
            "proof_scope": self.scope,
            "failing_invariant": bug.invariant,
            "sites": sites,
            "reasoning": bug.breaks.trim(),
            "prediction": predictions,
            "guards": guards,
            "gates": self.gates,
            "pinned_test": { "package": self.package, "target": target, "name": name, "files": [] },
            "rollback_if": rollback_if,
            "budget": { "runner_minutes": 10, "runs": scopes.len(), "cancels": [] },
            "message": format!("{}\n\nInvariant: {}.\n\n{}", self.subject, bug.invariant, bug.breaks),
        })
    }
}

impl Exhibit {
    fn cite(&self, agent: &Mcp, log_id: &str) -> Result<Vec<Value>> {
        let request = json!({ "log_id": log_id, "kinds": [self.marker], "limit": self.lines });
        let answer = agent.call("extract_markers", request)?;
        let seen = answer.get("observations").and_then(Value::as_array);
        let seen = seen.map_or(&[][..], Vec::as_slice);
        ensure!(
            seen.len() == self.lines,
            "{log_id} has {} rows of {}, not {}",
            seen.len(),
            self.marker,
            self.lines
        );
        Ok(seen.iter().map(|row| citation(log_id, row)).collect())
    }
}

/// A claim that lacks its exhibit is refused for that and for nothing else.
fn refused_without(agent: &Mcp, loop_id: &str, draft: &Value) -> Result<()> {
    let answer = agent.call("check_claim", json!({ "loop_id": loop_id, "draft": draft }))?;
    let refused = refused(&answer);
    let alone = refused.len() == 1
        && refused
            .iter()
            .all(|one| one.starts_with("exhibit_missing "));
    ensure!(alone, "without its exhibit the claim met {refused:?}");
    Ok(())
}

/// A row of `extract_markers` as a citation.
fn citation(log_id: &str, row: &Value) -> Value {
    json!({
        "log_id": log_id, "byte_start": row["byte_start"], "byte_end": row["byte_end"],
        "line_start": row["line"], "line_end": row["line"],
    })
}

/// What two tools refused of one honest claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// By `check_claim`.
    pub check: Vec<String>,
    /// By `propose_claim`.
    pub propose: Vec<String>,
    /// The claim, when it was accepted.
    pub claim_id: Option<String>,
}

impl Refusals {
    /// True when nothing was refused and a claim came of it.
    #[must_use]
    pub fn none(&self) -> bool {
        self.check.is_empty() && self.propose.is_empty() && self.claim_id.is_some()
    }
}

/// Lines of the bug's tree that the fix replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hunk {
    file: String,
    start: usize,
    lines: usize,
}

impl Hunk {
    fn site(&self, function: Option<&str>) -> Value {
        let end = self.start + self.lines.saturating_sub(1);
        json!({ "file": self.file, "function": function, "line_start": self.start, "line_end": end })
    }
}

/// The fix as a commit of the agent's own, on a branch of its own.
fn fix(
    repo: &Path,
    base: &str,
    patch: &Path,
    edit: impl FnOnce(&Path) -> Result<()>,
) -> Result<String> {
    git(repo, &["checkout", "--quiet", "-B", "wip/fix", base])?;
    let patch = repo.join(patch);
    git(repo, &["apply", "--reverse", &patch.to_string_lossy()])?;
    edit(repo)?;
    git(repo, &["commit", "--quiet", "--all", "-m", "try: undo it"])?;
    git(repo, &["rev-parse", "HEAD"])
}

fn hunks(repo: &Path, base: &str, commit: &str) -> Result<Vec<Hunk>> {
    let diff = git(repo, &["diff", "-U0", base, commit])?;
    let (mut file, mut found) = (String::new(), Vec::new());
    for line in diff.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            path.clone_into(&mut file);
        } else if let Some(range) = line.strip_prefix("@@ -") {
            let range = range.split(' ').next().unwrap_or_default();
            let (start, lines) = range.split_once(',').unwrap_or((range, "1"));
            found.push(Hunk {
                file: file.clone(),
                start: start.parse()?,
                lines: lines.parse()?,
            });
        }
    }
    ensure!(!found.is_empty(), "the fix changes nothing");
    Ok(found)
}

/// The first line of code that the fix replaces: its file, number and text.
fn quoted(repo: &Path, base: &str, hunks: &[Hunk]) -> Result<(String, usize, String)> {
    for hunk in hunks {
        let text = git(repo, &["show", &format!("{base}:{}", hunk.file)])?;
        let lines = text
            .lines()
            .enumerate()
            .skip(hunk.start - 1)
            .take(hunk.lines);
        let code = lines.map(|(index, line)| (index, line.trim()));
        let mut code = code.filter(|(_, line)| line.len() > 2 && !line.starts_with("//"));
        if let Some((index, line)) = code.next() {
            return Ok((hunk.file.clone(), index + 1, line.to_owned()));
        }
    }
    anyhow::bail!("the fix replaces no line of code")
}

/// The guards that the policy demands of a change which every scope compiles.
fn demanded(repo: &Path) -> Result<Vec<Value>> {
    let policy: toml::Table =
        toml::from_str(&std::fs::read_to_string(repo.join("greenloop.toml"))?)?;
    let scopes = policy.get("scope").and_then(toml::Value::as_table);
    let mut guards = Vec::new();
    for (name, scope) in scopes.context("the policy has no scope")? {
        let own = scope.get("guards").and_then(toml::Value::as_array);
        for guard in own.into_iter().flatten().filter_map(toml::Value::as_str) {
            guards.push(json!({ "scope": name, "predicate": guard }));
        }
    }
    Ok(guards)
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {value}"))
}

/// `code at field: reason` of every refusal of an answer.
fn refused(answer: &Value) -> Vec<String> {
    let word = |refusal: &Value, key: &str| {
        refusal
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let list = answer
        .get("refused")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    list.map(|refusal| {
        let [code, field, reason] = ["code", "field", "reason"].map(|key| word(refusal, key));
        format!("{code} at {field}: {reason}")
    })
    .collect()
}
