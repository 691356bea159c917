//! Canonical JSON: one spelling per value.
//!
//! Keys are sorted by their UTF-8 bytes, there is no white space, numbers are integers in the
//! range of `i64` or `u64`, decimals travel as strings. Strings escape only `"`, `\` and the
//! control characters below U+0020 (`\b \t \n \f \r` short, others `\u00xx` lower-case).

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
pub use serde_json::Value;

use crate::AttestError;

/// The error of this module's functions.
pub type JsonError = AttestError;

/// Largest document read or written, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 64;

/// The canonical bytes of `value`.
///
/// # Errors
/// Floating-point numbers, integers outside `i64`/`u64`, too deep or too large values.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, AttestError> {
    let value = serde_json::to_value(value).map_err(|error| AttestError::NotCanonicalisable {
        detail: error.to_string(),
    })?;
    let mut out = Vec::new();
    write_value(&value, 0, &mut out)?;
    check_size(out.len())?;
    Ok(out)
}

/// Parses `bytes` strictly: UTF-8, no duplicate keys, integers only, nothing after the value.
///
/// White space and key order are accepted here; [`from_canonical`] refuses them.
///
/// # Errors
/// Says where the text stops being acceptable.
pub fn parse_strict(bytes: &[u8]) -> Result<Value, AttestError> {
    check_size(bytes.len())?;
    check_depth(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = StrictValue
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| AttestError::Json {
            detail: error.to_string(),
        })?;
    Ok(value)
}

/// Parses `bytes` into `T` and demands that `T` written again gives the same bytes.
///
/// # Errors
/// Everything [`parse_strict`] refuses, another spelling, and fields `T` does not know.
pub fn from_canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, AttestError> {
    let value = parse_strict(bytes)?;
    check_same(bytes, &canonical(&value)?)?;
    let typed: T = serde_json::from_value(value).map_err(|error| AttestError::Json {
        detail: error.to_string(),
    })?;
    check_same(bytes, &canonical(&typed)?)?;
    Ok(typed)
}

fn check_same(found: &[u8], wanted: &[u8]) -> Result<(), AttestError> {
    if found == wanted {
        return Ok(());
    }
    let at = found.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    Err(AttestError::NotCanonical { at })
}

fn check_size(bytes: usize) -> Result<(), AttestError> {
    if bytes > MAX_BYTES {
        return Err(AttestError::TooLarge {
            what: "json",
            bytes,
            cap: MAX_BYTES,
        });
    }
    Ok(())
}

/// Counts brackets outside strings, so that depth is refused before anything recurses.
fn check_depth(bytes: &[u8]) -> Result<(), AttestError> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(AttestError::TooDeep { cap: MAX_DEPTH });
        }
    }
    Ok(())
}

fn write_value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), AttestError> {
    if depth > MAX_DEPTH {
        return Err(AttestError::TooDeep { cap: MAX_DEPTH });
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, depth + 1, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => write_object(map, depth, out)?,
    }
    Ok(())
}

fn write_object(
    map: &serde_json::Map<String, Value>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), AttestError> {
    // Another crate may switch serde_json to insertion order, so the sort is done here.
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    out.push(b'{');
    for (index, (key, item)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write_value(item, depth + 1, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_number(number: &serde_json::Number, out: &mut Vec<u8>) -> Result<(), AttestError> {
    if let Some(integer) = number.as_i64() {
        out.extend_from_slice(integer.to_string().as_bytes());
    } else if let Some(integer) = number.as_u64() {
        out.extend_from_slice(integer.to_string().as_bytes());
    } else {
        return Err(AttestError::NotCanonicalisable {
            detail: format!("`{number}` is not an integer of 64 bits"),
        });
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x00..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Builds a [`Value`] while refusing duplicate keys and fractions.
struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a json value with integers only")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Err(E::custom(format!(
            "`{value}` is not an integer of 64 bits; write decimals as strings"
        )))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(StrictValue)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = serde_json::Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("key `{key}` occurs twice")));
            }
            let item = access.next_value_seed(StrictValue)?;
            map.insert(key, item);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[test]
    fn writes_one_spelling() {
        let value = parse_strict(
            b" { \"b\" : [1, -2, 18446744073709551615], \"a\" : \"x\\u0001\\n\\u00e9\\/\" } ",
        );
        let bytes = canonical(&value.unwrap()).unwrap();
        let wanted = "{\"a\":\"x\\u0001\\n\u{e9}/\",\"b\":[1,-2,18446744073709551615]}";
        assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
    }

    #[test]
    fn refuses_what_has_no_single_meaning() {
        for bad in [
            &b"{\"a\":1,\"a\":2}"[..],
            b"{\"a\":1,\"\\u0061\":2}",
            b"1.5",
            b"1e3",
            b"-0",
            b"18446744073709551616",
            b"[1,]",
            b"1 2",
            b"\"\\ud800\"",
            b"\"\xff\"",
            b"nul",
            b"",
        ] {
            assert!(parse_strict(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(matches!(
            canonical(&1.5f64),
            Err(AttestError::NotCanonicalisable { .. })
        ));
    }

    #[test]
    fn depth_is_capped_before_recursion() {
        let deep = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert!(parse_strict(&deep(MAX_DEPTH)).is_ok());
        for levels in [MAX_DEPTH + 1, 1_000_000] {
            let refused = parse_strict(&deep(levels));
            assert!(matches!(refused, Err(AttestError::TooDeep { .. })));
        }
        let brackets_in_text = format!("\"{}\\\"{}\"", "[".repeat(500), "{".repeat(500));
        assert!(parse_strict(brackets_in_text.as_bytes()).is_ok());
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        a: i64,
        b: String,
    }

    #[test]
    fn typed_parse_demands_the_canonical_bytes() {
        let good = b"{\"a\":1,\"b\":\"x\"}";
        assert!(from_canonical::<Pair>(good).is_ok());
        for bad in [
            &b"{\"b\":\"x\",\"a\":1}"[..],
            b"{\"a\":1, \"b\":\"x\"}",
            b"{\"a\":1,\"b\":\"x\"}\n",
            b"{\"a\":1,\"b\":\"\\u0078\"}",
            b"{\"a\":1,\"b\":\"x\",\"c\":0}",
        ] {
            let error = from_canonical::<Pair>(bad).unwrap_err();
            let named = matches!(error, AttestError::NotCanonical { .. });
            assert!(named, "{}: {error}", bad.escape_ascii());
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_bytes_parse_back_to_the_same_value_and_bytes(value in any_value()) {
            let bytes = canonical(&value).unwrap();
            prop_assert_eq!(from_canonical::<Value>(&bytes).unwrap(), value);
        }

        #[test]
        fn agrees_with_serde_json_on_strings(text in any::<String>()) {
            prop_assert_eq!(canonical(&text).unwrap(), serde_json::to_vec(&text).unwrap());
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_strict(&bytes);
        }
    }
}
