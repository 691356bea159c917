//! A cell's log: bytes to the store, the same bytes to the scanner, GitHub's frame around them.
//!
//! Frame as in GitHub's run logs: `##[group]Run <command>`, the command, `env:` and its variables,
//! `##[endgroup]`, the output, and `##[error]…` when the step failed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::time::SystemTime;

use discipline::model::LogRef;
use discipline::policy::CellPolicy;
use exec::{Command, Exit, Outcome, TranscriptWriter};
use markers::{Catalogue, Scan, Scanner};

use super::LogSink;

pub(super) struct CellLog<'a> {
    sink: Box<dyn LogSink + 'a>,
    scanner: Scanner<'a>,
}

impl<'a> CellLog<'a> {
    pub(super) fn new(sink: Box<dyn LogSink + 'a>, catalogue: &'a Catalogue) -> CellLog<'a> {
        CellLog {
            sink,
            scanner: Scanner::new(catalogue),
        }
    }

    pub(super) fn header(
        &mut self,
        argv: &[String],
        command: &Command,
        cell: &CellPolicy,
        clock: &dyn Fn() -> SystemTime,
    ) -> io::Result<()> {
        let line = argv.join(" ");
        let mut text = format!("##[group]Run {line}\n{}\n", executed(command));
        text.push_str("env:\n");
        for (name, value) in visible(command, cell) {
            text.push_str(&format!("  {name}: {value}\n"));
        }
        text.push_str("##[endgroup]\n");
        self.stamped(text.as_bytes(), clock)
    }

    pub(super) fn footer(
        &mut self,
        outcome: &Outcome,
        clock: &dyn Fn() -> SystemTime,
    ) -> io::Result<()> {
        let Some(error) = error_line(outcome) else {
            return Ok(());
        };
        if !outcome.transcript.ends_with_newline && outcome.transcript.bytes > 0 {
            self.write_all(b"\n")?;
        }
        self.stamped(format!("##[error]{error}\n").as_bytes(), clock)
    }

    pub(super) fn close(self, complete: bool) -> io::Result<(LogRef, Scan)> {
        let log = self.sink.close(complete)?;
        Ok((log, self.scanner.finish()))
    }

    fn stamped(&mut self, text: &[u8], clock: &dyn Fn() -> SystemTime) -> io::Result<()> {
        let mut writer = TranscriptWriter::new(self, Some(clock));
        writer.write(text)?;
        writer.finish()?;
        Ok(())
    }
}

impl Write for CellLog<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write_all(bytes)?;
        self.scanner.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// The command as it was really called.
fn executed(command: &Command) -> String {
    let words = std::iter::once(command.program.as_os_str())
        .chain(command.args.iter().map(AsRef::as_ref))
        .map(one_line);
    words.collect::<Vec<_>>().join(" ")
}

/// Variables that the policy sets or passes, not those every room has.
fn visible(command: &Command, cell: &CellPolicy) -> BTreeMap<String, String> {
    let usual = ["PATH", "HOME", "LANG"];
    let mut shown = BTreeMap::new();
    for (name, value) in &command.env {
        let name = one_line(name);
        let common = usual.contains(&name.as_str()) || name.starts_with("CARGO_");
        if !common || cell.env.contains_key(&name) {
            shown.insert(name, one_line(value));
        }
    }
    shown
}

fn one_line(text: &OsStr) -> String {
    text.to_string_lossy()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn error_line(outcome: &Outcome) -> Option<String> {
    Some(match outcome.exit {
        Exit::Exited(0) => return None,
        Exit::Exited(code) => format!("Process completed with exit code {code}."),
        // What a shell reports for a child that died by a signal.
        Exit::Signaled(signal) => format!("Process completed with exit code {}.", 128 + signal),
        Exit::TimedOut => "The job has exceeded its maximum execution time.".to_owned(),
        Exit::Cancelled => "The operation was canceled.".to_owned(),
        Exit::OutputLimit => "The job wrote more than a log may hold and was ended.".to_owned(),
    })
}
