//! Signatures made by OpenSSH, by software security keys and by this crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use attest::AttestError;
use attest::namespace::Namespace;
use attest::sshsig::{SigningKey, verify};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256, Sha512};
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair};
use ssh_key::rand_core::OsRng;
use ssh_key::{EcdsaCurve, PrivateKey};

const MESSAGE: &[u8] = b"{\"claim_digest\":\"sha256:00\"}";

fn ssh_keygen(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new("ssh-keygen")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ssh-keygen is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ssh-keygen {args:?}: {errors}");
    output.stdout
}

fn make_key(dir: &Path, kind: &[&str]) {
    let mut args = vec!["-q", "-N", "", "-C", "ana", "-f", "key", "-t"];
    args.extend(kind);
    ssh_keygen(dir, &args, b"");
}

fn sign_with_openssh(dir: &Path, namespace: &str) -> String {
    let args = ["-q", "-Y", "sign", "-f", "key", "-n", namespace];
    String::from_utf8(ssh_keygen(dir, &args, MESSAGE)).unwrap()
}

#[test]
fn signatures_of_ssh_keygen_verify_for_every_accepted_key_type() {
    for kind in [
        &["ed25519"][..],
        &["ecdsa", "-b", "256"],
        &["rsa", "-b", "2048"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        make_key(dir.path(), kind);
        let armored = sign_with_openssh(dir.path(), "greenloop-approval");
        let verified = verify(&armored, Namespace::Approval, MESSAGE).unwrap();
        assert_eq!(verified.security_key, None);
        let listed = ssh_keygen(dir.path(), &["-l", "-f", "key.pub"], b"");
        assert!(String::from_utf8_lossy(&listed).contains(&verified.fingerprint));
        let changed = verify(&armored, Namespace::Approval, b"other bytes");
        assert_eq!(changed, Err(AttestError::BadSignature), "{kind:?}");
    }
}

#[test]
fn weak_or_foreign_keys_are_refused_by_algorithm() {
    for kind in [&["rsa", "-b", "1024"][..], &["ecdsa", "-b", "384"]] {
        let dir = tempfile::tempdir().unwrap();
        make_key(dir.path(), kind);
        let armored = sign_with_openssh(dir.path(), "greenloop-approval");
        let refused = verify(&armored, Namespace::Approval, MESSAGE);
        assert!(
            matches!(refused, Err(AttestError::Algorithm { .. })),
            "{kind:?}: {refused:?}"
        );
    }
}

#[test]
fn a_signature_for_another_purpose_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    make_key(dir.path(), &["ed25519"]);
    for namespace in ["git", "greenloop-gate", "file"] {
        let armored = sign_with_openssh(dir.path(), namespace);
        let refused = verify(&armored, Namespace::Approval, MESSAGE);
        let found = namespace.to_owned();
        let wanted = Namespace::Approval;
        assert_eq!(refused, Err(AttestError::WrongNamespace { found, wanted }));
    }
}

#[test]
fn what_we_sign_ssh_keygen_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::from_seed(&[7; 32], "daemon");
    let key = SigningKey::from_openssh(&key.to_openssh().unwrap()).unwrap();
    let armored = key.sign(Namespace::Verdict, MESSAGE).unwrap();
    std::fs::write(dir.path().join("sig"), armored).unwrap();
    let line = format!(
        "daemon namespaces=\"greenloop-verdict\" {}\n",
        key.public_openssh()
    );
    std::fs::write(dir.path().join("signers"), line).unwrap();
    let args = "-Y verify -f signers -I daemon -n greenloop-verdict -s sig";
    let args: Vec<_> = args.split(' ').collect();
    let said = ssh_keygen(dir.path(), &args, MESSAGE);
    assert!(String::from_utf8_lossy(&said).starts_with("Good"));
}

#[test]
fn encrypted_private_keys_are_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-q", "-N", "secret words", "-f", "key", "-t", "ed25519"];
    ssh_keygen(dir.path(), &args, b"");
    let pem = std::fs::read_to_string(dir.path().join("key")).unwrap();
    let error = SigningKey::from_openssh(&pem).unwrap_err();
    assert!(error.to_string().contains("ssh-keygen -Y sign"), "{error}");
}

/// A security key in software: PROTOCOL.u2f, with flags of our choosing.
enum SecurityKey {
    Ed25519(Ed25519Keypair),
    Ecdsa(EcdsaKeypair),
}

const APPLICATION: &str = "ssh:";

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes].concat()
}

