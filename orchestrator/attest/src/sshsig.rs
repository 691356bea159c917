//! SSH signatures (`ssh-keygen -Y sign`): checking anyone's, making the daemon's own.
//!
//! Format: OpenSSH PROTOCOL.sshsig and PROTOCOL.u2f. Stock verifiers accept a security key's
//! signature made without a touch; this one reads the flags byte and refuses it.

use std::fmt;

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
    SshSig::from_pem(armored).map_err(|error| AttestError::SignatureFormat {
        detail: error.to_string(),
    })
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
