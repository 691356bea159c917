//! Checking a claim whose diff has 2,000 lines, against parsing its files alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use attest::claim::{ClaimKind, PinnedTest, Site};
use discipline::change::{ChangeClaim, facts};
use discipline::diff::{Diff, FileChange, FileMode, FileSide};
use discipline::policy::Policy;

use crate::table::{at_most, fastest, print, within};

/// Lines that the diff changes.
const LINES: u32 = 2_000;
/// Files that they lie in; one of them holds tests.
const FILES: u32 = 20;
/// What a check may take.
const BOUND: Duration = Duration::from_secs(1);
/// How much more than parsing both sides of every file it may take.
const OVER_PARSING: f64 = 6.0;

type Tree = BTreeMap<String, String>;

pub(crate) fn run(rounds: usize) -> anyhow::Result<()> {
    let (base, head) = (tree(false), tree(true));
    let diff = diff(&base, &head);
    let policy = Policy::parse("schema = 1\n")?;
    let sites: Vec<Site> = base
        .iter()
        .map(|(file, text)| Site {
            file: file.clone(),
            function: None,
            line_start: 1,
            line_end: u32::try_from(text.lines().count()).unwrap_or(u32::MAX),
        })
        .collect();
    let pin = PinnedTest {
        package: "engine".into(),
        target: "stages".into(),
        name: "stage_0".into(),
        files: Vec::new(),
    };
    let claim = ChangeClaim {
        kind: ClaimKind::Fix,
        sites: &sites,
        pinned_test: Some(&pin),
    };
    let look = |tree: &Tree, path: &str| tree.get(path).map(|text| text.clone().into_bytes());
    let (mut checked, mut parsed) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        let sources = base
            .iter()
            .chain(&head)
            .filter(|(path, _)| path.ends_with(".rs"));
        for (_, text) in sources {
            syn::parse_file(text)?;
        }
        parsed.push(start.elapsed());
        let start = Instant::now();
        let found = facts(&diff, &claim, &policy, &|path| look(&base, path), &|path| {
            look(&head, path)
        })?;
        checked.push(start.elapsed());
        let changed = found.behavioural_lines + found.mechanical_lines;
        ensure!(changed >= LINES, "the diff has {changed} lines only");
        ensure!(found.findings.is_empty(), "{:?}", found.findings);
    }
    let (check, parse) = (fastest(&checked), fastest(&parsed));
    let rows = [
        within(
            format!("a claim of {LINES} changed lines in {FILES} files checked"),
            check,
            BOUND,
        ),
        at_most(
            "the same / parsing both sides of its files".to_owned(),
            check.as_secs_f64() / parse.as_secs_f64().max(1e-6),
            OVER_PARSING,
        ),
    ];
    let missed = print(&rows, &mut std::io::stdout())?;
    ensure!(missed == 0, "{missed} of {} bounds are missed", rows.len());
    Ok(())
}

/// Sources of a crate; of the head every second statement reads otherwise.
fn tree(head: bool) -> Tree {
    let per_file = LINES / FILES / 2;
    let source = |file: u32| {
        let mut text =
            String::from("//! Stages of a graph.\n\nuse crate::graph::{Node, Plan};\n\n");
        for number in 0..per_file {
            let (bytes, barrier) = match head {
                false => ("bytes", "stage"),
                true => ("bytes + node.padding()", "stage.after(plan)"),
            };
            let _ = writeln!(
                text,
                "/// Stage {number} of file {file}.\npub fn stage_{file}_{number}(plan: &mut Plan, node: &Node) -> Result<u64, Error> {{\n    \
                 let bytes = node.inputs().iter().map(|input| input.bytes).sum::<u64>();\n    \
                 let stage = plan.begin(node, {bytes})?;\n    \
                 for input in node.inputs() {{\n        plan.read(input, {barrier})?;\n    }}\n    \
                 Ok(plan.end(node) + {number})\n}}\n"
            );
        }
        text
    };
    let tests = || {
        let mut text = String::from("//! Stages.\n\nuse engine::plan;\n\n");
        for number in 0..per_file {
            let wanted = if head { "plan::padded" } else { "plan::bytes" };
            let _ = writeln!(
                text,
                "#[test]\nfn stage_{number}() {{\n    let plan = plan::of({number});\n    \
                 assert_eq!({wanted}(&plan), {number}, \"stage {number}\");\n    assert!(plan.fits());\n}}\n"
            );
        }
        text
    };
    let mut tree: Tree = (1..FILES)
        .map(|file| (format!("engine/src/stage_{file}.rs"), source(file)))
        .collect();
    tree.insert("engine/tests/stages.rs".into(), tests());
    tree.insert(
        "engine/Cargo.toml".into(),
        "[package]\nname = \"engine\"\n".into(),
    );
    tree.insert(
        "Cargo.toml".into(),
        "[workspace]\nmembers = [\"engine\"]\n".into(),
    );
    tree
}

fn diff(base: &Tree, head: &Tree) -> Diff {
    let side = |text: &String| FileSide {
        mode: FileMode::Regular,
        oid: attest::digest::Digest::of(text.as_bytes()).to_hex()[..40].to_owned(),
        content: text.clone().into_bytes(),
    };
    let files = base
        .iter()
        .filter(|(path, text)| head.get(*path) != Some(*text));
    Diff {
        base_tree: "b".repeat(40),
        head_tree: "c".repeat(40),
        files: files
            .map(|(path, text)| FileChange {
                path: path.clone(),
                path_escaped: false,
                old: Some(side(text)),
                new: head.get(path).map(side),
            })
            .collect(),
    }
}
