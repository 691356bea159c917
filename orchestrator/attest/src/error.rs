//! The one error type of this crate.

use crate::digest::Digest;
use crate::namespace::Namespace;

/// Why bytes, keys or signatures were not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// Text that is not a digest.
    #[error("`{text}` is no digest; write `sha256:` and 64 lower-case hex digits")]
    Digest {
        /// The text found (its first 80 characters).
        text: String,
    },
    /// Input larger than its cap.
    #[error("{what} has {bytes} bytes; at most {cap} are read, so make it smaller")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The cap in bytes.
        cap: usize,
    },
    /// JSON nested deeper than the cap.
    #[error("json is nested deeper than {cap} levels; flatten it")]
    TooDeep {
        /// The cap in levels.
        cap: usize,
    },
    /// JSON that does not parse, has duplicate keys or non-integer numbers.
    #[error("json is not acceptable: {detail}")]
    Json {
        /// What the parser said.
        detail: String,
    },
    /// A value that canonical JSON cannot carry.
    #[error("the value has no canonical form: {detail}; write decimals as strings")]
    NotCanonicalisable {
        /// What stood in the way.
        detail: String,
    },
    /// Bytes that mean the value but are not its canonical spelling.
    #[error("json is not in canonical form (first difference at byte {at}); re-encode it")]
    NotCanonical {
        /// Offset of the first byte that differs.
        at: usize,
    },
    /// A line of an allowed-signers file that was not accepted.
    #[error("allowed signers line {line}: {detail}")]
    Signers {
        /// One-based line number.
        line: usize,
        /// What is wrong and what to write instead.
        detail: String,
    },
    /// An allowed-signers line that names a certificate authority.
    #[error("allowed signers line {line}: certificate authorities are not accepted; list each key")]
    CertAuthority {
        /// One-based line number.
        line: usize,
    },
    /// A key that may sign in more than one namespace.
    #[error("key {fingerprint} signs in both {first} and {second}; give each its own key")]
    KeyInTwoNamespaces {
        /// SHA-256 fingerprint of the key.
        fingerprint: String,
        /// One namespace.
        first: Namespace,
        /// The other namespace.
        second: Namespace,
    },
    /// A namespace outside the closed set.
    #[error("`{text}` is no signature namespace of greenloop")]
    Namespace {
        /// The text found.
        text: String,
    },
    /// A key that cannot be read or used.
    #[error("key is not usable: {detail}")]
    Key {
        /// What is wrong with it.
        detail: String,
    },
    /// A signature that cannot be read.
    #[error("signature cannot be read: {detail}; expected the output of `ssh-keygen -Y sign`")]
    SignatureFormat {
        /// What the parser said.
        detail: String,
    },
    /// A signature made for another purpose.
    #[error("signature is for namespace `{found}`, not `{wanted}`; sign again with `-n {wanted}`")]
    WrongNamespace {
        /// The namespace in the signature.
        found: String,
        /// The namespace asked for.
        wanted: Namespace,
    },
    /// A signature that does not match message and key.
    #[error("signature does not match the signed bytes")]
    BadSignature,
    /// A key or signature algorithm that is not accepted.
    #[error(
        "algorithm {algorithm} is not accepted; use ed25519, ecdsa-p256, rsa-sha2 or an sk key"
    )]
    Algorithm {
        /// Its name.
        algorithm: String,
    },
    /// A security key that signed without a touch.
    #[error(
        "security key signed without user presence (flags {flags:#04x}); touch the key and sign again"
    )]
    NoUserPresence {
        /// The flags byte.
        flags: u8,
    },
    /// A key that no signer line allows for this namespace at this time.
    #[error("key {fingerprint} is no allowed signer of {namespace}: {detail}")]
    UnknownSigner {
        /// SHA-256 fingerprint of the key.
        fingerprint: String,
        /// The namespace asked for.
        namespace: Namespace,
        /// Whether it is absent, out of its validity, or listed for another namespace.
        detail: String,
    },
    /// An envelope or statement that was not accepted.
    #[error("envelope is not acceptable: {detail}")]
    Envelope {
        /// What is wrong.
        detail: String,
    },
    /// A file that an attestation must hold.
    #[error("attestation lacks `{file}`; push the ref that the daemon wrote")]
    MissingFile {
        /// Its name.
        file: &'static str,
    },
    /// A file that an attestation must not hold.
    #[error("attestation holds unexpected `{file}`; push the ref that the daemon wrote")]
    UnexpectedFile {
        /// Its name.
        file: String,
    },
    /// A file of an attestation that was not accepted.
    #[error("attestation file `{file}`: {source}")]
    File {
        /// Its name.
        file: &'static str,
        /// Why.
        source: Box<AttestError>,
    },
    /// Two digests that must agree.
    #[error("{what} should be {wanted} but is {found}")]
    DigestMismatch {
        /// What was digested.
        what: &'static str,
        /// The digest demanded.
        wanted: Digest,
        /// The digest computed.
        found: Digest,
    },
}
