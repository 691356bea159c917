//! Code that ships switched off: behind a constant that is false, a feature that nothing turns on, or
//! a variable of the environment. A fix that does not run fixes nothing, and its prediction would be
//! graded on the old code.

use std::collections::BTreeSet;

use toml::Table;

use super::code::PROFILE_FILE;
use super::lexical::Token;
use super::sides::{Pair, Side};
use super::{Lookup, finding};
use crate::model::Refusal;

/// Macros that read the environment when the crate is built.
const BUILT_IN: &[&str] = &["option_env"];
/// Functions of `std::env` that read one variable.
const READS: &[&str] = &["var", "var_os"];
/// Functions of `std::env` that read all of them.
const READ_ALL: &[&str] = &["vars", "vars_os"];

pub(super) fn findings(pairs: &[Pair<'_>], base: Lookup<'_>, head: Lookup<'_>) -> Vec<Refusal> {
    let texts = |pair: &Pair<'_>| -> Vec<String> {
        let file = pair.old.as_ref().and_then(Side::rust);
        let tokens = file.map_or(&[][..], |file| &file.lexed.tokens);
        tokens.iter().map(|token| token.text.clone()).collect()
    };
    let reads = |pair: &Pair<'_>| -> Vec<String> {
        let file = pair.old.as_ref().and_then(Side::rust);
        let tokens = file.map_or(&[][..], |file| &file.lexed.tokens);
        switches(tokens)
            .into_iter()
            .map(|switch| switch.name)
            .collect()
    };
    let known: BTreeSet<String> = pairs
        .iter()
        .flat_map(|pair| texts(pair).into_iter().chain(reads(pair)))
        .collect();
    let mut found = Vec::new();
    for pair in pairs {
        let Some(side) = pair.new.as_ref().filter(|side| !side.test_file) else {
            continue;
        };
        let Some(file) = side.rust() else { continue };
        for switch in switches(&file.lexed.tokens) {
            let new = !known.contains(&switch.name) && !side.is_test_line(switch.line);
            let decided = switch.what == What::Variable && pair.path.ends_with(PROFILE_FILE);
            let off = match switch.what {
                What::Feature => is_off(pair.path, &switch.name, base, head),
                What::Constant | What::Variable => true,
            };
            if new && off && !decided {
                found.push(refusal(pair.path, &switch));
            }
        }
    }
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Constant,
    Feature,
    Variable,
}

struct Switch {
    what: What,
    /// Token that names it.
    name: String,
    line: u32,
}

fn refusal(path: &str, switch: &Switch) -> Refusal {
    let why = match switch.what {
        What::Constant => "is false, so what it guards never runs",
        What::Feature => "is a feature that nothing turns on",
        What::Variable => "is a variable of the environment that no run sets",
    };
    finding(
        "fallback_default_off",
        format!("{path}:{}: {} {why}", switch.line, switch.name),
        "let the change run always; which mode runs is for resolve() in profile.rs to say",
    )
}

fn switches(tokens: &[Token]) -> Vec<Switch> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let text = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
        let mut put = |what, n: usize| {
            if let Some(named) = tokens.get(at + n) {
                found.push(Switch {
                    what,
                    name: named.text.clone(),
                    line: token.line,
                });
            }
        };
        match text(0) {
            "const"
                if text(2) == ":" && text(3) == "bool" && text(4) == "=" && text(5) == "false" =>
            {
                put(What::Constant, 1);
            }
            "feature" if text(1) == "=" && text(2).starts_with('"') => put(What::Feature, 2),
            "env" if text(1) == ":" && text(2) == ":" => {
                found.extend(environment(&tokens[at..], token.line));
            }
            name if BUILT_IN.contains(&name) && text(1) == "!" && text(3).starts_with('"') => {
                put(What::Variable, 3);
            }
            _ => {}
        }
    }
    found
}

/// Reads of the environment by `env::…`: of a variable, by whatever names it, and imports that would
/// hide such a read.
fn environment(tokens: &[Token], line: u32) -> Vec<Switch> {
    let text = |n: usize| tokens.get(n).map_or("", |token| token.text.as_str());
    let switch = |name: String| Switch {
        what: What::Variable,
        name,
        line,
    };
    let is_read = |name: &str| READS.contains(&name) || READ_ALL.contains(&name);
    if text(3) == "{" {
        let list = tokens[4..].iter().take_while(|token| token.text != "}");
        let reads = list.filter(|token| is_read(&token.text));
        return reads
            .map(|token| switch(format!("env::{}", token.text)))
            .collect();
    }
    if !is_read(text(3)) {
        return Vec::new();
    }
    let name = match text(4) == "(" && READS.contains(&text(3)) {
        true if text(5).starts_with('"') => text(5).to_owned(),
        true => format!("env::{}({})", text(3), text(5)),
        false => format!("env::{}", text(3)),
    };
    vec![switch(name)]
}

/// True for a feature that the package did not declare before and does not turn on by default now.
fn is_off(path: &str, literal: &str, base: Lookup<'_>, head: Lookup<'_>) -> bool {
    let name = literal.trim_matches('"');
    let folder = match path.find("src/") {
        Some(at) => &path[..at],
        None => path.rsplit_once('/').map_or("", |(folder, _)| folder),
    };
    let manifest = format!("{}Cargo.toml", folder);
    let features = |tree: Lookup<'_>| -> Option<Table> {
        let table: Table = String::from_utf8(tree(&manifest)?).ok()?.parse().ok()?;
        Some(table.get("features")?.as_table()?.clone())
    };
    let declared = features(base).is_some_and(|features| features.contains_key(name));
    let on = features(head)
        .and_then(|features| features.get("default")?.as_array().cloned())
        .is_some_and(|default| default.iter().any(|own| own.as_str() == Some(name)));
    !declared && !on
}
