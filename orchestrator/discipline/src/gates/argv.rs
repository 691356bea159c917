//! Argument vectors of gates: read, and derived for the pinned test and the canary.

use attest::claim::PinnedTest;

use super::canary::CANARY_STEM;
use crate::model::Refusal;
use crate::policy::{GatePolicy, Policy};

/// Name that results of a claim's own test carry in the place of a gate's name.
pub const PINNED_GATE: &str = "pinned";

/// Subcommands of cargo that judge without running tests.
const TESTLESS: &[&str] = &[
    "build",
    "b",
    "check",
    "c",
    "clippy",
    "deny",
    "doc",
    "d",
    "fmt",
    "verify-project",
];
/// Flags of cargo whose value is the next word.
const VALUED: &[&str] = &[
    "-p",
    "--package",
    "--test",
    "--bin",
    "--example",
    "--bench",
    "-F",
    "--features",
    "--profile",
    "--target",
    "-j",
    "--jobs",
    "--exclude",
    "--manifest-path",
    "--target-dir",
    "--message-format",
    "--color",
    "--config",
    "-Z",
];
/// Flags that choose how a package is built; the pinned test is built in the same way.
const BUILD_FLAGS: &[&str] = &[
    "--release",
    "-r",
    "--all-features",
    "--no-default-features",
    "--locked",
    "--offline",
    "--frozen",
];
/// Flags with a value that do the same.
const BUILD_VALUES: &[&str] = &[
    "--profile",
    "--features",
    "-F",
    "--target",
    "--manifest-path",
];
/// Flags that choose targets.
const TARGET_FLAGS: &[&str] = &[
    "--lib",
    "--bins",
    "--tests",
    "--benches",
    "--examples",
    "--all-targets",
    "--doc",
];
const TARGET_VALUES: &[&str] = &["--test", "--bin", "--example", "--bench"];

/// What a `cargo` command line builds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CargoArgs {
    /// Subcommand, such as `test`.
    pub subcommand: String,
    /// Packages named by `-p`.
    pub packages: Vec<String>,
    /// Features named, in order.
    pub features: Vec<String>,
    /// Integration-test targets named by `--test`.
    pub tests: Vec<String>,
    /// `--all-features`.
    pub all_features: bool,
    /// `--workspace` or `--all`.
    pub workspace: bool,
    /// `--no-default-features`.
    pub no_default_features: bool,
    /// `--release`, or another profile than cargo's own for development and tests.
    pub release: bool,
}

impl CargoArgs {
    /// Reads an argument vector; `None` when it does not run cargo.
    #[must_use]
    pub fn parse(argv: &[String]) -> Option<Self> {
        let (program, rest) = argv.split_first()?;
        if program.rsplit('/').next() != Some("cargo") {
            return None;
        }
        let mut args = Self::default();
        for (flag, value) in flags(rest) {
            match (flag, value) {
                ("-p" | "--package", Some(name)) => args.packages.push(name.to_owned()),
                ("--test", Some(name)) => args.tests.push(name.to_owned()),
                ("-F" | "--features", Some(list)) => {
                    let names = list.split([',', ' ']).filter(|name| !name.is_empty());
                    args.features.extend(names.map(str::to_owned));
                }
                ("--all-features", _) => args.all_features = true,
                ("--no-default-features", _) => args.no_default_features = true,
                ("--release" | "-r", _) => args.release = true,
                ("--profile", Some(name)) => args.release = !matches!(name, "dev" | "test"),
                ("--workspace" | "--all", _) => args.workspace = true,
                (word, None) if !word.starts_with(['-', '+']) && args.subcommand.is_empty() => {
                    args.subcommand = word.to_owned();
                }
                _ => {}
            }
        }
        Some(args)
    }
}

/// Words before `--`, each flag with its value.
fn flags(words: &[String]) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    let mut words = words
        .iter()
        .map(String::as_str)
        .take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some((flag, value)) if word.starts_with("--") => found.push((flag, Some(value))),
            _ if VALUED.contains(&word) => found.push((word, words.next())),
            _ => found.push((word, None)),
        }
    }
    found
}

/// True unless the command is one that judges without running tests.
#[must_use]
pub fn runs_tests(argv: &[String]) -> bool {
    CargoArgs::parse(argv).is_none_or(|args| !TESTLESS.contains(&args.subcommand.as_str()))
}

