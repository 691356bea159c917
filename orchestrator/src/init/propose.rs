//! Chooses scopes and gates from what was seen, and what to say and type about them.

use std::collections::BTreeSet;

use super::survey::{Approver, LockFile, Package, Suite, Survey};
use super::test_functions::TestFunction;
use super::{NextCommand, POLICY_FILE};

/// Most suites that become scopes; a scope is something that a person watches.
const MAX_SCOPES: usize = 12;

/// Path of the signers file.
pub(crate) const SIGNERS_FILE: &str = "allowed_signers";

/// A scope or gate to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggested {
    /// Name in the policy.
    pub(super) name: String,
    /// What it is, for the comment above it.
    pub(super) what: String,
    /// Workflow that runs it at the forge, if one is seen to.
    pub(super) workflow: Option<String>,
    /// Cargo package.
    pub(super) package: String,
    /// Features.
    pub(super) features: Vec<String>,
    /// Argument vector.
    pub(super) argv: Vec<String>,
    /// Globs of files that reach it; empty for every file.
    pub(super) when: Vec<String>,
    /// Engagement proof; empty for gates.
    pub(super) engage: Vec<String>,
    /// Wants the device.
    pub(super) gpu: bool,
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// At least one.
    pub(super) scopes: Vec<Suggested>,
    /// May be empty, which the notes then explain.
    pub(super) gates: Vec<Suggested>,
    /// Suites that were left out, as `package::target`.
    pub(super) left_out: Vec<String>,
}

/// Chooses one scope per suite and one gate per suite and library.
pub(super) fn choose(survey: &Survey) -> Choice {
    let mut suites: Vec<(&Package, &Suite)> = survey
        .packages
        .iter()
        .flat_map(|package| package.suites.iter().map(move |suite| (package, suite)))
        .collect();
    let left_out = match suites.len() > MAX_SCOPES {
        true => {
            // Stable: of equals the first in file order stay.
            suites.sort_by_key(|(_, suite)| std::cmp::Reverse(suite.tests.len()));
            let rest = suites.split_off(MAX_SCOPES);
            rest.iter()
                .map(|(package, suite)| format!("{}::{}", package.name, suite.target))
                .collect()
        }
        false => Vec::new(),
    };
    let mut names = Names::default();
    let workspace = survey.packages.len() > 1;
    let mut scopes: Vec<Suggested> = suites
        .iter()
        .map(|(package, suite)| scope(survey, package, suite, workspace, &mut names))
        .collect();
    if scopes.is_empty() {
        let with_units = survey
            .packages
            .iter()
            .filter(|package| !package.unit.is_empty());
        scopes = with_units
            .map(|package| unit_scope(survey, package, &mut names))
            .collect();
    }
    let mut names = Names::default();
    let gated = survey.packages.iter().filter(|package| package.autotests);
    let mut gates: Vec<Suggested> = gated
        .filter(|package| !package.unit.is_empty())
        .map(|package| unit_gate(package, workspace, &mut names))
        .collect();
    let gated = suites.iter().filter(|(package, _)| package.autotests);
    gates.extend(gated.map(|(package, suite)| suite_gate(package, suite, &mut names)));
    Choice {
        scopes,
        gates,
        left_out,
    }
}

/// Names that are taken.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    /// The first of the candidates that is free, made fit for the policy.
    fn take(&mut self, candidates: [String; 2]) -> String {
        let [short, long] = candidates.map(|name| fit(&name));
        let name = match self.0.contains(&short) || short == "pinned" {
            true => long,
            false => short,
        };
        self.0.insert(name.clone());
        name
    }
}

fn fit(name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => c,
        _ => '_',
    };
    let text: String = name.chars().map(plain).take(64).collect();
    match text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => text,
        false => format!("suite{}", text.chars().take(59).collect::<String>()),
    }
}

fn scope(
    survey: &Survey,
    package: &Package,
    suite: &Suite,
    workspace: bool,
    names: &mut Names,
) -> Suggested {
    Suggested {
        name: names.take([
            suite.target.clone(),
            format!("{}_{}", package.name, suite.target),
        ]),
        what: format!(
            "The integration tests of {}: {}.",
            suite_file(suite),
            count(&suite.tests)
        ),
        workflow: workflow(survey, &suite.target),
        package: package.name.clone(),
        features: suite.features.clone(),
        argv: suite_argv(package, suite),
        when: match workspace {
            true => package_globs(package),
            false => Vec::new(),
        },
        engage: engage(&suite.tests),
        gpu: package.gpu,
    }
}

