//! OpenSSH's `allowed_signers` files: who may sign in which namespace, and when.
//!
//! Format: ssh-keygen(1), "ALLOWED SIGNERS". Stricter than OpenSSH where being lenient would
//! widen trust: a bad line refuses the file, certificate authorities are refused, times need a
//! trailing `Z`, and a key counts only in namespaces that its line names.

use ssh_key::{HashAlg, PublicKey};

use crate::AttestError;
use crate::namespace::{Namespace, check_key_use};
use crate::sshsig::VerifiedSignature;

/// Largest file read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most key lines in a file.
pub const MAX_LINES: usize = 4096;
/// Longest line, in bytes (an RSA key of 16384 bits has about 2,800).
pub const MAX_LINE_BYTES: usize = 16 << 10;

/// One key line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// One-based line number in the file.
    pub line: usize,
    /// Identity patterns, such as `ana@example.org`.
    pub principals: Vec<String>,
    /// Namespace patterns; `None` when the line has no `namespaces` option.
    pub namespaces: Option<Vec<String>>,
    /// First valid moment, unix milliseconds.
    pub valid_after_ms: Option<i64>,
    /// Last valid moment, unix milliseconds.
    pub valid_before_ms: Option<i64>,
    /// The key.
    pub key: PublicKey,
    /// Everything after the key.
    pub comment: String,
}

impl Signer {
    /// SHA-256 fingerprint as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Whether the line names this namespace.
    #[must_use]
    pub fn names(&self, namespace: Namespace) -> bool {
        self.namespaces
            .as_deref()
            .is_some_and(|patterns| pattern_list_matches(patterns, namespace.as_str()))
    }

    /// Principal patterns joined by commas, for display.
    #[must_use]
    pub fn principal(&self) -> String {
        self.principals.join(",")
    }

    fn valid_at(&self, at_ms: i64) -> bool {
        self.valid_after_ms.is_none_or(|after| at_ms >= after)
            && self.valid_before_ms.is_none_or(|before| at_ms <= before)
    }
}

/// The keys of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    signers: Vec<Signer>,
}

impl Signers {
    /// Parses a file.
    ///
    /// # Errors
    /// The first line that is not acceptable, and files beyond the caps.
    pub fn parse(bytes: &[u8]) -> Result<Self, AttestError> {
        cap("allowed signers", bytes.len(), MAX_BYTES)?;
        let text = std::str::from_utf8(bytes).map_err(|error| AttestError::Signers {
            line: 1 + count_newlines(&bytes[..error.valid_up_to()]),
            detail: "bytes are not utf-8".to_owned(),
        })?;
        let mut signers = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim_matches([' ', '\t', '\r']);
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            cap("allowed signers line", trimmed.len(), MAX_LINE_BYTES)?;
            cap("allowed signers", signers.len() + 1, MAX_LINES)?;
            signers.push(parse_line(index + 1, trimmed)?);
        }
        Ok(Self { signers })
    }

    /// The key lines in file order.
    #[must_use]
    pub fn lines(&self) -> &[Signer] {
        &self.signers
    }

    /// Whether any line names `namespace`.
    #[must_use]
    pub fn has_signer_for(&self, namespace: Namespace) -> bool {
        self.signers.iter().any(|signer| signer.names(namespace))
    }

    /// Demands that no key may sign in two namespaces.
    ///
    /// # Errors
    /// Names the first such key.
    pub fn check_key_use(&self) -> Result<(), AttestError> {
        check_key_use(self.signers.iter().flat_map(|signer| {
            let named = Namespace::ALL.into_iter().filter(|ns| signer.names(*ns));
            named.map(|namespace| (signer.fingerprint(), namespace))
        }))
    }

    /// The line that allows the key of `signature` in its namespace.
    ///
    /// `at_ms` (unix milliseconds) is the moment the validity is judged at; `None` leaves the
    /// validity out, for audits that know no trusted time.
    ///
    /// # Errors
    /// Unknown key, key of another namespace, or out of its validity.
    pub fn allow(
        &self,
        signature: &VerifiedSignature,
        at_ms: Option<i64>,
    ) -> Result<&Signer, AttestError> {
        let namespace = signature.namespace;
        let mut detail = "the key is not listed".to_owned();
        for signer in &self.signers {
            if signer.key.key_data() != &signature.key {
                continue;
            }
            if !signer.names(namespace) {
                detail = format!(
                    "line {} does not name it; add namespaces=\"{namespace}\"",
                    signer.line
                );
            } else if !at_ms.is_none_or(|at| signer.valid_at(at)) {
                detail = format!("line {} is not valid at that time", signer.line);
            } else {
                return Ok(signer);
            }
        }
        Err(AttestError::UnknownSigner {
            fingerprint: signature.fingerprint.clone(),
            namespace,
            detail,
        })
    }
}

fn cap(what: &'static str, bytes: usize, cap: usize) -> Result<(), AttestError> {
    if bytes > cap {
        return Err(AttestError::TooLarge { what, bytes, cap });
    }
    Ok(())
}