/// The gate whose build the pinned test shares, and the test's argument vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedGate {
    /// Name of the policy's gate; its environment, limit and lease apply.
    pub gate: String,
    /// `cargo test -p PACKAGE … --test TARGET -- --exact NAME --nocapture --test-threads=1`.
    pub argv: Vec<String>,
}

/// Derives the run of a claim's own test from the policy's gate that builds its package: the same
/// profile and features. A gate that runs the same target is preferred, then one with more features.
///
/// # Errors
/// A refusal when no gate builds the package with `cargo test`, or when a name is an option.
pub fn pinned_gate(pin: &PinnedTest, policy: &Policy) -> Result<PinnedGate, Refusal> {
    for (field, value) in [
        ("package", &pin.package),
        ("target", &pin.target),
        ("name", &pin.name),
    ] {
        if value.trim().is_empty() || value.starts_with('-') || value.contains(char::is_whitespace)
        {
            return Err(Refusal::new(
                "pinned_test_malformed",
                format!("pinned_test.{field}"),
                format!("`{value}` cannot be a {field}"),
                "write it as cargo and libtest print it",
            ));
        }
    }
    let candidates = policy.gate.iter().filter_map(|(name, gate)| {
        let args = CargoArgs::parse(&gate.argv)
            .filter(|args| matches!(args.subcommand.as_str(), "test" | "t"))?;
        (gate.package == pin.package).then_some((name, gate, args))
    });
    let best = candidates.max_by_key(|(name, _, args)| {
        (
            args.tests.contains(&pin.target),
            args.features.len(),
            std::cmp::Reverse((*name).clone()),
        )
    });
    let Some((name, gate, _)) = best else {
        return Err(Refusal::new(
            "pinned_test_without_gate",
            "pinned_test.package",
            format!("no gate of the policy runs `cargo test -p {}`", pin.package),
            format!("pin a test of a gated package: {}", packages(policy)),
        ));
    };
    let mut argv = vec![
        gate.argv[0].clone(),
        "test".into(),
        "-p".into(),
        pin.package.clone(),
    ];
    argv.extend(build_words(gate));
    argv.extend([
        "--test".into(),
        pin.target.clone(),
        "--".into(),
        "--exact".into(),
        pin.name.clone(),
    ]);
    argv.extend(["--nocapture".into(), "--test-threads=1".into()]);
    Ok(PinnedGate {
        gate: name.clone(),
        argv,
    })
}

fn packages(policy: &Policy) -> String {
    let mut names: Vec<&str> = policy
        .gate
        .values()
        .map(|gate| gate.package.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn build_words(gate: &GatePolicy) -> Vec<String> {
    let mut words = Vec::new();
    for (flag, value) in flags(gate.argv.get(1..).unwrap_or_default()) {
        match value {
            None if BUILD_FLAGS.contains(&flag) => words.push(flag.to_owned()),
            Some(value) if BUILD_VALUES.contains(&flag) => {
                words.extend([flag.to_owned(), value.to_owned()])
            }
            _ => {}
        }
    }
    words
}

/// The argument vector that must be seen failing on the canary room: the policy's own, else the
/// gate's. A gate that chooses its test targets is asked for the canary's target in their place,
/// because it would not build the added file; everything else stays as it is.
#[must_use]
pub fn canary_argv(gate: &GatePolicy) -> Vec<String> {
    if let Some(canary) = &gate.canary {
        return canary.clone();
    }
    let end = gate
        .argv
        .iter()
        .position(|word| word == "--")
        .unwrap_or(gate.argv.len());
    let (own, rest) = gate.argv.split_at(end);
    let Some(program) = own.first() else {
        return Vec::new();
    };
    let mut argv = vec![program.clone()];
    let mut chosen = false;
    for (flag, value) in flags(&own[1..]) {
        if TARGET_FLAGS.contains(&flag) || TARGET_VALUES.contains(&flag) {
            chosen = true;
            continue;
        }
        argv.push(flag.to_owned());
        argv.extend(value.map(str::to_owned));
    }
    if !chosen {
        return gate.argv.clone();
    }
    argv.extend(["--test".to_owned(), CANARY_STEM.to_owned()]);
    argv.extend_from_slice(rest);
    argv
}
