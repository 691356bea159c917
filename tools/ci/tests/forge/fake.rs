//! A forge of ours: two raw TCP servers, the API and the blob store, that say exactly what a test
//! tells them to, byte by byte, and remember what they were asked.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ci::github::{Credential, Github, GithubSettings, Patience, SecretSource};
use serde_json::{Value, json};

/// The credential. Nothing but the API may ever see it.
pub(crate) const TOKEN: &str = "ghp_canary0123456789abcdefABCDEF";
/// The repository.
pub(crate) const REPO: &str = "/repos/octo/gpu";

/// One thing a server does with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    /// Ends the connection with RST.
    Reset,
    /// Says nothing more and keeps the connection open.
    Stall,
    /// Goes on when the test has come there too.
    #[allow(dead_code, reason = "the service's tests hold an answer back with it")]
    Meet(Arc<std::sync::Barrier>),
}

/// A whole answer.
pub(crate) type Reply = Vec<Step>;

/// What a server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path with its query.
    pub(crate) path: String,
    /// Header lines.
    pub(crate) headers: Vec<String>,
}

type Routes = Arc<Mutex<BTreeMap<String, VecDeque<Reply>>>>;
/// Answers of a path from the moment at which another one is asked for.
type Changes = Arc<Mutex<BTreeMap<String, Vec<(String, Reply)>>>>;

/// One server.
pub(crate) struct Server {
    pub(crate) port: u16,
    routes: Routes,
    changes: Changes,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (routes, changes) = (Routes::default(), Changes::default());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (served, noted, stopped) = (routes.clone(), asked.clone(), stop.clone());
        let changing = changes.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (served, noted) = (served.clone(), noted.clone());
                let changing = changing.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &served, &changing, &noted));
            }
        });
        Server {
            port,
            routes,
            changes,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    /// Adds an answer for a path without its query; the last one stays.
    pub(crate) fn on(&self, path: &str, reply: Reply) {
        let mut routes = self.routes.lock().unwrap();
        routes.entry(path.to_owned()).or_default().push_back(reply);
    }

    /// From the moment at which `asked` is asked for, `path` has this one answer.
    pub(crate) fn when_asked(&self, asked: &str, path: &str, reply: Reply) {
        let mut changes = self.changes.lock().unwrap();
        let change = (path.to_owned(), reply);
        changes.entry(asked.to_owned()).or_default().push(change);
    }

    /// Forgets the answers of a path.
    pub(crate) fn forget(&self, path: &str) {
        self.routes.lock().unwrap().remove(path);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        let asked = self.asked();
        let same = |asked: &&Asked| asked.path.split('?').next() == Some(path);
        asked.iter().filter(same).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(stream: TcpStream, routes: &Routes, changes: &Changes, asked: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim_end().is_empty() => break,
            Ok(_) => lines.push(line.trim_end().to_owned()),
        }
    }
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let plain = path.split('?').next().unwrap().to_owned();
    asked.lock().unwrap().push(Asked {
        path,
        headers: lines.split_off(1),
    });
    let reply = {
        let mut routes = routes.lock().unwrap();
        let changed = changes.lock().unwrap().remove(&plain).unwrap_or_default();
        for (path, reply) in changed {
            routes.insert(path, VecDeque::from([reply]));
        }
        match routes.get_mut(&plain) {
            None => status(404, "{\"message\":\"Not Found\"}"),
            Some(replies) if replies.len() > 1 => replies.pop_front().unwrap(),
            Some(replies) => replies[0].clone(),
        }
    };
    perform(stream, reader, reply);
}

