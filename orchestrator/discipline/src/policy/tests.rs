use proptest::prelude::*;

use super::*;

/// A policy with every table, from which cases change one line.
const WHOLE: &str = r#"schema = 1
[repo]
remote = "origin"
branch = "main"
guarded_refs = ["refs/heads/main"]
protected = ["INVARIANTS.md", "playbooks/**/*.toml"]
law = "INVARIANTS.md"
signers = "allowed_signers"
trusted_root = "0123456789abcdef0123456789abcdef01234567"
allow_cargo_config = ["env.RUST_MIN_STACK"]
[source]
kind = "local"
poll_s = 30
[scope.smoke]
workflow = ".github/workflows/smoke.yml"
package = "engine"
features = ["gpu"]
argv = ["cargo", "test", "-p", "engine", "--features", "gpu"]
cells = [{ name = "full", env = { ENGINE_PERDISPATCH = "full" } }, { name = "summary" }]
engage = ["present backend{backend=vulkan}"]
guards = ["absent envelope{}"]
when = ["engine/**"]
pass_env = ["VK_ICD_FILENAMES"]
timeout_s = 900
gpu = true
runner_minutes_per_day = 8
[gate.engine]
argv = ["cargo", "test", "-p", "engine", "--features", "gpu"]
package = "engine"
features = ["gpu"]
when = ["engine/**"]
env = { RUST_BACKTRACE = "1" }
pass_env = ["VK_ICD_FILENAMES"]
timeout_s = 600
canary = ["cargo", "test", "-p", "engine"]
gpu = false
[gate.tidy]
argv = ["cargo", "test", "-p", "acceptance"]
package = "acceptance"
[rule.vendored]
paths = ["vendor/**"]
kinds = ["fix"]
codes = ["panic_added"]
decision = "allow"
because = "code of others is taken as it is"
allow = ["vendor/x/src/lib.rs"]
refuse = ["engine/src/lib.rs"]
[rule.frozen]
paths = ["engine/src/legacy/**"]
decision = "refuse"
because = "the old path is the reference"
allow = ["engine/src/lib.rs"]
refuse = ["engine/src/legacy/mod.rs"]
[budget]
runner_minutes_per_day = 10
diagnostic_runs = 1
[markers]
dirs = ["catalog"]
[playbooks]
dirs = ["playbooks"]
[approval]
expires_h = 24
[attest]
excerpts = false
"#;

fn problems(text: &str) -> Vec<String> {
    Policy::parse(text).err().map_or_else(Vec::new, |error| {
        error.problems.iter().map(ToString::to_string).collect()
    })
}

fn whole() -> Policy {
    Policy::parse(WHOLE).unwrap()
}

#[test]
fn a_whole_policy_is_read() {
    assert_eq!(problems(WHOLE), Vec::<String>::new());
    assert_eq!(whole().scope["smoke"].timeout_s, 900);
}

#[test]
fn the_policy_of_this_repository_is_read() {
    assert_eq!(
        problems(include_str!("../../../../greenloop.toml")),
        Vec::<String>::new()
    );
}

#[test]
fn the_smallest_policy_has_defaults() {
    let policy = Policy::parse("schema = 1\n").unwrap();
    assert_eq!(policy.repo, RepoPolicy::default());
    assert_eq!(policy.approval.expires_h, 24);
}

