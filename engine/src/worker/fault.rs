//! Faults on purpose: of the process, for tests of the parent; of the stream, for tests of its judges.
//! Without the feature `faults` this module does nothing.

use super::protocol::Request;
use crate::ir::CommandIr;

/// Variable that names the fault.
#[cfg(feature = "faults")]
const VARIABLE: &str = "ENGINE_FAULT";

/// Runs before a request is executed.
#[cfg(not(feature = "faults"))]
pub(super) fn before(_request: &Request) {}

/// Runs before a request is executed; a prediction dies, hangs or babbles as `ENGINE_FAULT` says.
#[cfg(feature = "faults")]
pub(super) fn before(request: &Request) {
    use std::io::Write;

    if !matches!(request, Request::Predict { .. }) {
        return;
    }
    let say = |bytes: &[u8]| {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    };
    match std::env::var(VARIABLE).as_deref() {
        Ok("worker_abort") => std::process::abort(),
        Ok("worker_hang") => loop {
            std::thread::park();
        },
        Ok("worker_garbage") => say(b"\x00\xff driver says hello\n"),
        Ok("worker_flood") => {
            for _ in 0..64 {
                say(&[b'x'; 1 << 20]);
            }
        }
        Ok("worker_exit") => std::process::exit(0),
        _ => {}
    }
}

/// The stream as it is.
#[cfg(not(feature = "faults"))]
pub(super) fn distort(stream: CommandIr) -> CommandIr {
    stream
}

/// The stream without barrier `k` (`drop_barrier:k`) or dispatch `k` (`skip_dispatch:k`), counted from 0.
#[cfg(feature = "faults")]
pub(super) fn distort(mut stream: CommandIr) -> CommandIr {
    use crate::ir::Command;

    let fault = std::env::var(VARIABLE).unwrap_or_default();
    let Some((kind, number)) = fault.split_once(':') else {
        return stream;
    };
    let hit = |command: &Command| match kind {
        "drop_barrier" => matches!(command, Command::Barrier(_)),
        "skip_dispatch" => matches!(command, Command::Dispatch(_)),
        _ => false,
    };
    let places = stream.commands.iter().enumerate().filter(|(_, c)| hit(c));
    let place = number
        .parse()
        .ok()
        .and_then(|k| places.map(|(at, _)| at).nth(k));
    if let Some(at) = place {
        stream.commands.remove(at);
    }
    stream
}
