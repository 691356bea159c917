//! MCP over HTTP: who gets in, who does not, and both eras of the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use acceptance::support::bin;
use acceptance::support::project::{Project, Scene};
use discipline::event::Event;
use serde_json::{Value, json};
use state::JournalReader;

/// A `greenloop mcp --http` that runs.
struct Door {
    child: Child,
    address: String,
    token_file: String,
    token: String,
}

impl Door {
    fn open(scene: &Scene, more: &[&str]) -> Self {
        let mut child = Command::new(bin("greenloop").unwrap())
            .args(["mcp", "--http", "127.0.0.1:0", "--json", "--repo"])
            .arg(&scene.repo)
            .arg("--config")
            .arg(&scene.config)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let url = said["url"].as_str().unwrap();
        let address = url
            .strip_prefix("http://")
            .and_then(|url| url.strip_suffix("/mcp"));
        let token_file = said["token_file"].as_str().unwrap().to_owned();
        Self {
            child,
            address: address.unwrap().to_owned(),
            token: std::fs::read_to_string(&token_file)
                .unwrap()
                .trim()
                .to_owned(),
            token_file,
        }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    /// Headers of a good client.
    fn good(&self) -> Vec<(String, String)> {
        [
            ("Host", self.address.clone()),
            ("Authorization", format!("Bearer {}", self.token)),
            ("Content-Type", "application/json".into()),
            ("Accept", "application/json, text/event-stream".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn post(&self, headers: &[(String, String)], body: &str) -> Answer {
        self.request("POST", "/mcp", headers, body)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: &str,
    ) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // A server that has seen enough may close before it read all.
        let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        Answer::read(&String::from_utf8_lossy(&text))
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let wanted = format!("{name}: ");
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&wanted))
    }

    /// The message in it, bare or as a server-sent event with data.
    fn message(&self) -> Value {
        let start = self.body.find("{\"").unwrap_or_else(|| panic!("{self:?}"));
        let text = &self.body[start..];
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        values
            .next()
            .unwrap()
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn with(headers: &[(String, String)], name: &str, value: Option<&str>) -> Vec<(String, String)> {
    let mut headers: Vec<_> = headers
        .iter()
        .filter(|(own, _)| own != name)
        .cloned()
        .collect();
    if let Some(value) = value {
        headers.push((name.to_owned(), value.to_owned()));
    }
    headers
}

fn initialize() -> String {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "acceptance", "version": "1" },
        },
    })
    .to_string()
}