fn unit_scope(survey: &Survey, package: &Package, names: &mut Names) -> Suggested {
    Suggested {
        name: names.take(["unit".into(), format!("{}_unit", package.name)]),
        what: format!(
            "The unit tests of `{}`: {}.",
            package.name,
            count(&package.unit)
        ),
        workflow: workflow(survey, "cargo test"),
        package: package.name.clone(),
        features: Vec::new(),
        argv: words(&[
            "cargo",
            "test",
            "-p",
            &package.name,
            "--lib",
            "--",
            "--test-threads=1",
            "--nocapture",
        ]),
        when: Vec::new(),
        engage: engage(&package.unit),
        gpu: package.gpu,
    }
}

fn unit_gate(package: &Package, workspace: bool, names: &mut Names) -> Suggested {
    let short = match workspace {
        true => format!("{}_unit", package.name),
        false => "unit".to_owned(),
    };
    Suggested {
        name: names.take([short, format!("{}_lib", package.name)]),
        what: format!("The unit tests of `{}`.", package.name),
        workflow: None,
        package: package.name.clone(),
        features: Vec::new(),
        argv: words(&["cargo", "test", "-p", &package.name, "--lib"]),
        when: source_globs(package),
        engage: Vec::new(),
        // Unit tests that want a device are rare, and a lease that is not needed costs a wait.
        gpu: false,
    }
}

fn suite_gate(package: &Package, suite: &Suite, names: &mut Names) -> Suggested {
    let mut when = source_globs(package);
    when.extend(suite.files.iter().map(|file| globset_escape(file)));
    Suggested {
        name: names.take([
            suite.target.clone(),
            format!("{}_{}", package.name, suite.target),
        ]),
        what: format!("{}, before the runner is asked.", suite_file(suite)),
        workflow: None,
        package: package.name.clone(),
        features: suite.features.clone(),
        argv: suite_argv(package, suite),
        when,
        engage: Vec::new(),
        gpu: package.gpu,
    }
}

fn suite_file(suite: &Suite) -> String {
    let file = suite.files.first().map_or("?", String::as_str);
    format!("`{file}`")
}

fn count(tests: &[TestFunction]) -> String {
    match tests.len() {
        1 => "1 test".into(),
        n => format!("{n} tests"),
    }
}

