//! The reference page of `greenloop.toml`, from the same list of keys that the reader checks.

use std::fmt::Write as _;

use serde_json::Value;

use super::Policy;
use super::keys::{Key, Kind, ROOT};

/// Smallest file that has one table of every kind; what it leaves out are the defaults.
const SMALLEST: &str = "schema = 1\n\
    [scope.NAME]\npackage = \"engine\"\nargv = [\"cargo\"]\ncells = [{ name = \"default\" }]\n\
    [gate.NAME]\npackage = \"engine\"\nargv = [\"cargo\"]\n";

impl Policy {
    /// Every key of `greenloop.toml` with its type, default and meaning, as Markdown.
    #[must_use]
    pub fn reference() -> String {
        let defaults = toml::from_str::<Self>(SMALLEST)
            .ok()
            .and_then(|policy| serde_json::to_value(policy).ok());
        let mut page = String::from(
            "# greenloop.toml\n\nUnknown keys are errors. Paths and globs are relative to the root.\n",
        );
        table(&mut page, "", ROOT, &defaults.unwrap_or_default());
        page
    }
}

fn table(page: &mut String, path: &str, keys: &[Key], defaults: &Value) {
    if !path.is_empty() {
        let _ = write!(page, "\n## [{path}]\n");
    }
    page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in keys.iter().filter(|key| inner(key.kind).is_none()) {
        let default = if key.required {
            "required".into()
        } else {
            shown(defaults.get(key.name))
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} |",
            key.name,
            type_name(key.kind),
            key.doc
        );
    }
    for key in keys {
        let Some((suffix, inner_keys)) = inner(key.kind) else {
            continue;
        };
        let defaults = defaults.get(key.name).unwrap_or(&Value::Null);
        let defaults = match key.kind {
            Kind::NamedTables(_) => &defaults["NAME"],
            Kind::TableList(_) => &defaults[0],
            _ => defaults,
        };
        let path = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        table(page, &format!("{path}{suffix}"), inner_keys, defaults);
    }
}

fn inner(kind: Kind) -> Option<(&'static str, &'static [Key])> {
    match kind {
        Kind::Table(keys) => Some(("", keys)),
        Kind::NamedTables(keys) => Some((".NAME", keys)),
        Kind::TableList(keys) => Some(("[]", keys)),
        _ => None,
    }
}

fn type_name(kind: Kind) -> String {
    match kind {
        Kind::Integer => "whole number".into(),
        Kind::Text => "text".into(),
        Kind::Word(words) => words
            .iter()
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Kind::Bool => "true or false".into(),
        Kind::TextList => "list of texts".into(),
        Kind::TextMap => "table of texts".into(),
        Kind::Table(_) | Kind::NamedTables(_) => "table".into(),
        Kind::TableList(_) => "list of tables".into(),
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".into(),
        Some(value) => format!("`{}`", value.to_string().replace('|', "\\|")),
    }
}
