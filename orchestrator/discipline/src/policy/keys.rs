//! Every key of `greenloop.toml`, once: what the reader accepts, suggests and documents.

/// What a key holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A whole number of at least zero.
    Integer,
    /// One line of text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A list of texts.
    TextList,
    /// A table of texts.
    TextMap,
    /// A table with these keys.
    Table(&'static [Key]),
    /// Tables with names of the author's choice, each with these keys.
    NamedTables(&'static [Key]),
    /// A list of tables, each with these keys.
    TableList(&'static [Key]),
}

/// One key of one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) doc: &'static str,
}

const fn needed(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        required: true,
        doc,
    }
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        required: false,
        doc,
    }
}

/// The top of the file.
pub(super) const ROOT: &[Key] = &[
    needed("schema", Kind::Integer, "version of this format; always 1"),
    key(
        "repo",
        Kind::Table(REPO),
        "what is under care, and what never rides with code",
    ),
    key("source", Kind::Table(SOURCE), "where runs come from"),
    key(
        "scope",
        Kind::NamedTables(SCOPE),
        "what one workflow may prove",
    ),
    key(
        "gate",
        Kind::NamedTables(GATE),
        "a local question about a claim",
    ),
    key(
        "rule",
        Kind::NamedTables(RULE),
        "a rule of the project's own; of several the strictest wins",
    ),
    key("budget", Kind::Table(BUDGET), "what a day may cost"),
    key("markers", Kind::Table(DIRS), "the project's own markers"),
    key(
        "playbooks",
        Kind::Table(DIRS),
        "the project's own failure classes",
    ),
    key(
        "approval",
        Kind::Table(APPROVAL),
        "how long a signature permits a push",
    ),
    key("attest", Kind::Table(ATTEST), "what an attestation carries"),
];

const REPO: &[Key] = &[
    key(
        "remote",
        Kind::Text,
        "name or URL of the remote that a permit pushes to",
    ),
    key("branch", Kind::Text, "branch under care"),
    key(
        "guarded_refs",
        Kind::TextList,
        "refs that only an approved claim may move",
    ),
    key(
        "protected",
        Kind::TextList,
        "globs of files that never ride with code",
    ),
    key("law", Kind::Text, "path of the invariants file"),
    key("signers", Kind::Text, "path of the allowed-signers file"),
    key(
        "trusted_root",
        Kind::Text,
        "commit that every guarded ref descends from, 40 hex digits",
    ),
    key(
        "allow_cargo_config",
        Kind::TextList,
        "keys of cargo configuration that the tree may set, such as `env.RUST_MIN_STACK`",
    ),
];

const SOURCE: &[Key] = &[
    key(
        "kind",
        Kind::Word(&["local", "recorded", "github"]),
        "which run source",
    ),
    key(
        "path",
        Kind::Text,
        "folder of recorded runs, for `recorded`; machine settings may name another",
    ),
    key(
        "repository",
        Kind::Text,
        "`owner/name` at the forge, for `github`; taken from the remote's URL when absent",
    ),
    key(
        "api_url",
        Kind::Text,
        "address of the forge's API; must be the one that machine settings give the token to",
    ),
    key(
        "poll_s",
        Kind::Integer,
        "seconds between two looks at a run that is followed, for `github`, 15 when absent; an answer that did not change costs the forge's limit nothing",
    ),
    key(
        "harness",
        Kind::TextList,
        "artifacts with the harness's own output, as `ARTIFACT/FILE`, such as `gpu-test-output-{cell}/*.log`; they outrank job logs",
    ),
];

const SCOPE: &[Key] = &[
    key("workflow", Kind::Text, "workflow file that owns the scope"),
    needed("package", Kind::Text, "cargo package under test"),
    key(
        "features",
        Kind::TextList,
        "features that the run builds with",
    ),
    needed(
        "argv",
        Kind::TextList,
        "argument vector; `cargo` as the first word is the pinned toolchain's",
    ),
    key(
        "cells",
        Kind::TableList(CELL),
        "matrix; one cell named `default` when empty",
    ),
    key(
        "engage",
        Kind::TextList,
        "predicates that must hold for a success to be green",
    ),
    key(
        "guards",
        Kind::TextList,
        "predicates that no claim which reaches the scope may break; graded on the scope's run of the pushed commit",
    ),
    key(
        "when",
        Kind::TextList,
        "globs of changed files that can reach the scope; empty means every file",
    ),
    key(
        "pass_env",
        Kind::TextList,
        "variables passed through from the daemon, such as a driver's path",
    ),
    key("timeout_s", Kind::Integer, "limit per cell, seconds"),
    key(
        "gpu",
        Kind::Bool,
        "true when the run needs the machine-wide GPU lease",
    ),
    key(
        "runner_minutes_per_day",
        Kind::Integer,
        "minutes of the runner that a day of this scope may cost, within the day's own",
    ),
];

const CELL: &[Key] = &[
    needed("name", Kind::Text, "cell id, such as `noop-0-full`"),
    key("env", Kind::TextMap, "variables that this cell sets"),
    key(
        "job",
        Kind::Text,
        "name of the forge's job that executes it; the cell's own name when absent",
    ),
];

const GATE: &[Key] = &[
    needed(
        "argv",
        Kind::TextList,
        "argument vector; `cargo` as the first word is the pinned toolchain's",
    ),
    needed("package", Kind::Text, "cargo package that it builds"),
    key("features", Kind::TextList, "features that it builds with"),
    key(
        "when",
        Kind::TextList,
        "globs of changed files that make it required; empty means always",
    ),
    key("env", Kind::TextMap, "variables it sets"),
    key(
        "pass_env",
        Kind::TextList,
        "variables passed through from the daemon",
    ),
    key("timeout_s", Kind::Integer, "limit, seconds"),
    key(
        "canary",
        Kind::TextList,
        "argument vector that must be seen failing on the canary room",
    ),
    key(
        "gpu",
        Kind::Bool,
        "true when it needs the machine-wide GPU lease",
    ),
];

/// A rule over claims, in the policy and in class files.
pub(super) const RULE: &[Key] = &[
    needed(
        "paths",
        Kind::TextList,
        "globs of the changed files that it is about",
    ),
    key(
        "kinds",
        Kind::TextList,
        "kinds of claims that it is about; empty means all but rollbacks",
    ),
    key(
        "codes",
        Kind::TextList,
        "findings that it is about (allow_added, binary_change, mode_change, panic_added, todo_comment_added); empty means the change itself",
    ),
    needed(
        "decision",
        Kind::Word(&["allow", "warn", "refuse"]),
        "what it says; `warn` passes and is told to who approves",
    ),
    needed("because", Kind::Text, "why"),
    needed(
        "allow",
        Kind::TextList,
        "example paths that the whole policy lets pass in this respect; checked at load",
    ),
    needed(
        "refuse",
        Kind::TextList,
        "example paths that it does not let pass; checked at load",
    ),
];

const BUDGET: &[Key] = &[
    key(
        "runner_minutes_per_day",
        Kind::Integer,
        "minutes of the runner that a day may cost",
    ),
    key(
        "diagnostic_runs",
        Kind::Integer,
        "diagnostic runs that a day may cost",
    ),
];

const DIRS: &[Key] = &[key("dirs", Kind::TextList, "folders below the root")];

const APPROVAL: &[Key] = &[key(
    "expires_h",
    Kind::Integer,
    "hours after which a signature no longer permits a push",
)];

const ATTEST: &[Key] = &[key(
    "excerpts",
    Kind::Bool,
    "true to put cited log excerpts into the attestation",
)];
