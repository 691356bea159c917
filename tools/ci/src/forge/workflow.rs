//! What a workflow file says about runs that may not run beside each other.
//!
//! GitHub lets at most one run of a group run and one wait. A newer run takes the place of the one
//! that waits, always; with `cancel-in-progress` it also ends the one that runs. Names of groups are
//! compared without regard to case ([`Group::may_meet`]). Source: "Workflow syntax for GitHub
//! Actions", `concurrency` and `jobs.<job_id>.concurrency`; the expressions are those of "Contexts".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Largest workflow file that is read, bytes.
pub const MAX_WORKFLOW: usize = 1 << 20;

/// A workflow file cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WorkflowError {
    /// It is longer than anybody writes one.
    #[error("the workflow file has {bytes} bytes, more than {MAX_WORKFLOW}; shorten it")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is no YAML, or not in the shape of a workflow.
    #[error("the workflow file cannot be read: {what}; mend it as the forge's own check would say")]
    Syntax {
        /// What does not fit, in one line.
        what: String,
    },
}

/// The concurrency rules of one workflow file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowConcurrency {
    /// `name:` of the workflow; the forge uses the file's path where there is none.
    pub name: Option<String>,
    /// Rule of whole runs.
    pub run: Option<ConcurrencyRule>,
    /// Rules of single jobs, by the job's key.
    pub jobs: BTreeMap<String, ConcurrencyRule>,
    /// Labels that each job asks a runner for, by the job's key; jobs whose labels an expression
    /// decides are left out.
    #[serde(default)]
    pub runs_on: BTreeMap<String, Vec<String>>,
    /// What of a push starts it; `None` when a push does not.
    #[serde(default)]
    pub push: Option<PushFilter>,
}

/// Which pushes start a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFilter {
    /// Patterns of branches, as written; empty for every branch.
    pub branches: Vec<String>,
    /// True when only tags start it.
    pub tags_only: bool,
}

/// One `concurrency:` key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcurrencyRule {
    /// Name of the group as it is written, expressions and all.
    pub group: String,
    /// Whether a newer run ends the one that runs.
    pub cancel_in_progress: CancelInProgress,
}

/// The key `cancel-in-progress`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelInProgress {
    /// A running one ends by itself.
    #[default]
    Never,
    /// A running one is ended.
    Always,
    /// An expression that the forge decides: reckon with `Always`.
    Expression(String),
}

impl CancelInProgress {
    /// Whether a running run has to be reckoned as lost.
    #[must_use]
    pub fn may_cancel(&self) -> bool {
        !matches!(self, CancelInProgress::Never)
    }
}

/// A group's name once its expressions are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// This name.
    Named(String),
    /// A name that holds the run's own number: no other run has it.
    OfItsOwn,
    /// It depends on what is not known here: it may be any group.
    Unknown(String),
}

impl Group {
    /// Whether two runs of these groups may meet; what is not known may.
    #[must_use]
    pub fn may_meet(&self, other: &Group) -> bool {
        match (self, other) {
            (Group::Named(a), Group::Named(b)) => a.to_lowercase() == b.to_lowercase(),
            (Group::OfItsOwn, _) | (_, Group::OfItsOwn) => false,
            (Group::Unknown(_), _) | (_, Group::Unknown(_)) => true,
        }
    }
}

/// What the contexts of a run that a push starts hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushContext<'a> {
    /// Path of the workflow file in the tree, such as `.github/workflows/gpu-tests.yml`.
    pub path: &'a str,
    /// Ref that is pushed, such as `refs/heads/main`.
    pub ref_name: &'a str,
    /// Commit that is pushed; empty where it is not made yet.
    pub sha: &'a str,
    /// `owner/name`; empty where it is not known.
    pub repository: &'a str,
}

#[derive(Deserialize)]
struct Document {
    name: Option<String>,
    on: Option<Value>,
    concurrency: Option<Value>,
    #[serde(default)]
    jobs: Option<BTreeMap<String, JobDocument>>,
}

#[derive(Deserialize)]
struct JobDocument {
    concurrency: Option<Value>,
    #[serde(rename = "runs-on")]
    runs_on: Option<Value>,
}

