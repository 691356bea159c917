//! New names that nothing uses, judged as rustc's `dead_code` does, before anything is compiled.
//!
//! A name that no changed file had before can be used by changed files alone, because an unchanged one
//! that used it would not have compiled. What only tests use is unused in the build that ships.

use std::collections::BTreeSet;

use super::finding;
use super::lexical::Token;
use super::shader::Shader;
use super::sides::{Pair, Side};
use crate::model::Refusal;

const REMEDY: &str = "call it where the mechanism needs it, or leave it out";

pub(super) fn findings(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let mut found = rust(pairs);
    found.extend(shaders(pairs));
    found
}

fn rust(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let tokens = |side: Option<&Side>| -> Vec<String> {
        let file = side.and_then(Side::rust);
        let tokens = file.map_or(&[][..], |file| &file.lexed.tokens);
        tokens.iter().map(|token| token.text.clone()).collect()
    };
    let known: BTreeSet<String> = pairs
        .iter()
        .flat_map(|pair| tokens(pair.old.as_ref()))
        .collect();
    let mut found = Vec::new();
    for pair in pairs {
        let Some(side) = pair.new.as_ref().filter(|side| !side.test_file) else {
            continue;
        };
        let inner = side.rust().map_or(&[][..], |file| &file.inner);
        for symbol in inner.iter().filter(|symbol| !known.contains(&symbol.name)) {
            let own = |path: &str, line: u32| {
                path == pair.path && (symbol.start..=symbol.end).contains(&line)
            };
            let used = pairs.iter().any(|other| uses(other, &symbol.name, &own));
            if !used {
                found.push(finding(
                    "symbol_unused",
                    format!(
                        "{}:{}: nothing uses `{}`",
                        pair.path, symbol.start, symbol.name
                    ),
                    REMEDY,
                ));
            }
        }
    }
    found
}

/// True when product code of the file's head side names the symbol outside of the symbol itself.
fn uses(pair: &Pair<'_>, name: &str, own: &dyn Fn(&str, u32) -> bool) -> bool {
    let Some(side) = pair.new.as_ref() else {
        return false;
    };
    let Some(file) = side.rust() else {
        return false;
    };
    let names = |token: &Token| token.text == name || captures(&token.text, name);
    file.lexed
        .tokens
        .iter()
        .filter(|token| names(token))
        .any(|token| !own(pair.path, token.line) && !side.is_test_line(token.line))
}

/// A text that formats the name: `"{name}"`.
fn captures(text: &str, name: &str) -> bool {
    text.contains('"')
        && text.match_indices('{').any(|(at, _)| {
            text[at + 1..]
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([':', '}']))
        })
}

/// Functions of shaders that no shader calls. Entry points are called by name from outside.
fn shaders(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let read = |side: &Option<Side>, path: &str| {
        let side = side.as_ref()?;
        Shader::of(path, &side.text)
    };
    let old: Vec<Shader> = pairs.iter().filter_map(|p| read(&p.old, p.path)).collect();
    let new: Vec<(&str, Shader)> = pairs
        .iter()
        .filter_map(|p| Some((p.path, read(&p.new, p.path)?)))
        .collect();
    let mentions = |shader: &Shader, name: &str| shader.words(name);
    let mut found = Vec::new();
    for (path, shader) in &new {
        for function in shader.functions().into_iter().filter(|f| !f.entry) {
            let known = old
                .iter()
                .any(|shader| mentions(shader, &function.name) > 0);
            let times: usize = new.iter().map(|(_, s)| mentions(s, &function.name)).sum();
            if !known && times == 1 {
                found.push(finding(
                    "symbol_unused",
                    format!(
                        "{path}:{}: nothing calls `{}`",
                        function.line, function.name
                    ),
                    REMEDY,
                ));
            }
        }
    }
    found
}
