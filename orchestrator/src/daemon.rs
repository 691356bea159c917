//! The daemon: the only writer of state, behind two sockets.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use service::api::{Request, Response};
use service::{Caller, Cancel, MachineConfig, Progress, Service, ServiceConfig, Update};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::READY;
use crate::place::{Place, private_dir};
use crate::wire::{FRAME_MAX, Failure, FromDaemon, Hello, ToDaemon};

/// Runs until it is told to stop. `detached` leaves the caller's session and reports readiness on
/// standard output.
pub(crate) fn run(place: &Place, detached: bool) -> Result<()> {
    if detached {
        // Fails only for a group leader, and then the caller wanted this session.
        let _ = rustix::process::setsid();
    }
    private_dir(&place.sockets)?;
    let service = Service::open(service_config(place)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(place, Arc::clone(&service), detached));
    service.shutdown();
    for socket in [place.operator_socket(), place.agent_socket()] {
        // Gone already is as good.
        let _ = std::fs::remove_file(socket);
    }
    runtime.shutdown_background();
    served
}

fn service_config(place: &Place) -> Result<ServiceConfig> {
    let environment = std::env::vars_os().collect();
    let mut machine = MachineConfig::new(place.runtime.clone(), environment);
    machine.remote_url.clone_from(&place.config.remote_url);
    machine.signers.clone_from(&place.config.signers);
    machine.engine = place.config.engine.clone().or_else(engine_beside);
    machine.model_dirs.clone_from(&place.config.model_dirs);
    if let Some(identity) = &place.config.identity {
        machine.identity_name.clone_from(&identity.name);
        machine.identity_email.clone_from(&identity.email);
    }
    let recorded = place.config.recorded.as_ref();
    machine.sources.recorded = recorded.map(|recorded| recorded.path.clone());
    Ok(ServiceConfig {
        state_dir: place.state.clone(),
        repo_path: place.repo.clone(),
        machine,
        clock: service::system_clock(),
    })
}

/// The engine's binary where the installation puts it.
fn engine_beside() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.with_file_name("engine")).filter(|path| path.is_file())
}

async fn serve(place: &Place, service: Arc<Service>, detached: bool) -> Result<()> {
    let operator = listen(&place.operator_socket())?;
    let agent = listen(&place.agent_socket())?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    if detached {
        let mut out = tokio::io::stdout();
        out.write_all(format!("{READY}\n").as_bytes()).await?;
        out.flush().await?;
    }
    tracing::info!(state = %place.state.display(), "daemon ready");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = operator.accept() => {
                let (stream, _) = accepted.context("operator socket")?;
                let (service, stop) = (Arc::clone(&service), stop.clone());
                tokio::spawn(report(async move { operator_connection(stream, service, stop).await }));
            }
            accepted = agent.accept() => {
                let (stream, _) = accepted.context("agent socket")?;
                let service = Arc::clone(&service);
                tokio::spawn(report(async move { agent_connection(stream, service).await }));
            }
        }
    }
}

async fn report(connection: impl Future<Output = Result<()>>) {
    if let Err(error) = connection.await {
        tracing::warn!("connection ended: {error:#}");
    }
}

/// Listens at a path that a dead daemon may have left behind; the state folder's lock has already
/// shown that no daemon is alive.
fn listen(path: &Path) -> Result<UnixListener> {
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("stopping; state is consistent, the next daemon resumes");
        stop.cancel();
    });
    Ok(())
}

