//! Checks a value against the JSON schemas that tools publish: the keywords that appear in them, and
//! no others. A keyword it does not know is a failure, so that nothing passes unread.

use serde_json::{Map, Value};

/// Every way in which the value is not what the schema says.
#[must_use]
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let root = schema;
    check(root, schema, value, "$", &mut found);
    found
}

/// Keywords that say nothing about a value.
const NOTES: [&str; 8] = [
    "$schema",
    "$defs",
    "title",
    "description",
    "default",
    "format",
    "examples",
    "$comment",
];

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let object = match schema {
        Value::Bool(true) => return,
        Value::Object(object) => object,
        _ => return found.push(format!("{at}: the schema allows nothing")),
    };
    for (keyword, wanted) in object {
        if !NOTES.contains(&keyword.as_str()) {
            keyword_holds(root, object, (keyword, wanted), value, at, found);
        }
    }
}

fn keyword_holds(
    root: &Value,
    object: &Map<String, Value>,
    (keyword, wanted): (&str, &Value),
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) {
    let fits = |schema: &Value| {
        let mut inner = Vec::new();
        check(root, schema, value, at, &mut inner);
        inner.is_empty()
    };
    let list = || wanted.as_array().into_iter().flatten();
    let holds = match keyword {
        "$ref" => {
            let target = wanted
                .as_str()
                .and_then(|text| root.pointer(text.trim_start_matches('#')));
            match target {
                Some(target) => return check(root, target, value, at, found),
                None => false,
            }
        }
        "type" => match wanted {
            Value::Array(types) => types.iter().any(|kind| is(kind, value)),
            kind => is(kind, value),
        },
        "enum" => list().any(|one| one == value),
        "const" => wanted == value,
        "anyOf" => list().any(fits),
        "oneOf" => list().filter(|schema| fits(schema)).count() == 1,
        "allOf" => list().all(fits),
        "minimum" => value.as_f64().is_none_or(|n| Some(n) >= wanted.as_f64()),
        "maximum" => value.as_f64().is_none_or(|n| Some(n) <= wanted.as_f64()),
        "required" => list().filter_map(Value::as_str).all(|name| {
            value
                .as_object()
                .is_none_or(|value| value.contains_key(name))
        }),
        "items" => {
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                check(root, wanted, item, &format!("{at}[{index}]"), found);
            }
            true
        }
        "properties" => {
            let properties = wanted.as_object().into_iter().flatten();
            for (name, schema) in properties {
                if let Some(inner) = value.get(name) {
                    check(root, schema, inner, &format!("{at}.{name}"), found);
                }
            }
            true
        }
        "additionalProperties" => {
            let known = object.get("properties").and_then(Value::as_object);
            let others = value.as_object().into_iter().flatten();
            for (name, inner) in
                others.filter(|(name, _)| known.is_none_or(|k| !k.contains_key(*name)))
            {
                check(root, wanted, inner, &format!("{at}.{name}"), found);
            }
            true
        }
        _ => false,
    };
    if !holds {
        found.push(format!("{at}: `{keyword}` does not hold"));
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}
