//! The worker's own side: reads requests, runs them one after the other, writes answers.

use std::io::{self, BufReader, Stdin, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::fault;
use super::frame::{Frame, read_frame};
use super::predict::Stopped;
use super::protocol::{Answer, MAX_LINE, POISONED_CODES, PROTOCOL, Request, RequestId};
use super::session::{LoadRequest, Session};
use crate::error::EngineError;
use crate::health::Health;

/// How often a worker without stdin looks whether its parent still lives.
const ORPHAN_CHECK: Duration = Duration::from_secs(1);
/// Exit code of a worker whose parent is gone.
const EXIT_ORPHAN: i32 = 5;

enum Incoming {
    Request(Box<Request>),
    Unreadable { code: &'static str, message: String },
    End,
}

/// Serves requests from stdin until it ends or `shutdown` comes. Markers go to `markers`.
///
/// # Errors
/// Those of stdout: a parent that does not listen any more.
pub fn serve(markers: Box<dyn Write + Send>) -> io::Result<()> {
    let (sender, requests) = channel();
    let (alive, gone) = channel::<()>();
    let parent = parent_id();
    thread::Builder::new()
        .name("requests".into())
        .spawn(move || read_requests(&sender, &gone, parent))?;
    answer(&Answer::Ready {
        protocol: PROTOCOL,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
    })?;
    let environment = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let mut worker = Serving {
        session: Session::new(environment.collect(), markers),
        poisoned: None,
    };
    let served = worker.run(&requests);
    if worker.poisoned.is_some() {
        // A hung or lost device must not be waited for again by destructors.
        std::process::exit(0);
    }
    drop(worker);
    drop(alive);
    served
}

struct Serving {
    session: Session,
    poisoned: Option<String>,
}

impl Serving {
    fn run(&mut self, requests: &Receiver<Incoming>) -> io::Result<()> {
        while let Ok(incoming) = requests.recv() {
            match incoming {
                Incoming::End => break,
                Incoming::Unreadable { code, message } => answer(&Answer::Error {
                    id: None,
                    code: code.into(),
                    message,
                })?,
                Incoming::Request(request) => {
                    if self.handle(*request)? {
                        return Ok(());
                    }
                }
            }
        }
        // Without a parent there is nobody to report to, but the log may live on.
        let _ = self.session.unload();
        Ok(())
    }

    /// Answers one request; true when the worker is to end.
    fn handle(&mut self, request: Request) -> io::Result<bool> {
        let id = request.id();
        fault::before(&request);
        if let Some(code) = &self.poisoned
            && !matches!(request, Request::Health { .. } | Request::Shutdown { .. })
        {
            answer(&Answer::Error {
                id: Some(id),
                code: "context_poisoned".into(),
                message: format!(
                    "an earlier {code} has poisoned this context; start another worker"
                ),
            })?;
            return Ok(false);
        }
        let ends = matches!(request, Request::Shutdown { .. });
        let outcome = self.execute(request);
        answer(&outcome.unwrap_or_else(|stopped| self.failure(id, &stopped)))?;
        Ok(ends)
    }

    fn execute(&mut self, request: Request) -> Result<Answer, Stopped> {
        match request {
            Request::Load {
                id,
                model,
                device,
                n_ctx,
                budget,
                role,
            } => {
                let request = LoadRequest {
                    path: &model,
                    device,
                    n_ctx,
                    budget,
                    role,
                };
                // A parent that has gone is noticed when the final answer is written.
                let mut progress = |step: &str, done, total| {
                    let step = step.to_owned();
                    let _ = answer(&Answer::Progress {
                        id,
                        step,
                        done,
                        total,
                    });
                };
                let loaded = self.session.load(&request, &mut progress)?;
                Ok(Answer::Loaded { id, loaded })
            }
            Request::LoraApply { .. } | Request::LoraUnload { .. } => Err(no_lora().into()),
            Request::Predict { id, prompt } => {
                // A parent that has gone is noticed when the final answer is written.
                let mut stream = |index, token| {
                    let _ = answer(&Answer::StreamToken { id, index, token });
                };
                let done = self.session.predict(&prompt, &mut stream)?;
                Ok(Answer::Result {
                    id,
                    tokens: done.tokens,
                    rows: done.rows,
                    logits_sha: done.logits_sha,
                    counters: done.counters,
                    divergence: done.divergence,
                })
            }
            Request::Unload { id } => {
                self.session.unload()?;
                Ok(Answer::Unloaded { id })
            }
            Request::Caps { id } => Ok(Answer::Caps {
                id,
                caps: self.session.caps()?,
            }),
            Request::DumpIr {
                id,
                n_tokens,
                pos,
                legacy,
            } => {
                let stream = self.session.stream(n_tokens, pos, legacy)?;
                Ok(Answer::Ir {
                    id,
                    digest: stream.digest(),
                    ir: serde_json::to_value(&stream)
                        .map_err(|error| EngineError::Request(error.to_string()))?,
                })
            }
            Request::Health { id } => Ok(Answer::Health {
                id,
                health: self.health()?,
            }),
            Request::Shutdown { id } => {
                self.session.unload()?;
                Ok(Answer::Bye { id })
            }
        }
    }

    fn health(&mut self) -> Result<Health, EngineError> {
        if let Some(code) = &self.poisoned {
            return Ok(Health::Poisoned {
                code: code.clone(),
                step: "run".into(),
            });
        }
        let health = self.session.health()?;
        self.poisoned = match &health {
            Health::Healthy => None,
            Health::Hung => Some("device_timeout".into()),
            Health::Poisoned { code, .. } => Some(code.clone()),
        };
        Ok(health)
    }

    fn failure(&mut self, id: RequestId, stopped: &Stopped) -> Answer {
        let error = match stopped {
            Stopped::Invalidated(invalidated) => {
                return Answer::Invalidated {
                    id,
                    reason_code: invalidated.reason_code.into(),
                    message: invalidated.message.clone(),
                };
            }
            Stopped::Failed(error) => error,
        };
        let (code, message) = (error.code(), error.to_string());
        if POISONED_CODES.contains(&code.as_str()) {
            self.poisoned = Some(code.clone());
        }
        if matches!(code.as_str(), "envelope" | "budget" | "chunk_refused") {
            self.session.phrase(&message);
        }
        match error {
            EngineError::Conflict(_) => Answer::Invalidated {
                id,
                reason_code: code,
                message,
            },
            _ => Answer::Error {
                id: Some(id),
                code,
                message,
            },
        }
    }
}

fn no_lora() -> EngineError {
    EngineError::Unsupported {
        what: "LoRA adapter".into(),
        remedy: "this build runs base models only; merge the adapter into the file with the tool that made it".into(),
    }
}

fn answer(answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    if line.len() > MAX_LINE {
        line = serde_json::to_vec(&Answer::Error {
            id: answer.id(),
            code: "answer_too_long".into(),
            message: format!(
                "the answer has {} B, at most {MAX_LINE} are sent; ask for less",
                line.len()
            ),
        })?;
    }
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

fn read_requests(sender: &Sender<Incoming>, gone: &Receiver<()>, parent: Option<u32>) {
    let mut stdin: BufReader<Stdin> = BufReader::new(io::stdin());
    loop {
        let incoming = match read_frame(&mut stdin, MAX_LINE) {
            Ok(Frame::Line(line)) if line.trim_ascii().is_empty() => continue,
            Ok(Frame::Line(line)) => read_request(&line),
            Ok(Frame::TooLong(bytes)) => Incoming::Unreadable {
                code: "line_too_long",
                message: format!("a request of {bytes} B; at most {MAX_LINE} are read"),
            },
            Ok(Frame::End) | Err(_) => Incoming::End,
        };
        let last = matches!(incoming, Incoming::End);
        if sender.send(incoming).is_err() {
            return;
        }
        if last {
            break;
        }
    }
    await_parent(gone, parent);
}

fn read_request(line: &[u8]) -> Incoming {
    match serde_json::from_slice(line) {
        Ok(request) => Incoming::Request(Box::new(request)),
        Err(error) => Incoming::Unreadable {
            code: "bad_request",
            message: format!("no request: {error}; see the worker protocol"),
        },
    }
}

/// Without stdin, a request in progress may finish as long as somebody can read its answer; a worker whose parent is
/// gone ends, even when a driver holds its main thread.
fn await_parent(gone: &Receiver<()>, parent: Option<u32>) {
    while gone.recv_timeout(ORPHAN_CHECK) == Err(RecvTimeoutError::Timeout) {
        if parent_id() != parent {
            std::process::exit(EXIT_ORPHAN);
        }
    }
}

#[cfg(unix)]
fn parent_id() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
fn parent_id() -> Option<u32> {
    None
}