async fn greet(
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> Result<Hello> {
    let hello: Hello = match read_frame(reader).await? {
        Some(hello) => hello,
        None => bail!("closed before hello"),
    };
    write_frame(
        writer,
        &Hello::new(std::process::id().to_string(), hello.read_only),
    )
    .await?;
    Ok(hello)
}

fn caller(stream: &UnixStream, operator: bool) -> Result<Caller> {
    let uid = stream.peer_cred().context("cannot tell who calls")?.uid();
    Ok(Caller {
        uid,
        name: String::new(),
        operator,
    })
}

async fn agent_connection(stream: UnixStream, service: Arc<Service>) -> Result<()> {
    let caller = caller(&stream, false)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let hello = greet(&mut reader, &mut writer).await?;
    let caller = Caller {
        name: hello.name,
        ..caller
    };
    tools::serve(
        tools::Server::new(service, caller, hello.read_only),
        reader,
        writer,
    )
    .await?;
    Ok(())
}

async fn operator_connection(
    stream: UnixStream,
    service: Arc<Service>,
    stop: CancellationToken,
) -> Result<()> {
    let caller = caller(&stream, true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let hello = greet(&mut reader, &mut writer).await?;
    let caller = Caller {
        name: hello.name,
        ..caller
    };
    let mut frames = pump(reader);
    while let Some(frame) = frames.recv().await {
        let ToDaemon::Call(request) = frame? else {
            continue;
        };
        let stops = matches!(*request, Request::Shutdown(_));
        call(&caller, *request, &service, &mut frames, &mut writer).await?;
        if stops {
            stop.cancel();
            // Held open until the process ends: its end is what the caller waits for.
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

type Frames = mpsc::Receiver<Result<ToDaemon>>;

/// Reads frames in a task of its own, because a half-read frame must survive a `select!`.
fn pump(mut reader: BufReader<OwnedReadHalf>) -> Frames {
    let (queue, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(frame) = read_frame(&mut reader).await.transpose() {
            let broken = frame.is_err();
            if queue.send(frame).await.is_err() || broken {
                break;
            }
        }
    });
    frames
}

/// Runs one call. A caller that leaves does not stop the work; one that sends `cancel` does.
async fn call(
    caller: &Caller,
    request: Request,
    service: &Arc<Service>,
    frames: &mut Frames,
    writer: &mut OwnedWriteHalf,
) -> Result<()> {
    let (notes, mut updates) = mpsc::unbounded_channel();
    let cancel = Cancel::new()?;
    let (worker, who, stop) = (Arc::clone(service), caller.clone(), cancel.clone());
    let mut work =
        tokio::task::spawn_blocking(move || worker.call(&who, request, &Notes(notes), &stop));
    let mut listening = true;
    let answered = loop {
        tokio::select! {
            answered = &mut work => break answered?,
            Some(update) = updates.recv() => write_frame(writer, &progress(update)).await?,
            frame = frames.recv(), if listening => match frame.transpose()? {
                Some(ToDaemon::Cancel) => cancel.cancel(),
                Some(ToDaemon::Call(_)) => bail!("a second call before the first was answered"),
                None => listening = false,
            },
        }
    };
    while let Ok(update) = updates.try_recv() {
        write_frame(writer, &progress(update)).await?;
    }
    write_frame(writer, &answer(answered)).await
}

fn progress(update: Update) -> FromDaemon {
    FromDaemon::Progress {
        done: update.done,
        total: update.total,
        message: update.message,
    }
}

fn answer(answered: Result<Response, service::ServiceError>) -> FromDaemon {
    match answered {
        Ok(response) => FromDaemon::Answer(Box::new(response)),
        Err(error) => FromDaemon::Failed(Failure {
            code: error.code().into(),
            message: error.to_string(),
            fixable: error.fixable(),
        }),
    }
}

struct Notes(mpsc::UnboundedSender<Update>);

impl Progress for Notes {
    fn report(&self, update: Update) {
        // The caller may be gone; the work goes on without it.
        let _ = self.0.send(update);
    }
}

async fn read_frame<T: serde::de::DeserializeOwned>(
    reader: &mut BufReader<OwnedReadHalf>,
) -> Result<Option<T>> {
    let mut line = Vec::new();
    reader.take(FRAME_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        bail!("a frame was cut short or is longer than {FRAME_MAX} bytes");
    }
    serde_json::from_slice(&line)
        .map(Some)
        .context("not a frame")
}

async fn write_frame<T: serde::Serialize>(writer: &mut OwnedWriteHalf, frame: &T) -> Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    writer.write_all(&line).await.context("the caller is gone")
}

/// Connects standard streams to the daemon's agent socket: what an agent's client launches.
pub(crate) fn pipe_mcp(place: &Place, read_only: bool) -> Result<()> {
    let socket: PathBuf = place.agent_socket();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let piped = runtime.block_on(async move {
        let stream = UnixStream::connect(&socket)
            .await
            .with_context(|| format!("no daemon answers at {}", socket.display()))?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        write_frame(
            &mut writer,
            &Hello::new(crate::client::caller_name(), read_only),
        )
        .await?;
        let _: Hello = read_frame(&mut reader)
            .await?
            .context("the daemon closed the connection")?;
        let (mut input, mut output) = rmcp::transport::io::stdio_pipes();
        tokio::spawn(async move {
            // The client's end of input is passed on; the daemon then answers what is in flight.
            let _ = tokio::io::copy(&mut input, &mut writer).await;
            let _ = writer.shutdown().await;
        });
        tokio::io::copy_buf(&mut reader, &mut output).await?;
        output.flush().await?;
        Ok(())
    });
    // A blocking read of standard input must not keep the process alive.
    runtime.shutdown_background();
    piped
}
