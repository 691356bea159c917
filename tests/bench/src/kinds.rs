//! Catalogues of many kinds.

use markers::{BUILTIN_FILES, Catalogue};

/// The first `count` built-in kinds that the generator's rows need, filled up with kinds of other tags.
pub(crate) fn catalogue(count: usize) -> anyhow::Result<Catalogue> {
    let needed = |name: &str| {
        [
            "arena_plan",
            "backend",
            "cargo_running",
            "cargo_test",
            "cargo_summary",
            "envelope",
            "first_divergence",
            "gpu_perdispatch",
            "layer_profile",
            "smoke_op_norm",
            "telemetry_end",
            "timing_breakdown",
            "validate_l0",
        ]
        .contains(&name.trim_end_matches(".toml"))
    };
    let mut files: Vec<(String, String)> = BUILTIN_FILES
        .iter()
        .filter(|(name, _)| needed(name))
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    for number in files.len()..count {
        files.push((format!("kind_{number}.toml"), kind(number)));
    }
    let borrowed = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    Ok(Catalogue::load(borrowed)?)
}

fn kind(number: usize) -> String {
    format!(
        r#"name = "kind_{number}"
title = "one of many"
owner = "bench"
tag = "[KIND {number}]"

[[field]]
name = "value"
type = "decimal"

[[match]]
log = "[KIND {number}] value=1.5"

[[not_match]]
log = "[KIND {number}] value=much"
why = "`much` is no number"
"#
    )
}

/// What a person would give to a search for text: every tag, or every tag and phrase.
pub(crate) fn patterns(phrases: bool) -> anyhow::Result<String> {
    let mut found = Vec::new();
    for (_, text) in BUILTIN_FILES {
        let file: toml::Table = text.parse()?;
        found.extend(
            file.get("tag")
                .and_then(toml::Value::as_str)
                .map(str::to_owned),
        );
        let forms = file.get("form").and_then(toml::Value::as_array);
        for form in forms.into_iter().flatten().filter(|_| phrases) {
            let text = form.get("text").and_then(toml::Value::as_str).unwrap_or("");
            let literal = text
                .replace("{{", "{")
                .split('{')
                .next()
                .unwrap_or("")
                .to_owned();
            if literal.len() >= 3 {
                found.push(literal);
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found.join("\n") + "\n")
}
