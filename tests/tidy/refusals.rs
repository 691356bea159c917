//! Every refusal code, with the remedy that it is given, in one snapshot: a code without a remedy that
//! somebody can run or type fails here, and so does one that nobody has looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::docs::verbs;
use crate::{files, read, relative, root};

/// Crates that refuse.
const ROOMS: &[&str] = &[
    "orchestrator/discipline/src",
    "orchestrator/service/src",
    "orchestrator/verify/src",
];
/// Functions whose first text is a code and whose last argument is a remedy.
const MAKERS: &[&str] = &["new", "finding", "refuse", "refusal", "vacuous", "not_seen"];
/// Codes that stand in tables or are handed on, with the remedy that stands beside them.
const IN_TABLES: &[(&str, &str)] = &[
    (
        "approval_invalid",
        "have a person approve exactly this push: `greenloop approve`",
    ),
    (
        "baseline_not_executed",
        "start one with `greenloop run {}` and name its id",
    ),
    (
        "baseline_other_scope",
        "start one with `greenloop run {}` and name its id",
    ),
    (
        "baseline_stale",
        "start one with `greenloop run {}` and name its id",
    ),
    (
        "blocker_missing",
        "name the one thing that stands in the way, with the command that shows it",
    ),
    (
        "field_unknown",
        "name a field of that marker; `greenloop markers` lists them",
    ),
    (
        "gate_failed",
        "run `{}` in your work tree, then propose the tree that passes",
    ),
    (
        "gate_vacuous",
        "run `{}` in your work tree, then propose the tree that passes",
    ),
    (
        "gpu_test_cfg_changed",
        "remove the condition, so that the test runs where it ran",
    ),
    (
        "marker_unknown",
        "name a marker of the catalogue; `greenloop markers` lists them",
    ),
    (
        "outcome_already_known",
        "strike the hypothesis out today with `falsify_hypothesis` and those lines",
    ),
    (
        "outcome_unobservable",
        "name a cell that can show it, one of: {}",
    ),
    (
        "pin_green_on_attempt",
        "assert the behaviour that the attempt left broken; the run that refuted it shows which",
    ),
    (
        "pin_green_on_base",
        "assert the behaviour that fails today, and see the test fail before the change",
    ),
    (
        "pin_red_on_head",
        "read the transcript, correct the change, and propose again",
    ),
    (
        "predicate_malformed",
        "write MARKER{k=v}.field OP VALUE [@cell], present|absent MARKER{…}, or count MARKER{…} OP N",
    ),
    (
        "predicate_type",
        "compare the field with a value of its own type and unit",
    ),
    ("proof_scope_missing", "name one of: {}"),
    ("proof_scope_unknown", "name one of: {}"),
    (
        "rollback_already_holds",
        "name telemetry that only a worse tree shows; what fails today belongs into `predictions`",
    ),
    (
        "rollback_unobservable",
        "name a cell that can show it, one of: {}",
    ),
    (
        "site_missing",
        "declare a new file with line_start = 0 and line_end = 0",
    ),
    (
        "test_cfg_narrowed",
        "remove the condition, so that the test runs where it ran",
    ),
    ("unblocker_missing", "name who or what would remove it"),
    (
        "user_presence_missing",
        "have a person approve exactly this push: `greenloop approve`",
    ),
];
/// Words that a remedy begins with: something to do.
const VERBS: &[&str] = &[
    "act", "add", "approve", "ask", "assert", "begin", "call", "change", "choose", "cite",
    "commit", "compare", "copy", "correct", "declare", "did", "do", "fetch", "generate", "give",
    "go", "grade", "guard", "have", "judge", "keep", "leave", "let", "list", "make", "mend",
    "move", "name", "open", "order", "pass", "pin", "predict", "propose", "pull", "push", "put",
    "quote", "read", "reason", "rebase", "record", "remove", "rename", "replay", "restore",
    "return", "revert", "run", "say", "see", "set", "sign", "start", "state", "strike", "take",
    "use", "wait", "write",
];

type Codes = BTreeMap<String, BTreeSet<String>>;
/// Constants that hold a code or a remedy, by name.
type Names = BTreeMap<String, String>;

