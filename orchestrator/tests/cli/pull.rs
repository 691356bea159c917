//! A pull through the real program, from a forge that breaks off, loses and delays.

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::path::Path;
use std::process::Stdio;

use attest::digest::Digest;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::fake::{self, Forge, REPO, Step, TOKEN, half, ok, status};
use crate::support::{ADDER, Home, Said};

const POLICY: &str = "schema = 1\n\
    [repo]\nremote = \"origin\"\nbranch = \"main\"\nguarded_refs = [\"refs/heads/main\"]\n\
    [source]\nkind = \"github\"\nrepository = \"octo/gpu\"\n\
    [scope.sums]\npackage = \"adder\"\nworkflow = \"gpu-tests.yml\"\n\
    argv = [\"cargo\", \"test\", \"--test\", \"sums\"]\n";

/// A project whose runs are at a forge, and a machine with a credential for it.
pub(crate) fn project(forge: &Forge) -> (Home, String) {
    let home = Home::with(ADDER);
    home.write(&[("greenloop.toml", POLICY)]);
    home.git(&["add", "--all"]);
    home.git(&["commit", "--quiet", "-m", "Care"]);
    let remote = home.path().join("remote.git");
    let remote = remote.to_str().unwrap();
    home.git(&["init", "--quiet", "--bare", remote]);
    home.git(&["remote", "add", "origin", remote]);
    home.git(&["push", "--quiet", "origin", "main"]);
    let settings = home.path().join("config/greenloop");
    std::fs::create_dir_all(&settings).unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let text = format!(
        "[github]\napi_url = \"http://127.0.0.1:{}\"\nallow_insecure_loopback = true\ntoken = {{ file = {token:?} }}\n",
        forge.api.port
    );
    std::fs::write(settings.join("config.toml"), text).unwrap();
    let head = home.git(&["rev-parse", "HEAD"]);
    (home, head)
}

/// Digits of a fixed sequence: they pack to about half, as real logs do not.
fn large_log() -> Vec<u8> {
    let mut state = 1u64;
    let mut log = Vec::with_capacity(36 << 20);
    while log.len() < 36 << 20 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        writeln!(log, "{state:016x}{:016x}", state.rotate_left(17)).unwrap();
    }
    log
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn log_of<'a>(answer: &'a Value, job: &str) -> &'a Value {
    let mut logs = answer["logs"].as_array().unwrap().iter();
    logs.find(|log| log["job"] == job).unwrap()
}

/// Whether any file below a folder holds the bytes.
fn holds(folder: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => holds(&path, wanted),
            (_, true) => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                bytes.windows(wanted.len()).any(|window| window == wanted)
            }
            _ => false,
        }
    })
}

