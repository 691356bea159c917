//! A credential: read anew once, refused, told to the API alone.

use super::*;

#[test]
fn a_token_that_is_refused_is_read_anew_once() {
    let forge = Forge::with(&[(1, "gpu", LOG)]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge
        .api
        .on(&path, status(401, "{\"message\":\"Bad credentials\"}"));
    forge.api.on(&path, ok(&run(7)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    // Each reading gives another token.
    let script = format!("echo x >> {0}; wc -l < {0}", file.display());
    let mut settings = forge.settings();
    settings
        .environment
        .insert("PATH".into(), std::env::var_os("PATH").unwrap());
    settings.credential = Credential::Token(SecretSource::Command(vec![
        "sh".into(),
        "-c".into(),
        script,
    ]));
    let client = Github::new(settings).unwrap();
    assert!(Bench::default().pull(&client, "7").unwrap().is_full());
    let first: Vec<String> = forge.api.asked()[..2].iter().map(authorization).collect();
    assert_eq!(first, ["Bearer 1", "Bearer 3"]);
}

fn authorization(asked: &fake::Asked) -> String {
    let header = asked
        .headers
        .iter()
        .find_map(|line| line.strip_prefix("authorization: "));
    header.unwrap().to_owned()
}

#[test]
fn a_token_that_stays_refused_is_an_error() {
    let forge = Forge::with(&[]);
    let path = format!("{REPO}/actions/runs/7");
    forge.api.forget(&path);
    forge.api.on(&path, status(401, "{}"));
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(matches!(error, ForgeError::Unauthorised { .. }));
    assert!(error.to_string().contains("machine settings"), "{error}");
    assert_eq!(forge.api.count(&path), 1);
}

/// Everything that is traced, at every level.
#[derive(Clone, Default)]
struct Traces(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_token_is_told_to_the_api_alone() {
    let traces = Traces::default();
    let writer = traces.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let forge = Forge::with(&[(1, "gpu", LOG), (2, "lost", LOG)]);
    forge.blob.forget("/log/2");
    forge.blob.on("/log/2", status(403, "{}"));
    forge.attempt_logs(b"no archive");
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    assert!(
        forge
            .api
            .asked()
            .iter()
            .all(|asked| authorization(asked) == format!("Bearer {TOKEN}"))
    );
    let at_blobs = forge.blob.asked();
    assert!(at_blobs.len() >= 4);
    for asked in &at_blobs {
        let said = format!("{asked:?}");
        assert!(
            !said.contains(TOKEN) && !said.to_lowercase().contains("authorization"),
            "{said}"
        );
    }
    assert!(!format!("{pulled:?}").contains("SIGNATURE"));
    assert!(!format!("{pulled:?}").contains(TOKEN));
    let traced = String::from_utf8_lossy(&traces.0.lock().unwrap()).into_owned();
    assert!(traced.contains("requesting"), "nothing was traced");
    assert!(
        !traced.contains(TOKEN) && !traced.contains("SIGNATURE"),
        "{traced}"
    );
    for file in bench.store.logs.borrow().values() {
        assert!(!String::from_utf8_lossy(file).contains(TOKEN));
    }
}

#[test]
fn tokens_go_to_https_alone() {
    let forge = Forge::start();
    for (url, loopback) in [
        ("http://api.example.invalid", true),
        ("http://127.0.0.1:1", false),
        ("https://user@api.example.invalid", true),
        ("ftp://127.0.0.1", true),
        ("nonsense", true),
    ] {
        let mut settings = forge.settings();
        settings.api_url = url.into();
        settings.allow_insecure_loopback = loopback;
        let error = Github::new(settings).err().expect(url).to_string();
        assert!(error.contains("api_url"), "{url}: {error}");
    }
    let mut settings = forge.settings();
    settings
        .environment
        .insert("FORGE_TOKEN".into(), "two words\nand a line".into());
    let error = Bench::default()
        .pull(&Github::new(settings).unwrap(), "7")
        .unwrap_err();
    assert!(error.to_string().contains("no token has"), "{error}");
}
