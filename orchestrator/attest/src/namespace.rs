//! The closed set of signature namespaces, and the rule that no key serves two of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::AttestError;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Namespace {
    /// An agent's name under its claim: attribution, never authority.
    #[serde(rename = "greenloop-claim")]
    Claim,
    /// Gate results, by whoever ran the gates.
    #[serde(rename = "greenloop-gate")]
    Gate,
    /// A person's approval of one push.
    #[serde(rename = "greenloop-approval")]
    Approval,
    /// The daemon's verdicts and envelopes.
    #[serde(rename = "greenloop-verdict")]
    Verdict,
    /// A runner hook's admission of a job.
    #[serde(rename = "greenloop-admit")]
    Admit,
}

impl Namespace {
    /// All namespaces, in the order they occur in the life of a claim.
    pub const ALL: [Self; 5] = [
        Self::Claim,
        Self::Gate,
        Self::Approval,
        Self::Verdict,
        Self::Admit,
    ];

    /// The text that stands in the signature.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "greenloop-claim",
            Self::Gate => "greenloop-gate",
            Self::Approval => "greenloop-approval",
            Self::Verdict => "greenloop-verdict",
            Self::Admit => "greenloop-admit",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Namespace {
    type Err = AttestError;

    fn from_str(text: &str) -> Result<Self, AttestError> {
        Self::ALL
            .into_iter()
            .find(|namespace| namespace.as_str() == text)
            .ok_or_else(|| AttestError::Namespace {
                text: text.chars().take(80).collect(),
            })
    }
}

/// Demands that each key (named by its fingerprint) is used in one namespace only.
///
/// # Errors
/// Names the first key found in two namespaces.
pub fn check_key_use(
    uses: impl IntoIterator<Item = (String, Namespace)>,
) -> Result<(), AttestError> {
    let mut seen: BTreeMap<String, Namespace> = BTreeMap::new();
    for (fingerprint, second) in uses {
        match seen.get(&fingerprint) {
            Some(&first) if first != second => {
                return Err(AttestError::KeyInTwoNamespaces {
                    fingerprint,
                    first,
                    second,
                });
            }
            _ => {
                seen.insert(fingerprint, second);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_serde_agree_and_round_trip() {
        for namespace in Namespace::ALL {
            assert_eq!(namespace.as_str().parse::<Namespace>().unwrap(), namespace);
            let json = serde_json::to_value(namespace).unwrap();
            assert_eq!(json, namespace.as_str());
        }
        assert!("git".parse::<Namespace>().is_err());
    }

    #[test]
    fn one_key_in_two_namespaces_is_refused() {
        let uses = |second| {
            [
                ("k1".to_owned(), Namespace::Gate),
                ("k1".to_owned(), second),
            ]
        };
        assert!(check_key_use(uses(Namespace::Gate)).is_ok());
        assert!(matches!(
            check_key_use(uses(Namespace::Approval)),
            Err(AttestError::KeyInTwoNamespaces { .. })
        ));
    }
}
