//! What an interrupt leaves behind: a state from which the same command goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::support::{ADDER, Home};

/// A suite that waits until somebody opens the other end of a pipe.
fn blocking(pipe: &std::path::Path) -> String {
    format!(
        "#[test]\nfn waits() {{\n    let mut text = String::new();\n    let mut pipe = std::fs::File::open({:?}).unwrap();\n    std::io::Read::read_to_string(&mut pipe, &mut text).unwrap();\n    assert_eq!(text, \"go on\");\n}}\n",
        pipe
    )
}

#[test]
fn an_interrupted_run_goes_on_and_can_be_waited_for_again() {
    let home = Home::with(ADDER);
    let pipe = home.path().join("pipe");
    assert!(
        home.command("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    home.write(&[("tests/sums.rs", &blocking(&pipe))]);
    home.git(&["commit", "--quiet", "--all", "-m", "Wait"]);
    let answer = home.greenloop(&["init", "--json"]).json();
    let commands = answer["next"].as_array().unwrap();
    for next in &commands[..2] {
        let said = home.shell(next["command"].as_str().unwrap());
        assert_eq!(said.code, 0, "{said:?}");
    }

    let mut run = home
        .command(env!("CARGO_BIN_EXE_greenloop"))
        .args(["run", "sums"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("cell default") {
        line.clear();
        assert!(
            said.read_line(&mut line).unwrap() > 0,
            "it ended before its cell began"
        );
    }
    // Returns when the test has opened its end: the cell runs now.
    let mut gate = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();

    let pid = rustix::process::Pid::from_raw(run.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = run.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("`greenloop wait R1` waits for it again"),
        "{rest}"
    );

    let status = home.greenloop(&["status", "--json"]).json();
    assert_eq!(status["phase"], "running", "{status}");
    let second = home.greenloop(&["run", "sums", "--json"]);
    assert_eq!(second.code, 3, "{second:?}");
    assert!(second.out.contains("greenloop wait R1"), "{second:?}");
    gate.write_all(b"go on").unwrap();
    drop(gate);
    let again = home.greenloop(&["wait", "R1", "--json"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(again.json()["run"]["run_id"], "R1", "{again:?}");
    let runs = home.greenloop(&["runs", "--json"]).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
}
