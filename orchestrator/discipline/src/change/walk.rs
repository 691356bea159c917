//! Walks the items of a parsed source and notes functions, test code and imports.

use std::collections::BTreeSet;

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Block, Item, Signature};

use super::reports;
use super::syntax::{Conditional, Function, RustFile, Symbol, closing};
use crate::gates::parts_of;

pub(super) fn file(file: &syn::File, facts: &mut RustFile) {
    let context = Context::default().enter(None, &file.attrs);
    items(&file.items, &context, facts);
    reports::file(file, facts);
}

/// What encloses an item.
#[derive(Debug, Clone, Default)]
struct Context {
    path: Vec<String>,
    cfgs: BTreeSet<String>,
    in_test: bool,
    of_trait: bool,
}

impl Context {
    fn enter(&self, name: Option<String>, attrs: &[Attribute]) -> Self {
        let noted = Attributes::of(attrs);
        let mut inner = self.clone();
        inner.path.extend(name);
        inner.cfgs.extend(noted.cfgs);
        inner.in_test |= noted.test_only;
        inner
    }
}

/// What the attributes of an item say about tests.
#[derive(Debug, Default)]
struct Attributes {
    test: bool,
    test_only: bool,
    ignored: bool,
    should_panic: bool,
    cfgs: BTreeSet<String>,
}

impl Attributes {
    fn of(attrs: &[Attribute]) -> Self {
        let mut noted = Self::default();
        for attr in attrs {
            let text = compact(attr.meta.to_token_stream());
            let name = attr
                .path()
                .segments
                .last()
                .map(|segment| segment.ident.to_string())
                .unwrap_or_default();
            match name.as_str() {
                "test" | "rstest" | "test_case" | "bench" => noted.test = true,
                "ignore" => noted.ignored = true,
                "should_panic" => noted.should_panic = true,
                "cfg_attr" => {
                    noted.ignored |= text.contains(",ignore");
                    noted.should_panic |= text.contains(",should_panic");
                }
                "cfg" => noted.condition(&text),
                _ => {}
            }
        }
        noted
    }

    fn condition(&mut self, text: &str) {
        let inner = text
            .strip_prefix("cfg(")
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or(text);
        let parts = inner
            .strip_prefix("all(")
            .and_then(|rest| rest.strip_suffix(')'));
        let parts = parts.map_or_else(|| vec![inner.to_owned()], parts_of);
        for part in parts {
            if part == "test" {
                self.test_only = true;
            } else {
                self.cfgs.insert(part);
            }
        }
    }
}

pub(super) fn compact(tokens: proc_macro2::TokenStream) -> String {
    let mut text = tokens.to_string();
    text.retain(|c| !c.is_whitespace());
    text
}

fn items(items: &[Item], context: &Context, facts: &mut RustFile) {
    for item in items {
        let noted = Attributes::of(attributes(item));
        if !(noted.test || noted.test_only || context.in_test) {
            facts.inner.extend(inner_symbols(item));
        }
        note_condition(item, attributes(item), context, facts);
        if noted.test || noted.test_only || context.in_test {
            facts.test_ranges.push(lines(item));
        } else if !matches!(item, Item::Use(_) | Item::ExternCrate(_)) {
            facts.product_items.push(lines(item));
        }
        match item {
            Item::Fn(item) => function(item, &item.attrs, &item.sig, &item.block, context, facts),
            Item::Mod(item) => {
                if let Some((_, inner)) = &item.content {
                    self::items(
                        inner,
                        &context.enter(Some(item.ident.to_string()), &item.attrs),
                        facts,
                    );
                }
            }
            Item::Impl(item) => {
                let mut inner = context.enter(Some(type_name(&item.self_ty)), &item.attrs);
                inner.of_trait = item.trait_.is_some();
                for member in &item.items {
                    if let syn::ImplItem::Fn(member) = member {
                        function(
                            member,
                            &member.attrs,
                            &member.sig,
                            &member.block,
                            &inner,
                            facts,
                        );
                    }
                }
            }
            Item::Trait(item) => {
                let mut inner = context.enter(Some(item.ident.to_string()), &item.attrs);
                inner.of_trait = true;
                for member in &item.items {
                    if let syn::TraitItem::Fn(member) = member
                        && let Some(block) = &member.default
                    {
                        function(member, &member.attrs, &member.sig, block, &inner, facts);
                    }
                }
            }
            Item::Use(_) | Item::ExternCrate(_) => facts.imports.push(lines(item)),
            Item::Macro(item) => functions_in_macro(item, context, facts),
            _ => {}
        }
    }
}

