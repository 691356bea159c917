//! Sources that would exhaust the stack of a recursive parser are refused before it sees them.

use super::check;
use crate::change::syntax::{Parsed, parse};

/// Runs on a stack as small as those that worker threads get.
fn on_small_stack(judge: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(judge)
        .unwrap();
    thread.join().unwrap();
}

#[test]
fn hostile_nesting_is_refused() {
    let hostile = [
        format!("fn a() {{ {}1{} }}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("fn a() {{ {}1 }}", "!".repeat(100_000)),
        format!("fn a() {{ 1{} }}", "+1".repeat(100_000)),
        format!("fn a() {{ a{} }}", ".b()".repeat(100_000)),
        format!("fn a() {{ {} }}", "if a {} else ".repeat(50_000)),
        format!("fn a() {{ {} }}", "return ".repeat(50_000)),
        format!("type A = {}u8{};", "V<".repeat(50_000), ">".repeat(50_000)),
        format!(
            "type A = {}u8{};",
            "V<u8, ".repeat(50_000),
            ">".repeat(50_000)
        ),
        format!("fn a() {{ {}1 }}", "|a, b| ".repeat(50_000)),
        format!(
            "fn a() {{ {}{} }}",
            "|| {".repeat(20_000),
            "}".repeat(20_000)
        ),
        format!("{}{}", "mod a {".repeat(20_000), "}".repeat(20_000)),
    ];
    on_small_stack(move || {
        for source in hostile {
            check("src/a.rs", "fn a() {}\n", &source, "does_not_parse");
        }
    });
}

/// Repeated up to the bound, whatever nests must still fit the stack.
#[test]
fn what_is_parsed_fits_the_stack() {
    let patterns = [
        "(",
        "[",
        "{",
        "!",
        "&",
        "-",
        "*",
        "|| ",
        "return ",
        "a + ",
        "a = ",
        "if a {} else ",
        "x.y(",
        "V<",
        "V<a,",
        "|a,b| ",
        "|a,b|",
        "|a||b|",
        "move |a,b| ",
        "*const ",
        "&mut ",
        "&'a ",
        "fn() -> ",
        "dyn Fn() -> ",
        ".. ",
        "..=",
        "a..b..",
        "impl A<",
        "dyn (",
        "unsafe {",
        "match a { b => ",
        "&(",
        "V<(",
        "[&",
        "if ",
        "while ",
        "for a in ",
        "a as b + ",
        "a? + ",
        ".a",
        "x[",
        "#[a] ",
        "loop { if a { match b { c => ",
        "|a: V<",
        "<V as ",
        "<",
        "V<<",
        "async move ",
        "a @ ",
        "break ",
        "let a = ",
        "a.b.",
        "a::<",
        "(a) !(",
        "a? !(",
        "a! (b) + ",
        "a < b < ",
    ];
    on_small_stack(move || {
        for pattern in patterns {
            for count in [30, 60, 100, 150, 250, 400, 990] {
                let (opened, closers) = (pattern.repeat(count), ["", ")", "]", "}", ">"]);
                for close in closers.map(|close| close.repeat(count)) {
                    let _ = parse(&format!("fn a() {{ {opened}1{close} }}"));
                    let _ = parse(&format!("type A = {opened}u8{close};"));
                }
            }
        }
    });
}

#[test]
fn ordinary_long_code_is_not_deep() {
    let functions: String = (0..3_000)
        .map(|n| {
            format!(
                "#[inline]\npub fn f{n}(a: u32) -> u32 {{ if a > {n} {{ a }} else {{ {n} }} }}\n"
            )
        })
        .collect();
    let table: String = (0..20_000).map(|n| format!("{n}, ")).collect();
    let arms: String = (0..1_000)
        .map(|n| format!("{n} => {{ a += 1; }}\n"))
        .collect();
    let source = format!(
        "{functions}static T: [u32; 20000] = [{table}];\nfn m(mut a: u32) {{ match a {{ {arms} _ => {{}} }} }}\n"
    );
    assert!(matches!(parse(&source), Parsed::File(_)));
}