fn count_newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn parse_line(line: usize, text: &str) -> Result<Signer, AttestError> {
    let refuse = |detail: String| AttestError::Signers { line, detail };
    let (principals, rest) = split_field(text)
        .ok_or_else(|| refuse("only principals found; add key type and key".to_owned()))?;
    let principals = split_list(&unquote(principals));
    if principals.is_empty() {
        return Err(refuse("principals are empty".to_owned()));
    }
    let mut signer_options = Options::default();
    let mut key_text = rest;
    if !starts_with_key_type(rest) {
        let (options, after) =
            split_field(rest).ok_or_else(|| refuse("no key found after the options".to_owned()))?;
        signer_options = Options::parse(line, options)?;
        key_text = after;
    }
    let key = PublicKey::from_openssh(key_text)
        .map_err(|error| refuse(format!("key cannot be read: {error}")))?;
    Ok(Signer {
        line,
        principals,
        namespaces: signer_options.namespaces,
        valid_after_ms: signer_options.valid_after_ms,
        valid_before_ms: signer_options.valid_before_ms,
        comment: key.comment().to_owned(),
        key,
    })
}

/// Key types all start like this; no option of the format does.
fn starts_with_key_type(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}

/// Splits at the first blank outside double quotes; `None` when nothing follows.
fn split_field(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let end = text.char_indices().find_map(|(at, c)| {
        if c == '"' {
            quoted = !quoted;
        }
        (!quoted && matches!(c, ' ' | '\t')).then_some(at)
    })?;
    let rest = text[end..].trim_start_matches([' ', '\t']);
    (!rest.is_empty()).then_some((&text[..end], rest))
}

fn unquote(text: &str) -> String {
    text.strip_prefix('"')
        .and_then(|inner| inner.strip_suffix('"'))
        .unwrap_or(text)
        .to_owned()
}

fn split_list(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

#[derive(Default)]
struct Options {
    namespaces: Option<Vec<String>>,
    valid_after_ms: Option<i64>,
    valid_before_ms: Option<i64>,
}

impl Options {
    fn parse(line: usize, text: &str) -> Result<Self, AttestError> {
        let refuse = |detail: String| AttestError::Signers { line, detail };
        let mut options = Self::default();
        for option in split_options(text) {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name.to_ascii_lowercase(), Some(unquote(value))),
                None => (option.to_ascii_lowercase(), None),
            };
            match (name.as_str(), value) {
                ("cert-authority", _) => return Err(AttestError::CertAuthority { line }),
                ("namespaces", Some(list)) if options.namespaces.is_none() => {
                    let list = split_list(&list);
                    if list.is_empty() {
                        return Err(refuse("namespaces is empty".to_owned()));
                    }
                    options.namespaces = Some(list);
                }
                ("valid-after", Some(time)) if options.valid_after_ms.is_none() => {
                    options.valid_after_ms = Some(parse_time(line, &time)?);
                }
                ("valid-before", Some(time)) if options.valid_before_ms.is_none() => {
                    options.valid_before_ms = Some(parse_time(line, &time)?);
                }
                _ => {
                    return Err(refuse(format!(
                        "option `{}` is unknown, lacks a value or occurs twice; \
                         namespaces, valid-after and valid-before are known",
                        option.chars().take(60).collect::<String>()
                    )));
                }
            }
        }
        Ok(options)
    }
}

/// Splits at commas outside double quotes.
fn split_options(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |c| {
        if c == '"' {
            quoted = !quoted;
        }
        c == ',' && !quoted
    })
    .collect()
}