#[test]
fn every_refusal_code_says_what_to_run_or_type() {
    let mut codes = Codes::new();
    let mut sources = String::new();
    let names = named_codes();
    for room in ROOMS {
        for file in files(&root().join(room), "rs") {
            let name = relative(&file);
            if name.contains("/tests/")
                || name.ends_with("/tests.rs")
                || name.ends_with("/fixtures.rs")
            {
                continue;
            }
            let text = read(&file);
            let text = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let flat = joined_lines(text);
            let stream = TokenStream::from_str(&flat).expect("sources parse");
            collect(stream, &flat, &names, &mut codes);
            sources += &flat;
        }
    }
    for (code, remedy) in IN_TABLES {
        assert!(
            sources.contains(&format!("\"{code}\"")),
            "nothing refuses with {code} any more"
        );
        assert!(
            sources.contains(remedy),
            "{code}: `{remedy}` stands nowhere any more"
        );
        codes
            .entry((*code).to_owned())
            .or_default()
            .insert((*remedy).to_owned());
    }
    let (mut text, mut wrong) = (String::new(), Vec::new());
    let verbs = verbs();
    for (code, remedies) in &codes {
        if remedies.is_empty() {
            wrong.push(format!(
                "{code} has no remedy that could be found; give it one"
            ));
        }
        for remedy in remedies {
            let mut words = remedy.split(|c: char| !c.is_alphabetic());
            let first = words.find(|word| !word.is_empty());
            if !remedy.contains('`') && !first.is_some_and(|word| VERBS.contains(&word)) {
                wrong.push(format!(
                    "{code}: `{remedy}` is nothing that one can run or type"
                ));
            }
            if let Some(verb) = unknown_verb(remedy, &verbs) {
                wrong.push(format!("{code}: greenloop has no verb `{verb}`"));
            }
            text += &format!("{code}: {remedy}\n");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(codes.len() > 150, "{} codes were found", codes.len());
    insta::assert_snapshot!(text);
}

/// A verb that the remedy has somebody type and that there is not.
fn unknown_verb<'r>(remedy: &'r str, verbs: &[String]) -> Option<&'r str> {
    let typed = remedy.split('`').skip(1).step_by(2);
    let typed = typed.filter_map(|command| command.strip_prefix("greenloop "));
    let mut asked = typed.filter_map(|command| command.split_whitespace().next());
    asked.find(|verb| !verb.starts_with('{') && !verbs.iter().any(|known| known == verb))
}

#[test]
fn a_verb_that_there_is_not_is_no_remedy() {
    let verbs = ["run".to_owned()];
    let unknown = |remedy: &'static str| unknown_verb(remedy, &verbs);
    assert_eq!(
        unknown("type `greenloop run smoke`, or `greenloop {verb} x`"),
        None
    );
    assert_eq!(
        unknown("type `greenloop run x`, then `greenloop fly`"),
        Some("fly")
    );
}