#[test]
fn an_interrupted_pull_goes_on_and_says_what_is_full_and_what_is_lost() {
    let forge = Forge::start();
    let (home, head) = project(&forge);
    let mut run = fake::run(7);
    run["head_sha"] = json!(head);
    forge.run(&run);
    let names = ["first", "archived", "slow", "expired"];
    let jobs: Vec<Value> = (1u64..)
        .zip(names)
        .map(|(id, name)| fake::job(id, name))
        .collect();
    forge.jobs(&jobs);
    forge.artifacts(&[]);
    let first = b"2026-01-02T03:04:05.0000000Z test sums ... ok\n".as_slice();
    let slow = b"2026-01-02T03:04:06.0000000Z test zero ... ok\n".repeat(1_000);
    forge.log(1, first);
    // The job's own log has gone; the archive of the attempt still has it.
    let archived = large_log();
    let zip = zip_of(&[("1_archived.txt", &archived), ("archived/1_Test.txt", b"x")]);
    assert!(zip.len() > 15 << 20, "{}", zip.len());
    forge.attempt_logs(&zip);
    forge.log_reply(3, half(&slow, Step::Stall));
    forge
        .api
        .on(&Forge::log_path(4), status(410, "{\"message\":\"Gone\"}"));

    let mut pull = home
        .command(env!("CARGO_BIN_EXE_greenloop"))
        .args(["pull", "7"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(pull.stderr.take().unwrap());
    let (mut line, mut heard) = (String::new(), String::new());
    while !line.contains("slow") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended: {heard}");
        heard.push_str(&line);
    }
    assert!(heard.contains("file 1 of 4: first"), "{heard}");
    let pid = rustix::process::Pid::from_raw(pull.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(pull.wait().unwrap().code(), Some(130));
    said.read_to_string(&mut heard).unwrap();
    assert!(heard.contains("the same command goes on"), "{heard}");

    // It is what is missing that is asked for now.
    forge.api.forget(&Forge::log_path(3));
    forge.log(3, &slow);
    forge.blob.forget("/log/3");
    forge.blob.on("/log/3", fake::bytes(&slow));
    let archives = forge.blob.count("/attempt");
    let second = home.greenloop(&["pull", "7"]);
    assert_eq!(second.code, 5, "{second:?}");
    assert!(second.out.contains("not full"), "{second:?}");
    assert!(second.out.contains("no log: expired"), "{second:?}");
    assert_eq!(forge.blob.count("/log/1"), 1);
    // Once more for the expired job, which has to be looked for there; never for the one that is kept.
    assert!(forge.blob.count("/attempt") <= archives + 1);
    let answer = home.greenloop(&["pull", "7", "--json"]).json();
    for (job, bytes) in [("first", first), ("archived", &archived), ("slow", &slow)] {
        let log = log_of(&answer, job);
        assert_eq!(log["fate"], "byte_exact", "{log}");
        assert_eq!(log["log"]["log_id"], Digest::of(bytes).to_string(), "{job}");
    }
    assert_eq!(log_of(&answer, "expired")["fate"], "lost");
    assert_eq!(log_of(&answer, "expired")["why_empty"], "expired");
    let id = log_of(&answer, "slow")["log"]["log_id"].as_str().unwrap();
    let raw = home.greenloop(&["log", id, "--raw"]);
    assert!(raw.out.as_bytes() == slow, "the log is not what was served");
    let id = log_of(&answer, "archived")["log"]["log_id"]
        .as_str()
        .unwrap();
    let line = home.greenloop(&["log", id, "--raw", "--line", "1000000:1000000"]);
    let wanted = archived
        .split_inclusive(|b| *b == b'\n')
        .nth(999_999)
        .unwrap();
    assert_eq!(line.out.as_bytes(), wanted);

    let verified = home.greenloop(&["evidence", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let held = home.greenloop(&["evidence", "prune", "--keep", "0"]);
    assert!(
        held.code != 0 && held.err.contains("greenloop stop"),
        "{held:?}"
    );
    home.greenloop(&["stop"]);
    let quiet = |said: &Said| !said.out.contains(TOKEN) && !said.err.contains(TOKEN);
    assert!(quiet(&second) && quiet(&verified) && !heard.contains(TOKEN));
    assert!(!heard.contains("SIGNATURE"), "{heard}");
    for asked in forge.blob.asked() {
        assert!(!format!("{asked:?}").contains(TOKEN), "{asked:?}");
    }
    for secret in [TOKEN.as_bytes(), b"SIGNATURE"] {
        assert!(!holds(&home.path().join("data"), secret));
    }
}

#[test]
fn a_refused_token_is_named_and_never_shown() {
    let forge = Forge::start();
    let (home, _) = project(&forge);
    let path = format!("{REPO}/actions/runs/7");
    forge
        .api
        .on(&path, status(401, "{\"message\":\"Bad credentials\"}"));
    let said = home.greenloop(&["pull", "7"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("did not take the credential"), "{said:?}");
    assert!(!said.err.contains(TOKEN) && !said.out.contains(TOKEN));
    forge.api.forget(&path);
    forge.api.on(&path, ok(&json!({"id": 7})));
    forge.api.on(
        &path,
        status(403, "{\"message\":\"Resource not accessible\"}"),
    );
    let said = home.greenloop(&["pull", "7", "--json"]);
    assert!(
        !said.err.contains(TOKEN) && !said.out.contains(TOKEN),
        "{said:?}"
    );
}

#[test]
fn old_evidence_is_dropped_by_budget_and_what_is_gone_says_so() {
    let forge = Forge::start();
    let (home, head) = project(&forge);
    let logs = [
        &b"the older log\n".repeat(9)[..],
        &b"the newest log\n".repeat(9)[..],
    ];
    for (id, log) in [7u64, 8].into_iter().zip(logs) {
        let mut run = fake::run(id);
        run["head_sha"] = json!(head);
        run["created_at"] = json!(format!("2026-01-0{id}T00:00:00Z"));
        forge.run(&run);
        let rows = [fake::job(10 * id, "first")];
        let listed = |key: &str, rows: &[Value]| ok(&json!({"total_count": rows.len(), key: rows}));
        let base = format!("{REPO}/actions/runs/{id}");
        forge
            .api
            .on(&format!("{base}/attempts/1/jobs"), listed("jobs", &rows));
        forge
            .api
            .on(&format!("{base}/artifacts"), listed("artifacts", &[]));
        forge.log(10 * id, log);
        let pulled = home.greenloop(&["pull", &id.to_string()]);
        assert_eq!(pulled.code, 0, "{pulled:?}");
    }
    home.greenloop(&["stop"]);
    let older = Digest::of(logs[0]).to_string();
    let looked = home
        .greenloop(&["evidence", "prune", "--keep", "0", "--dry-run", "--json"])
        .json();
    assert_eq!(looked["dropped"], json!([older]), "{looked}");
    let pruned = home
        .greenloop(&["evidence", "prune", "--keep", "0", "--json"])
        .json();
    assert_eq!(pruned["dropped"], json!([older]), "{pruned}");
    assert_eq!(
        pruned["within_budget"], false,
        "the newest run of a scope stays: {pruned}"
    );
    let kept = home.greenloop(&["log", &Digest::of(logs[1]).to_string(), "--raw"]);
    assert_eq!(kept.out.as_bytes(), logs[1]);
    let gone = home.greenloop(&["log", &older, "--raw"]);
    assert!(gone.code != 0 && gone.err.contains("no log"), "{gone:?}");
    // It can be had again as long as its source has it.
    let again = home.greenloop(&["pull", "7", "--refresh"]);
    assert_eq!(again.code, 0, "{again:?}");
    let back = home.greenloop(&["log", &older, "--raw"]);
    assert_eq!(back.out.as_bytes(), logs[0]);
}

/// What stands in fenced blocks of a language, without the indent of the list around them.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in document.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some((indent, text)), None) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            (Some(_), Some(_)) => found.extend(open.take().map(|(_, text)| text)),
            (None, Some(named)) if named == language => {
                open = Some((line.len() - line.trim_start().len(), String::new()));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_guide_to_evidence_is_what_happens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (settings, consoles) = (blocks(&guide, "toml"), blocks(&guide, "console"));
    assert_eq!(
        (settings.len(), consoles.len()),
        (3, 4),
        "{settings:?} {consoles:?}"
    );
    let forge = Forge::start();
    let (home, _) = project(&forge);
    // The guide's own settings and policy, for a forge on this machine.
    let policy = format!(
        "schema = 1\n[repo]\nremote = \"origin\"\nbranch = \"main\"\n{}",
        settings[2].replace(
            "# repository = \"owner/name\"",
            "repository = \"octo/gpu\" #"
        )
    );
    home.write(&[("greenloop.toml", &policy)]);
    home.git(&["commit", "--quiet", "--all", "-m", "As the guide says"]);
    home.git(&["push", "--quiet", "origin", "main"]);
    let address = format!(
        "{}api_url = \"http://127.0.0.1:{}\"\nallow_insecure_loopback = true\n",
        settings[0], forge.api.port
    );
    let config = home.path().join("config/greenloop/config.toml");
    std::fs::write(&config, address).unwrap();
    let head = home.git(&["rev-parse", "HEAD"]);

    let log = b"2026-01-02T03:04:05.0000000Z test a ... ok\n".as_slice();
    let harness = zip_of(&[("gpu_test_output.log", b"test a ... ok\n")]);
    let id = 17_433_214;
    let mut run = fake::run(id);
    run["head_sha"] = json!(head);
    forge.run(&run);
    let base = format!("{REPO}/actions");
    let list = |path: &str, key: &str, rows: &[Value]| {
        let answer = ok(&json!({"total_count": rows.len(), key: rows}));
        forge.api.on(&format!("{base}/{path}"), answer);
    };
    list(
        &format!("runs/{id}/attempts/1/jobs"),
        "jobs",
        &[fake::job(1, "gpu (0, full)")],
    );
    let artifact = json!({"id": 2, "name": "gpu-test-output-noop-0-full"});
    list(&format!("runs/{id}/artifacts"), "artifacts", &[artifact]);
    list("runs", "workflow_runs", std::slice::from_ref(&run));
    list(
        "workflows/gpu-tests.yml/runs",
        "workflow_runs",
        std::slice::from_ref(&run),
    );
    forge.log(1, log);
    forge.artifact(2, &harness);

    let typed = |home: &Home, line: &str| {
        let said = home.shell(&format!("export GITHUB_TOKEN={TOKEN}; {line}"));
        assert_eq!(said.code, 0, "{line}: {said:?}");
        said
    };
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("$ "));
        lines.map(str::to_owned).collect()
    };
    for line in lines(&consoles[0]) {
        typed(&home, &line);
    }
    let pulled = home.greenloop(&["pull", "17433214", "--json"]).json();
    let job = log_of(&pulled, "noop-0-full");
    // The harness's own output outranks the job's log, which stays beside it.
    assert_eq!(
        job["log"]["log_id"],
        Digest::of(b"test a ... ok\n").to_string()
    );
    assert_eq!(job["outranked"][0]["log_id"], Digest::of(log).to_string());
    let log_id = job["log"]["log_id"].as_str().unwrap();
    for line in [
        "greenloop classify R1",
        "greenloop markers R1",
        "greenloop log LOG",
    ] {
        assert!(guide.contains(&format!("`{line}`")), "{line}");
        let said = home.shell(&line.replace("LOG", log_id));
        assert!([0, 5, 6].contains(&said.code), "{line}: {said:?}");
    }
    for line in lines(&consoles[1]) {
        home.greenloop(&["stop"]);
        typed(&home, &line);
    }
    // Orders go to the forge that the guide's run is of.
    let again = format!("{base}/runs/{id}/rerun-failed-jobs");
    forge.api.on(&again, fake::status(201, "{}"));
    for line in lines(&consoles[2]) {
        typed(&home, &line);
    }
    assert_eq!(forge.api.count(&again), 1);
    home.greenloop(&["stop"]);

    // A folder instead of a forge.
    let recorded = Home::with(ADDER);
    let policy = "schema = 1\n[source]\nkind = \"recorded\"\npath = \"evidence\"\n[scope.path_equivalence]\npackage = \"adder\"\nargv = [\"true\"]\n";
    recorded.write(&[
        ("greenloop.toml", policy),
        (
            "evidence/yesterday/paths.log",
            std::str::from_utf8(log).unwrap(),
        ),
    ]);
    recorded.git(&["add", "--all"]);
    recorded.git(&["commit", "--quiet", "-m", "Care"]);
    let remote = recorded.path().join("remote.git");
    let remote = remote.to_str().unwrap();
    recorded.git(&["init", "--quiet", "--bare", remote]);
    recorded.git(&["remote", "add", "origin", remote]);
    recorded.git(&["push", "--quiet", "origin", "main"]);
    let head = recorded.git(&["rev-parse", "HEAD"]);
    for line in lines(&consoles[3]) {
        typed(&recorded, &line.replace("4f1c0de9…", &head));
    }
}
