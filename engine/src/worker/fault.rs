//! Process faults on purpose, for tests of the parent. Without the feature `faults` this module does nothing.

use super::protocol::Request;

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
    let mut say = |bytes: &[u8]| {
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
