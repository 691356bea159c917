//! DSSE envelopes whose signatures are SSH signatures.
//!
//! Format: secure-systems-lab/dsse, `protocol.md` and `envelope.md`. `keyid` is the key's
//! SHA-256 fingerprint, `sig` the base64 of the armored SSH signature over the PAE bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::AttestError;
use crate::json;
use crate::namespace::{Namespace, check_key_use};
use crate::sshsig::{self, SigningKey, VerifiedSignature};

/// Payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Most signatures looked at in one envelope.
pub const MAX_SIGNATURES: usize = 8;

/// The bytes that are signed: type and payload, each with its length, so that no two pairs
/// share an encoding.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// Fingerprint of the key; a hint, checked against the signature.
    pub keyid: String,
    /// Base64 of the armored SSH signature.
    pub sig: String,
}

/// A signed payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Base64 of the payload.
    pub payload: String,
    /// Media type of the payload.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// At least one.
    pub signatures: Vec<EnvelopeSignature>,
}

impl Envelope {
    /// Wraps and signs `payload`.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(
        payload_type: &str,
        payload: &[u8],
        key: &SigningKey,
        namespace: Namespace,
    ) -> Result<Self, AttestError> {
        let mut envelope = Self {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: Vec::new(),
        };
        envelope.add_signature(key, namespace)?;
        Ok(envelope)
    }

    /// Adds a signature over the same payload, by another key for another namespace.
    ///
    /// # Errors
    /// When the key cannot sign or the payload is not base64.
    pub fn add_signature(
        &mut self,
        key: &SigningKey,
        namespace: Namespace,
    ) -> Result<(), AttestError> {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload_bytes()?);
        let armored = key.sign(namespace, &message)?;
        self.signatures.push(EnvelopeSignature {
            keyid: key.fingerprint(),
            sig: STANDARD.encode(armored),
        });
        Ok(())
    }

    /// The payload.
    ///
    /// # Errors
    /// When it is not base64.
    pub fn payload_bytes(&self) -> Result<Vec<u8>, AttestError> {
        decode_base64("payload", &self.payload)
    }

    /// The envelope as canonical JSON.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AttestError> {
        json::canonical(self)
    }

    /// Reads an envelope written by [`Envelope::to_bytes`].
    ///
    /// # Errors
    /// Other spellings, unknown fields, no or too many signatures.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AttestError> {
        let envelope: Self = json::from_canonical(bytes)?;
        if !(1..=MAX_SIGNATURES).contains(&envelope.signatures.len()) {
            return Err(AttestError::Envelope {
                detail: format!("it needs 1 to {MAX_SIGNATURES} signatures"),
            });
        }
        Ok(envelope)
    }

    /// Checks every signature and returns payload and signatures. Whether the keys are allowed
    /// is for [`crate::signers::Signers::allow`] to say.
    ///
    /// # Errors
    /// Another payload type, any signature that does not verify, one key in two namespaces.
    pub fn verify(
        &self,
        payload_type: &str,
    ) -> Result<(Vec<u8>, Vec<VerifiedSignature>), AttestError> {
        if self.payload_type != payload_type {
            return Err(AttestError::Envelope {
                detail: format!("payload type is not {payload_type}"),
            });
        }
        let payload = self.payload_bytes()?;
        let message = pre_authentication_encoding(payload_type, &payload);
        let verified = self
            .signatures
            .iter()
            .map(|signature| verify_one(signature, &message))
            .collect::<Result<Vec<_>, _>>()?;
        check_key_use(
            verified
                .iter()
                .map(|s| (s.fingerprint.clone(), s.namespace)),
        )?;
        Ok((payload, verified))
    }
}

fn verify_one(
    signature: &EnvelopeSignature,
    message: &[u8],
) -> Result<VerifiedSignature, AttestError> {
    let bytes = decode_base64("sig", &signature.sig)?;
    let armored = String::from_utf8(bytes).map_err(|_| AttestError::Envelope {
        detail: "sig is not armored text".to_owned(),
    })?;
    let namespace = sshsig::claimed_namespace(&armored)?;
    let verified = sshsig::verify(&armored, namespace, message)?;
    if verified.fingerprint != signature.keyid {
        return Err(AttestError::Envelope {
            detail: "keyid is not the fingerprint of the signing key".to_owned(),
        });
    }
    Ok(verified)
}

fn decode_base64(field: &str, text: &str) -> Result<Vec<u8>, AttestError> {
    STANDARD.decode(text).map_err(|_| AttestError::Envelope {
        detail: format!("`{field}` is not base64"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32], "")
    }

    #[test]
    fn pae_is_that_of_the_protocol_document() {
        // The example of protocol.md.
        let bytes = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            bytes,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn signs_verifies_and_refuses_tampering() {
        let mut envelope = Envelope::sign(IN_TOTO, b"{}", &key(1), Namespace::Gate).unwrap();
        envelope.add_signature(&key(2), Namespace::Verdict).unwrap();
        let envelope = Envelope::from_bytes(&envelope.to_bytes().unwrap()).unwrap();
        let (payload, signatures) = envelope.verify(IN_TOTO).unwrap();
        assert_eq!(payload, b"{}");
        let namespaces: Vec<_> = signatures.iter().map(|s| s.namespace).collect();
        assert_eq!(namespaces, [Namespace::Gate, Namespace::Verdict]);

        let mut swapped = envelope.clone();
        swapped.payload = STANDARD.encode(b"[]");
        assert_eq!(swapped.verify(IN_TOTO), Err(AttestError::BadSignature));
        let mut renamed = envelope.clone();
        renamed.payload_type = "text/plain".to_owned();
        assert!(renamed.verify(IN_TOTO).is_err());
        assert_eq!(renamed.verify("text/plain"), Err(AttestError::BadSignature));
        let mut other_key = envelope;
        other_key.signatures[0].keyid = key(2).fingerprint();
        assert!(other_key.verify(IN_TOTO).is_err());
    }

    #[test]
    fn one_key_may_not_sign_an_envelope_twice_over() {
        let mut envelope = Envelope::sign(IN_TOTO, b"{}", &key(1), Namespace::Gate).unwrap();
        envelope.add_signature(&key(1), Namespace::Verdict).unwrap();
        let refused = envelope.verify(IN_TOTO);
        assert!(matches!(
            refused,
            Err(AttestError::KeyInTwoNamespaces { .. })
        ));
    }

    #[test]
    fn refuses_envelopes_without_or_with_too_many_signatures() {
        let mut envelope = Envelope::sign(IN_TOTO, b"{}", &key(1), Namespace::Gate).unwrap();
        let one = envelope.signatures.remove(0);
        assert!(Envelope::from_bytes(&envelope.to_bytes().unwrap()).is_err());
        envelope.signatures = vec![one; MAX_SIGNATURES + 1];
        assert!(Envelope::from_bytes(&envelope.to_bytes().unwrap()).is_err());
    }
}
