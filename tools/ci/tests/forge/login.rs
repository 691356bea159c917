//! Who greenloop is to a forge: a GitHub App that asks for a token of its installation.

use std::process::Command;

use ci::github::{Credential, Github, SecretSource};
use serde_json::{Value, json};

use crate::fake::{Forge, REPO, reply};
use crate::support::Bench;

/// What the forge gives the installation.
const INSTALLED: &str = "ghs_canaryInstallation0123456789abcdef";

/// The three parts of a JSON web token, the first two decoded.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.');
    let mut part = || -> Value {
        let bytes = unpadded(parts.next().unwrap());
        serde_json::from_slice(&bytes).unwrap()
    };
    let both = (part(), part());
    assert!(parts.next().is_some_and(|signature| !signature.is_empty()));
    both
}

/// Base64 with the alphabet of URLs (RFC 4648, section 5).
fn unpadded(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut held, mut bytes) = (0u32, 0u32, Vec::new());
    for letter in text.bytes() {
        let value = alphabet.iter().position(|known| *known == letter).unwrap();
        held = (held << 6) | u32::try_from(value).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xFF).unwrap());
        }
    }
    bytes
}

fn sent(headers: &[String]) -> String {
    let value = headers.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization")
            .then(|| value.trim().to_owned())
    });
    value.unwrap_or_default()
}

#[test]
fn an_app_asks_for_a_token_of_its_installation_and_shows_it_to_the_api_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("app.pem");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let forge = Forge::with(&[(1, "gpu", b"fine\n")]);
    let exchange = "/app/installations/678901/access_tokens";
    let granted = json!({
        "token": INSTALLED, "expires_at": "2126-01-01T00:00:00Z",
        "permissions": {"actions": "read", "metadata": "read"}, "repository_selection": "selected",
    });
    let body = granted.to_string();
    let json = [("Content-Type", "application/json")];
    forge.api.on(exchange, reply(201, &json, body.as_bytes()));
    let mut settings = forge.settings();
    settings.credential = Credential::App {
        app_id: 12345,
        installation_id: 678_901,
        key: SecretSource::File(key.clone()),
    };
    let client = Github::new(settings).unwrap();
    let pulled = Bench::default().pull(&client, "7").unwrap();
    assert!(pulled.is_full());
    let private = std::fs::read_to_string(&key).unwrap();
    let body = private.lines().nth(1).unwrap();
    assert_eq!(forge.api.count(exchange), 1, "one token does for all");
    for asked in forge.api.asked() {
        let credential = sent(&asked.headers);
        let token = credential.split(' ').nth(1).unwrap();
        match asked.path.as_str() == exchange {
            true => {
                let (header, claims) = parts(token);
                assert_eq!(header["alg"], "RS256");
                assert_eq!(claims["iss"].to_string().trim_matches('"'), "12345");
                let lives = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
                assert!((1..=660).contains(&lives), "{claims}");
            }
            false => assert_eq!(token, INSTALLED, "{}", asked.path),
        }
    }
    for asked in forge.blob.asked() {
        let said = format!("{asked:?}");
        assert!(
            !said.contains(INSTALLED) && sent(&asked.headers).is_empty(),
            "{said}"
        );
    }
    let said = format!("{pulled:?}");
    assert!(!said.contains(INSTALLED) && !said.contains(body));
}

#[test]
fn an_app_that_is_not_installed_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let forge = Forge::with(&[]);
    let mut settings = forge.settings();
    let key = folder.path().join("app.pem");
    std::fs::write(&key, "not a key").unwrap();
    settings.credential = Credential::App {
        app_id: 1,
        installation_id: 2,
        key: SecretSource::File(key),
    };
    let error = Bench::default()
        .pull(&Github::new(settings).unwrap(), "7")
        .unwrap_err();
    assert!(error.to_string().contains("no RSA key in PEM"), "{error}");
    assert_eq!(forge.api.count(&format!("{REPO}/actions/runs/7")), 0);
}
