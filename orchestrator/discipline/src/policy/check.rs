//! What a well-formed policy may still get wrong: names, globs, limits, predicates.

use std::collections::BTreeSet;

use attest::claim::ClaimKind;

use super::parse::Step;
use super::rule::POLICY_FILE;
use super::{GatePolicy, Policy, RELAXABLE, RuleDecision, RulePolicy, ScopePolicy, SourcePolicy};
use crate::model::Environment;

/// Longest time limit that a policy may set, seconds.
const MAX_TIMEOUT_S: u64 = 24 * 3600;
/// Name that gate results use for a claim's own test.
pub(super) const PINNED: &str = "pinned";

/// Calls `report` with the place and the message of everything that cannot work.
pub(super) fn check(policy: &Policy, mut report: impl FnMut(&[Step<'_>], String)) {
    if policy.schema != 1 {
        report(
            &[Step::Key("schema")],
            format!("schema {} is not known; write `schema = 1`", policy.schema),
        );
    }
    check_repo(policy, &mut report);
    check_source(&policy.source, |key, message| {
        report(&[Step::Key("source"), Step::Key(key)], message);
    });
    for (name, scope) in &policy.scope {
        let at = |inner: &[Step<'_>], message| prefixed("scope", name, inner, message, &mut report);
        check_scope(name, scope, at);
    }
    for (name, gate) in &policy.gate {
        let at = |inner: &[Step<'_>], message| prefixed("gate", name, inner, message, &mut report);
        check_gate(name, gate, at);
    }
    for name in policy.rule.keys() {
        let at = |inner: &[Step<'_>], message| prefixed("rule", name, inner, message, &mut report);
        check_rule(policy, name, at);
    }
    if policy.approval.expires_h == 0 {
        report(
            &[Step::Key("approval"), Step::Key("expires_h")],
            "a signature that expires at once permits nothing; write at least 1".into(),
        );
    }
    for (table, dirs) in [
        ("markers", &policy.markers.dirs),
        ("playbooks", &policy.playbooks.dirs),
    ] {
        for (index, dir) in dirs.iter().enumerate().filter(|(_, dir)| !is_inside(dir)) {
            report(
                &[Step::Key(table), Step::Key("dirs"), Step::Index(index)],
                outside(dir),
            );
        }
    }
}

fn prefixed(
    table: &str,
    name: &str,
    inner: &[Step<'_>],
    message: String,
    report: &mut impl FnMut(&[Step<'_>], String),
) {
    let mut path = vec![Step::Key(table), Step::Key(name)];
    path.extend_from_slice(inner);
    report(&path, message);
}

fn check_repo(policy: &Policy, report: &mut impl FnMut(&[Step<'_>], String)) {
    let repo = &policy.repo;
    let mut at = |inner: &[Step<'_>], message| {
        let mut path = vec![Step::Key("repo")];
        path.extend_from_slice(inner);
        report(&path, message);
    };
    check_globs("protected", &repo.protected, &mut at);
    for (index, name) in repo.guarded_refs.iter().enumerate() {
        if !name.starts_with("refs/") || name.contains(char::is_whitespace) {
            at(
                &[Step::Key("guarded_refs"), Step::Index(index)],
                format!("`{name}` is not a full ref name; write `refs/heads/{name}`"),
            );
        }
    }
    for (key, path) in [("law", &repo.law), ("signers", &repo.signers)] {
        if !is_inside(path) {
            at(&[Step::Key(key)], outside(path));
        }
    }
    for (key, text) in [("remote", &repo.remote), ("branch", &repo.branch)] {
        if text.trim().is_empty() || text.starts_with('-') {
            at(&[Step::Key(key)], format!("`{text}` cannot be a {key}"));
        }
    }
    if let Some(root) = &repo.trusted_root
        && !(root.len() == 40
            && root
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    {
        at(
            &[Step::Key("trusted_root")],
            "write the commit as 40 lower-case hex digits".into(),
        );
    }
}

/// Seconds between two looks that leave a forge's limit to others and a push not unseen for long.
const POLL_S: std::ops::RangeInclusive<u64> = 5..=3600;

fn check_source(source: &SourcePolicy, mut at: impl FnMut(&str, String)) {
    if let Some(path) = source.path.as_deref().filter(|path| !is_inside(path)) {
        at("path", outside(path));
    }
    if let Some(name) = &source.repository {
        let parts: Vec<&str> = name.split('/').collect();
        let word = |part: &&str| is_name(part);
        if parts.len() != 2 || !parts.iter().all(word) {
            at("repository", format!("`{name}` is not `owner/name`"));
        }
    }
    if let Some(url) = &source.api_url
        && !(url.starts_with("https://") || url.starts_with("http://"))
    {
        at(
            "api_url",
            format!("`{url}` is not an address; write `https://…`"),
        );
    }
    if let Some(seconds) = source.poll_s.filter(|seconds| !POLL_S.contains(seconds)) {
        let (least, most) = (POLL_S.start(), POLL_S.end());
        at(
            "poll_s",
            format!("`poll_s` is {seconds}; write {least} to {most} seconds"),
        );
    }
    for pattern in &source.harness {
        let sides = pattern.split_once('/');
        if sides.is_none_or(|(artifact, file)| artifact.is_empty() || file.is_empty()) {
            at(
                "harness",
                format!("`{pattern}` names no file in an artifact; write `ARTIFACT/FILE`"),
            );
        }
    }
}

fn check_scope(name: &str, scope: &ScopePolicy, mut at: impl FnMut(&[Step<'_>], String)) {
    check_name("scope", name, &mut at);
    check_argv("argv", &scope.argv, &mut at);
    check_cargo(&scope.argv, &scope.package, &scope.features, &mut at);
    check_timeout(scope.timeout_s, &mut at);
    if scope.runner_minutes_per_day == Some(0) {
        at(
            &[Step::Key("runner_minutes_per_day")],
            "a scope whose day has no minutes takes no push; write at least 1, or leave it out"
                .into(),
        );
    }
    check_globs("when", &scope.when, &mut at);
    check_predicates("engage", &scope.engage, &mut at);
    check_predicates("guards", &scope.guards, &mut at);
    check_env_names("pass_env", &scope.pass_env, &mut at);
    let mut seen = BTreeSet::new();
    for (index, cell) in scope.cells.iter().enumerate() {
        let place = [Step::Key("cells"), Step::Index(index), Step::Key("name")];
        if !is_name(&cell.name) {
            at(&place, name_rule("cell", &cell.name));
        }
        if !seen.insert(&cell.name) {
            at(
                &place,
                format!(
                    "two cells are named `{}`; give each its own name",
                    cell.name
                ),
            );
        }
        check_env(
            &[Step::Key("cells"), Step::Index(index), Step::Key("env")],
            &cell.env,
            &mut at,
        );
    }
}

fn check_gate(name: &str, gate: &GatePolicy, mut at: impl FnMut(&[Step<'_>], String)) {
    check_name("gate", name, &mut at);
    if name == PINNED {
        at(
            &[],
            format!("`{PINNED}` is the name of a claim's own test; choose another"),
        );
    }
    check_argv("argv", &gate.argv, &mut at);
    check_cargo(&gate.argv, &gate.package, &gate.features, &mut at);
    if let Some(canary) = &gate.canary {
        check_argv("canary", canary, &mut at);
    }
    check_timeout(gate.timeout_s, &mut at);
    check_globs("when", &gate.when, &mut at);
    check_env_names("pass_env", &gate.pass_env, &mut at);
    check_env(&[Step::Key("env")], &gate.env, &mut at);
}

/// A rule of the policy itself, with examples that the whole policy answers as they say.
fn check_rule(policy: &Policy, name: &str, mut at: impl FnMut(&[Step<'_>], String)) {
    let rule = &policy.rule[name];
    check_rule_alone(name, rule, &mut at);
    // Where no rule speaks, a finding stands and a change passes.
    let passes = |kind: ClaimKind, code: Option<&str>, path: &str| {
        let ruling = policy.ruling(kind, code, path);
        ruling.map_or(code.is_none(), |ruling| {
            ruling.decision != RuleDecision::Refuse
        })
    };
    check_examples(rule, &passes, &mut at);
    let refuses_itself = rule.decision == RuleDecision::Refuse
        && policy
            .ruling(ClaimKind::PolicyChange, None, POLICY_FILE)
            .is_some_and(|ruling| ruling.name == name);
    if refuses_itself {
        at(
            &[Step::Key("paths")],
            "it refuses every change of greenloop.toml, so nothing could ever change it; leave that file out"
                .into(),
        );
    }
}

/// Globs and codes that exist, a reason, and examples of both sorts.
pub(super) fn check_rule_alone(
    name: &str,
    rule: &RulePolicy,
    at: &mut impl FnMut(&[Step<'_>], String),
) {
    check_name("rule", name, at);
    check_globs("paths", &rule.paths, at);
    for (key, list) in [
        ("paths", &rule.paths),
        ("allow", &rule.allow),
        ("refuse", &rule.refuse),
    ] {
        if list.is_empty() {
            at(
                &[Step::Key(key)],
                format!("`{key}` is empty; give at least one"),
            );
        }
    }
    if rule.because.trim().is_empty() {
        at(
            &[Step::Key("because")],
            "say why in one sentence; whoever is refused reads it".into(),
        );
    }
    for (index, code) in rule.codes.iter().enumerate() {
        if !RELAXABLE.contains(&code.as_str()) {
            at(
                &[Step::Key("codes"), Step::Index(index)],
                format!(
                    "`{code}` is no finding that a policy judges; write one of: {}",
                    RELAXABLE.join(", ")
                ),
            );
        }
    }
}

/// Every kind and code that the rule is about: what each of its examples is asked for.
pub(super) fn questions(rule: &RulePolicy) -> impl Iterator<Item = (ClaimKind, Option<&str>)> {
    let kinds = match rule.kinds.as_slice() {
        [] => &[ClaimKind::Fix],
        kinds => kinds,
    };
    let codes: Vec<Option<&str>> = match rule.codes.is_empty() {
        true => vec![None],
        false => rule.codes.iter().map(|code| Some(code.as_str())).collect(),
    };
    let of_kind = move |kind: &ClaimKind| {
        let kind = *kind;
        codes.clone().into_iter().map(move |code| (kind, code))
    };
    kinds.iter().flat_map(of_kind)
}

/// Examples that `passes` answers as they say.
pub(super) fn check_examples(
    rule: &RulePolicy,
    passes: &impl Fn(ClaimKind, Option<&str>, &str) -> bool,
    at: &mut impl FnMut(&[Step<'_>], String),
) {
    for (key, paths, wanted) in [
        ("allow", &rule.allow, true),
        ("refuse", &rule.refuse, false),
    ] {
        for (index, path) in paths.iter().enumerate() {
            if questions(rule).all(|(kind, code)| passes(kind, code, path) == wanted) {
                continue;
            }
            let word = if wanted { "refused" } else { "let pass" };
            at(
                &[Step::Key(key), Step::Index(index)],
                format!(
                    "`{path}` is {word} by the rules as they stand; mend the rule or the example"
                ),
            );
        }
    }
}

fn check_name(what: &str, name: &str, at: &mut impl FnMut(&[Step<'_>], String)) {
    if !is_name(name) {
        at(&[], name_rule(what, name));
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn name_rule(what: &str, name: &str) -> String {
    format!("`{name}` cannot name a {what}; use letters, digits, `_`, `-` and `.`, at most 64")
}

fn check_argv(key: &str, argv: &[String], at: &mut impl FnMut(&[Step<'_>], String)) {
    if argv.first().is_none_or(|word| word.trim().is_empty()) {
        at(
            &[Step::Key(key)],
            format!("`{key}` needs a program, such as [\"cargo\", \"test\", \"-p\", \"engine\"]"),
        );
    }
    if argv.iter().any(|word| word.contains('\0')) {
        at(&[Step::Key(key)], format!("`{key}` holds a NUL character"));
    }
}

/// The declared package and features must be those that the arguments build.
fn check_cargo(
    argv: &[String],
    package: &str,
    features: &[String],
    at: &mut impl FnMut(&[Step<'_>], String),
) {
    if package.trim().is_empty() {
        at(
            &[Step::Key("package")],
            "name the cargo package that it builds".into(),
        );
    }
    let cargo = crate::gates::argv::CargoArgs::parse(argv);
    let Some(cargo) = cargo else { return };
    for named in cargo.packages.iter().filter(|named| *named != package) {
        at(
            &[Step::Key("argv")],
            format!("the arguments build package `{named}`, but `package` says `{package}`"),
        );
    }
    let declared: BTreeSet<&String> = features.iter().collect();
    let built: BTreeSet<&String> = cargo.features.iter().collect();
    if declared != built && !cargo.all_features {
        let list =
            |set: &BTreeSet<&String>| set.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(",");
        at(
            &[Step::Key("features")],
            format!(
                "`features` says [{}], but the arguments build with [{}]",
                list(&declared),
                list(&built)
            ),
        );
    }
}

fn check_timeout(seconds: u64, at: &mut impl FnMut(&[Step<'_>], String)) {
    if seconds == 0 || seconds > MAX_TIMEOUT_S {
        at(
            &[Step::Key("timeout_s")],
            format!("`timeout_s` is {seconds}; write 1 to {MAX_TIMEOUT_S} seconds"),
        );
    }
}

fn check_globs(key: &str, globs: &[String], at: &mut impl FnMut(&[Step<'_>], String)) {
    for (index, glob) in globs.iter().enumerate() {
        let place = [Step::Key(key), Step::Index(index)];
        if let Err(error) = super::query::glob(glob) {
            at(&place, format!("`{glob}` is not a glob: {}", error.kind()));
        } else if !is_inside(glob) {
            at(&place, outside(glob));
        }
    }
}

fn check_predicates(key: &str, predicates: &[String], at: &mut impl FnMut(&[Step<'_>], String)) {
    for (index, text) in predicates.iter().enumerate() {
        if let Err(error) = text.parse::<markers::Predicate>() {
            at(
                &[Step::Key(key), Step::Index(index)],
                format!("`{text}` is not a predicate: {error}"),
            );
        }
    }
}

fn check_env_names(key: &str, names: &[String], at: &mut impl FnMut(&[Step<'_>], String)) {
    for (index, name) in names
        .iter()
        .enumerate()
        .filter(|(_, name)| !is_env_name(name))
    {
        at(
            &[Step::Key(key), Step::Index(index)],
            format!("`{name}` cannot name a variable"),
        );
    }
}

fn check_env(place: &[Step<'_>], env: &Environment, at: &mut impl FnMut(&[Step<'_>], String)) {
    for (name, value) in env {
        if !is_env_name(name) {
            at(place, format!("`{name}` cannot name a variable"));
        }
        if value.contains('\0') {
            at(
                place,
                format!("the value of `{name}` holds a NUL character"),
            );
        }
    }
}

fn is_env_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with('/')
        && !path.contains('\\')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn outside(path: &str) -> String {
    format!("`{path}` is not a path below the root; write it relative, with `/`, without `..`")
}
