//! Whether what is added runs at all: names nothing uses, code that ships switched off, shaders, manifests.

use attest::claim::ClaimKind;

use super::{check, codes};

const FILE: &str = "engine/src/plan.rs";
const SHADER: &str = "engine/shaders/norm.wgsl";
const GLSL: &str = "engine/shaders/norm.comp";
const MANIFEST: &str = "engine/Cargo.toml";

#[test]
fn new_names_that_nothing_uses() {
    let base = "pub fn a() { b(); }\n";
    let add = |text: &str, expect: &str| check(FILE, base, &format!("{base}{text}"), expect);
    add("fn probe() { look(); }\n", "symbol_unused@2");
    add("pub(crate) fn probe() { look(); }\n", "symbol_unused@2");
    add("const LIMIT: u32 = 4;\n", "symbol_unused@2");
    add("static SEEN: u32 = 4;\n", "symbol_unused@2");
    add("struct Probe;\n", "symbol_unused@2");
    add(
        "impl A { fn probe(&self) { look(); } }\n",
        "symbol_unused@2",
    );
    add("macro_rules! probe { () => {}; }\n", "symbol_unused@2");
    add("fn probe(n: u32) { probe(n - 1); }\n", "symbol_unused@2");
    // A name that another crate, the linker or a trait may use is not judged here.
    add("pub fn probe() { look(); }\n", "");
    add(
        "#[unsafe(no_mangle)]\nextern \"C\" fn probe() { look(); }\n",
        "",
    );
    add("impl T for A { fn probe(&self) { look(); } }\n", "");
    add("fn main() { a(); }\n", "");
    add("fn _kept() { look(); }\n", "");
    // What only tests use is not used by what ships.
    add(
        "fn probe() -> u32 { look() }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() { assert_eq!(super::probe(), 1); }\n}\n",
        "symbol_unused@2",
    );
    check(
        FILE,
        base,
        "pub fn a() { b(); probe(); }\nfn probe() { look(); }\n",
        "",
    );
    check(
        FILE,
        base,
        "pub fn a() { b(); go(format!(\"{LIMIT}\")); }\nconst LIMIT: u32 = 4;\n",
        "",
    );
}

#[test]
fn a_moved_name_is_not_new() {
    let base = [
        ("src/a.rs", "pub fn a() { b(); }\nfn helper() { c(); }\n"),
        ("src/b.rs", "pub fn d() { e(); }\n"),
    ];
    let head = [
        ("src/a.rs", "pub fn a() { b(); }\n"),
        (
            "src/b.rs",
            "pub fn d() { f(); }\npub(crate) fn helper() { c(); }\n",
        ),
    ];
    assert_eq!(codes(&base, &head, ClaimKind::Fix), "");
    // A diagnostic is wired end to end as well.
    let base = [("src/a.rs", "pub fn a() { b(); }\n")];
    let head = [(
        "src/a.rs",
        "pub fn a() { b(); }\nfn dump() { println!(\"x\"); }\n",
    )];
    assert_eq!(codes(&base, &head, ClaimKind::Diagnostic), "symbol_unused");
}

#[test]
fn code_that_ships_switched_off() {
    let base = "pub fn a() { b(); }\n";
    let off = "fallback_default_off@1";
    check(
        FILE,
        base,
        "pub fn a() { if cfg!(feature = \"fixed\") { c() } else { b() } }\n",
        off,
    );
    check(
        FILE,
        base,
        "pub fn a() { if std::env::var(\"FIXED\").is_ok() { c() } else { b() } }\n",
        off,
    );
    check(
        FILE,
        base,
        "pub fn a() { if env::var_os(\"FIXED\").is_some() { c() } else { b() } }\n",
        off,
    );
    check(
        FILE,
        base,
        "pub fn a() { if option_env!(\"FIXED\").is_some() { c() } else { b() } }\n",
        off,
    );
    check(
        FILE,
        base,
        "const FIXED: bool = false;\npub fn a() { if FIXED { c() } else { b() } }\n",
        off,
    );
    check(
        FILE,
        base,
        "const FIXED: bool = true;\npub fn a() { if FIXED { c() } else { b() } }\n",
        "",
    );
    // The one place where modes are decided, and what was read before.
    let read = "pub fn a() { if std::env::var(\"MODE\").is_ok() { c() } else { b() } }\n";
    check("engine/src/profile.rs", base, read, "");
    check(FILE, read, &read.replace("b()", "d()"), "");
    // A feature that the package has had, or that it turns on.
    let gated = "pub fn a() { if cfg!(feature = \"fixed\") { c() } else { b() } }\n";
    for (manifest, expect) in [
        ("[features]\nfixed = []\n", ""),
        ("[features]\nother = []\n", "fallback_default_off"),
    ] {
        let base = [(FILE, base), (MANIFEST, manifest)];
        let head = [(FILE, gated), (MANIFEST, manifest)];
        assert_eq!(codes(&base, &head, ClaimKind::Fix), expect, "{manifest}");
    }
}

#[test]
fn shaders_are_read_without_their_comments() {
    let base = "// norm\n@compute\nfn main() { store(0u); }\n";
    check(
        SHADER,
        base,
        "/* the\n norm */\n@compute\nfn main() { store(0u); }\n",
        "no_behavioural_change",
    );
    check(SHADER, base, "@compute\nfn main() { store(1u); }\n", "");
    check(SHADER, base, "@compute\nfn main() { }\n", "stub_added@2");
    check(
        SHADER,
        base,
        "@compute\nfn main() { return; store(0u); }\n",
        "stub_added@2",
    );
    check(
        SHADER,
        base,
        &format!("{base}fn probe() {{ store(1u); }}\n"),
        "symbol_unused@4",
    );
    check(
        SHADER,
        base,
        "@compute\nfn main() { if (false) { store(1u); } store(0u); }\n",
        "fallback_default_off@2",
    );
    let calls = "@compute\nfn main() { probe(); }\nfn probe() { store(1u); }\n";
    check(SHADER, base, calls, "");
    let base = "void main() {\n  store();\n  memoryBarrierShared();\n}\n";
    check(
        GLSL,
        base,
        &base.replace("memoryBarrierShared", "memoryBarrier"),
        "blanket_barrier@3",
    );
    check(GLSL, base, "void main() {\n}\n", "stub_added@1");
    check(
        GLSL,
        base,
        "void main() {\n#if 0\n  store();\n#endif\n  memoryBarrierShared();\n}\n",
        "fallback_default_off@2",
    );
}

#[test]
fn manifests_that_silence_checks_or_leave_code_out() {
    let base = "[package]\nname = \"a\"\n[features]\ndefault = [\"vulkan\"]\nvulkan = []\n";
    let off = |text: &str| format!("{base}{text}");
    for (head, expect) in [
        (
            base.replace("default = [\"vulkan\"]", "default = []"),
            "test_cfg_narrowed",
        ),
        (
            off("[profile.test]\ndebug-assertions = false\n"),
            "checks_disabled",
        ),
        (
            off("[profile.release]\noverflow-checks = false\n"),
            "checks_disabled",
        ),
        (off("[profile.release]\noverflow-checks = true\n"), ""),
        (off("more = []\n"), ""),
    ] {
        let found = codes(
            &[(MANIFEST, base)],
            &[(MANIFEST, head.as_str())],
            ClaimKind::Fix,
        );
        assert_eq!(found, expect, "{head}");
    }
}
