//! Dependencies are built once for all rooms, and nothing else passes from room to room.

use std::fs;
use std::path::Path;

use exec::{Cancel, Command, Toolchain, capture};
use service::api;

use crate::support::Bench;

/// Gives the fixture a dependency that this workspace has too, so that it is at hand offline.
fn add_dependency(clone: &Path) {
    let manifest = clone.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text + "\n[dependencies]\nhex = \"0.4\"\n").unwrap();
    let toolchain = Toolchain::resolve().unwrap();
    let lock = Command::new(toolchain.cargo, clone)
        .args(["generate-lockfile", "--offline"])
        .envs(std::env::vars_os());
    let captured = capture(&lock, &Cancel::new().unwrap()).unwrap();
    let said = String::from_utf8_lossy(&captured.stderr).into_owned();
    assert!(captured.outcome.exit.success(), "{said}");
}

fn log_of(bench: &Bench, run: &api::RunView) -> String {
    let log = run.jobs[0].log.clone().unwrap();
    let page = bench.agent(api::ReadLogRequest {
        log_id: log.log_id,
        offset: None,
        line: None,
        max_bytes: Some(65_536),
        view: api::LogViewKind::Raw,
    });
    page.unwrap().data
}

#[test]
fn a_dependency_is_compiled_once() {
    let bench = Bench::with(add_dependency);
    let first = log_of(&bench, &bench.run_scope());
    assert!(first.contains("Compiling hex v0.4"), "{first}");
    let second = log_of(&bench, &bench.run_scope());
    assert!(!second.contains("Compiling hex"), "{second}");
    assert!(
        second.contains("Compiling tally"),
        "members are built anew: {second}"
    );
    let seeds = bench.root().join("state/rooms/seeds");
    let seed = fs::read_dir(seeds).unwrap().next().unwrap().unwrap().path();
    let built: Vec<String> = fs::read_dir(seed.join("target/debug/deps"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(built.iter().any(|name| name.contains("hex-")), "{built:?}");
    assert!(
        !built
            .iter()
            .any(|name| name.contains("tally") || name.contains("paths-")),
        "{built:?}"
    );
}

#[test]
fn nothing_of_an_old_room_is_seen_in_the_next_and_a_killed_services_old_room_goes() {
    let mut bench = Bench::new();
    bench.run_scope();
    let rooms = bench.root().join("state/rooms");
    let main = rooms.join("main");
    let planted = ["tree/tests/planted.rs", "target/planted", "home/planted"];
    for file in planted {
        let file = main.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "compile_error!(\"seen\");").unwrap();
    }
    // What is left by a service that was killed between the rename and the removal.
    let left = rooms.join("trash/room-left");
    fs::create_dir_all(left.join("target")).unwrap();
    bench.reopen();
    let log = log_of(&bench, &bench.run_scope());
    assert!(!log.contains("seen"), "{log}");
    for file in planted {
        assert!(!main.join(file).exists(), "{file}");
    }
    assert!(main.join("tree/Cargo.toml").exists(), "at the same path");
    assert!(!left.exists());
}