/// Notes lines that their own attributes, or those of the file, keep only under conditions.
fn note_condition(
    whole: &impl Spanned,
    attrs: &[Attribute],
    context: &Context,
    facts: &mut RustFile,
) {
    let cfgs = context.enter(None, attrs).cfgs;
    if cfgs.is_empty() {
        return;
    }
    let (start, end) = lines(whole);
    let part = Conditional { start, end, cfgs };
    // A free function is met as an item and as a function.
    if !facts.conditional.contains(&part) {
        facts.conditional.push(part);
    }
}

fn function(
    whole: &impl Spanned,
    attrs: &[Attribute],
    sig: &Signature,
    block: &Block,
    context: &Context,
    facts: &mut RustFile,
) {
    let noted = Attributes::of(attrs);
    let inner = context.enter(Some(sig.ident.to_string()), attrs);
    note_condition(whole, attrs, context, facts);
    let span = whole.span();
    let braces = block.brace_token.span;
    let body = facts.token_at(braces.open().byte_range().start)
        ..facts.token_at(braces.close().byte_range().end);
    facts.functions.push(Function {
        path: inner.path.join("::"),
        name: sig.ident.to_string(),
        start: line(span.start().line),
        end: line(span.end().line),
        body,
        test: noted.test,
        in_test: inner.in_test || noted.test,
        ignored: noted.ignored,
        should_panic: noted.should_panic,
        cfgs: inner.cfgs,
        params: sig.inputs.len(),
        of_trait: context.of_trait,
    });
}

/// Functions written inside a macro call, such as `proptest! { … }`: found by their tokens.
fn functions_in_macro(item: &syn::ItemMacro, context: &Context, facts: &mut RustFile) {
    if let Some(name) = &item.ident {
        note_macro(item, format!("{name}!"), context, facts);
        return;
    }
    let before = facts.functions.len();
    functions_by_tokens(item, context, facts);
    if facts.functions.len() == before
        && let Some(name) = item.mac.path.segments.last()
    {
        note_macro(item, format!("{}!()", name.ident), context, facts);
    }
}

/// A macro or a call of one among items, kept like a function: what it makes may be tests.
fn note_macro(item: &syn::ItemMacro, name: String, context: &Context, facts: &mut RustFile) {
    let inner = context.enter(Some(name.clone()), &item.attrs);
    let (start, end) = lines(item);
    let span = item.mac.delimiter.span();
    let body = facts.token_at(span.open().byte_range().start)
        ..facts.token_at(span.close().byte_range().end);
    facts.functions.push(Function {
        path: inner.path.join("::"),
        name,
        start,
        end,
        body,
        test: false,
        in_test: inner.in_test,
        ignored: false,
        should_panic: false,
        cfgs: inner.cfgs,
        params: 0,
        of_trait: true,
    });
}

fn functions_by_tokens(item: &syn::ItemMacro, context: &Context, facts: &mut RustFile) {
    let range = item.span().byte_range();
    let (mut at, last) = (facts.token_at(range.start), facts.token_at(range.end));
    while at + 1 < last {
        let tokens = &facts.lexed.tokens;
        let opens = tokens[at].text == "fn";
        let brace = (at..last).find(|&index| matches!(tokens[index].text.as_str(), "{" | ";"));
        let end = brace
            .filter(|_| opens)
            .and_then(|open| closing(tokens, open).map(|close| (open, close)));
        let Some((open, close)) = end else {
            at += 1;
            continue;
        };
        let attrs = attributes_before(&tokens[..at]);
        let name = tokens[at + 1].text.clone();
        let mut path = context.path.clone();
        path.push(name.clone());
        facts.functions.push(Function {
            path: path.join("::"),
            name,
            start: tokens[at].line,
            end: tokens[close].line,
            body: open..close + 1,
            test: attrs
                .iter()
                .any(|attr| attr == "test" || attr.ends_with("::test")),
            in_test: true,
            ignored: attrs.iter().any(|attr| attr.starts_with("ignore")),
            should_panic: attrs.iter().any(|attr| attr.starts_with("should_panic")),
            cfgs: attrs
                .into_iter()
                .filter(|attr| attr.starts_with("cfg("))
                .chain(context.cfgs.clone())
                .collect(),
            params: 0,
            of_trait: true,
        });
        at = close;
    }
}