impl WorkflowConcurrency {
    /// Reads a workflow file.
    ///
    /// # Errors
    /// It is too long, no YAML, or its `concurrency` has a shape that the forge does not take.
    pub fn parse(bytes: &[u8]) -> Result<WorkflowConcurrency, WorkflowError> {
        if bytes.len() > MAX_WORKFLOW {
            return Err(WorkflowError::TooLong { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| syntax("it is not UTF-8"))?;
        let document: Document =
            serde_saphyr::from_str(text).map_err(|error| syntax(&error.to_string()))?;
        let run = document.concurrency.map(|value| rule(value, "concurrency"));
        let (mut jobs, mut runs_on) = (BTreeMap::new(), BTreeMap::new());
        for (job, described) in document.jobs.unwrap_or_default() {
            if let Some(labels) = described.runs_on.and_then(labels) {
                runs_on.insert(job.clone(), labels);
            }
            if let Some(value) = described.concurrency {
                let rule = rule(value, &format!("jobs.{job}.concurrency"))?;
                jobs.insert(job, rule);
            }
        }
        Ok(WorkflowConcurrency {
            name: document.name,
            run: run.transpose()?,
            jobs,
            runs_on,
            push: document.on.and_then(push_filter),
        })
    }

    /// True when a push to this ref may start it. A pattern that is more than a name may match.
    #[must_use]
    pub fn starts_on_push(&self, ref_name: &str) -> bool {
        let Some(filter) = &self.push else {
            return false;
        };
        let Some(branch) = ref_name.strip_prefix("refs/heads/") else {
            return true;
        };
        let may_match =
            |pattern: &String| pattern == branch || pattern.contains(['*', '?', '[', '+', '!']);
        !filter.tags_only && (filter.branches.is_empty() || filter.branches.iter().any(may_match))
    }

    /// Every rule: that of the run, then those of its jobs with the job's key.
    pub fn rules(&self) -> impl Iterator<Item = (Option<&str>, &ConcurrencyRule)> {
        let jobs = self.jobs.iter();
        let of_jobs = jobs.map(|(job, rule)| (Some(job.as_str()), rule));
        self.run.iter().map(|rule| (None, rule)).chain(of_jobs)
    }

    /// The group that a rule of this file puts a pushed run into.
    #[must_use]
    pub fn group_of(&self, rule: &ConcurrencyRule, push: &PushContext<'_>) -> Group {
        let mut name = String::new();
        let mut rest = rule.group.as_str();
        while let Some((before, after)) = rest.split_once("${{") {
            let Some((expression, after)) = after.split_once("}}") else {
                return Group::Unknown(rule.group.clone());
            };
            name.push_str(before);
            match self.value_of(expression, push) {
                Group::Named(value) => name.push_str(&value),
                Group::OfItsOwn => return Group::OfItsOwn,
                Group::Unknown(_) => return Group::Unknown(rule.group.clone()),
            }
            rest = after;
        }
        name.push_str(rest);
        Group::Named(name)
    }

    /// The first operand of `a || b || …` that is not empty.
    fn value_of(&self, expression: &str, push: &PushContext<'_>) -> Group {
        for operand in expression.split("||") {
            match self.operand(operand.trim(), push) {
                Group::Named(value) if value.is_empty() => {}
                value => return value,
            }
        }
        Group::Named(String::new())
    }

    fn operand(&self, operand: &str, push: &PushContext<'_>) -> Group {
        let known = |value: &str| match value {
            // What is not known yet is not the empty text.
            "" => Group::Unknown(operand.to_owned()),
            value => Group::Named(value.to_owned()),
        };
        if let Some(literal) = literal(operand) {
            return Group::Named(literal);
        }
        let short = ["refs/heads/", "refs/tags/"]
            .iter()
            .find_map(|kind| push.ref_name.strip_prefix(kind));
        match operand {
            "github.workflow" => known(self.name.as_deref().unwrap_or(push.path)),
            "github.ref" => known(push.ref_name),
            "github.ref_name" => known(short.unwrap_or(push.ref_name)),
            "github.sha" => known(push.sha),
            "github.repository" => known(push.repository),
            "github.event_name" => known("push"),
            // Only pull requests have these.
            "github.head_ref" | "github.base_ref" | "github.event.pull_request.number" => {
                Group::Named(String::new())
            }
            "github.run_id" | "github.run_number" => Group::OfItsOwn,
            _ => Group::Unknown(operand.to_owned()),
        }
    }
}

/// `label`, `[label, …]` or `{ group, labels }`; `None` when an expression decides.
fn labels(value: Value) -> Option<Vec<String>> {
    let found = match value {
        Value::String(label) => vec![label],
        Value::Array(labels) => {
            let texts = labels.into_iter().map(|label| match label {
                Value::String(label) => Some(label),
                _ => None,
            });
            texts.collect::<Option<Vec<String>>>()?
        }
        Value::Object(mut keys) => return labels(keys.remove("labels")?),
        _ => return None,
    };
    let known = found.iter().all(|label| !label.contains("${{"));
    known.then_some(found)
}

/// What `on:` says of pushes.
fn push_filter(on: Value) -> Option<PushFilter> {
    let mut keys = match on {
        Value::String(event) => return (event == "push").then(PushFilter::default),
        Value::Array(events) => {
            let push = Value::String("push".into());
            return events.contains(&push).then(PushFilter::default);
        }
        Value::Object(keys) => keys,
        _ => return None,
    };
    let Value::Object(mut filter) = keys.remove("push")? else {
        return Some(PushFilter::default());
    };
    let tags_only = filter.contains_key("tags")
        && !filter.contains_key("branches")
        && !filter.contains_key("branches-ignore");
    let branches = match filter.remove("branches") {
        Some(Value::String(branch)) => vec![branch],
        Some(Value::Array(branches)) => {
            let texts = branches.into_iter().filter_map(|branch| match branch {
                Value::String(branch) => Some(branch),
                _ => None,
            });
            texts.collect()
        }
        _ => Vec::new(),
    };
    Some(PushFilter {
        branches,
        tags_only,
    })
}

/// `'text'`, a quote in it doubled.
fn literal(operand: &str) -> Option<String> {
    let inner = operand.strip_prefix('\'')?.strip_suffix('\'')?;
    let lone = inner.replace("''", "").contains('\'');
    (!lone).then(|| inner.replace("''", "'"))
}

fn rule(value: Value, at: &str) -> Result<ConcurrencyRule, WorkflowError> {
    let (group, cancel) = match value {
        Value::String(group) => (Some(group), None),
        Value::Object(mut keys) => {
            let group = match keys.remove("group") {
                Some(Value::String(group)) => Some(group),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
            (group, keys.remove("cancel-in-progress"))
        }
        Value::Number(number) => (Some(number.to_string()), None),
        _ => (None, None),
    };
    let group = group.ok_or_else(|| syntax(&format!("`{at}` names no group")))?;
    let cancel_in_progress = match cancel {
        None | Some(Value::Null | Value::Bool(false)) => CancelInProgress::Never,
        Some(Value::Bool(true)) => CancelInProgress::Always,
        Some(Value::String(text)) => CancelInProgress::Expression(text),
        Some(_) => {
            return Err(syntax(&format!(
                "`{at}.cancel-in-progress` is neither true, false nor an expression"
            )));
        }
    };
    Ok(ConcurrencyRule {
        group,
        cancel_in_progress,
    })
}

fn syntax(what: &str) -> WorkflowError {
    let line = what.lines().next().unwrap_or_default();
    WorkflowError::Syntax {
        what: line.chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PUSH: PushContext<'static> = PushContext {
        path: ".github/workflows/gpu-tests.yml",
        ref_name: "refs/heads/main",
        sha: "1234567890123456789012345678901234567890",
        repository: "octo/gpu",
    };

    fn parse(text: &str) -> WorkflowConcurrency {
        WorkflowConcurrency::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn rules_of_runs_and_jobs_are_read() {
        let found = parse(
            "name: GPU\non: push\nconcurrency:\n  group: gpu-${{ github.ref }}\n  cancel-in-progress: true\n\
             jobs:\n  smoke:\n    runs-on: [self-hosted, gpu]\n    concurrency: the-card\n    steps:\n      - run: 'true'\n\
             \x20 lint:\n    runs-on: ubuntu-latest\n    concurrency:\n      group: 7\n      cancel-in-progress: ${{ github.ref != 'refs/heads/main' }}\n",
        );
        assert_eq!(found.name.as_deref(), Some("GPU"));
        let run = found.run.as_ref().unwrap();
        assert_eq!(run.cancel_in_progress, CancelInProgress::Always);
        let rules: Vec<_> = found.rules().map(|(job, _)| job).collect();
        assert_eq!(rules, [None, Some("lint"), Some("smoke")]);
        assert_eq!(found.jobs["smoke"].group, "the-card");
        assert!(!found.jobs["smoke"].cancel_in_progress.may_cancel());
        assert_eq!(found.jobs["lint"].group, "7");
        assert!(found.jobs["lint"].cancel_in_progress.may_cancel());
        assert_eq!(
            found.group_of(run, &PUSH),
            Group::Named("gpu-refs/heads/main".into())
        );
    }

    #[test]
    fn pushes_and_labels_are_read() {
        let starts = |on: &str, ref_name: &str| parse(on).starts_on_push(ref_name);
        for (on, main, other) in [
            ("on: push\n", true, true),
            ("on: [pull_request, push]\n", true, true),
            ("on: workflow_dispatch\n", false, false),
            ("on: [pull_request]\n", false, false),
            ("on:\n  push:\n", true, true),
            ("on:\n  push:\n    branches: [main]\n", true, false),
            ("on:\n  push:\n    branches: main\n", true, false),
            ("on:\n  push:\n    branches: ['release/**']\n", true, true),
            ("on:\n  push:\n    tags: [v1]\n", false, false),
            ("on:\n  push:\n    paths: [src/**]\n", true, true),
            ("name: x\n", false, false),
        ] {
            let found = (starts(on, "refs/heads/main"), starts(on, "refs/heads/wip"));
            assert_eq!(found, (main, other), "{on}");
        }
        let found = parse(
            "jobs:\n  a: { runs-on: ubuntu-latest }\n  b: { runs-on: [self-hosted, gpu] }\n  \
             c: { runs-on: { group: g, labels: [gpu] } }\n  d: { runs-on: '${{ inputs.os }}' }\n",
        );
        let labels: Vec<_> = found
            .runs_on
            .iter()
            .map(|(job, of)| (job.as_str(), of.join(" ")))
            .collect();
        let wanted = [
            ("a", "ubuntu-latest"),
            ("b", "self-hosted gpu"),
            ("c", "gpu"),
        ];
        assert_eq!(labels, wanted.map(|(job, of)| (job, of.to_owned())));
    }

    #[test]
    fn a_file_without_rules_has_none() {
        assert_eq!(parse("name:\njobs:\n"), WorkflowConcurrency::default());
        assert_eq!(parse("{}"), WorkflowConcurrency::default());
    }

    #[test]
    fn groups_are_named_as_the_forge_names_them() {
        let check = |name: &str, group: &str, want: Group| {
            let file = parse(&format!("{name}concurrency: \"{group}\"\n"));
            let found = file.group_of(file.run.as_ref().unwrap(), &PUSH);
            assert_eq!(found, want, "{group}");
        };
        let named = |text: &str| Group::Named(text.into());
        check("", "card", named("card"));
        check("", "${{ github.workflow }}", named(PUSH.path));
        check("name: W\n", "${{github.workflow}}-x", named("W-x"));
        check("", "${{ github.ref_name }}", named("main"));
        check(
            "",
            "${{ github.head_ref || github.ref }}",
            named(PUSH.ref_name),
        );
        check(
            "",
            "pr-${{ github.head_ref || github.run_id }}",
            Group::OfItsOwn,
        );
        check("", "${{ github.head_ref }}", named(""));
        check("", "${{ '' || 'it''s' }}", named("it's"));
        for unknown in ["${{ inputs.card }}", "a ${{ github.ref", "${{ 'a'b' }}"] {
            check("", unknown, Group::Unknown(unknown.into()));
        }
        let file = parse("concurrency: '${{ github.sha }}'\n");
        let unmade = PushContext { sha: "", ..PUSH };
        assert!(matches!(
            file.group_of(file.run.as_ref().unwrap(), &unmade),
            Group::Unknown(_)
        ));
    }

    #[test]
    fn what_is_not_known_may_meet_everything_but_a_run_of_its_own() {
        let (card, other) = (Group::Named("Card".into()), Group::Named("x".into()));
        let unknown = Group::Unknown("${{ inputs.card }}".into());
        assert!(card.may_meet(&Group::Named("card".into())) && !card.may_meet(&other));
        assert!(unknown.may_meet(&card) && card.may_meet(&unknown));
        assert!(!Group::OfItsOwn.may_meet(&unknown) && !unknown.may_meet(&Group::OfItsOwn));
    }

    #[test]
    fn files_that_no_forge_would_take_are_refused() {
        let refused = |text: &[u8]| WorkflowConcurrency::parse(text).unwrap_err().to_string();
        assert!(refused(b"concurrency: [a]\n").contains("names no group"));
        assert!(refused(b"concurrency: { cancel-in-progress: true }\n").contains("names no group"));
        assert!(
            refused(b"jobs: { a: { concurrency: { group: g, cancel-in-progress: [1] } } }\n")
                .contains("jobs.a.concurrency.cancel-in-progress")
        );
        assert!(refused(b"\xff\xfe").contains("UTF-8"));
        assert!(refused(b"name: [unclosed\n").contains("cannot be read"));
        assert!(refused(&vec![b' '; MAX_WORKFLOW + 1]).contains("shorten"));
        // Aliases that grow without end.
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let row = [before.as_str(); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{row}]\n"));
        }
        bomb.push_str("concurrency: *a11\n");
        assert!(refused(bomb.as_bytes()).contains("cannot be read"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = WorkflowConcurrency::parse(&bytes);
        }

        #[test]
        fn no_group_makes_it_panic(group in "[a-z${}| '.]{0,40}") {
            let rule = ConcurrencyRule { group, cancel_in_progress: CancelInProgress::Never };
            let _ = WorkflowConcurrency::default().group_of(&rule, &PUSH);
        }
    }
}