impl SecurityKey {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Self::Ecdsa(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn public_blob(&self) -> Vec<u8> {
        let algorithm = string(self.algorithm().as_bytes());
        let key = match self {
            Self::Ed25519(pair) => string(pair.public.as_ref()),
            Self::Ecdsa(pair) => [string(b"nistp256"), string(pair.public_key_bytes())].concat(),
        };
        [algorithm, key, string(APPLICATION.as_bytes())].concat()
    }

    fn raw_signature(&self, bytes: &[u8]) -> Vec<u8> {
        let key: PrivateKey = match self {
            Self::Ed25519(pair) => PrivateKey::from(pair.clone()),
            Self::Ecdsa(pair) => PrivateKey::from(pair.clone()),
        };
        // The signer trait is reached through the sshsig-free path of `KeypairData`.
        signature::Signer::<ssh_key::Signature>::sign(key.key_data(), bytes)
            .as_bytes()
            .to_vec()
    }

    fn sign(&self, namespace: &str, message: &[u8], flags: u8) -> String {
        let signed_data = [
            b"SSHSIG".to_vec(),
            string(namespace.as_bytes()),
            string(b""),
            string(b"sha512"),
            string(&Sha512::digest(message)),
        ]
        .concat();
        let counter = 9u32.to_be_bytes();
        let to_sign = [
            &Sha256::digest(APPLICATION)[..],
            &[flags],
            &counter,
            &Sha256::digest(&signed_data)[..],
        ]
        .concat();
        let signature = [
            string(self.algorithm().as_bytes()),
            string(&self.raw_signature(&to_sign)),
            vec![flags],
            counter.to_vec(),
        ]
        .concat();
        let blob = [
            b"SSHSIG".to_vec(),
            1u32.to_be_bytes().to_vec(),
            string(&self.public_blob()),
            string(namespace.as_bytes()),
            string(b""),
            string(b"sha512"),
            string(&signature),
        ]
        .concat();
        armor(&blob)
    }
}

fn armor(blob: &[u8]) -> String {
    let encoded = STANDARD.encode(blob);
    let lines: Vec<_> = encoded.as_bytes().chunks(70).collect();
    let body = lines.join(&b'\n');
    let body = String::from_utf8(body).unwrap();
    format!("-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n")
}

fn security_keys() -> [SecurityKey; 2] {
    [
        SecurityKey::Ed25519(Ed25519Keypair::from_seed(&[5; 32])),
        SecurityKey::Ecdsa(EcdsaKeypair::random(&mut OsRng, EcdsaCurve::NistP256).unwrap()),
    ]
}

#[test]
fn a_touched_security_key_is_accepted_and_its_flags_are_told() {
    for key in security_keys() {
        let armored = key.sign("greenloop-approval", MESSAGE, 0x01);
        let verified = verify(&armored, Namespace::Approval, MESSAGE).unwrap();
        let touch = verified.security_key.unwrap();
        assert_eq!((touch.flags, touch.counter), (0x01, 9));
        assert!(!touch.user_verified());
        let armored = key.sign("greenloop-approval", MESSAGE, 0x05);
        let verified = verify(&armored, Namespace::Approval, MESSAGE).unwrap();
        assert!(verified.security_key.unwrap().user_verified());
    }
}

#[test]
fn a_security_key_without_user_presence_is_refused() {
    for key in security_keys() {
        for flags in [0x00, 0x04] {
            let armored = key.sign("greenloop-approval", MESSAGE, flags);
            let refused = verify(&armored, Namespace::Approval, MESSAGE);
            assert_eq!(refused, Err(AttestError::NoUserPresence { flags }));
        }
    }
}

#[test]
fn setting_the_presence_flag_afterwards_breaks_the_signature() {
    for key in security_keys() {
        let armored = key.sign("greenloop-approval", MESSAGE, 0x00);
        let body: String = armored
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let mut blob = STANDARD.decode(body).unwrap();
        let flags_at = blob.len() - 5;
        blob[flags_at] = 0x01;
        let refused = verify(&armor(&blob), Namespace::Approval, MESSAGE);
        assert_eq!(refused, Err(AttestError::BadSignature));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics_on_text(text in any::<String>()) {
        let _ = verify(&text, Namespace::Approval, MESSAGE);
    }

    #[test]
    fn never_panics_and_never_passes_on_damaged_signatures(at in 0usize..150, flip in 1u8..) {
        let key = SigningKey::from_seed(&[1; 32], "");
        let armored = key.sign(Namespace::Approval, MESSAGE).unwrap();
        let body: String = armored.lines().filter(|line| !line.starts_with('-')).collect();
        let mut blob = STANDARD.decode(body).unwrap();
        let at = at % blob.len();
        blob[at] ^= flip;
        prop_assert!(verify(&armor(&blob), Namespace::Approval, MESSAGE).is_err());
    }
}