/// One changed line of [`WHOLE`], and the problem it must report.
#[test]
fn each_mistake_is_named_with_its_place() {
    let cases = [
        (
            "schema = 1",
            "schema = 2",
            "1:10: schema 2 is not known; write `schema = 1`",
        ),
        ("schema = 1", "", "the file needs the key `schema`"),
        (
            "branch = ",
            "branhc = ",
            "4:1: unknown key `branhc` in [repo]; the nearest valid key is `branch`",
        ),
        (
            "[budget]",
            "[bugdet]",
            "54:2: unknown key `bugdet` in the top of the file; the nearest valid key is `budget`",
        ),
        (
            "kind = \"local\"",
            "kind = \"githup\"",
            "12:8: `source.kind` knows no `githup`; write one of: local, recorded, github",
        ),
        (
            "timeout_s = 900",
            "timeout_s = \"900\"",
            "`scope.smoke.timeout_s` must be a whole number, this is a string",
        ),
        (
            "timeout_s = 900",
            "timeout_s = 0",
            "24:13: `timeout_s` is 0; write 1 to 86400 seconds",
        ),
        ("timeout_s = 900", "timeout_s = -1", "invalid value"),
        (
            "poll_s = 30",
            "poll_s = 0",
            "13:10: `poll_s` is 0; write 5 to 3600 seconds",
        ),
        (
            "poll_s = 30",
            "poll_s = 3601",
            "13:10: `poll_s` is 3601; write 5 to 3600 seconds",
        ),
        (
            "{ name = \"summary\" }",
            "{ name = \"full\" }",
            "two cells are named `full`",
        ),
        (
            "{ name = \"summary\" }",
            "{ nam = \"x\" }",
            "unknown key `nam` in [scope.smoke.cells[1]]; the nearest valid key is `name`",
        ),
        (
            "[\"engine/**\"]\npass",
            "[\"engine/[\"]\npass",
            "is not a glob",
        ),
        (
            "\"playbooks/**/*.toml\"",
            "\"../x\"",
            "is not a path below the root",
        ),
        (
            "present backend{backend=vulkan}",
            "presend backend",
            "is not a predicate",
        ),
        (
            "guards = [",
            "guards = [1, ",
            "`scope.smoke.guards` is a list of texts, this is an integer",
        ),
        (
            "RUST_BACKTRACE = \"1\"",
            "RUST_BACKTRACE = 1",
            "`gate.engine.env.RUST_BACKTRACE` must be text in quotes",
        ),
        (
            "RUST_BACKTRACE =",
            "\"A B\" =",
            "`A B` cannot name a variable",
        ),
        (
            "[gate.tidy]",
            "[gate.pinned]",
            "`pinned` is the name of a claim's own test",
        ),
        ("[gate.tidy]", "[gate.\"../x\"]", "cannot name a gate"),
        (
            "package = \"acceptance\"",
            "package = \"engine\"",
            "the arguments build package `acceptance`, but `package` says `engine`",
        ),
        (
            "features = [\"gpu\"]\nwhen",
            "features = []\nwhen",
            "`features` says [], but the arguments build with [gpu]",
        ),
        (
            "canary = [\"cargo\", \"test\", \"-p\", \"engine\"]",
            "canary = []",
            "`canary` needs a program",
        ),
        (
            "\"refs/heads/main\"",
            "\"main\"",
            "`main` is not a full ref name; write `refs/heads/main`",
        ),
        (
            "0123456789abcdef0123456789abcdef01234567",
            "0123",
            "40 lower-case hex digits",
        ),
        (
            "runner_minutes_per_day = 8",
            "runner_minutes_per_day = 0",
            "26:26: a scope whose day has no minutes takes no push",
        ),
        (
            "codes = [\"panic_added\"]",
            "codes = [\"test_deleted\"]",
            "`test_deleted` is no finding that a policy judges",
        ),
        (
            "allow = [\"vendor/x/src/lib.rs\"]",
            "allow = [\"src/lib.rs\"]",
            "`src/lib.rs` is refused by the rules as they stand",
        ),
        (
            "refuse = [\"engine/src/lib.rs\"]",
            "refuse = [\"vendor/y/src/lib.rs\"]",
            "`vendor/y/src/lib.rs` is let pass by the rules as they stand",
        ),
        (
            "refuse = [\"engine/src/legacy/mod.rs\"]",
            "refuse = []",
            "`refuse` is empty; give at least one",
        ),
        (
            "paths = [\"engine/src/legacy/**\"]",
            "paths = [\"engine/src/legacy/**\", \"*.toml\"]",
            "it refuses every change of greenloop.toml",
        ),
        (
            "kinds = [\"fix\"]",
            "kinds = [\"fixes\"]",
            "unknown variant `fixes`",
        ),
        (
            "because = \"the old path is the reference\"",
            "because = \" \"",
            "say why in one sentence",
        ),
        (
            "expires_h = 24",
            "expires_h = 0",
            "a signature that expires at once permits nothing",
        ),
        (
            "dirs = [\"catalog\"]",
            "dirs = [\"/etc\"]",
            "is not a path below the root",
        ),
        ("[attest]", "[attest", "63:8: "),
        ("[attest]", "[repo]", "duplicate key"),
    ];
    for (from, to, wanted) in cases {
        assert!(WHOLE.contains(from), "the case changes nothing: {from}");
        let found = problems(&WHOLE.replacen(from, to, 1));
        assert!(
            found.iter().any(|problem| problem.contains(wanted)),
            "{from} → {to}\nwanted {wanted}\nfound {found:#?}"
        );
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let found = problems(
        "schema = 3\n[repo]\nlaw = \"/etc/passwd\"\n[gate.x]\npackage = \"p\"\nargv = []\ntimeout_s = 0\n",
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    let unknown = problems("schema = 1\nfoo = 1\n[repo]\nremot = 1\nbranch = 2\n");
    assert_eq!(unknown.len(), 3, "{unknown:#?}");
}

#[test]
fn changed_paths_choose_gates_and_scopes() {
    let policy = whole();
    assert_eq!(
        policy.required_gates(&["engine/src/lib.rs"]),
        ["engine", "tidy"]
    );
    assert_eq!(policy.required_gates(&["tools/x.rs"]), ["tidy"]);
    assert_eq!(policy.required_gates::<&str>(&[]), ["tidy"]);
    assert_eq!(policy.scopes_reached(&["engine/src/vk/mod.rs"]), ["smoke"]);
    assert_eq!(policy.scopes_reached(&["docs/a.md"]), Vec::<String>::new());
    assert_eq!(policy.effective_cells("smoke").len(), 2);
    assert_eq!(policy.effective_cells("nowhere"), []);
}

#[test]
fn a_scope_without_cells_has_one() {
    let mut policy = whole();
    policy.scope.get_mut("smoke").unwrap().cells.clear();
    let cells = policy.effective_cells("smoke");
    assert_eq!(
        cells
            .iter()
            .map(|cell| cell.name.as_str())
            .collect::<Vec<_>>(),
        ["default"]
    );
}

#[test]
fn protected_paths_follow_the_globs_and_the_policy_itself() {
    let policy = Policy::parse("schema = 1\n").unwrap();
    for path in [
        "INVARIANTS.md",
        "invariants/INVARIANTS.md",
        "playbooks/oom.toml",
        "playbooks/a/b/oom.toml",
        "greenloop.toml",
        "orchestrator/markers/catalog/x.toml",
        ".github/workflows/ci.yml",
        "rust-toolchain",
        "rust-toolchain.toml",
        ".cargo/config.toml",
        "keys/allowed_signers",
        "allowed_signers",
    ] {
        assert!(policy.is_protected(path), "{path}");
    }
    let own = "[markers]\ndirs = [\"loop/markers\"]\n[playbooks]\ndirs = [\"loop/play[1]\"]\n";
    let declared = Policy::parse(&format!("schema = 1\n{own}")).unwrap();
    for path in [
        "loop/markers/a.toml",
        "loop/play[1]/a.toml",
        "loop/play[1]/b/a.toml",
    ] {
        assert!(declared.is_protected(path), "{path}");
        assert!(!policy.is_protected(path), "{path}");
    }
    for path in ["loop/play1/a.toml", "loop/markers/a.md", "loop/a.toml"] {
        assert!(!declared.is_protected(path), "{path}");
    }
    for path in [
        "src/lib.rs",
        "playbooks/src/lib.rs",
        "docs/greenloop.toml.md",
        "engine/Cargo.toml",
    ] {
        assert!(!policy.is_protected(path), "{path}");
    }
    let open = Policy {
        repo: RepoPolicy {
            protected: vec![],
            ..policy.repo.clone()
        },
        ..policy.clone()
    };
    assert!(open.is_protected("greenloop.toml") && open.is_protected("invariants/INVARIANTS.md"));
    let broken = Policy {
        repo: RepoPolicy {
            protected: vec!["[".into()],
            ..policy.repo.clone()
        },
        ..policy
    };
    assert!(
        broken.is_protected("src/lib.rs"),
        "a glob that cannot be read protects everything"
    );
}

/// The registry and the types must know the same keys: what serde writes of a whole policy is what
/// the reference lists.
#[test]
fn the_list_of_keys_is_the_types() {
    // Keys that a type leaves out while they are empty.
    let filled = WHOLE
        .replace(
            "kind = \"local\"",
            "kind = \"github\"\npath = \"runs\"\nrepository = \"a/b\"\n\
             api_url = \"https://example.org\"\nharness = [\"output/*.log\"]",
        )
        .replace(
            "{ name = \"full\",",
            "{ name = \"full\", job = \"gpu (full)\",",
        )
        .replace(
            "{ name = \"summary\" }",
            "{ name = \"summary\", job = \"gpu\" }",
        );
    let json = serde_json::to_value(Policy::parse(&filled).unwrap()).unwrap();
    compare("", keys::ROOT, &json);
}

fn compare(path: &str, keys: &[keys::Key], json: &serde_json::Value) {
    let listed: std::collections::BTreeSet<&str> = keys.iter().map(|key| key.name).collect();
    let typed: std::collections::BTreeSet<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(listed, typed, "keys of [{path}]");
    for key in keys {
        let value = &json[key.name];
        match key.kind {
            keys::Kind::Table(inner) => compare(key.name, inner, value),
            keys::Kind::NamedTables(inner) => value
                .as_object()
                .unwrap()
                .values()
                .for_each(|one| compare(key.name, inner, one)),
            keys::Kind::TableList(inner) => value
                .as_array()
                .unwrap()
                .iter()
                .for_each(|one| compare(key.name, inner, one)),
            _ => {}
        }
    }
}

#[test]
fn the_reference_shows_defaults() {
    let page = Policy::reference();
    for line in [
        "| `schema` | whole number | required | version of this format; always 1 |",
        "| `expires_h` | whole number | `24` | hours after which a signature no longer permits a push |",
        "## [scope.NAME.cells[]]",
        "| `kind` | `\"local\"` or `\"recorded\"` or `\"github\"` | `\"local\"` | which run source |",
        "| `timeout_s` | whole number | `1800` | limit, seconds |",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn a_policy_survives_json() {
    let json = serde_json::to_string(&whole()).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), whole());
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_panics(text in "\\PC*") {
        let _ = Policy::parse(&text);
    }

    #[test]
    fn a_damaged_policy_never_panics(at in 0..WHOLE.len(), len in 0_usize..40, put in "[\\]\\[{}=\",.a-z0-9\n-]{0,6}") {
        let end = (at + len).min(WHOLE.len());
        let text = format!("{}{put}{}", &WHOLE[..at], &WHOLE[end..]);
        if let Err(error) = Policy::parse(&text) {
            prop_assert!(error.problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
            prop_assert!(!error.problems.is_empty());
        }
    }
}

#[test]
fn the_strictest_rule_about_a_path_wins() {
    use attest::claim::ClaimKind;
    let with = |more: &str| Policy::parse(&WHOLE.replacen("[budget]", more, 1)).unwrap();
    let rule = |name: &str, decision: &str, paths: &str, allow: &str, refuse: &str| {
        format!(
            "[rule.{name}]\npaths = [\"{paths}\"]\ndecision = \"{decision}\"\nbecause = \"x\"\n\
             allow = [\"{allow}\"]\nrefuse = [\"{refuse}\"]\n"
        )
    };
    let legacy = "engine/src/legacy/mod.rs";
    let told = |policy: &Policy, path: &str| {
        let ruling = policy.ruling(ClaimKind::Fix, None, path);
        ruling.map(|ruling| (ruling.name.to_owned(), ruling.decision))
    };
    let policy = with(&format!(
        "{}{}[budget]",
        rule("a", "allow", "engine/**", "engine/src/lib.rs", legacy),
        rule("b", "warn", "engine/src/**", "engine/src/lib.rs", legacy)
    ));
    assert_eq!(
        told(&policy, legacy),
        Some(("frozen".into(), RuleDecision::Refuse))
    );
    assert_eq!(
        told(&policy, "engine/src/lib.rs"),
        Some(("b".into(), RuleDecision::Warn))
    );
    assert_eq!(
        told(&policy, "engine/build.rs"),
        Some(("a".into(), RuleDecision::Allow))
    );
    assert_eq!(told(&policy, "markers/src/lib.rs"), None);
    let (refused, told) = policy.judged_paths(
        ClaimKind::Fix,
        &[legacy, "engine/src/lib.rs", "engine/build.rs", "README.md"],
    );
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].code, "policy_rule");
    assert!(refused[0].reason.contains(legacy), "{refused:?}");
    assert_eq!(told, ["`[rule.b]` of greenloop.toml: engine/src/lib.rs: x"]);
}

#[test]
fn a_rule_lets_pass_only_findings_of_its_codes_kinds_and_paths() {
    use attest::claim::ClaimKind;
    let finding = |code: &str, path: &str| {
        crate::model::Refusal::new(code, "change", format!("{path}:3: it may panic"), "x")
    };
    let stands = |kind, code, path| {
        !whole()
            .judged(kind, &[finding(code, path)], &[path])
            .0
            .is_empty()
    };
    let (fix, vendored) = (ClaimKind::Fix, "vendor/x/src/lib.rs");
    assert!(!stands(fix, "panic_added", vendored));
    assert!(stands(fix, "panic_added", "engine/src/lib.rs"));
    assert!(stands(fix, "allow_added", vendored));
    assert!(stands(fix, "test_deleted", vendored));
    assert!(stands(ClaimKind::Diagnostic, "panic_added", vendored));
}

#[test]
fn a_rule_about_one_path_lets_no_path_pass_that_merely_begins_like_it() {
    use attest::claim::ClaimKind;
    let policy = WHOLE
        .replace("vendor/**", "vendor/*.png")
        .replace("vendor/x/src/lib.rs", "vendor/a.png");
    let policy = Policy::parse(&policy).unwrap();
    let (short, long) = ("vendor/a.png", "vendor/a.png b/evil.rs");
    let stands = |at: &str, paths: &[&str]| {
        let reason = format!("{at}:3: it may panic");
        let finding = crate::model::Refusal::new("panic_added", "change", reason, "x");
        let (stand, _) = policy.judged(ClaimKind::Fix, &[finding], paths);
        !stand.is_empty()
    };
    assert!(!stands(short, &[short, long]));
    assert!(stands(long, &[long]));
    assert!(stands(long, &[short, long]));
    assert!(stands(short, &[]));
}
