//! The parent's side: starts a worker, asks it, and lives on when the worker does not.
//!
//! A worker that dies, hangs or speaks garbage is classified, reported as `[WORKER EXIT]` and reaped; the caller gets a
//! [`WorkerError`] and may start another. Markers of the worker go straight to the parent's stderr, which it inherits.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::asked::{Asked, Event};
use super::error::WorkerError;
use super::process::{Incoming, read_answers, reap, signal_of, write_requests};
use super::protocol::{
    Answer, DeviceKind, Loaded, MAX_LINE, POISONED_CODES, PROTOCOL, Prompt, Request, RequestId,
    Role,
};
use crate::telemetry::{Marker, Telemetry, WorkerExit};

/// Answers buffered before the worker has to wait for its parent.
const BACKLOG: usize = 256;

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The `engine` binary.
    pub program: PathBuf,
    /// Its arguments; `worker` for a real one.
    pub arguments: Vec<String>,
    /// Environment besides the inherited one.
    pub environment: Vec<(String, String)>,
    /// Limit of the start.
    pub start_timeout: Duration,
    /// Limit of one step: the time between two lines of the worker.
    pub step_timeout: Duration,
    /// Limit of building all pipelines, which a driver may take long for without being stuck.
    pub warm_up_timeout: Duration,
    /// Whether worker and parent print their markers.
    pub markers: bool,
}

impl WorkerOptions {
    /// A worker of this binary, with generous limits.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec!["worker".into()],
            environment: Vec::new(),
            start_timeout: Duration::from_secs(30),
            step_timeout: Duration::from_secs(300),
            warm_up_timeout: Duration::from_secs(900),
            markers: true,
        }
    }
}