fn suite_argv(package: &Package, suite: &Suite) -> Vec<String> {
    let mut argv = words(&["cargo", "test", "-p", &package.name]);
    if !suite.features.is_empty() {
        argv.extend(["--features".to_owned(), suite.features.join(",")]);
    }
    argv.extend(words(&[
        "--test",
        &suite.target,
        "--",
        "--test-threads=1",
        "--nocapture",
    ]));
    argv
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What a success has to show besides exit status 0: that so many tests ran, and none was skipped.
fn engage(tests: &[TestFunction]) -> Vec<String> {
    let sure = tests
        .iter()
        .filter(|test| !test.ignored && !test.conditional)
        .count();
    let mut engage = vec![format!("all cargo_summary.passed >= {}", sure.max(1))];
    if tests.iter().all(|test| !test.ignored) {
        engage.push("all cargo_summary.ignored == 0".into());
    }
    engage
}

/// The workflow that names `what`, else one that runs cargo's tests at all.
fn workflow(survey: &Survey, what: &str) -> Option<String> {
    let naming = |text: &str| {
        survey
            .workflows
            .iter()
            .find(|workflow| workflow.text.contains(text))
            .map(|workflow| workflow.name.clone())
    };
    naming(&format!("--test {what}"))
        .or_else(|| naming("cargo test"))
        .or_else(|| naming("cargo nextest"))
}

/// Everything that is compiled into the package's library.
fn source_globs(package: &Package) -> Vec<String> {
    let folders = package.sources.iter().chain(&package.local_sources);
    folders.map(|folder| below(folder, "*.rs")).collect()
}

/// Everything in the package and in the members it depends on, and what decides how it is built.
fn package_globs(package: &Package) -> Vec<String> {
    let mut globs = vec![below(&package.folder, "**")];
    globs.extend(
        package
            .local_sources
            .iter()
            .map(|folder| below(folder, "**")),
    );
    globs.extend(["Cargo.toml".to_owned(), "Cargo.lock".to_owned()]);
    globs
}

/// `folder/**`, or `root` for the root itself.
fn below(folder: &str, root: &str) -> String {
    match folder {
        "" => root.to_owned(),
        folder => format!("{}/**", globset_escape(folder)),
    }
}

fn globset_escape(path: &str) -> String {
    path.chars()
        .flat_map(|c| match c {
            '?' | '*' | '[' | ']' | '{' | '}' => vec!['[', c, ']'],
            c => vec![c],
        })
        .collect()
}

/// What a person should know or decide.
pub(super) fn notes(survey: &Survey, choice: &Choice, approver: Option<&Approver>) -> Vec<String> {
    let mut notes = Vec::new();
    match &survey.remote {
        None => notes.push("there is no remote; a claim is pushed to one, so make one first (see below)".into()),
        Some(remote) if remote.name != "origin" => notes.push(format!(
            "the remote is named `{0}`; greenloop finds only `origin` by itself, so set `remote_url` in the machine settings to its URL (`git remote get-url {0}`)",
            remote.name
        )),
        Some(_) => {}
    }
    if survey.branch != survey.current_branch {
        notes.push(format!(
            "you stand on `{}`; the branch under care is the remote's default, `{}`: bring these files there",
            survey.current_branch, survey.branch
        ));
    }
    if choice.gates.is_empty() {
        notes.push("no gate is proposed, because every package sets `autotests = false` and a gate must be seen failing on an added test; declare one with `canary`".into());
    }
    if !choice.left_out.is_empty() {
        notes.push(format!(
            "left out, to keep the list short: {}",
            choice.left_out.join(", ")
        ));
    }
    notes.extend(
        survey.hostile_config.iter().map(|reason| {
            format!("the clean room will refuse this tree: {reason}; remove the key, or list it in [repo] allow_cargo_config")
        }),
    );
    if survey
        .packages
        .iter()
        .all(|package| package.suites.is_empty())
    {
        notes.push("there are unit tests only; the test that pins a claim has to be an integration test, in `tests/`".into());
    }
    if approver.is_none() && !survey.root.join(SIGNERS_FILE).exists() {
        notes.push("nobody may approve yet: name a public key with `greenloop init --force --approver KEY.pub`, or pin a signers file in the machine settings".into());
    }
    notes
}

/// The commands that lead from these files to a first signal.
pub(super) fn next(survey: &Survey, choice: &Choice, law: &str, signers: bool) -> Vec<NextCommand> {
    let mut next = Vec::new();
    let mut say = |command: String, why: &str| {
        next.push(NextCommand {
            command,
            why: why.to_owned(),
        });
    };
    let remote = match &survey.remote {
        Some(remote) => remote.name.clone(),
        None => {
            let name = survey
                .root
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let bare = survey.root.with_file_name(format!("{name}.git"));
            let bare = quoted(&bare.to_string_lossy());
            say(
                format!(
                    "git init --quiet --bare --initial-branch={} {bare} && git remote add origin {bare}",
                    quoted(&survey.branch)
                ),
                "a remote on this machine, which approved claims are pushed to",
            );
            "origin".to_owned()
        }
    };
    let mut paths = vec![POLICY_FILE.to_owned(), quoted(law)];
    paths.extend(signers.then(|| SIGNERS_FILE.to_owned()));
    let lock = match survey.lock {
        LockFile::Tracked => String::new(),
        LockFile::Untracked => "git add --force Cargo.lock && ".into(),
        LockFile::Missing => "cargo generate-lockfile && git add --force Cargo.lock && ".into(),
    };
    say(
        format!(
            "{lock}git add {} && git commit -m 'Put the tests under the care of greenloop' && git push {} HEAD:{}",
            paths.join(" "),
            quoted(&remote),
            quoted(&survey.branch)
        ),
        "policy counts from the commit at the remote's branch on",
    );
    if let Some(scope) = choice.scopes.first() {
        say(
            format!("greenloop run {}", scope.name),
            "the first signal, from this machine",
        );
    }
    say(
        "greenloop status".into(),
        "where things stand; an agent's client launches `greenloop mcp` for the rest",
    );
    next
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_and_free() {
        let mut names = Names::default();
        let mut take = |short: &str| names.take([short.into(), format!("pkg_{short}")]);
        assert_eq!(take("paths"), "paths");
        assert_eq!(take("paths"), "pkg_paths");
        assert_eq!(take("pinned"), "pkg_pinned");
        assert_eq!(take("_odd name"), "suite_odd_name");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("src/a.rs"), "src/a.rs");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn skipped_tests_make_no_promise() {
        let test = |ignored, conditional| TestFunction {
            path: "t".into(),
            ignored,
            conditional,
        };
        assert_eq!(
            engage(&[test(false, false), test(false, true)]),
            [
                "all cargo_summary.passed >= 1",
                "all cargo_summary.ignored == 0"
            ]
        );
        assert_eq!(
            engage(&[test(true, false)]),
            ["all cargo_summary.passed >= 1"]
        );
    }
}