fn perform(mut stream: TcpStream, mut reader: BufReader<TcpStream>, reply: Reply) {
    for step in reply {
        match step {
            Step::Bytes(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
            Step::Meet(barrier) => {
                barrier.wait();
            }
            Step::Reset => {
                let now = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&stream, now).unwrap();
                return;
            }
            Step::Stall => {
                // Until the client has had enough.
                let _ = reader.read_to_end(&mut Vec::new());
                return;
            }
        }
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Any answer with headers and a body of the stated length.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let length = body.len().to_string();
    let mut all = headers.to_vec();
    all.push(("Content-Length", &length));
    vec![Step::Bytes([head(status, &all), body.to_vec()].concat())]
}

/// A status with a body of JSON.
pub(crate) fn status(code: u16, body: &str) -> Reply {
    reply(
        code,
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    )
}

pub(crate) fn ok(value: &Value) -> Reply {
    status(200, &value.to_string())
}

/// Bytes as a blob store gives them.
pub(crate) fn bytes(body: &[u8]) -> Reply {
    reply(200, &[("Content-Type", "text/plain")], body)
}

/// Fewer bytes than stated.
pub(crate) fn short(stated: usize, body: &[u8]) -> Reply {
    let stated = stated.to_string();
    vec![Step::Bytes(
        [head(200, &[("Content-Length", &stated)]), body.to_vec()].concat(),
    )]
}

/// No stated length: the end of the connection is the end of the body.
pub(crate) fn unframed(body: &[u8]) -> Reply {
    vec![Step::Bytes([head(200, &[]), body.to_vec()].concat())]
}

/// Half a body, then something else.
pub(crate) fn half(body: &[u8], then: Step) -> Reply {
    let mut reply = short(body.len(), &body[..body.len() / 2]);
    reply.push(then);
    reply
}

/// Both servers.
pub(crate) struct Forge {
    pub(crate) api: Server,
    pub(crate) blob: Server,
}

impl Forge {
    pub(crate) fn start() -> Forge {
        Forge {
            api: Server::start(),
            blob: Server::start(),
        }
    }

    /// A forge with run 7 of these jobs, its logs at the blob store.
    pub(crate) fn with(jobs: &[(u64, &str, &[u8])]) -> Forge {
        let forge = Forge::start();
        forge.run(&run(7));
        let listed: Vec<Value> = jobs.iter().map(|(id, name, _)| job(*id, name)).collect();
        forge.jobs(&listed);
        forge.artifacts(&[]);
        for (id, _, log) in jobs {
            forge.log(*id, log);
        }
        forge
    }

    pub(crate) fn settings(&self) -> GithubSettings {
        GithubSettings {
            api_url: format!("http://127.0.0.1:{}", self.api.port),
            repository: "octo/gpu".into(),
            credential: Credential::Token(SecretSource::Env("FORGE_TOKEN".into())),
            allow_insecure_loopback: true,
            environment: [("FORGE_TOKEN".into(), TOKEN.into())].into(),
            patience: Patience {
                idle: Duration::from_secs(60),
                backoff: Duration::from_millis(1),
                secondary: Duration::from_millis(2),
                longest: Duration::from_secs(10),
                tries: 3,
            },
        }
    }

    pub(crate) fn client(&self) -> Github {
        Github::new(self.settings()).unwrap()
    }

    pub(crate) fn run(&self, run: &Value) {
        let id = run["id"].as_u64().unwrap();
        let attempt = run["run_attempt"].as_u64().unwrap();
        self.api.on(&format!("{REPO}/actions/runs/{id}"), ok(run));
        let path = format!("{REPO}/actions/runs/{id}/attempts/{attempt}");
        self.api.on(&path, ok(run));
    }

    pub(crate) fn jobs(&self, jobs: &[Value]) {
        let listing = json!({"total_count": jobs.len(), "jobs": jobs});
        self.api.on(
            &format!("{REPO}/actions/runs/7/attempts/1/jobs"),
            ok(&listing),
        );
    }

    pub(crate) fn artifacts(&self, artifacts: &[Value]) {
        let listing = json!({"total_count": artifacts.len(), "artifacts": artifacts});
        self.api
            .on(&format!("{REPO}/actions/runs/7/artifacts"), ok(&listing));
    }

    /// An address at the blob store, signed.
    pub(crate) fn signed(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}?sig=SIGNATURE", self.blob.port)
    }

    pub(crate) fn redirect(&self, from: &str, to: &str) {
        self.api.on(from, reply(302, &[("Location", to)], b""));
    }

    /// The API's path of a job's log.
    pub(crate) fn log_path(id: u64) -> String {
        format!("{REPO}/actions/jobs/{id}/logs")
    }

    pub(crate) fn log(&self, id: u64, log: &[u8]) {
        let path = format!("/log/{id}");
        self.redirect(&Forge::log_path(id), &self.signed(&path));
        self.blob.on(&path, bytes(log));
    }

    /// A job's log whose blob answers so.
    pub(crate) fn log_reply(&self, id: u64, reply: Reply) {
        let path = format!("/log/{id}");
        self.redirect(&Forge::log_path(id), &self.signed(&path));
        self.blob.on(&path, reply);
    }

    pub(crate) fn attempt_logs(&self, zip: &[u8]) {
        let path = format!("{REPO}/actions/runs/7/attempts/1/logs");
        self.redirect(&path, &self.signed("/attempt"));
        self.blob.on("/attempt", bytes(zip));
    }

    pub(crate) fn artifact(&self, id: u64, zip: &[u8]) {
        let path = format!("/artifact/{id}");
        self.redirect(
            &format!("{REPO}/actions/artifacts/{id}/zip"),
            &self.signed(&path),
        );
        self.blob.on(&path, bytes(zip));
    }
}

pub(crate) fn run(id: u64) -> Value {
    json!({
        "id": id, "name": "gpu", "path": ".github/workflows/gpu-tests.yml", "event": "push",
        "status": "completed", "conclusion": "failure", "run_attempt": 1,
        "head_sha": "1234567890123456789012345678901234567890", "head_branch": "main",
        "created_at": "2026-01-02T03:00:00Z", "run_started_at": "2026-01-02T03:00:00Z",
        "updated_at": "2026-01-02T03:30:00Z", "workflow_id": 3,
    })
}

pub(crate) fn job(id: u64, name: &str) -> Value {
    json!({
        "id": id, "name": name, "status": "completed", "conclusion": "failure", "runner_id": 4,
        "runner_name": "rig", "labels": ["self-hosted", "gpu"], "run_attempt": 1,
        "started_at": "2026-01-02T03:01:00Z", "completed_at": "2026-01-02T03:20:00Z",
        "steps": [
            {"name": "Set up job", "status": "completed", "conclusion": "success", "number": 1},
            {"name": "Test", "status": "completed", "conclusion": "failure", "number": 2},
            {"name": "Skipped", "status": "completed", "conclusion": "skipped", "number": 3},
        ],
    })
}