/// A running worker. Dropping it ends the process; [`Worker::shutdown`] also says whether it ended well.
pub struct Worker {
    child: Child,
    // Its own thread writes, so that a worker that reads nothing cannot block its parent.
    requests: Option<Sender<Vec<u8>>>,
    answers: Receiver<Incoming>,
    options: WorkerOptions,
    next_id: RequestId,
    poisoned: bool,
    down: Option<WorkerError>,
    telemetry: Telemetry<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("pid", &self.child.id())
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts a worker in its own process group and waits until it listens.
    ///
    /// # Errors
    /// [`WorkerError::Spawn`] or [`WorkerError::Down`].
    pub fn start(options: WorkerOptions) -> Result<Self, WorkerError> {
        let mut command = Command::new(&options.program);
        let quiet = (!options.markers).then_some("--quiet");
        command
            .args(&options.arguments)
            .args(quiet)
            .envs(options.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let spawn_error = |error: io::Error| WorkerError::Spawn {
            program: options.program.display().to_string(),
            message: error.to_string(),
        };
        let mut child = command.spawn().map_err(spawn_error)?;
        let (requests, lines) = channel();
        if let Some(stdin) = child.stdin.take() {
            thread::Builder::new()
                .name("worker-requests".into())
                .spawn(move || write_requests(stdin, &lines))
                .map_err(spawn_error)?;
        }
        let (sender, answers) = sync_channel(BACKLOG);
        if let Some(stdout) = child.stdout.take() {
            thread::Builder::new()
                .name("worker-answers".into())
                .spawn(move || read_answers(stdout, &sender))
                .map_err(spawn_error)?;
        }
        let markers: Box<dyn Write + Send> = if options.markers {
            Box::new(io::stderr())
        } else {
            Box::new(io::sink())
        };
        let mut worker = Self {
            child,
            requests: Some(requests),
            answers,
            options,
            next_id: 1,
            poisoned: false,
            down: None,
            telemetry: Telemetry::new(markers),
        };
        worker.expect_ready()?;
        Ok(worker)
    }

    fn expect_ready(&mut self) -> Result<(), WorkerError> {
        match self.next_answer("start", self.options.start_timeout)? {
            Answer::Ready { protocol, .. } if protocol == PROTOCOL => Ok(()),
            other => Err(self.protocol_break("start", &format!("first answer is {other:?}"))),
        }
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it can still be asked.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.down.is_none() && !self.poisoned
    }

    /// Changes the limit of one step.
    pub fn set_step_timeout(&mut self, limit: Duration) {
        self.options.step_timeout = limit;
    }

    /// Loads a model in place of the one that answers.
    ///
    /// # Errors
    /// As [`Worker::ask`].
    pub fn load(
        &mut self,
        model: impl Into<PathBuf>,
        device: DeviceKind,
        n_ctx: Option<u32>,
        budget: Option<u64>,
    ) -> Result<Loaded, WorkerError> {
        let model = model.into();
        let request = |id| Request::Load {
            id,
            model,
            device,
            n_ctx,
            budget,
            role: Role::Target,
        };
        self.load_with(request, |_| {})
    }

    /// Loads as the request says; `on_event` hears how far it is.
    ///
    /// # Errors
    /// As [`Worker::ask`].
    pub fn load_with(
        &mut self,
        request: impl FnOnce(RequestId) -> Request,
        on_event: impl FnMut(Event),
    ) -> Result<Loaded, WorkerError> {
        match self.ask(request, on_event)? {
            Answer::Loaded { loaded, .. } => Ok(loaded),
            other => Err(self.protocol_break("load", &format!("answered {other:?}"))),
        }
    }

    /// Runs the loaded model; `on_token` sees each choice as it is made. Returns [`Answer::Result`].
    ///
    /// # Errors
    /// As [`Worker::ask`].
    pub fn predict(
        &mut self,
        prompt: Prompt,
        mut on_token: impl FnMut(u32),
    ) -> Result<Answer, WorkerError> {
        let on_event = |event| {
            if let Event::Token(token) = event {
                on_token(token);
            }
        };
        self.ask(|id| Request::Predict { id, prompt }, on_event)
    }

    /// Sends a request and waits for its final answer; `on_event` sees what comes before it.
    ///
    /// # Errors
    /// [`WorkerError::Refused`] or [`WorkerError::Invalidated`] when the worker says so and lives,
    /// [`WorkerError::Down`] when it died, hung or broke the protocol.
    pub fn ask(
        &mut self,
        request: impl FnOnce(RequestId) -> Request,
        mut on_event: impl FnMut(Event),
    ) -> Result<Answer, WorkerError> {
        if let Some(down) = &self.down {
            return Err(down.clone());
        }
        let request = request(self.next_id);
        self.next_id += 1;
        let mut asked = Asked::new(&request);
        self.send(&request)?;
        loop {
            let (step, limit) = asked.limit(&self.options);
            let answer = self.next_answer(step, limit)?;
            if answer.id() != Some(asked.id) {
                return Err(self.protocol_break(step, &format!("unasked answer {answer:?}")));
            }
            match answer {
                Answer::StreamToken { .. } | Answer::Progress { .. } => {
                    match asked.event(answer, &self.options) {
                        Ok(event) => on_event(event),
                        Err(excess) => return Err(self.protocol_break(step, &excess)),
                    }
                }
                Answer::Error { code, message, .. } => {
                    self.poisoned |= POISONED_CODES.contains(&code.as_str());
                    return Err(WorkerError::Refused { code, message });
                }
                Answer::Invalidated {
                    reason_code,
                    message,
                    ..
                } => {
                    return Err(WorkerError::Invalidated {
                        reason_code,
                        message,
                    });
                }
                answer => return Ok(answer),
            }
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), WorkerError> {
        let mut line = serde_json::to_vec(request).unwrap_or_default();
        if line.len() > MAX_LINE {
            return Err(WorkerError::Refused {
                code: "line_too_long".into(),
                message: format!(
                    "the request has {} B, at most {MAX_LINE} are sent",
                    line.len()
                ),
            });
        }
        line.push(b'\n');
        // A worker that is gone shows itself as the end of its answers, which tells more than a broken pipe.
        if let Some(requests) = &self.requests {
            let _ = requests.send(line);
        }
        Ok(())
    }

    fn next_answer(&mut self, step: &str, limit: Duration) -> Result<Answer, WorkerError> {
        match self.answers.recv_timeout(limit) {
            Ok(Incoming::Answer(answer)) => Ok(*answer),
            Ok(Incoming::Garbage(what)) => Err(self.protocol_break(step, &what)),
            Ok(Incoming::End) | Err(RecvTimeoutError::Disconnected) => Err(self.gone(step)),
            Err(RecvTimeoutError::Timeout) => {
                let detail = format!(
                    "TIMEOUT after {} ms: Worker did not respond",
                    limit.as_millis()
                );
                self.say(&detail);
                Err(self.end("gpu_hang", step, detail, true))
            }
        }
    }

    fn gone(&mut self, step: &str) -> WorkerError {
        self.end(
            "driver_crash",
            step,
            "its stdout ended before the answer".into(),
            false,
        )
    }

    fn protocol_break(&mut self, step: &str, detail: &str) -> WorkerError {
        let detail: String = detail.chars().take(200).collect();
        self.end("protocol", step, detail, true)
    }

    /// Reaps the process, prints `[WORKER EXIT]` and remembers that the worker is down.
    fn end(&mut self, class: &str, step: &str, detail: String, kill: bool) -> WorkerError {
        // The end of its stdin would let a worker that is to be killed go by itself first.
        self.requests = self.requests.take().filter(|_| kill);
        let status = reap(&mut self.child, kill);
        self.requests = None;
        let exit = self.exit_of(status, class, step);
        self.report(&exit);
        let error = WorkerError::Down { exit, detail };
        self.down = Some(error.clone());
        error
    }

    fn exit_of(&self, status: Option<ExitStatus>, class: &str, step: &str) -> WorkerExit {
        let (code, signal) = status.map_or((None, None), |s| (s.code(), signal_of(s)));
        WorkerExit {
            pid: self.child.id(),
            code,
            signal,
            class: class.into(),
            step: step.into(),
        }
    }

    fn report(&mut self, exit: &WorkerExit) {
        // A parent whose stderr is gone still has its answer as a value.
        let _ = self.telemetry.emit(&Marker::WorkerExit(exit.clone()));
        let _ = self.telemetry.end_run();
    }

    fn say(&mut self, phrase: &str) {
        let _ = self.telemetry.phrase(&phrase);
    }

    /// Ends the worker properly and reports `[WORKER EXIT] class=clean`.
    ///
    /// # Errors
    /// [`WorkerError::Down`] when it does not end as asked.
    pub fn shutdown(mut self) -> Result<WorkerExit, WorkerError> {
        let answer = self.ask(|id| Request::Shutdown { id }, |_| {})?;
        if !matches!(answer, Answer::Bye { .. }) {
            return Err(self.protocol_break("shutdown", &format!("answered {answer:?}")));
        }
        let error = self.end("clean", "shutdown", String::new(), false);
        match error {
            WorkerError::Down { exit, .. } if exit.code == Some(0) => Ok(exit),
            other => Err(other),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.down.is_some() {
            return;
        }
        // The end of its stdin lets a worker finish; one that does not is killed.
        self.requests = None;
        let status = reap(&mut self.child, false);
        let clean = status.is_some_and(|status| status.success());
        let class = if clean { "clean" } else { "driver_crash" };
        let exit = self.exit_of(status, class, "idle");
        self.report(&exit);
    }
}
