//! Dishonest variants of one honest claim: each rule violated in at least two ways, each refused for
//! the reason that names it, and for no other.

use std::fs;
use std::path::Path;

use service::api;

use crate::support::{Bench, RED_TEST, SCOPE, run};

/// What a variant does to the agent's tree on top of the honest fix.
pub type Tree = fn(&Path);
/// What it does to the claim.
pub type Claim = fn(&mut api::ClaimDraft);
/// Name, tree, claim, and every code that must come back, sorted.
type Row = (&'static str, Tree, Claim, &'static [&'static str]);

pub const TESTS: &str = "tests/paths.rs";
pub const BLOCKS: &str = "src/blocks.rs";
pub const BLOCKS_LINES: u32 = 28;

pub fn as_it_is(_: &Path) {}
pub fn unchanged(_: &mut api::ClaimDraft) {}

pub fn replace(root: &Path, file: &str, from: &str, to: &str) {
    let path = root.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no `{from}`");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

pub fn append(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    let old = fs::read_to_string(&path).unwrap_or_default();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, old + text).unwrap();
}

fn policy_line(root: &Path, from: &str, to: &str) {
    replace(root, "greenloop.toml", from, to);
}

const ROWS: &[Row] = &[
    // tests weakened
    (
        "a test is deleted",
        |r| {
            replace(
                r,
                TESTS,
                "#[test]\nfn path_equivalence_empty() {\n    compare(0);\n}\n",
                "",
            )
        },
        unchanged,
        &["test_deleted"],
    ),
    (
        "a test loses its attribute",
        |r| {
            replace(
                r,
                TESTS,
                "#[test]\nfn path_equivalence_empty",
                "fn path_equivalence_empty",
            )
        },
        unchanged,
        &["test_deleted"],
    ),
    (
        "a test is renamed away",
        |r| {
            replace(
                r,
                TESTS,
                "fn path_equivalence_empty() {\n    compare(0);",
                "fn nothing_of_note() {\n    let _ = values(0);",
            )
        },
        unchanged,
        &["test_deleted"],
    ),
    (
        "a test is ignored",
        |r| {
            replace(
                r,
                TESTS,
                "#[test]\nfn path_equivalence_empty",
                "#[test]\n#[ignore]\nfn path_equivalence_empty",
            )
        },
        unchanged,
        &["test_ignored"],
    ),
    (
        "a test is ignored with a reason",
        |r| {
            replace(
                r,
                TESTS,
                "#[test]\nfn path_equivalence_empty",
                "#[test]\n#[ignore = \"slow\"]\nfn path_equivalence_empty",
            )
        },
        unchanged,
        &["test_ignored"],
    ),
    (
        "a test is compiled out",
        |r| {
            replace(
                r,
                TESTS,
                "#[test]\nfn path_equivalence_empty",
                "#[cfg(windows)]\n#[test]\nfn path_equivalence_empty",
            )
        },
        unchanged,
        &["test_cfg_narrowed"],
    ),
    (
        "a test file is compiled out",
        |r| {
            replace(
                r,
                TESTS,
                "use tally::{blocks, reference};",
                "#![cfg(not(unix))]\nuse tally::{blocks, reference};",
            )
        },
        unchanged,
        &["test_cfg_narrowed"],
    ),
    (
        "a test returns before it asserts",
        |r| {
            replace(
                r,
                TESTS,
                "let (want, got) =",
                "if len == 0 {\n        return;\n    }\n    let (want, got) =",
            )
        },
        unchanged,
        &["test_returns_early"],
    ),
    (
        "an assertion is removed",
        |r| {
            replace(
                r,
                TESTS,
                "    assert_eq!(\n        want, got,\n        \"running totals of {len} values differ between the paths\"\n    );\n",
                "",
            )
        },
        unchanged,
        &["assertion_removed"],
    ),
    (
        "an assertion is made empty",
        |r| {
            replace(
                r,
                TESTS,
                "    assert_eq!(\n        want, got,\n",
                "    assert_eq!(\n        got, got,\n",
            )
        },
        unchanged,
        &["assertion_removed"],
    ),
    (
        "a test is expected to fail",
        |r| {
            replace(
                r,
                TESTS,
                "#[test]\nfn path_equivalence_empty",
                "#[test]\n#[should_panic]\nfn path_equivalence_empty",
            )
        },
        unchanged,
        &["test_inverted"],
    ),
    // hidden failures in product code
    (
        "an unwrap",
        |r| {
            append(
                r,
                BLOCKS,
                "\n/// The last total.\npub fn last(values: &[i64]) -> i64 {\n    *totals(values).last().unwrap()\n}\n",
            )
        },
        unchanged,
        &["panic_added"],
    ),
    (
        "a panic",
        |r| {
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    if values.len() > 1 << 20 {\n        panic!(\"too long\");\n    }\n    let mut carry = 0;\n    for",
            )
        },
        unchanged,
        &["panic_added"],
    ),
    (
        "an expect",
        |r| {
            append(
                r,
                BLOCKS,
                "\n/// The last total.\npub fn last(values: &[i64]) -> i64 {\n    *totals(values).last().expect(\"a value\")\n}\n",
            )
        },
        unchanged,
        &["panic_added"],
    ),
    (
        "a stub",
        |r| {
            append(
                r,
                BLOCKS,
                "\n/// The first total.\npub fn first(_: &[i64]) -> i64 {\n    todo!()\n}\n",
            )
        },
        unchanged,
        &["stub_added"],
    ),
    (
        "unimplemented code",
        |r| {
            append(
                r,
                BLOCKS,
                "\n/// The first total.\npub fn first(_: &[i64]) -> i64 {\n    unimplemented!()\n}\n",
            )
        },
        unchanged,
        &["stub_added"],
    ),
    (
        "work left for later",
        |r| {
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    // TODO: the same for pairs\n    let mut carry = 0;\n    for",
            )
        },
        unchanged,
        &["todo_comment_added"],
    ),
    (
        "a note to fix it later",
        |r| {
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    // FIXME short blocks\n    let mut carry = 0;\n    for",
            )
        },
        unchanged,
        &["todo_comment_added"],
    ),
    (
        "a silenced lint",
        |r| {
            replace(
                r,
                BLOCKS,
                "/// The running total after each value.\npub fn totals",
                "/// The running total after each value.\n#[allow(unused)]\npub fn totals",
            )
        },
        unchanged,
        &["allow_added"],
    ),
    (
        "a silenced crate",
        |r| {
            replace(
                r,
                "src/lib.rs",
                "pub mod blocks;",
                "#![allow(dead_code)]\npub mod blocks;",
            )
        },
        unchanged,
        &["allow_added"],
    ),
    // what never runs
    (
        "a function that nothing calls",
        |r| {
            append(
                r,
                BLOCKS,
                "\nfn dump(out: &[i64]) -> usize {\n    out.len()\n}\n",
            )
        },
        unchanged,
        &["symbol_unused"],
    ),
    (
        "a limit that nothing reads",
        |r| append(r, "src/lib.rs", "\nconst MOST: usize = 9;\n"),
        unchanged,
        &["symbol_unused"],
    ),
    (
        "a fix behind a variable that no run sets",
        |r| {
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    if std::env::var_os(\"TALLY_FIXED\").is_none() {\n        return out;\n    }\n    let mut carry = 0;\n    for",
            )
        },
        unchanged,
        &["fallback_default_off"],
    ),
    (
        "a fix behind a feature that nothing turns on",
        |r| {
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    let carried = cfg!(feature = \"carried\");\n    let mut carry = if carried { 0 } else { 0 };\n    for",
            )
        },
        unchanged,
        &["fallback_default_off"],
    ),
    (
        "checks of the profile switched off",
        |r| {
            append(
                r,
                "Cargo.toml",
                "\n[profile.test]\noverflow-checks = false\n",
            )
        },
        unchanged,
        &["checks_disabled"],
    ),
    // nothing of substance
    (
        "instrumentation only",
        |r| {
            run(r, "git", &["checkout", "-q", "origin/main", "--", BLOCKS]);
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    eprintln!(\"totals of {}\", values.len());\n    let mut carry = 0;\n    for",
            );
        },
        unchanged,
        &["instrumentation_only"],
    ),
    (
        "a comment only",
        |r| {
            run(r, "git", &["checkout", "-q", "origin/main", "--", BLOCKS]);
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    // Carried from block to block.\n    let mut carry = 0;\n    for",
            );
        },
        unchanged,
        &["no_behavioural_change"],
    ),
    (
        "layout only",
        |r| {
            run(r, "git", &["checkout", "-q", "origin/main", "--", BLOCKS]);
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "\n    let mut carry =\n        0;\n    for",
            );
        },
        unchanged,
        &["no_behavioural_change"],
    ),
    (
        "the parent's own tree",
        |r| {
            run(r, "git", &["checkout", "-q", "origin/main", "--", BLOCKS]);
        },
        unchanged,
        &[
            "change_empty",
            "no_behavioural_change",
            "site_does_not_overlap",
        ],
    ),
    // the goal moved
    (
        "the law rides along",
        |r| {
            append(
                r,
                "invariants/INVARIANTS.md",
                "\nShort blocks may differ.\n",
            )
        },
        unchanged,
        &["protected_path"],
    ),
    (
        "the policy rides along",
        |r| policy_line(r, "timeout_s = 120", "timeout_s = 121"),
        unchanged,
        &["protected_path"],
    ),
    (
        "a workflow rides along",
        |r| append(r, ".github/workflows/paths.yml", "on: push\n"),
        unchanged,
        &["protected_path"],
    ),
    (
        "a toolchain rides along",
        |r| {
            append(
                r,
                "rust-toolchain.toml",
                "[toolchain]\nchannel = \"stable\"\n",
            )
        },
        unchanged,
        &["protected_path"],
    ),
    (
        "a runner in the cargo configuration",
        |r| {
            append(
                r,
                ".cargo/config.toml",
                "[target.x86_64-unknown-linux-gnu]\nrunner = \"true\"\n",
            )
        },
        unchanged,
        &["hostile_cargo_config", "protected_path"],
    ),
    (
        "a compiler wrapper in the cargo configuration",
        |r| {
            append(
                r,
                ".cargo/config.toml",
                "[build]\nrustc-wrapper = \"true\"\n",
            )
        },
        unchanged,
        &["hostile_cargo_config", "protected_path"],
    ),
    (
        "code in a policy change",
        as_it_is,
        |d| {
            d.kind = "policy_change".into();
            d.hypothesis_id = None;
            d.pinned_test = None;
        },
        &["code_in_policy_change", "policy_change_with_code"],
    ),
    // odd objects
    (
        "a link",
        |r| std::os::unix::fs::symlink("/etc/passwd", r.join("src/linked.rs")).unwrap(),
        unchanged,
        &["symlink_change"],
    ),
    (
        "a binary",
        |r| fs::write(r.join("src/table.bin"), [0u8, 159, 146, 150, 0]).unwrap(),
        unchanged,
        &["binary_change"],
    ),
    (
        "an invisible turn of the text",
        |r| {
            replace(
                r,
                BLOCKS,
                "    let mut carry = 0;\n    for",
                "    // \u{202e}carried\n    let mut carry = 0;\n    for",
            )
        },
        unchanged,
        &["bidi_control"],
    ),
    (
        "a file that is no Rust",
        |r| append(r, BLOCKS, "\nfn (\n"),
        unchanged,
        &["does_not_parse"],
    ),
    (
        "a mode changed",
        |r| {
            run(r, "chmod", &["+x", "src/lib.rs"]);
        },
        unchanged,
        &["mode_change"],
    ),
    // places
    (
        "a hunk outside the declared sites",
        |r| {
            append(
                r,
                BLOCKS,
                "\n/// Twice.\npub fn twice(value: i64) -> i64 {\n    value + value\n}\n",
            )
        },
        |d| {
            d.sites.truncate(1);
            d.sites[0].line_end = 14;
        },
        &["hunk_outside_sites"],
    ),
    (
        "a site that does not exist",
        as_it_is,
        |d| d.sites[0].file = "src/gone.rs".into(),
        &["hunk_outside_sites", "site_missing"],
    ),
    (
        "lines that do not exist",
        as_it_is,
        |d| d.sites[0].line_end = 900,
        &["site_missing"],
    ),
    (
        "another function",
        as_it_is,
        |d| d.sites[0].function = Some("block_count".into()),
        &["site_missing"],
    ),
    (
        "a site beside the change",
        as_it_is,
        |d| {
            d.sites.push(api::SiteView {
                file: BLOCKS.into(),
                function: None,
                line_start: 16,
                line_end: 20,
            })
        },
        &["site_does_not_overlap"],
    ),
    // the invariant
    (
        "no law",
        as_it_is,
        |d| d.failing_invariant = None,
        &["failing_invariant_missing"],
    ),
    (
        "a law that nobody wrote",
        as_it_is,
        |d| {
            d.failing_invariant = Some("§9".into());
            d.message = d.message.replace("§1", "§9");
        },
        &["invariant_unknown"],
    ),
    // evidence
    (
        "no evidence",
        as_it_is,
        |d| d.evidence.clear(),
        &["evidence_missing"],
    ),
    (
        "bytes past the end of the log",
        as_it_is,
        |d| d.evidence[0].byte_end += 1 << 30,
        &["evidence_not_found"],
    ),
    (
        "lines that are not those bytes",
        as_it_is,
        |d| {
            d.evidence[0].line_start += 1;
            d.evidence[0].line_end += 1;
        },
        &["evidence_not_found"],
    ),
    (
        "a log that nobody stored",
        as_it_is,
        |d| d.evidence[0].log_id = format!("sha256:{}", "0".repeat(64)),
        &["evidence_not_found"],
    ),
    (
        "no baseline",
        as_it_is,
        |d| d.baseline_run = None,
        &["baseline_run_missing"],
    ),
    (
        "a run that never was",
        as_it_is,
        |d| d.baseline_run = Some("R77".into()),
        &["baseline_run_unknown"],
    ),
    // the cause
    (
        "no hypothesis",
        as_it_is,
        |d| d.hypothesis_id = None,
        &["hypothesis_missing"],
    ),
    (
        "a hypothesis that nobody opened",
        as_it_is,
        |d| d.hypothesis_id = Some("H9".into()),
        &["hypothesis_unknown"],
    ),
    (
        "no reasoning",
        as_it_is,
        |d| d.reasoning = String::new(),
        &["reasoning_missing"],
    ),
    (
        "a shrug",
        as_it_is,
        |d| d.reasoning = "fixes it".into(),
        &["reasoning_too_short"],
    ),
    // predictions
    (
        "no prediction",
        as_it_is,
        |d| d.prediction.clear(),
        &["prediction_missing"],
    ),
    (
        "only what holds today",
        as_it_is,
        |d| {
            d.prediction = vec![format!(
                "cargo_test{{name=path_equivalence_whole_blocks}}.outcome == ok"
            )]
        },
        &["prediction_already_holds"],
    ),
    (
        "a marker that does not exist",
        as_it_is,
        |d| d.prediction[0] = "absent no_such_marker".into(),
        &["marker_unknown"],
    ),
    (
        "a recovery that is only non-zero",
        as_it_is,
        |d| d.prediction = vec!["all first_divergence.gpu != 0".into()],
        &["recovery_is_not_equality"],
    ),
    (
        "a recovery that is only larger",
        as_it_is,
        |d| d.prediction = vec!["all first_divergence{kind=zeros}.gpu > 0".into()],
        &["recovery_is_not_equality"],
    ),
    (
        "a sentence for a prediction",
        as_it_is,
        |d| d.prediction[0] = "the totals are right".into(),
        &["predicate_malformed"],
    ),
    (
        "a cell that will not run",
        as_it_is,
        |d| d.prediction[0] = "absent first_divergence @release".into(),
        &["cell_unknown"],
    ),
    (
        "what summary mode cannot show",
        as_it_is,
        |d| {
            d.prediction
                .push("all gpu_perdispatch.sum_us < 10us".into())
        },
        &["prediction_unobservable"],
    ),
    // guards
    (
        "no guard",
        as_it_is,
        |d| d.guards.clear(),
        &["guard_missing"],
    ),
    (
        "a guard that is broken today",
        as_it_is,
        |d| d.guards[0].predicate = format!("cargo_test{{name={RED_TEST}}}.outcome == ok"),
        &["guard_broken_today", "guard_missing"],
    ),
    (
        "a guard of a scope that does not exist",
        as_it_is,
        |d| {
            d.guards.push(api::GuardView {
                scope: "elsewhere".into(),
                predicate: "absent first_divergence".into(),
            })
        },
        &["guard_scope_unknown"],
    ),
    // gates
    (
        "no gates",
        as_it_is,
        |d| d.gates.clear(),
        &["gates_missing"],
    ),
    (
        "without the gate that the change asks for",
        as_it_is,
        |d| d.gates.retain(|gate| gate != "paths"),
        &["gate_required"],
    ),
    (
        "a gate that the policy lacks",
        as_it_is,
        |d| d.gates.push("everything".into()),
        &["gate_unknown"],
    ),
    (
        "one gate twice",
        as_it_is,
        |d| d.gates.push("unit".into()),
        &["gate_named_twice"],
    ),
    // the pinned test
    (
        "no pinned test",
        as_it_is,
        |d| d.pinned_test = None,
        &["pinned_test_missing"],
    ),
    (
        "a test that does not exist",
        as_it_is,
        |d| d.pinned_test.as_mut().unwrap().name = "path_equivalence_nothing".into(),
        &["pinned_test_not_found"],
    ),
    (
        "product code among the test's files",
        as_it_is,
        |d| d.pinned_test.as_mut().unwrap().files = vec![BLOCKS.into()],
        &["pinned_test_impure"],
    ),
    // rollback, budget, message
    (
        "no rollback condition",
        as_it_is,
        |d| d.rollback_if.clear(),
        &["rollback_missing"],
    ),
    (
        "a rollback condition that holds already",
        as_it_is,
        |d| d.rollback_if[0] = "present first_divergence{kind=zeros}".into(),
        &["rollback_already_holds"],
    ),
    (
        "no minutes",
        as_it_is,
        |d| d.budget.runner_minutes = 0,
        &["budget_without_minutes"],
    ),
    (
        "no runs",
        as_it_is,
        |d| d.budget.runs = 0,
        &["budget_without_runs"],
    ),
    (
        "more than a day has",
        as_it_is,
        |d| d.budget.runner_minutes = 600,
        &["budget_exceeded"],
    ),
    (
        "cancels a run that does not live",
        as_it_is,
        |d| d.budget.cancels = vec!["R1".into()],
        &["budget_cancels_no_live_run"],
    ),
    (
        "no message",
        as_it_is,
        |d| d.message = String::new(),
        &["message_missing"],
    ),
    (
        "a message that hides the law",
        as_it_is,
        |d| d.message = "blocks: total the last block".into(),
        &["message_without_invariant"],
    ),
    (
        "a forged trailer",
        as_it_is,
        |d| d.message.push_str("\n\nClaim-Id: C99"),
        &["message_forges_trailer"],
    ),
    // kinds
    (
        "a baseline that changes files",
        as_it_is,
        |d| {
            d.kind = "baseline".into();
        },
        &[
            "baseline_changes_files",
            "baseline_changes_tree",
            "signal_exists",
        ],
    ),
    (
        "a rollback of nothing",
        as_it_is,
        |d| {
            d.kind = "rollback".into();
        },
        &["rollback_not_due"],
    ),
    (
        "a scope that the policy lacks",
        as_it_is,
        |d| d.proof_scope = "elsewhere".into(),
        &[
            "baseline_other_scope",
            "evidence_other_scope",
            "hypothesis_other_scope",
            "proof_scope_unknown",
        ],
    ),
];

