//! A run of GitHub Actions through the whole loop, from a forge of ours.

use std::fs;

use serde_json::json;
use service::api;
use service::{Credential, ForgeAccess, SecretSource, ServiceError, SourceSettings};

use crate::fake::{self, Forge, REPO, TOKEN, ok};
use crate::support::{Bench, SCOPE, run};

const LOG: &[u8] = b"2026-01-02T03:04:06.0000000Z running 1 test\n\
2026-01-02T03:04:06.2000000Z test path_equivalence_partial_block ... FAILED\n\
2026-01-02T03:04:06.4000000Z test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
2026-01-02T03:04:06.5000000Z ##[error]Process completed with exit code 101.\n";

/// A project on a forge, and the commit at its tip.
fn bench(forge: &Forge, token: &std::path::Path, api_url: &str) -> (Bench, String) {
    fs::write(token, TOKEN).unwrap();
    let sources = SourceSettings {
        recorded: None,
        github: Some(ForgeAccess {
            api_url: format!("http://127.0.0.1:{}", forge.api.port),
            credential: Credential::Token(SecretSource::File(token.to_owned())),
            allow_insecure_loopback: true,
        }),
    };
    let source = format!("kind = \"github\"\nrepository = \"octo/gpu\"\n{api_url}");
    let bench = Bench::with_sources(sources, |tree| {
        let path = tree.join("greenloop.toml");
        let policy = fs::read_to_string(&path).unwrap();
        let policy = policy.replace("kind = \"local\"", &source).replace(
            "[scope.path_equivalence]",
            "[scope.path_equivalence]\nworkflow = \"gpu-tests.yml\"",
        );
        fs::write(&path, policy).unwrap();
    });
    let head = run(&bench.clone_path(), "git", &["rev-parse", "HEAD"]);
    (bench, head)
}

#[test]
fn a_run_of_the_forge_feeds_the_loop() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let (bench, head) = bench(&forge, &folder.path().join("token"), "");
    let mut described = fake::run(7);
    described["head_sha"] = json!(head);
    forge.run(&described);
    forge.jobs(&[fake::job(1, "paths (debug)"), fake::job(2, "paths (again)")]);
    forge.log(1, LOG);
    let zip = zip_of_one("note.txt", b"kept\n");
    forge.artifacts(&[json!({"id": 5, "name": "notes"})]);
    forge.artifact(5, &zip);
    // A storm lies before it.
    let mut storm = fake::run(8);
    storm["conclusion"] = json!("cancelled");
    storm["created_at"] = json!("2026-01-03T00:00:00Z");
    forge.run(&storm);
    forge.api.on(
        &format!("{REPO}/actions/runs/8/attempts/1/jobs"),
        ok(&json!({"total_count": 0, "jobs": []})),
    );
    forge.api.on(
        &format!("{REPO}/actions/workflows/gpu-tests.yml/runs"),
        ok(&json!({"total_count": 2, "workflow_runs": [storm, described]})),
    );
    let pull = |refresh: bool| {
        bench
            .agent(api::PullFullLogRequest {
                run_id: "latest".into(),
                scope: Some(SCOPE.into()),
                artifacts: true,
                refresh,
                ..Default::default()
            })
            .unwrap()
    };
    let first = pull(false);
    assert!(!first.complete);
    assert_eq!(first.source_run_id.as_deref(), Some("7"));
    assert!(
        first.notes.iter().any(|note| note.contains("1 newer runs")),
        "{:?}",
        first.notes
    );
    assert_eq!(first.logs[1].why_empty.as_deref(), Some("missing"));
    // The log comes late: only it is fetched then.
    forge.log(2, LOG);
    forge.api.forget(&Forge::log_path(2));
    forge.log(2, LOG);
    let second = pull(true);
    assert!(second.complete, "{second:?}");
    assert_eq!(second.run_id, first.run_id);
    assert_eq!(forge.blob.count("/log/1"), 1);
    let class = bench
        .agent(api::ClassifyRunRequest {
            run_id: second.run_id.clone(),
        })
        .unwrap();
    assert_eq!(class.class, "test");
    let artifact = bench
        .agent(api::PullArtifactRequest {
            run_id: second.run_id.clone(),
            name: "notes".into(),
            attempt: None,
        })
        .unwrap();
    let log = artifact.entries[0].log.clone().unwrap();
    let page = bench
        .agent(api::ReadLogRequest {
            log_id: log.log_id,
            offset: None,
            line: None,
            max_bytes: None,
            view: api::LogViewKind::Raw,
        })
        .unwrap();
    assert_eq!(page.data, "kept\n");
    assert_eq!(forge.blob.count("/artifact/5"), 1);
    let state = bench.root().join("state");
    for folder in ["journal", "evidence", "index", "spool"] {
        let folder = state.join(folder);
        assert!(!holds(&folder, TOKEN.as_bytes()) && !holds(&folder, b"SIGNATURE"));
    }
}

/// Whether any file below a folder holds the bytes.
fn holds(folder: &std::path::Path, wanted: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, wanted),
            false => {
                let bytes = fs::read(&path).unwrap_or_default();
                bytes.windows(wanted.len()).any(|window| window == wanted)
            }
        }
    })
}

fn zip_of_one(name: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_policy_cannot_send_the_token_elsewhere() {
    let forge = Forge::start();
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = format!("api_url = \"http://127.0.0.1:{}\"", forge.blob.port);
    let (bench, _) = bench(&forge, &folder.path().join("token"), &elsewhere);
    let error = bench
        .agent(api::PullFullLogRequest {
            run_id: "7".into(),
            ..Default::default()
        })
        .unwrap_err();
    assert!(matches!(error, ServiceError::Ci(_)));
    assert!(error.to_string().contains("machine settings"), "{error}");
    assert_eq!(forge.blob.asked().len() + forge.api.asked().len(), 0);
}
