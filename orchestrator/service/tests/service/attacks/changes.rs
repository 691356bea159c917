//! Changes that look like a fix and carry something else: tests that are not run any more, code from
//! outside of the tree, names and characters that read as something else, switches that stay off.

use std::fs;
use std::path::Path;

use super::{Field, Row};
use crate::dishonest::{BLOCKS, TESTS, append, replace, unchanged};
use crate::support::{Bench, run};

/// A suite that a macro writes; no gate needs it.
const MADE: &str = "\
use tally::blocks;

macro_rules! counts {
    ($($name:ident: $len:expr,)*) => { $(
        #[test]
        fn $name() {
            assert_eq!(blocks::block_count($len), 1);
        }
    )* };
}

counts! { one_value: 1, whole_block: 4, }
";

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const LOOP: &str = "    let mut carry = 0;\n    for";

fn before_the_loop(root: &Path, line: &str) {
    replace(root, BLOCKS, LOOP, &format!("    {line}\n{LOOP}"));
}

const CHANGES: &[Row] = &[
    // tests that no longer run
    (
        "a test target is pointed at an easier file",
        |r| {
            replace(
                r,
                "Cargo.toml",
                "name = \"paths\"\n",
                "name = \"paths\"\npath = \"tests/easy/paths.rs\"\n",
            );
            let text = fs::read_to_string(r.join(TESTS)).unwrap();
            let easy = text.replace("compare(10)", "compare(8)");
            write(r, "tests/easy/paths.rs", &easy);
        },
        unchanged,
        &[(
            "test_deleted",
            "change",
            "`paths` reads tests/easy/paths.rs",
        )],
    ),
    (
        "a new entry points a found target elsewhere",
        |r| {
            append(
                r,
                "Cargo.toml",
                "\n[[test]]\nname = \"unit\"\npath = \"tests/easy/unit.rs\"\n",
            );
            write(
                r,
                "tests/easy/unit.rs",
                "#[test]\nfn reference_adds_up() {}\n",
            );
        },
        unchanged,
        &[("test_deleted", "change", "`unit` reads tests/easy/unit.rs")],
    ),
    (
        "a macro makes functions and no tests any more",
        |r| replace(r, "tests/made.rs", "        #[test]\n", ""),
        unchanged,
        &[("test_deleted", "change", "tests/made.rs:3")],
    ),
    (
        "a macro makes tests that assert nothing",
        |r| {
            replace(
                r,
                "tests/made.rs",
                "assert_eq!(blocks::block_count($len), 1);",
                "let _ = blocks::block_count($len);",
            )
        },
        unchanged,
        &[("assertion_removed", "change", "tests/made.rs:3")],
    ),
    (
        "a call of a macro names one test less",
        |r| {
            replace(
                r,
                "tests/made.rs",
                "one_value: 1, whole_block: 4,",
                "one_value: 1,",
            )
        },
        unchanged,
        &[("test_deleted", "change", "`counts!` names no `whole_block`")],
    ),
    (
        "a target of its own harness prints that everything is ok",
        |r| {
            append(
                r,
                "Cargo.toml",
                "\n[[test]]\nname = \"unit\"\nharness = false\n",
            )
        },
        unchanged,
        &[("test_cfg_narrowed", "change", "test.unit.harness")],
    ),
    (
        "a target asks for a feature that nobody turns on",
        |r| {
            replace(
                r,
                "Cargo.toml",
                "required-features = [\"path-tests\"]",
                "required-features = [\"path-tests\", \"never\"]",
            );
            replace(
                r,
                "Cargo.toml",
                "path-tests = []",
                "path-tests = []\nnever = []",
            );
        },
        unchanged,
        &[("test_cfg_narrowed", "change", "required-features")],
    ),
    (
        "cargo finds no tests by itself any more",
        |r| {
            replace(
                r,
                "Cargo.toml",
                "publish = false",
                "publish = false\nautotests = false",
            )
        },
        unchanged,
        &[("test_cfg_narrowed", "change", "package.autotests")],
    ),
    (
        "checks switched off for one package of a profile",
        |r| {
            append(
                r,
                "Cargo.toml",
                "\n[profile.test.package.\"*\"]\noverflow-checks = false\n",
            )
        },
        unchanged,
        &[(
            "checks_disabled",
            "change",
            "profile.test.package.*.overflow-checks",
        )],
    ),
    // code from outside of the tree
    (
        "a dependency by a path of this machine",
        |r| {
            append(
                r,
                "Cargo.toml",
                "\n[dependencies]\nhelper = { path = \"/tmp/helper\" }\n",
            )
        },
        unchanged,
        &[("path_leaves_tree", "change", "Cargo.toml: `/tmp/helper`")],
    ),
    (
        "a dependency above the tree",
        |r| {
            append(
                r,
                "Cargo.toml",
                "\n[target.'cfg(unix)'.dependencies]\nhelper = { path = \"src/../../helper\" }\n",
            )
        },
        unchanged,
        &[("path_leaves_tree", "change", "src/../../helper")],
    ),
    (
        "a build script of this machine",
        |r| {
            replace(
                r,
                "Cargo.toml",
                "publish = false",
                "publish = false\nbuild = \"/tmp/build.rs\"",
            )
        },
        unchanged,
        &[("path_leaves_tree", "change", "/tmp/build.rs")],
    ),
    (
        "a module of this machine",
        |r| {
            append(
                r,
                "src/lib.rs",
                "\n#[path = \"/tmp/totals.rs\"]\npub mod more;\n",
            )
        },
        unchanged,
        &[(
            "path_leaves_tree",
            "change",
            "src/lib.rs:11: `/tmp/totals.rs`",
        )],
    ),
    (
        "a module of this machine under a condition",
        |r| {
            append(
                r,
                "src/lib.rs",
                "\n#[cfg_attr(unix, path = \"/tmp/totals.rs\")]\npub mod more;\n",
            )
        },
        unchanged,
        &[("path_leaves_tree", "change", "`/tmp/totals.rs`")],
    ),
    (
        "a member of the workspace beside the tree",
        |r| {
            replace(
                r,
                "Cargo.toml",
                "[workspace]\n",
                "[workspace]\nmembers = [\"../other\"]\n",
            )
        },
        unchanged,
        &[("path_leaves_tree", "change", "`../other`")],
    ),
    (
        "an included file above the tree",
        |r| append(r, BLOCKS, "\ninclude!(\"../../totals.rs\");\n"),
        unchanged,
        &[("path_leaves_tree", "change", "`../../totals.rs`")],
    ),
    (
        "a patch of a registry's crate",
        |r| {
            append(
                r,
                "Cargo.toml",
                "\n[patch.crates-io]\nserde = { path = \"src\" }\n",
            )
        },
        unchanged,
        &[("hostile_cargo_config", "change", "patch.crates-io.serde")],
    ),
    (
        "configuration of cargo by its old name, in a folder, in other letters",
        |r| {
            write(
                r,
                "src/.cargo/config",
                "[build]\nrustflags = [\"--cfg\", \"fast\"]\n",
            );
            write(r, "tests/.Cargo/config.toml", "[env]\nRUSTFLAGS = \"-A\"\n");
        },
        unchanged,
        &[
            (
                "hostile_cargo_config",
                "change",
                "src/.cargo/config sets `build.rustflags`",
            ),
            (
                "hostile_cargo_config",
                "change",
                "tests/.Cargo/config.toml sets `env.RUSTFLAGS`",
            ),
        ],
    ),
    (
        "a toolchain by its old name",
        |r| write(r, "rust-toolchain", "nightly\n"),
        unchanged,
        &[("protected_path", "change", "rust-toolchain")],
    ),
    // what the runner makes of a checkout
    (
        "attributes that turn other bytes out at the runner",
        |r| {
            write(
                r,
                "src/.gitattributes",
                "blocks.rs eol=crlf ident export-subst\n",
            )
        },
        unchanged,
        &[("protected_path", "change", "src/.gitattributes")],
    ),
    (
        "an action that the protected workflow calls",
        |r| {
            write(
                r,
                ".github/actions/setup/action.yml",
                "runs:\n  using: composite\n",
            )
        },
        unchanged,
        &[(
            "protected_path",
            "change",
            ".github/actions/setup/action.yml",
        )],
    ),
    (
        "the approver's list of keys",
        |r| append(r, "allowed_signers", "agent@example.org ssh-ed25519 AAAA\n"),
        unchanged,
        &[("protected_path", "change", "allowed_signers")],
    ),
    (
        "a name that some file systems take for another file's",
        |r| write(r, "src/Blocks.rs", "//! Totals.\n"),
        unchanged,
        &[("path_collides", "change", "src/Blocks.rs and src/blocks.rs")],
    ),
    (
        "names that one file system cuts to another's",
        |r| {
            write(r, "src/blocks.rs.", "//! Totals.\n");
            write(r, "src/reference.rs::$DATA", "//! Totals.\n");
            write(r, "src/aux.rs", "//! Totals.\n");
        },
        unchanged,
        &[
            ("escaped_path", "change", "src/blocks.rs."),
            ("escaped_path", "change", "src/reference.rs::$DATA"),
            ("escaped_path", "change", "src/aux.rs"),
        ],
    ),
    // what is read is not what is compiled
    (
        "a carriage return that hides the line before it",
        |r| before_the_loop(r, "// exactly as before: \r// carried"),
        unchanged,
        &[("hidden_character", "change", "src/blocks.rs:8")],
    ),
    (
        "an escape sequence that erases a line of the card",
        |r| before_the_loop(r, "// \u{1b}[1A\u{1b}[2K"),
        unchanged,
        &[("hidden_character", "change", "src/blocks.rs:8")],
    ),
    (
        "a line separator, after which a comment goes on",
        |r| before_the_loop(r, "// carried\u{2028}    let carried = true;"),
        unchanged,
        &[("hidden_character", "change", "src/blocks.rs:8")],
    ),
    (
        "a character of no width in a text that is compared",
        |r| before_the_loop(r, "let _ = \"ta\u{200b}lly\";"),
        unchanged,
        &[("hidden_character", "change", "src/blocks.rs:8")],
    ),
    // switches that stay off
    (
        "a variable of the environment by a constant's name",
        |r| {
            before_the_loop(
                r,
                "if std::env::var_os(SWITCH).is_none() {\n        return out;\n    }",
            );
            append(r, BLOCKS, "\nconst SWITCH: &str = \"TALLY_FIXED\";\n");
        },
        unchanged,
        &[("fallback_default_off", "change", "SWITCH")],
    ),
    (
        "a variable of the environment by an imported function",
        |r| {
            replace(
                r,
                BLOCKS,
                "use crate::BLOCK;",
                "use std::env::{args, var_os};\n\nuse crate::BLOCK;",
            );
            before_the_loop(
                r,
                "if args().count() > 9 || var_os(\"TALLY_FIXED\").is_none() {\n        return out;\n    }",
            );
        },
        unchanged,
        &[("fallback_default_off", "change", "var_os")],
    ),
    // the thermometer
    (
        "the line that would show the failure is no longer printed",
        |r| {
            replace(
                r,
                TESTS,
                "        telemetry.line(\"FIRST_DIVERGENCE\", &fields);\n",
                "        let _ = fields;\n",
            )
        },
        unchanged,
        &[
            ("telemetry_removed", "prediction[0]", "first_divergence"),
            ("telemetry_removed", "rollback_if[0]", "first_divergence"),
        ],
    ),
    (
        "a marker that rollback conditions read is renamed",
        |r| replace(r, TESTS, "\"[BACKEND]\"", "\"[BACKENDS]\""),
        |d| {
            d.rollback_if
                .push("present backend{cpu_fallback=true}".into())
        },
        &[("telemetry_removed", "rollback_if[1]", "backend")],
    ),
    // the claim's own test
    (
        "a test that reads the source and not the behaviour",
        |r| {
            write(
                r,
                "tests/pin.rs",
                "#[test]\nfn chunks_are_used() {\n    assert!(include_str!(\"../src/blocks.rs\").contains(\".chunks(\"));\n}\n",
            )
        },
        |d| {
            let pin = d.pinned_test.as_mut().unwrap();
            pin.target = "pin".into();
            pin.name = "chunks_are_used".into();
            pin.files = vec!["tests/pin.rs".into()];
        },
        &[("pinned_test_impure", "pinned_test.files", "tests/pin.rs")],
    ),
];

#[test]
fn a_change_carries_nothing_but_what_it_shows() {
    let bench = Bench::with(|clone| write(clone, "tests/made.rs", MADE));
    Field::over(bench).play(CHANGES);
}

/// Somebody else's commit came meanwhile; a patch on the older one would take it back unseen.
#[test]
fn a_patch_on_an_older_base_shows_what_it_takes_back() {
    let field = Field::over(Bench::new());
    let clone = field.bench.clone_path();
    let git = |args: &[&str]| run(&clone, "git", args);
    let base = git(&["rev-parse", "origin/main"]);
    let patch = git(&["diff", "--binary", &base, &field.honest]) + "\n";
    git(&["checkout", "-q", "-f", "-B", "other", "origin/main"]);
    append(
        &clone,
        "src/reference.rs",
        "\n/// Nothing.\npub fn nothing() {}\n",
    );
    git(&["commit", "-q", "-am", "elsewhere"]);
    git(&["push", "-q", "origin", "HEAD:main"]);
    let mut draft = field.draft(&field.honest);
    draft.change = service::api::ChangeView::Patch { patch, base };
    let refused = field.check(&draft).unwrap();
    super::only(
        &refused,
        ("hunk_outside_sites", "sites", "src/reference.rs"),
    );
}