/// Declares every file that the variant changes beyond the honest site, as a whole.
pub fn declare(clone: &Path, draft: &mut api::ClaimDraft, commit: &str) {
    let changed = run(
        clone,
        "git",
        &["diff", "--name-only", "origin/main", commit],
    );
    for file in changed.lines().filter(|file| *file != BLOCKS) {
        let counted = run(
            clone,
            "git",
            &[
                "grep",
                "-c",
                "",
                "origin/main",
                "--",
                file,
                "greenloop.toml",
            ],
        );
        let of_file = counted
            .lines()
            .find_map(|line| line.strip_prefix(&format!("origin/main:{file}:")));
        let lines: u32 = of_file.map_or(0, |count| count.parse().unwrap());
        draft.sites.push(api::SiteView {
            file: file.into(),
            function: None,
            line_start: lines.min(1),
            line_end: lines,
        });
    }
}

#[test]
fn every_dishonest_variant_is_refused_for_its_reason() {
    assert!(ROWS.len() >= 60, "{} variants", ROWS.len());
    let bench = Bench::new();
    let red = bench.run_scope();
    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(&loop_id, "h1", "skipped_work", "the last block is skipped");
    let honest = bench.fix();
    let clone = bench.clone_path();
    let check = |draft: &api::ClaimDraft| {
        let request = api::CheckClaimRequest {
            loop_id: loop_id.clone(),
            draft: draft.clone(),
        };
        bench.agent(request)
    };
    let draft = bench.good_draft(&red, &hypothesis, &honest);
    assert_eq!(check(&draft).unwrap().refused, []);
    let mut wrong = Vec::new();
    for (name, tree, claim, expected) in ROWS {
        run(
            &clone,
            "git",
            &["checkout", "-q", "-f", "-B", "variant", &honest],
        );
        run(&clone, "git", &["clean", "-qfdx"]);
        tree(&clone);
        run(&clone, "git", &["add", "-A"]);
        run(
            &clone,
            "git",
            &["commit", "-q", "--allow-empty", "-m", "variant"],
        );
        let commit = run(&clone, "git", &["rev-parse", "HEAD"]);
        let mut variant = bench.good_draft(&red, &hypothesis, &commit);
        (variant.sites[0].line_start, variant.sites[0].line_end) = (1, BLOCKS_LINES);
        variant.sites[0].function = None;
        declare(&clone, &mut variant, &commit);
        claim(&mut variant);
        let mut found: Vec<String> = match check(&variant) {
            Ok(answer) => answer
                .refused
                .into_iter()
                .map(|refusal| {
                    assert!(
                        !refusal.reason.is_empty() && !refusal.remedy.is_empty(),
                        "{name}: {refusal:?}"
                    );
                    refusal.code
                })
                .collect(),
            Err(error) => vec![format!("error: {error}")],
        };
        found.sort();
        found.dedup();
        if found != *expected {
            wrong.push(format!("{name}: {found:?}, expected {expected:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} ({SCOPE}):\n{}",
        wrong.len(),
        ROWS.len(),
        wrong.join("\n")
    );
}
