//! The command's side of the operator's socket, and how a daemon comes to be.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command as Process, Stdio};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, pidfd_open};
use service::api::{Command, DaemonInfoRequest, ShutdownRequest};

use crate::place::Place;
use crate::wire::{FRAME_MAX, Failure, FromDaemon, Hello, ToDaemon};

/// An open connection to the daemon.
pub(crate) struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// What the daemon said of itself.
    pub daemon: Hello,
    /// The daemon's process; `None` where the kernel does not tell.
    process: Option<OwnedFd>,
}

/// The daemon answered that it cannot.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct Refused(pub Failure);

impl Client {
    /// Connects to the repository's daemon; starts one when none runs and the settings allow it.
    /// An idle daemon of another version is asked to give way first.
    pub(crate) fn connect(place: &Place) -> Result<Self> {
        if let Ok(mut client) = Self::try_connect(place) {
            if client.daemon.version == env!("CARGO_PKG_VERSION") {
                return Ok(client);
            }
            client.replace_old(place)?;
        }
        if place.config.autostart == Some(false) {
            bail!(
                "no daemon answers at {} and autostart is off; start it as its own user with `greenloop daemon`",
                place.operator_socket().display()
            );
        }
        start_daemon(place)?;
        Self::try_connect(place)
            .context("the daemon started but does not answer; see daemon.log in the state folder")
    }

    /// Connects to a daemon that already runs.
    pub(crate) fn try_connect(place: &Place) -> Result<Self> {
        let path = place.operator_socket();
        let writer = UnixStream::connect(&path).with_context(|| {
            format!(
                "no daemon answers at {}; start one with `greenloop daemon`",
                path.display()
            )
        })?;
        let listener = socket_peercred(&writer).ok();
        let mut client = Self {
            process: listener
                .and_then(|listener| pidfd_open(listener.pid, PidfdFlags::empty()).ok()),
            reader: BufReader::new(writer.try_clone()?),
            writer,
            daemon: Hello::new("", false),
        };
        client.send(&Hello::new(caller_name(), false))?;
        client.daemon = client
            .receive()?
            .context("the daemon closed the connection at once")?;
        Ok(client)
    }

    /// Calls one command; progress goes to `on_progress`.
    pub(crate) fn call<C: Command>(
        &mut self,
        command: C,
        on_progress: &mut dyn FnMut(u64, Option<u64>, &str),
    ) -> Result<C::Answer> {
        self.send(&ToDaemon::Call(Box::new(command.into_request())))?;
        loop {
            let frame = self.receive()?.context(
                "the daemon went away during the call; what it had acknowledged is kept, ask again to continue",
            )?;
            match frame {
                FromDaemon::Progress {
                    done,
                    total,
                    message,
                } => on_progress(done, total, &message),
                FromDaemon::Answer(response) => {
                    return C::from_response(*response)
                        .context("the daemon answered another command");
                }
                FromDaemon::Failed(failure) => return Err(Refused(failure).into()),
            }
        }
    }

    /// Calls one command that needs no progress.
    pub(crate) fn ask<C: Command>(&mut self, command: C) -> Result<C::Answer> {
        self.call(command, &mut |_, _, _| {})
    }

    /// A handle that asks the daemon to stop the call in progress, from another thread.
    pub(crate) fn canceller(&self) -> Result<Canceller> {
        Ok(Canceller {
            writer: self.writer.try_clone()?,
        })
    }

    fn replace_old(&mut self, place: &Place) -> Result<()> {
        let info = self.ask(DaemonInfoRequest {})?;
        if !info.busy.is_empty() {
            bail!(
                "a daemon of version {} is busy with {}; wait for it, or `greenloop stop` and repeat",
                self.daemon.version,
                info.busy.join(", ")
            );
        }
        self.ask(ShutdownRequest {})?;
        self.wait_until_gone();
        tracing::info!(old = self.daemon.version, state = %place.state.display(), "old daemon gave way");
        Ok(())
    }

    /// Blocks until the daemon's process has ended, and with it the hold on its state folder.
    pub(crate) fn wait_until_gone(&mut self) {
        let mut rest = Vec::new();
        // Any outcome means that the other side is going.
        let _ = self.reader.read_to_end(&mut rest);
        if let Some(process) = &self.process {
            let mut ended = [PollFd::new(process, PollFlags::IN)];
            while poll(&mut ended, None) == Err(rustix::io::Errno::INTR) {}
        }
    }

    fn send<T: serde::Serialize>(&mut self, frame: &T) -> Result<()> {
        send(&mut self.writer, frame)
    }

    fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut line = Vec::new();
        (&mut self.reader)
            .take(FRAME_MAX)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&line)
            .map(Some)
            .context("the daemon speaks another protocol; stop it with `greenloop stop`")
    }
}

/// Asks the daemon to stop.
pub(crate) struct Canceller {
    writer: UnixStream,
}

impl Canceller {
    /// Sends the request; the call in progress then answers that it was cancelled.
    pub(crate) fn cancel(&mut self) -> Result<()> {
        send(&mut self.writer, &ToDaemon::Cancel)
    }
}

fn send<T: serde::Serialize>(writer: &mut UnixStream, frame: &T) -> Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    writer
        .write_all(&line)
        .context("the daemon closed the connection")
}

/// What commands call themselves: the user's name, unverified.
pub(crate) fn caller_name() -> String {
    std::env::var("GREENLOOP_NAME")
        .or_else(|_| std::env::var("USER"))
        .unwrap_or_else(|_| "unnamed".into())
}

/// Starts a daemon in the background and waits until it says that it is ready.
pub(crate) fn start_daemon(place: &Place) -> Result<()> {
    std::fs::create_dir_all(&place.state)
        .with_context(|| format!("cannot make the state folder {}", place.state.display()))?;
    let log_path = place.state.join("daemon.log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)?;
    let mut command = Process::new(std::env::current_exe().context("cannot find my own binary")?);
    command
        .args(["daemon", "--detached", "--repo"])
        .arg(&place.repo)
        .arg("--state")
        .arg(&place.state);
    if let Some(config) = &place.config_file {
        command.arg("--config").arg(config);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("cannot start the daemon")?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said)?;
    }
    if said.trim() == READY {
        return Ok(());
    }
    // It ended before it was ready; its last words are in the log.
    let _ = child.wait();
    let log = std::fs::read_to_string(&log_path).unwrap_or_default();
    let last = log
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing");
    bail!("the daemon did not start: {last}")
}

/// The line that a detached daemon prints when its sockets accept.
pub(crate) const READY: &str = "ready";