/// `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ` as unix milliseconds.
fn parse_time(line: usize, text: &str) -> Result<i64, AttestError> {
    let refuse = || AttestError::Signers {
        line,
        detail: format!(
            "time `{}` is not YYYYMMDD[HHMM[SS]]Z; local times are not accepted",
            text.chars().take(40).collect::<String>()
        ),
    };
    let digits = text.strip_suffix('Z').ok_or_else(refuse)?;
    let valid_length = matches!(digits.len(), 8 | 12 | 14);
    if !valid_length || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse());
    }
    let number = |from: usize, to: usize| -> i64 {
        digits.get(from..to).map_or(0, |part| {
            part.bytes()
                .fold(0, |value, byte| value * 10 + i64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return Err(refuse());
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Ok(seconds * 1000)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// OpenSSH's pattern lists: `*`, `?`, and `!pattern` that vetoes.
fn pattern_list_matches(patterns: &[String], text: &str) -> bool {
    let mut matched = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(veto) if pattern_matches(veto.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => matched |= pattern_matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    matched
}

/// Glob matching with one backtracking point, so the time is at most pattern × text.
fn pattern_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sshsig::{SigningKey, verify};
    use proptest::prelude::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32], "")
    }

    fn line(rest: &str, seed: u8) -> String {
        format!("ana@example.org {rest} {}", key(seed).public_openssh())
    }

    fn signed(seed: u8, namespace: Namespace) -> VerifiedSignature {
        let armored = key(seed).sign(namespace, b"m").unwrap();
        verify(&armored, namespace, b"m").unwrap()
    }

    #[test]
    fn reads_comments_options_and_keys() {
        let text = format!(
            "# approvers\n\n\t\nana@example.org,bo@example.org \
             namespaces=\"greenloop-approval,git\",valid-after=20240229Z,\
             Valid-Before=\"20260102030405Z\" {} laptop of ana\r\n",
            key(1).public_openssh()
        );
        let signers = Signers::parse(text.as_bytes()).unwrap();
        let [signer] = signers.lines() else {
            panic!("one line wanted")
        };
        assert_eq!(signer.line, 4);
        assert_eq!(signer.principal(), "ana@example.org,bo@example.org");
        assert_eq!(signer.valid_after_ms, Some(1_709_164_800_000));
        assert_eq!(signer.valid_before_ms, Some(1_767_323_045_000));
        assert_eq!(signer.comment, "laptop of ana");
        assert!(signer.names(Namespace::Approval));
        assert!(!signer.names(Namespace::Gate));
        assert_eq!(signers.check_key_use(), Ok(()));
    }

    #[test]
    fn allows_a_key_only_in_its_namespace_and_time() {
        let text = line(
            "namespaces=\"greenloop-approval\",valid-after=20240101Z,valid-before=20250101Z",
            1,
        );
        let signers = Signers::parse(text.as_bytes()).unwrap();
        let inside = 1_710_000_000_000;
        let approval = signed(1, Namespace::Approval);
        assert!(signers.allow(&approval, Some(inside)).is_ok());
        assert!(signers.allow(&approval, None).is_ok());
        for (signature, at) in [
            (&approval, Some(1_600_000_000_000)),
            (&approval, Some(1_800_000_000_000)),
            (&signed(1, Namespace::Gate), Some(inside)),
            (&signed(2, Namespace::Approval), Some(inside)),
        ] {
            let refused = signers.allow(signature, at);
            assert!(matches!(refused, Err(AttestError::UnknownSigner { .. })));
        }
    }

    #[test]
    fn a_line_without_namespaces_allows_nothing() {
        let signers = Signers::parse(line("", 1).as_bytes()).unwrap();
        let error = signers.allow(&signed(1, Namespace::Approval), None);
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("add namespaces=\"greenloop-approval\""),
            "{text}"
        );
    }

    #[test]
    fn a_key_for_two_namespaces_is_found_on_one_line_two_lines_or_by_pattern() {
        for text in [
            line("namespaces=\"greenloop-gate,greenloop-approval\"", 1),
            line("namespaces=\"greenloop-*\"", 1),
            [
                line("namespaces=\"greenloop-gate\"", 1),
                line("namespaces=\"greenloop-approval\"", 1),
            ]
            .join("\n"),
        ] {
            let signers = Signers::parse(text.as_bytes()).unwrap();
            let refused = signers.check_key_use();
            let named = matches!(refused, Err(AttestError::KeyInTwoNamespaces { .. }));
            assert!(named, "{text}");
        }
        let text = line("namespaces=\"!greenloop-gate,greenloop-?a*\"", 1);
        let signers = Signers::parse(text.as_bytes()).unwrap();
        assert_eq!(signers.check_key_use(), Ok(()));
    }

    #[test]
    fn refuses_bad_lines_by_number() {
        let ca = Signers::parse(line("cert-authority", 1).as_bytes());
        assert_eq!(ca, Err(AttestError::CertAuthority { line: 1 }));
        for bad in [
            "ana@example.org".to_owned(),
            "ana@example.org ssh-ed25519".to_owned(),
            "ana@example.org ssh-ed25519 AAAA".to_owned(),
            line("namespaces=\"\"", 1),
            line("namespaces", 1),
            line("touch-required", 1),
            line("valid-after=20240230Z", 1),
            line("valid-after=20240101", 1),
            line("valid-after=20240101Z,valid-after=20250101Z", 1),
            line("namespaces=\"greenloop-gate", 1),
            format!("\"\" {}", key(1).public_openssh()),
        ] {
            let error = Signers::parse(format!("# c\n{bad}").as_bytes()).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{bad}: {error}");
        }
        let long = "a".repeat(MAX_LINE_BYTES + 1);
        let refused = Signers::parse(long.as_bytes());
        assert!(matches!(refused, Err(AttestError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Signers::parse(&bytes);
        }

        #[test]
        fn never_panics_on_near_misses(
            options in "[a-z=\",!*? -]{0,40}|(valid-after=)?[0-9Z]{0,16}",
            cut in 0usize..200,
        ) {
            let text = line(&options, 1);
            let end = cut.min(text.len());
            let _ = Signers::parse(text.as_bytes());
            let _ = Signers::parse(&text.as_bytes()[..end]);
        }

        #[test]
        fn patterns_match_what_they_were_made_from(text in "[a-z-]{0,20}", at in 0usize..20) {
            let at = at.min(text.len());
            let with_star = format!("{}*", &text[..at]);
            prop_assert!(pattern_matches(with_star.as_bytes(), text.as_bytes()));
        }
    }
}
