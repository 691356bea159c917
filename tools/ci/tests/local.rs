//! The local source with real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ci::{CellOutcome, CiError, Hooks, ScopeRun, Workplace, run_scope};
use discipline::model::{Conclusion, ProcessExit, WhyEmpty};
use discipline::policy::ScopePolicy;
use exec::{Cancel, Lease, Toolchain, TryLease};
use markers::Catalogue;
use memory::Memory;

#[allow(dead_code, reason = "each binary uses a part of it")]
mod memory;

struct Bench {
    folder: tempfile::TempDir,
    toolchain: Toolchain,
    catalogue: Catalogue,
    environment: BTreeMap<OsString, OsString>,
    cancel: Cancel,
    groups: Vec<String>,
    logs: BTreeMap<String, String>,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tree", "target", "home", "cargo"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Bench {
            folder,
            toolchain: Toolchain::resolve().unwrap(),
            catalogue: Catalogue::builtin().unwrap(),
            environment: [
                ("DRIVER".into(), "soft".into()),
                ("SECRET".into(), "x".into()),
            ]
            .into(),
            cancel: Cancel::new().unwrap(),
            groups: Vec::new(),
            logs: BTreeMap::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&mut self, policy: &str, lease: Option<&Path>) -> Result<Vec<CellOutcome>, CiError> {
        let policy: ScopePolicy = toml::from_str(policy).unwrap();
        let mut sink = Memory::default();
        let (tree, target) = (self.path("tree"), self.path("target"));
        let (home, cargo_home) = (self.path("home"), self.path("cargo"));
        let run = ScopeRun {
            scope: "s",
            policy: &policy,
            only: None,
            place: Workplace {
                tree: &tree,
                target: &target,
                home: &home,
                cargo_home: &cargo_home,
            },
            toolchain: &self.toolchain,
            environment: &self.environment,
            catalogue: &self.catalogue,
            lease,
            lease_wait: Duration::ZERO,
        };
        let mut groups = Vec::new();
        let mut ended = 0;
        let outcome = run_scope(
            &run,
            &mut sink,
            &mut Hooks {
                cancel: &self.cancel,
                clock: &SystemTime::now,
                on_group: &mut |group, purpose| {
                    groups.push(format!("{} {purpose}", group.pgid > 1));
                    Ok(())
                },
                off_group: &mut |_| ended += 1,
                on_progress: &mut |_| {},
                on_cell: &mut |_| {},
            },
        );
        assert_eq!(
            groups.len(),
            ended,
            "every group that began was reported gone"
        );
        self.groups = groups;
        let logs = sink.by_cell();
        self.logs = logs
            .iter()
            .map(|(k, v)| (k.clone(), String::from_utf8_lossy(v).into()))
            .collect();
        outcome
    }
}

/// Lines without their stamps; every line must have one of GitHub's form.
fn unstamped(log: &str) -> Vec<&str> {
    log.lines()
        .map(|line| {
            let (stamp, rest) = line.split_at(29);
            assert!(
                stamp.ends_with("Z ") && stamp.as_bytes()[10] == b'T',
                "{line}"
            );
            rest
        })
        .collect()
}

#[test]
fn cells_see_their_own_environment_and_nothing_else() {
    let mut bench = Bench::new();
    let outcomes = bench
        .run(
            r#"
            package = "p"
            argv = ["sh", "-c", "echo \"$CELL/$DRIVER/$SECRET/$SHLVL\"; test $CELL = a"]
            cells = [{ name = "a", env = { CELL = "a" } }, { name = "b", env = { CELL = "b" } }]
            pass_env = ["DRIVER"]
            "#,
            None,
        )
        .unwrap();
    let conclusions: Vec<_> = outcomes
        .iter()
        .map(|o| o.job.conclusion.clone().unwrap())
        .collect();
    assert_eq!(conclusions, [Conclusion::Success, Conclusion::Failure]);
    let green = unstamped(&bench.logs["a"]);
    assert!(green[0].starts_with("##[group]Run sh -c"), "{green:?}");
    assert!(green.contains(&"  DRIVER: soft") && green.contains(&"  CELL: a"));
    assert!(!bench.logs["a"].contains("SECRET: "), "not even named");
    assert_eq!(&green[green.len() - 2..], ["##[endgroup]", "a/soft//"]);
    let red = unstamped(&bench.logs["b"]);
    assert_eq!(
        &red[red.len() - 2..],
        ["b/soft//", "##[error]Process completed with exit code 1."]
    );
    assert_eq!(outcomes[1].job.steps[0].exit, ProcessExit::Code(1));
    assert_eq!(
        outcomes[1].job.log.as_ref().unwrap().lines,
        red.len() as u64
    );
    assert_eq!(
        bench.groups,
        ["true run of scope s, cell a", "true run of scope s, cell b"]
    );
}