/// Every `const NAME: &str = "text";` of the crates that refuse.
fn named_codes() -> Names {
    let texts = ROOMS
        .iter()
        .flat_map(|room| files(&root().join(room), "rs"));
    let mut names = Names::new();
    for text in texts.map(|file| read(&file)) {
        for binding in text.split("const ").skip(1) {
            let bound = binding.split_once(": &str =");
            let bound =
                bound.and_then(|(name, rest)| Some((name, rest.trim_start().strip_prefix('"')?)));
            if let Some((name, rest)) =
                bound.filter(|(name, _)| !name.contains(char::is_whitespace))
            {
                let value = rest.split('"').next().unwrap_or_default();
                names.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    names
}

/// Texts over several lines, as one: `\` at the end of a line is left out with the space behind it.
fn joined_lines(source: &str) -> String {
    let mut joined = String::new();
    let mut lines = source.split('\n').peekable();
    let mut continues = false;
    while let Some(line) = lines.next() {
        let line = if continues { line.trim_start() } else { line };
        continues = line.ends_with('\\') && !line.trim_start().starts_with("//");
        joined += if continues {
            &line[..line.len() - 1]
        } else {
            line
        };
        if !continues && lines.peek().is_some() {
            joined.push('\n');
        }
    }
    joined
}

fn collect(stream: TokenStream, source: &str, names: &Names, codes: &mut Codes) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        if let TokenTree::Group(group) = tree {
            let maker = at.checked_sub(1).and_then(|before| ident(&trees[before]));
            let makes = maker.is_some_and(|name| MAKERS.contains(&name.as_str()));
            if makes && group.delimiter() == Delimiter::Parenthesis {
                call(group.stream(), source, names, codes);
            }
            if group.delimiter() == Delimiter::Brace {
                kind(group.stream(), codes);
            }
            collect(group.stream(), source, names, codes);
        }
    }
}

/// `new(CODE, …, REMEDY)`
fn call(stream: TokenStream, source: &str, names: &Names, codes: &mut Codes) {
    let arguments = arguments(stream);
    let Some(code) = arguments
        .iter()
        .take(2)
        .find_map(|argument| code_of(argument, names))
    else {
        return;
    };
    let Some(last) = arguments.last().filter(|_| arguments.len() > 2) else {
        return;
    };
    let mut said = prose(last);
    if said.is_empty()
        && let [TokenTree::Ident(name)] = last.as_slice()
    {
        let name = name.to_string();
        said = resolve(&name, source);
        // A constant of another file.
        said.extend(names.get(&name).filter(|_| said.is_empty()).cloned());
    }
    if said.is_empty()
        && let [TokenTree::Ident(name), TokenTree::Group(_)] = last.as_slice()
    {
        said = returned(&name.to_string(), source);
    }
    codes.entry(code).or_default().extend(said);
}

/// `Kind { code: CODE, …, remedy: REMEDY }`
fn kind(stream: TokenStream, codes: &mut Codes) {
    let fields = arguments(stream);
    let value = |name: &str| {
        fields
            .iter()
            .find(|field| field.first().and_then(ident).as_deref() == Some(name))
    };
    if let (Some(code), Some(remedy)) = (value("code"), value("remedy"))
        && let Some(code) = code.last().and_then(literal)
    {
        codes.entry(code).or_default().extend(prose(remedy));
    }
}

/// What a name stands for where it is bound, wherever the file binds it.
fn resolve(name: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for binding in [format!("let {name} ="), format!("const {name}: &str =")] {
        for (at, _) in source.match_indices(&binding) {
            let rest = &source[at + binding.len()..];
            let end = rest.find(";\n").unwrap_or(rest.len());
            if let Ok(stream) = TokenStream::from_str(&rest[..end]) {
                found.extend(prose(&stream.into_iter().collect::<Vec<_>>()));
            }
        }
    }
    found
}

/// Sentences in the body of a function of the file.
fn returned(name: &str, source: &str) -> Vec<String> {
    let Some(at) = source.find(&format!("\nfn {name}(")) else {
        return Vec::new();
    };
    let end = source[at..]
        .find("\n}\n")
        .map_or(source.len(), |end| at + end + 3);
    let stream = TokenStream::from_str(&source[at..end]).unwrap_or_default();
    prose(&stream.into_iter().collect::<Vec<_>>())
}

fn arguments(stream: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut found = vec![Vec::new()];
    for tree in stream {
        match (&tree, found.last_mut()) {
            (TokenTree::Punct(punct), _) if punct.as_char() == ',' => found.push(Vec::new()),
            (_, Some(last)) => last.push(tree),
            (_, None) => {}
        }
    }
    found.retain(|argument| !argument.is_empty());
    found
}

fn code_of(argument: &[TokenTree], names: &Names) -> Option<String> {
    let [one] = argument else { return None };
    let named = ident(one).and_then(|name| names.get(&name).cloned());
    named.or_else(|| literal(one)).filter(|text| {
        text.contains('_')
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

/// Sentences among the tokens.
fn prose(trees: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    for tree in trees {
        match tree {
            TokenTree::Group(group) => {
                found.extend(prose(&group.stream().into_iter().collect::<Vec<_>>()));
            }
            other => found
                .extend(literal(other).filter(|text| text.trim().contains(' ') && text.len() > 6)),
        }
    }
    found
}

fn literal(tree: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = tree else {
        return None;
    };
    let parsed: syn::LitStr = syn::parse_str(&literal.to_string()).ok()?;
    Some(parsed.value())
}

fn ident(tree: &TokenTree) -> Option<String> {
    match tree {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    }
}
