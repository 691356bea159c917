//! The test that every gate must be seen failing on.

/// Stem of the generated file, reserved: no change may use it.
pub const CANARY_STEM: &str = "greenloop_canary";

/// The generated test's function.
pub const CANARY_TEST: &str = "greenloop_canary_must_fail";

/// Path from the root and content of the integration test that a canary room adds to the package in
/// `package_folder` (empty for the root). The `nonce` keeps cached results of other rooms away.
#[must_use]
pub fn canary_test_source(package_folder: &str, nonce: &str) -> (String, String) {
    let path = format!("tests/{CANARY_STEM}.rs");
    let path = if package_folder.is_empty() {
        path
    } else {
        format!("{package_folder}/{path}")
    };
    let nonce: String = nonce.chars().filter(char::is_ascii_alphanumeric).collect();
    let source = format!(
        "//! Added to this room alone: a gate that passes with it can pass anything.\n\n\
         #[test]\nfn {CANARY_TEST}() {{\n    let seen = std::hint::black_box(\"{nonce}\");\n    \
         assert!(seen.is_empty(), \"canary {{seen}}\");\n}}\n"
    );
    (path, source)
}