fn stateless(method: &str, mut params: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "acceptance", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

fn scene(work: &tempfile::TempDir, runtime: &tempfile::TempDir) -> Scene {
    Scene::set(Project::Fixture, work.path(), runtime.path()).unwrap()
}

#[test]
fn strangers_are_kept_out_and_a_good_client_is_served_in_both_eras() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = scene(&work, &runtime);
    let mut door = Door::open(&scene, &[]);
    let mode = std::fs::metadata(&door.token_file)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!((mode & 0o777, door.token.len()), (0o600, 64));

    let good = door.good();
    let hello = initialize();
    let refusals = [
        ("no token", with(&good, "Authorization", None), 401),
        (
            "a wrong token",
            with(
                &good,
                "Authorization",
                Some(&format!("Bearer {}", "0".repeat(64))),
            ),
            401,
        ),
        (
            "half a token",
            with(
                &good,
                "Authorization",
                Some(&format!("Bearer {}", &door.token[..32])),
            ),
            401,
        ),
        (
            "another scheme",
            with(
                &good,
                "Authorization",
                Some(&format!("Basic {}", door.token)),
            ),
            401,
        ),
        (
            "another host",
            with(&good, "Host", Some("evil.example:80")),
            403,
        ),
        (
            "another port of this host",
            with(&good, "Host", Some("127.0.0.1:1")),
            403,
        ),
        (
            "an origin",
            with(&good, "Origin", Some("https://evil.example")),
            403,
        ),
        (
            "another local origin",
            with(&good, "Origin", Some("http://127.0.0.1:1")),
            403,
        ),
        ("the null origin", with(&good, "Origin", Some("null")), 403),
    ];
    for (who, headers, status) in refusals {
        let answer = door.post(&headers, &hello);
        assert_eq!(answer.status, status, "{who}: {answer:?}");
        assert!(!answer.body.contains(&door.token), "{who}");
    }
    assert_eq!(door.request("POST", "/", &good, &hello).status, 404);
    let long = "x".repeat((4 << 20) + 1);
    assert_eq!(door.post(&good, &long).status, 413);
    assert!((400..500).contains(&door.post(&good, "no json").status));

    let own = with(&good, "Origin", Some(&format!("http://{}", door.address)));
    assert_eq!(door.post(&own, &hello).status, 200);

    // 2025-11-25: a session.
    let answer = door.post(&good, &hello);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.message()["result"]["protocolVersion"], "2025-11-25");
    let session = answer.header("mcp-session-id").unwrap().to_owned();
    let in_session = with(
        &with(&good, "Mcp-Session-Id", Some(&session)),
        "MCP-Protocol-Version",
        Some("2025-11-25"),
    );
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    assert_eq!(door.post(&in_session, &ready).status, 202);
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }).to_string();
    let listed = door.post(&in_session, &list).message();
    assert_eq!(
        listed["result"]["tools"].as_array().unwrap().len(),
        tools::TOOLS.len(),
        "{listed}"
    );
    assert_eq!(
        door.request("DELETE", "/mcp", &in_session, "").status / 100,
        2
    );
    assert_eq!(
        door.post(&in_session, &list).status,
        404,
        "the session is over"
    );

    // 2026-07-28: every request by itself.
    let now = |method: &str, name: &str| {
        let mut headers = with(&good, "MCP-Protocol-Version", Some("2026-07-28"));
        headers.push(("Mcp-Method".into(), method.into()));
        if !name.is_empty() {
            headers.push(("Mcp-Name".into(), name.into()));
        }
        headers
    };
    let found = door
        .post(
            &now("server/discover", ""),
            &stateless("server/discover", json!({})),
        )
        .message();
    assert!(
        found["result"]["supportedVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-28")),
        "{found}"
    );
    let call = stateless(
        "tools/call",
        json!({ "name": "loop_status", "arguments": {} }),
    );
    let status = door
        .post(&now("tools/call", "loop_status"), &call)
        .message();
    assert_eq!(
        status["result"]["structuredContent"]["phase"], "idle",
        "{status}"
    );
    assert_eq!(status["id"], 7);
    let call = stateless(
        "tools/call",
        json!({ "name": "open_loop", "arguments": {
            "goal": "be known by name", "scopes": ["path_equivalence"], "idempotency_key": "name" } }),
    );
    let opened = door.post(&now("tools/call", "open_loop"), &call).message();
    assert_eq!(
        opened["result"]["structuredContent"]["loop_id"], "L1",
        "{opened}"
    );
    let state_dir = &status["result"]["structuredContent"]["state_dir"];
    let journal = JournalReader::open(Path::new(state_dir.as_str().unwrap())).unwrap();
    let events = journal.iter().map(|logged| logged.unwrap().record);
    let authors: Vec<String> = events
        .filter_map(|record| match record.as_event() {
            Some(Event::LoopOpened { author, .. }) => Some(author.name.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        authors,
        ["acceptance"],
        "whoever calls without a session has a name too"
    );

    // The token is worth nothing once the door is closed.
    door.stop();
    assert!(!Path::new(&door.token_file).exists());
    assert!(
        TcpStream::connect(&door.address).is_err(),
        "{} is open",
        door.port()
    );
}

#[test]
fn a_read_only_door_refuses_what_writes() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = scene(&work, &runtime);
    let mut door = Door::open(&scene, &["--read-only"]);
    let mut headers = with(&door.good(), "MCP-Protocol-Version", Some("2026-07-28"));
    headers.push(("Mcp-Method".into(), "tools/call".into()));
    headers.push(("Mcp-Name".into(), "open_loop".into()));
    let call = stateless(
        "tools/call",
        json!({ "name": "open_loop", "arguments": {} }),
    );
    let refused = door.post(&headers, &call).message();
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(refused.to_string().contains("read-only"), "{refused}");
    door.stop();
}

#[test]
fn only_loopback_is_served() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = scene(&work, &runtime);
    let output = Command::new(bin("greenloop").unwrap())
        .args(["mcp", "--http", "0.0.0.0:0", "--repo"])
        .arg(&scene.repo)
        .arg("--config")
        .arg(&scene.config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"));
}