#[test]
fn a_variable_that_would_change_the_build_is_refused() {
    let mut bench = Bench::new();
    let error = bench
        .run(
            "package='p'\nargv=['true']\ncells=[{name='a',env={RUSTFLAGS='-A'}}]\n",
            None,
        )
        .unwrap_err();
    assert!(error.to_string().contains("RUSTFLAGS"), "{error}");
}

#[test]
fn markers_are_scanned_in_passing_but_not_in_the_echoed_command() {
    let mut bench = Bench::new();
    let outcomes = bench
        .run(
            "package='p'\nargv=['sh','-c','echo running 3 tests; echo test a ... ok']\n",
            None,
        )
        .unwrap();
    let scan = outcomes[0].scan.as_ref().unwrap();
    assert_eq!(
        scan.counts.get("cargo_running"),
        Some(&1),
        "{:?}",
        scan.counts
    );
    assert_eq!(outcomes[0].job.cell, "default");
    let log = outcomes[0].job.log.as_ref().unwrap();
    assert_eq!((scan.bytes, scan.lines), (log.bytes, log.lines));
}

#[test]
fn an_unfinished_line_does_not_swallow_the_error() {
    let mut bench = Bench::new();
    bench
        .run(
            "package='p'\nargv=['sh','-c','printf abc; kill -9 $$']\n",
            None,
        )
        .unwrap();
    let lines = unstamped(&bench.logs["default"]);
    assert_eq!(
        &lines[lines.len() - 2..],
        ["abc", "##[error]Process completed with exit code 137."]
    );
}

#[test]
fn cancelling_ends_the_group_and_leaves_later_cells_unstarted() {
    let mut bench = Bench::new();
    let cancel = bench.cancel.clone();
    let started = Instant::now();
    let waker = std::thread::spawn(move || {
        assert!(!cancel.wait(Duration::from_millis(300)));
        cancel.cancel();
    });
    let outcomes = bench
        .run(
            r#"
            package = "p"
            argv = ["sh", "-c", "trap '' TERM; echo on; while :; do sleep 60; done"]
            cells = [{ name = "a" }, { name = "b" }]
            "#,
            None,
        )
        .unwrap();
    waker.join().unwrap();
    assert!(
        started.elapsed() < Duration::from_millis(2300),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(outcomes[0].job.conclusion, Some(Conclusion::Cancelled));
    assert!(bench.logs["a"].ends_with("##[error]The operation was canceled.\n"));
    assert!(outcomes[1].job.steps.is_empty());
    assert_eq!(outcomes[1].job.why_empty, Some(WhyEmpty::NeverStarted));
}

#[test]
fn a_timeout_is_not_a_failure_of_the_test() {
    let mut bench = Bench::new();
    let outcomes = bench
        .run("package='p'\nargv=['sleep','60']\ntimeout_s=1\n", None)
        .unwrap();
    assert_eq!(outcomes[0].job.conclusion, Some(Conclusion::TimedOut));
    assert_eq!(outcomes[0].job.why_empty, Some(WhyEmpty::ZeroBytes));
    assert!(bench.logs["default"].contains("##[error]The job has exceeded"));
}

#[test]
fn a_busy_device_is_named() {
    let mut bench = Bench::new();
    let path = bench.path("gpu.lease");
    let TryLease::Acquired(held) = Lease::try_acquire(&path, "somebody's benchmark").unwrap()
    else {
        panic!("free")
    };
    let policy = "package='p'\nargv=['true']\ngpu=true\n";
    let error = bench.run(policy, Some(&path)).unwrap_err();
    assert!(
        error.to_string().contains("somebody's benchmark"),
        "{error}"
    );
    drop(held);
    // A process that another test starts at this moment holds every open file until it is its own program.
    let ran = loop {
        match bench.run(policy, Some(&path)) {
            Err(CiError::LeaseHeld { .. }) => std::thread::yield_now(),
            other => break other,
        }
    };
    assert_eq!(ran.unwrap().len(), 1);
}
