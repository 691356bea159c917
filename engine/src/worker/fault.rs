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

/// Runs before a request is executed; a prediction dies, hangs or babbles as `ENGINE_FAULT` says, a load hangs in its
/// warm-up.
#[cfg(feature = "faults")]
pub(super) fn before(request: &Request) {
    use std::io::Write;

    let fault = std::env::var(VARIABLE).unwrap_or_default();
    let strikes = match request {
        Request::Load { .. } => fault == "warm_up_hang",
        Request::Predict { .. } => fault != "warm_up_hang",
        _ => false,
    };
    if !strikes {
        return;
    }
    let id = request.id();
    let say = |bytes: &[u8]| {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    };
    let hang = || loop {
        std::thread::park();
    };
    match fault.as_str() {
        "worker_abort" => std::process::abort(),
        "worker_hang" => hang(),
        "worker_garbage" => say(b"\x00\xff driver says hello\n"),
        "worker_flood" => {
            for _ in 0..64 {
                say(&[b'x'; 1 << 20]);
            }
        }
        // Tokens without end, each a perfect answer.
        "worker_babble" => {
            for index in 0u64.. {
                let line = format!(
                    "{{\"kind\":\"stream_token\",\"id\":{id},\"index\":{},\"token\":1}}\n",
                    index % (1 << 32)
                );
                say(line.as_bytes());
            }
        }
        "worker_exit" => std::process::exit(0),
        "warm_up_hang" => {
            let line = format!(
                "{{\"kind\":\"progress\",\"id\":{id},\"step\":\"pipelines\",\"done\":0,\"total\":9}}\n"
            );
            say(line.as_bytes());
            hang();
        }
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
