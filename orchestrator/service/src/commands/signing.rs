//! What every signature of a person goes through: the bytes that were prepared, and their time.

use attest::json;
use discipline::model::Refusal;
use serde::de::DeserializeOwned;

use crate::ServiceError;
use crate::keys::random;
use crate::shared::Shared;

const HOUR_MS: i64 = 3_600_000;

/// When a signature that is asked for now expires, Unix milliseconds.
pub(super) fn expires_ms(shared: &Shared, hours: u32) -> i64 {
    let hours = i64::from(hours).saturating_mul(HOUR_MS);
    shared.now().saturating_add(hours)
}

/// Bytes that make two signatures over the same thing differ.
pub(super) fn nonce() -> Result<String, ServiceError> {
    Ok(hex::encode(&random()?[..16]))
}

/// The subject in a payload; `prepared_by` is the command that gave it out.
pub(super) fn subject<T: DeserializeOwned + serde::Serialize>(
    payload: &str,
    prepared_by: &str,
) -> Result<T, ServiceError> {
    json::from_canonical(payload.as_bytes()).map_err(|error| ServiceError::BadArgument {
        field: "payload",
        reason: error.to_string(),
        remedy: format!("pass the payload of `{prepared_by}` byte for byte"),
    })
}

/// The signature is not one of an approver, over these bytes, in time.
pub(super) fn refusal(error: &impl std::fmt::Display) -> Refusal {
    Refusal::new(
        "signature_refused",
        "signature",
        error.to_string(),
        "sign with a key that the signers file names for `greenloop-approval`",
    )
}
