//! The daemon: the only writer of state, behind two sockets.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use service::api::{Request, Response};
use service::{Caller, Cancel, MachineConfig, Progress, Service, ServiceConfig, Update};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tools::{Endpoint, Server};

use crate::client::READY;
use crate::place::{Place, private_dir};
use crate::wire::{FRAME_MAX, Failure, FromDaemon, Hello, HttpDoor, ToDaemon};

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
    let github = place.config.github.as_ref();
    machine.sources.github = github.map(crate::config::Github::access).transpose()?;
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
    let endpoints = Arc::new(Endpoints::default());
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
                let (service, endpoints) = (Arc::clone(&service), Arc::clone(&endpoints));
                tokio::spawn(report(async move { agent_connection(stream, service, endpoints).await }));
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
    let hello = heard(reader).await?;
    greet_back(writer, &hello).await?;
    Ok(hello)
}

async fn heard(reader: &mut BufReader<OwnedReadHalf>) -> Result<Hello> {
    read_frame(reader).await?.context("closed before hello")
}

async fn greet_back(writer: &mut OwnedWriteHalf, hello: &Hello) -> Result<()> {
    let own = Hello::new(std::process::id().to_string(), hello.read_only);
    write_frame(writer, &own).await
}

fn caller(stream: &UnixStream, operator: bool) -> Result<Caller> {
    let uid = stream.peer_cred().context("cannot tell who calls")?.uid();
    Ok(Caller {
        uid,
        name: String::new(),
        operator,
    })
}

async fn agent_connection(
    stream: UnixStream,
    service: Arc<Service>,
    endpoints: Arc<Endpoints>,
) -> Result<()> {
    let caller = caller(&stream, false)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let hello = heard(&mut reader).await?;
    let caller = Caller {
        name: hello.name.clone(),
        ..caller
    };
    match hello.http.clone() {
        None => {
            greet_back(&mut writer, &hello).await?;
            let server = Server::new(service, caller, hello.read_only);
            tools::serve(server, reader, writer).await?;
        }
        Some(HttpDoor::Open { id, port, token }) => {
            let read_only = hello.read_only;
            let make = move || Server::new(Arc::clone(&service), caller.clone(), read_only);
            let _open = endpoints.open(id, Endpoint::new(port, token, make))?;
            greet_back(&mut writer, &hello).await?;
            // Nothing more is said on this stream; its end is the endpoint's.
            tokio::io::copy(&mut reader, &mut tokio::io::sink()).await?;
        }
        Some(HttpDoor::Join { id }) => {
            let endpoint = endpoints.get(&id).context("no such endpoint")?;
            greet_back(&mut writer, &hello).await?;
            endpoint.serve(tokio::io::join(reader, writer)).await?;
        }
    }
    Ok(())
}

/// HTTP endpoints by id; each lives as long as the stream that opened it.
#[derive(Default)]
struct Endpoints(Mutex<BTreeMap<String, Arc<Endpoint<Server>>>>);

/// Most endpoints at once.
const MAX_ENDPOINTS: usize = 16;

impl Endpoints {
    fn open(self: Arc<Self>, id: String, endpoint: Arc<Endpoint<Server>>) -> Result<OpenEndpoint> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_ENDPOINTS || open.contains_key(&id) {
            bail!("the endpoint is open already, or too many are");
        }
        open.insert(id.clone(), endpoint);
        drop(open);
        Ok(OpenEndpoint { all: self, id })
    }

    fn get(&self, id: &str) -> Option<Arc<Endpoint<Server>>> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(id).cloned()
    }
}

/// Ends its endpoint, with all its sessions, when it is dropped.
struct OpenEndpoint {
    all: Arc<Endpoints>,
    id: String,
}

impl Drop for OpenEndpoint {
    fn drop(&mut self) {
        let mut open = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = open.remove(&self.id) {
            endpoint.stop();
        }
    }
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

pub(crate) async fn read_frame<T: serde::de::DeserializeOwned>(
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

pub(crate) async fn write_frame<T: serde::Serialize>(
    writer: &mut OwnedWriteHalf,
    frame: &T,
) -> Result<()> {
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
