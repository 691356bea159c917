//! GLSL and WGSL: comments left out, words with their lines, functions with their bodies.

use std::collections::BTreeMap;

use super::finding;
use super::sides::{Pair, Side};
use crate::model::Refusal;

/// Endings of shader sources.
const ENDINGS: &[&str] = &["wgsl", "glsl", "comp", "vert", "frag"];
/// Attributes of WGSL that make a function an entry point.
const STAGES: &[&str] = &["compute", "vertex", "fragment"];
/// Barriers over all memory, in GLSL.
const BLANKET: &[&str] = &["memoryBarrier", "allMemoryBarrier"];

/// A word, number or sign of a shader.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    /// Line, 1-based.
    line: u32,
}

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShaderFunction {
    pub(super) name: String,
    pub(super) line: u32,
    /// Called from outside the shader.
    pub(super) entry: bool,
    body: std::ops::Range<usize>,
}

/// A shader's source without its comments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shader {
    words: Vec<Word>,
    wgsl: bool,
}

/// True for a path that holds a shader.
pub(super) fn is_shader(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    ENDINGS.contains(&ending)
}

impl Shader {
    /// Reads a source; `None` for a path that holds no shader.
    pub(super) fn of(path: &str, source: &str) -> Option<Self> {
        let wgsl = path.ends_with(".wgsl");
        is_shader(path).then(|| Self {
            words: words(source, wgsl),
            wgsl,
        })
    }

    /// How often a word stands in it.
    pub(super) fn words(&self, name: &str) -> usize {
        self.words.iter().filter(|word| word.text == name).count()
    }

    /// True when the line holds anything but comments.
    pub(super) fn has_code(&self, line: u32) -> bool {
        self.words.iter().any(|word| word.line == line)
    }

    /// True when both mean the same to a compiler.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let texts = |shader: &Self| -> Vec<String> {
            shader.words.iter().map(|word| word.text.clone()).collect()
        };
        texts(self) == texts(other)
    }

    fn text(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| &word.text)
    }

    /// Functions: `fn name(…) … {…}` in WGSL, `type name(…) {…}` in GLSL.
    pub(super) fn functions(&self) -> Vec<ShaderFunction> {
        let mut found = Vec::new();
        let mut depth = 0_usize;
        for at in 0..self.words.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                _ if depth == 0 && self.text(at + 1) == "(" => found.extend(self.function(at)),
                _ => {}
            }
        }
        found
    }

    fn function(&self, at: usize) -> Option<ShaderFunction> {
        let before = at.checked_sub(1).map(|index| self.text(index))?;
        let named = match self.wgsl {
            true => before == "fn",
            false => is_name(before) && is_name(self.text(at)),
        };
        if !named {
            return None;
        }
        let open = (at..self.words.len())
            .find(|&index| matches!(self.text(index), "{" | ";"))
            .filter(|&index| self.text(index) == "{")?;
        let start = (0..at)
            .rev()
            .find(|&index| matches!(self.text(index), "}" | ";"))
            .map_or(0, |index| index + 1);
        let staged = (start..at)
            .any(|index| self.text(index) == "@" && STAGES.contains(&self.text(index + 1)));
        Some(ShaderFunction {
            name: self.text(at).to_owned(),
            line: self.words[at].line,
            entry: staged || (!self.wgsl && self.text(at) == "main"),
            body: open + 1..self.close(open)?,
        })
    }

    fn close(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for at in open..self.words.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// True for a body that does nothing: empty, or one that returns before anything else.
    fn does_nothing(&self, function: &ShaderFunction) -> bool {
        let body = &function.body;
        body.is_empty() || (self.text(body.start) == "return" && self.text(body.start + 1) == ";")
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Words and signs; `//` and `/* */` comments are left out, which nest in WGSL.
fn words(source: &str, nested: bool) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut comment = 0_u32;
    for (index, text) in source.lines().enumerate() {
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if comment > 0 {
                let (step, change) = if rest.starts_with("*/") {
                    (2, -1)
                } else if nested && rest.starts_with("/*") {
                    (2, 1)
                } else {
                    (c.len_utf8(), 0)
                };
                comment = comment.saturating_add_signed(change);
                rest = &rest[step..];
                continue;
            }
            if rest.starts_with("//") {
                break;
            }
            if rest.starts_with("/*") {
                comment = 1;
                rest = &rest[2..];
                continue;
            }
            let wordy = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
            let len = match wordy(c) {
                true => rest.find(|c: char| !wordy(c)).unwrap_or(rest.len()),
                false => c.len_utf8(),
            };
            if !c.is_whitespace() {
                found.push(Word {
                    text: rest[..len].to_owned(),
                    line,
                });
            }
            rest = &rest[len..];
        }
    }
    found
}

/// What shaders gain that they should not: code switched off, bodies lost, barriers over everything.
pub(super) fn findings(pairs: &[Pair<'_>]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for pair in pairs {
        let read = |side: &Option<Side>| Shader::of(pair.path, &side.as_ref()?.text);
        let Some(new) = read(&pair.new) else { continue };
        let old = read(&pair.old).unwrap_or_default();
        found.extend(lost_bodies(pair.path, &old, &new));
        found.extend(switched_off(pair.path, &old, &new));
        found.extend(blanket(pair.path, &old, &new));
    }
    found
}

fn lost_bodies(path: &str, old: &Shader, new: &Shader) -> Vec<Refusal> {
    let before: BTreeMap<String, ShaderFunction> = old
        .functions()
        .into_iter()
        .map(|function| (function.name.clone(), function))
        .collect();
    let lost = |function: &ShaderFunction| {
        let stood = before.get(&function.name);
        new.does_nothing(function) && stood.is_none_or(|stood| !old.does_nothing(stood))
    };
    let functions = new.functions().into_iter().filter(lost);
    functions
        .map(|function| {
            finding(
                "stub_added",
                format!("{path}:{}: `{}` does nothing", function.line, function.name),
                "write the code, or leave the function out",
            )
        })
        .collect()
}

/// `#if 0` and `if (false)`, where there were fewer before.
fn switched_off(path: &str, old: &Shader, new: &Shader) -> Vec<Refusal> {
    let places = |shader: &Shader| -> Vec<u32> {
        let at = (0..shader.words.len()).filter(|&at| {
            let next = |n: usize| shader.text(at + n);
            (next(0) == "#" && next(1) == "if" && next(2) == "0")
                || (next(0) == "if" && next(1) == "(" && next(2) == "false")
                || (next(0) == "if" && next(1) == "false")
        });
        at.map(|at| shader.words[at].line).collect()
    };
    let known = places(old).len();
    let added = places(new).into_iter().skip(known);
    added
        .map(|line| {
            finding(
                "fallback_default_off",
                format!("{path}:{line}: this code never runs"),
                "let the code run, or leave it out",
            )
        })
        .collect()
}

fn blanket(path: &str, old: &Shader, new: &Shader) -> Vec<Refusal> {
    let places = |shader: &Shader| -> Vec<(u32, String)> {
        let barriers = shader.words.iter().enumerate().filter(|(at, word)| {
            BLANKET.contains(&word.text.as_str()) && shader.text(at + 1) == "("
        });
        barriers
            .map(|(_, word)| (word.line, word.text.clone()))
            .collect()
    };
    let known = places(old).len();
    let added = places(new).into_iter().skip(known);
    added
        .map(|(line, name)| {
            finding(
                "blanket_barrier",
                format!("{path}:{line}: `{name}()` orders everything after everything"),
                "name the one memory: memoryBarrierShared(), memoryBarrierBuffer() or memoryBarrierImage()",
            )
        })
        .collect()
}
