//! SSH signatures (`ssh-keygen -Y sign`): checking anyone's, making the daemon's own.
//!
//! Format: OpenSSH PROTOCOL.sshsig and PROTOCOL.u2f. Stock verifiers accept a security key's
//! signature made without a touch; this one reads the flags byte and refuses it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::private::Ed25519Keypair;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use crate::AttestError;
use crate::namespace::Namespace;

/// Largest armored signature read, in bytes (RSA with 16384 bits needs about 6,000).
pub const MAX_BYTES: usize = 16 << 10;
/// Smallest RSA modulus accepted, in bits.
pub const MIN_RSA_BITS: usize = 2048;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
/// Flags byte and 32-bit counter that end a security key's signature.
const SK_TRAILER_BYTES: usize = 5;

/// What a security key said about the moment it signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityKeyUse {
    /// The flags byte as signed.
    pub flags: u8,
    /// The key's signature counter.
    pub counter: u32,
}

impl SecurityKeyUse {
    /// Whether the person also entered a PIN or gave a fingerprint.
    #[must_use]
    pub const fn user_verified(self) -> bool {
        self.flags & USER_VERIFIED != 0
    }
}

/// A signature that matches its key, namespace and message. Whether the key is *allowed* is
/// for [`crate::signers::Signers::allow`] to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The namespace signed for.
    pub namespace: Namespace,
    /// The key that signed.
    pub key: KeyData,
    /// Its SHA-256 fingerprint as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Present when the key is of an `sk` type; the user was present.
    pub security_key: Option<SecurityKeyUse>,
}

/// Checks an armored signature over `message` for `namespace`.
///
/// # Errors
/// Unreadable text, another namespace, an algorithm outside the accepted set, a mismatch, or a
/// security key that was not touched.
pub fn verify(
    armored: &str,
    namespace: Namespace,
    message: &[u8],
) -> Result<VerifiedSignature, AttestError> {
    let signature = parse(armored)?;
    if signature.namespace() != namespace.as_str() {
        return Err(AttestError::WrongNamespace {
            found: signature.namespace().chars().take(80).collect(),
            wanted: namespace,
        });
    }
    check_algorithm(&signature)?;
    let key = signature.public_key().clone();
    PublicKey::from(key.clone())
        .verify(namespace.as_str(), message, &signature)
        .map_err(|_| AttestError::BadSignature)?;
    let security_key = security_key_use(&signature)?;
    Ok(VerifiedSignature {
        namespace,
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        key,
        security_key,
    })
}

/// The namespace that an armored signature claims to be for, unverified.
///
/// # Errors
/// Unreadable text or a namespace outside the closed set.
pub fn claimed_namespace(armored: &str) -> Result<Namespace, AttestError> {
    parse(armored)?.namespace().parse()
}

fn parse(armored: &str) -> Result<SshSig, AttestError> {
    if armored.len() > MAX_BYTES {
        return Err(AttestError::TooLarge {
            what: "ssh signature",
            bytes: armored.len(),
            cap: MAX_BYTES,
        });
    }
    let refuse = |detail: String| AttestError::SignatureFormat { detail };
    let signature = SshSig::from_pem(armored).map_err(|error| refuse(error.to_string()))?;
    // The version is not part of the signed data, and the decoder only refuses later ones.
    if signature.version() != SshSig::VERSION {
        return Err(refuse(format!("version {}", signature.version())));
    }
    // The decoder accepts inner lengths that overrun; only the one encoding is a signature here.
    let wire = wire_encoding(&signature);
    if wire.is_none() || unarmor(armored) != wire {
        return Err(refuse("bytes are not the one encoding".to_owned()));
    }
    Ok(signature)
}

fn unarmor(armored: &str) -> Option<Vec<u8>> {
    let body: String = armored
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    STANDARD.decode(body).ok()
}

/// The signature blob of PROTOCOL.sshsig. Written here because the library's own encoder puts
/// the trailer of ecdsa security keys inside the signature string.
fn wire_encoding(signature: &SshSig) -> Option<Vec<u8>> {
    let is_security_key = matches!(
        signature.algorithm(),
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256
    );
    let bytes = signature.signature_bytes();
    let trailer = if is_security_key { SK_TRAILER_BYTES } else { 0 };
    let (raw, trailer) = bytes.split_at(bytes.len().checked_sub(trailer)?);
    let mut inner = Vec::new();
    put_string(&mut inner, signature.algorithm().as_str().as_bytes())?;
    put_string(&mut inner, raw)?;
    inner.extend_from_slice(trailer);

    let mut blob = b"SSHSIG".to_vec();
    blob.extend_from_slice(&signature.version().to_be_bytes());
    let key = PublicKey::from(signature.public_key().clone());
    put_string(&mut blob, &key.to_bytes().ok()?)?;
    put_string(&mut blob, signature.namespace().as_bytes())?;
    put_string(&mut blob, signature.reserved())?;
    put_string(&mut blob, signature.hash_alg().as_str().as_bytes())?;
    put_string(&mut blob, &inner)?;
    Some(blob)
}

