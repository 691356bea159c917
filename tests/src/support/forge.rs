//! A real git server over smart http: `git http-backend` behind a small server on loopback.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail};
use tiny_http::{Header, Request, Response, Server, StatusCode};

/// Serves the repositories under one folder; stops when dropped.
pub struct Forge {
    server: Arc<Server>,
    worker: Option<JoinHandle<()>>,
    root: PathBuf,
    port: u16,
}

impl Forge {
    /// Starts to serve `root` on a free port of loopback.
    ///
    /// # Errors
    /// No port, or `git http-backend` is not installed.
    pub fn start(root: &Path) -> Result<Self> {
        Self::start_at(root, 0)
    }

    /// As [`Forge::start`], on that port, so that a repository has the address that it had before.
    ///
    /// # Errors
    /// As [`Forge::start`].
    pub fn start_at(root: &Path, port: u16) -> Result<Self> {
        let backend = backend()?;
        let server =
            Server::http(("127.0.0.1", port)).map_err(|error| anyhow!("cannot listen: {error}"))?;
        let port = server.server_addr().to_ip().context("no port")?.port();
        let server = Arc::new(server);
        let (accept, folder) = (Arc::clone(&server), root.to_owned());
        let worker = std::thread::spawn(move || {
            for request in accept.incoming_requests() {
                let (backend, folder) = (backend.clone(), folder.clone());
                std::thread::spawn(move || {
                    // A client that hung up needs no answer.
                    let _ = answer(request, &backend, &folder);
                });
            }
        });
        Ok(Self {
            server,
            worker: Some(worker),
            root: root.to_owned(),
            port,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// URL of the repository `name` under the root.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Makes a bare repository that accepts pushes.
    ///
    /// # Errors
    /// git failed.
    pub fn create(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path)?;
        super::git::git(
            &path,
            &["init", "--quiet", "--bare", "--initial-branch=main", "."],
        )?;
        super::git::git(&path, &["config", "http.receivepack", "true"])?;
        Ok(path)
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(worker) = self.worker.take() {
            // It ends by itself once unblocked.
            let _ = worker.join();
        }
    }
}

fn backend() -> Result<PathBuf> {
    let output = Command::new("git")
        .arg("--exec-path")
        .output()
        .context("cannot run git")?;
    let exec_path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let path = exec_path.join("git-http-backend");
    if !path.is_file() {
        bail!(
            "git http-backend is missing from {}; install git's http backend",
            exec_path.display()
        );
    }
    Ok(path)
}

/// One request as CGI (RFC 3875): headers and body in, status line, headers and body out.
fn answer(mut request: Request, backend: &Path, root: &Path) -> Result<()> {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let header = |name: &'static str| {
        request
            .headers()
            .iter()
            .find(|header| header.field.equiv(name))
            .map(|header| header.value.to_string())
            .unwrap_or_default()
    };
    let mut child = Command::new(backend)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method().to_string())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("Content-Type"))
        .env("HTTP_CONTENT_ENCODING", header("Content-Encoding"))
        .env("HTTP_GIT_PROTOCOL", header("Git-Protocol"))
        .env("GIT_PROTOCOL", header("Git-Protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REMOTE_USER", "anyone")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run git http-backend")?;
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body)?;
    let mut input = child.stdin.take().context("no input")?;
    // The backend may answer before it has read everything.
    let feeder = std::thread::spawn(move || input.write_all(&body));
    let mut output = Vec::new();
    child
        .stdout
        .take()
        .context("no output")?
        .read_to_end(&mut output)?;
    child.wait()?;
    let _ = feeder.join();
    request.respond(parse(&output)?)?;
    Ok(())
}

fn parse(output: &[u8]) -> Result<Response<std::io::Cursor<Vec<u8>>>> {
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("the backend sent no headers")?;
    let head = std::str::from_utf8(&output[..end]).context("headers are not text")?;
    let mut status = 200;
    let mut headers = Vec::new();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").context("not a header")?;
        if name.eq_ignore_ascii_case("Status") {
            status = value.split(' ').next().unwrap_or(value).parse()?;
        } else {
            headers.push(
                Header::from_bytes(name, value).map_err(|()| anyhow!("not a header: {line}"))?,
            );
        }
    }
    let body = output[end + 4..].to_vec();
    let length = body.len();
    Ok(Response::new(
        StatusCode(status),
        headers,
        std::io::Cursor::new(body),
        Some(length),
        None,
    ))
}