/// Texts of the attributes that stand directly before the end of `tokens`.
fn attributes_before(tokens: &[super::lexical::Token]) -> Vec<String> {
    let mut found = Vec::new();
    let mut end = tokens.len();
    while end > 0
        && matches!(
            tokens[end - 1].text.as_str(),
            "pub" | "async" | "unsafe" | "const"
        )
    {
        end -= 1;
    }
    while end > 0 && tokens[end - 1].text == "]" {
        let open = (0..end).rev().find(|&at| {
            tokens[at].text == "["
                && at > 0
                && tokens[at - 1].text == "#"
                && closing(tokens, at) == Some(end - 1)
        });
        let Some(open) = open else { break };
        found.push(
            tokens[open + 1..end - 1]
                .iter()
                .map(|token| token.text.as_str())
                .collect(),
        );
        end = open - 1;
    }
    found
}

pub(super) fn type_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|s| s.ident.to_string())
            .unwrap_or_default(),
        other => compact(other.to_token_stream()),
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

pub(super) fn lines(spanned: &impl Spanned) -> (u32, u32) {
    let span = spanned.span();
    (line(span.start().line), line(span.end().line))
}

pub(super) fn line(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Attributes through which something is used without its name standing anywhere.
const USED_OUTSIDE: &[&str] = &[
    "no_mangle",
    "export_name",
    "unsafe",
    "panic_handler",
    "global_allocator",
    "macro_export",
    "used",
    "link_section",
];

/// Names of an item that only its own crate can use: the item's own, and those of inherent methods.
fn inner_symbols(item: &Item) -> Vec<Symbol> {
    let hidden = |visibility: &syn::Visibility| !matches!(visibility, syn::Visibility::Public(_));
    let used = |attrs: &[Attribute]| {
        attrs.iter().any(|attr| {
            let last = attr.path().segments.last();
            last.is_some_and(|segment| USED_OUTSIDE.contains(&segment.ident.to_string().as_str()))
        })
    };
    let one = |ident: &syn::Ident, whole: &dyn Fn() -> (u32, u32), attrs: &[Attribute]| {
        let name = ident.to_string();
        let (start, end) = whole();
        let counts = !used(attrs) && !name.starts_with('_') && name != "main";
        counts.then_some(Symbol { name, start, end })
    };
    let whole = || lines(item);
    let found = match item {
        Item::Fn(own) if hidden(&own.vis) => one(&own.sig.ident, &whole, &own.attrs),
        Item::Const(own) if hidden(&own.vis) => one(&own.ident, &whole, &own.attrs),
        Item::Static(own) if hidden(&own.vis) => one(&own.ident, &whole, &own.attrs),
        Item::Struct(own) if hidden(&own.vis) => one(&own.ident, &whole, &own.attrs),
        Item::Enum(own) if hidden(&own.vis) => one(&own.ident, &whole, &own.attrs),
        Item::Macro(own) => own
            .ident
            .as_ref()
            .and_then(|ident| one(ident, &whole, &own.attrs)),
        Item::Impl(own) if own.trait_.is_none() => {
            let methods = own.items.iter().filter_map(|member| match member {
                syn::ImplItem::Fn(method) if hidden(&method.vis) => {
                    one(&method.sig.ident, &|| lines(method), &method.attrs)
                }
                _ => None,
            });
            return methods.collect();
        }
        _ => None,
    };
    found.into_iter().collect()
}