/// RFC 4251 `string`: length in four bytes, then the bytes.
fn put_string(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

/// The signature's algorithm must be the key's own: verification alone would let one key type
/// carry a signature labelled as another.
fn check_algorithm(signature: &SshSig) -> Result<(), AttestError> {
    let p256 = Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    };
    let made_by = signature.algorithm();
    let accepted = match signature.public_key() {
        KeyData::Ed25519(_) => made_by == Algorithm::Ed25519,
        KeyData::Ecdsa(key) => key.curve() == EcdsaCurve::NistP256 && made_by == p256,
        KeyData::SkEd25519(_) => made_by == Algorithm::SkEd25519,
        KeyData::SkEcdsaSha2NistP256(_) => made_by == Algorithm::SkEcdsaSha2NistP256,
        KeyData::Rsa(key) => {
            let modulus = key.n.as_positive_bytes().unwrap_or_default();
            modulus.len() * 8 >= MIN_RSA_BITS && matches!(made_by, Algorithm::Rsa { hash: Some(_) })
        }
        _ => false,
    };
    if accepted {
        return Ok(());
    }
    let key = signature.public_key().algorithm();
    Err(AttestError::Algorithm {
        algorithm: format!("{made_by} by a key of type {key}"),
    })
}

fn security_key_use(signature: &SshSig) -> Result<Option<SecurityKeyUse>, AttestError> {
    let is_security_key = matches!(
        signature.public_key(),
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)
    );
    if !is_security_key {
        return Ok(None);
    }
    let bytes = signature.signature_bytes();
    let trailer = bytes
        .len()
        .checked_sub(SK_TRAILER_BYTES)
        .map(|at| &bytes[at..]);
    let Some(&[flags, a, b, c, d]) = trailer else {
        return Err(AttestError::BadSignature);
    };
    if flags & USER_PRESENT == 0 {
        return Err(AttestError::NoUserPresence { flags });
    }
    let counter = u32::from_be_bytes([a, b, c, d]);
    Ok(Some(SecurityKeyUse { flags, counter }))
}

/// A private key held in software: the daemon's gate and verdict keys.
#[derive(Clone)]
pub struct SigningKey(PrivateKey);

impl SigningKey {
    /// An ed25519 key from 32 bytes of entropy, which the caller draws.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32], comment: &str) -> Self {
        let mut key = PrivateKey::from(Ed25519Keypair::from_seed(seed));
        key.set_comment(comment);
        Self(key)
    }

    /// Reads an unencrypted OpenSSH private key.
    ///
    /// # Errors
    /// Unreadable or encrypted text, and security keys (those sign with `ssh-keygen`).
    pub fn from_openssh(pem: &str) -> Result<Self, AttestError> {
        let refuse = |detail: String| AttestError::Key { detail };
        let key = PrivateKey::from_openssh(pem).map_err(|error| refuse(error.to_string()))?;
        if key.is_encrypted() {
            return Err(refuse(
                "it is encrypted; sign with `ssh-keygen -Y sign`".to_owned(),
            ));
        }
        let data = key.public_key().key_data();
        if data.is_sk_ed25519() || data.is_sk_ecdsa_p256() {
            return Err(refuse(
                "it is a security key; sign with `ssh-keygen -Y sign`".to_owned(),
            ));
        }
        Ok(Self(key))
    }

    /// The key as an OpenSSH private key file.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn to_openssh(&self) -> Result<String, AttestError> {
        self.0
            .to_openssh(LineEnding::LF)
            .map(|text| text.as_str().to_owned())
            .map_err(|error| AttestError::Key {
                detail: error.to_string(),
            })
    }

    /// The public half as `ssh-ed25519 AAAA… comment`, for an allowed-signers line.
    #[must_use]
    pub fn public_openssh(&self) -> String {
        self.0.public_key().to_openssh().unwrap_or_default()
    }

    /// SHA-256 fingerprint as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Signs `message` for `namespace`; the armored text verifies with `ssh-keygen -Y verify`.
    ///
    /// # Errors
    /// When the key's algorithm cannot sign.
    pub fn sign(&self, namespace: Namespace, message: &[u8]) -> Result<String, AttestError> {
        let refuse = |error: ssh_key::Error| AttestError::Key {
            detail: error.to_string(),
        };
        self.0
            .sign(namespace.as_str(), HashAlg::Sha512, message)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(refuse)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}
