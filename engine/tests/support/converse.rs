//! A worker that is told everything at once, with all that it says.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use engine::worker::protocol::{Answer, Request};

/// A conversation that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// What will be said to a worker.
pub(crate) struct Talk {
    environment: Vec<(String, String)>,
    lines: Vec<u8>,
}

impl Talk {
    pub(crate) fn new(environment: &[(&str, &str)]) -> Talk {
        let pairs = environment.iter();
        Talk {
            environment: pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn say(&mut self, request: &Request) {
        self.lines.extend(serde_json::to_vec(request).unwrap());
        self.lines.push(b'\n');
    }

    /// Starts a worker, says everything, and waits for its end.
    pub(crate) fn listen(self) -> Log {
        // The outer environment must not choose modes, faults or layers for these tests.
        let clean = std::env::vars().filter(|(name, _)| {
            !name.starts_with("ENGINE_")
                && !name.starts_with("VK_LAYER")
                && name != "VK_INSTANCE_LAYERS"
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_engine"))
            .arg("worker")
            .env_clear()
            .envs(clean)
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&self.lines).unwrap();
        let (text, stderr) = read(child);
        let answers = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        Log { answers, stderr }
    }
}

/// Both streams to their ends; a worker that does not end is killed, and the test fails.
fn read(mut child: Child) -> (String, String) {
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        ended.send(stdout.read_to_string(&mut text).map(|_| text))
    });
    let said = end.recv_timeout(DEADLINE);
    if said.is_err() {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    let stderr = errors.join().unwrap().unwrap();
    let said = said.unwrap_or_else(|_| {
        panic!(
            "the worker did not end within {} s; it printed {stderr}",
            DEADLINE.as_secs()
        )
    });
    (said.unwrap(), stderr)
}

/// What a worker said.
pub(crate) struct Log {
    pub(crate) answers: Vec<Answer>,
    pub(crate) stderr: String,
}

/// A hazard that sync validation reports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hazard {
    /// For example `SYNC-HAZARD-READ-AFTER-WRITE`.
    pub(crate) kind: String,
    /// The Vulkan command, and its number in its command buffer.
    pub(crate) place: String,
}

impl Log {
    /// Lines of validation layers.
    pub(crate) fn validation(&self) -> Vec<&str> {
        let marks = [
            "Validation Error",
            "Validation Warning",
            "VUID-",
            "SYNC-HAZARD",
            "UNASSIGNED-",
        ];
        let lines = self.stderr.lines();
        lines
            .filter(|line| marks.iter().any(|mark| line.contains(mark)))
            .collect()
    }

    /// Hazards among them, in order.
    pub(crate) fn hazards(&self) -> Vec<Hazard> {
        let lines = self.validation().into_iter();
        lines.filter_map(hazard).collect()
    }
}

fn hazard(line: &str) -> Option<Hazard> {
    let kind = line
        .split(['[', ']', ' ', ':', ','])
        .find(|word| word.starts_with("SYNC-HAZARD"))?;
    let after = |key: &str| {
        let rest = line.split(key).nth(1)?;
        rest.split([',', ')', ' ']).next()
    };
    Some(Hazard {
        kind: kind.to_owned(),
        place: format!(
            "{}#{}",
            after("command: ").unwrap_or("unknown"),
            after("seq_no: ").unwrap_or("unknown")
        ),
    })
}
