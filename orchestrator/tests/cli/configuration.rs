//! The configuration reference is what the readers accept.

use std::path::Path;

use crate::support::Home;

#[test]
fn the_configuration_reference_is_up_to_date() {
    let printed = Home::new().greenloop(&["man", "--configuration"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == printed.out,
        "docs/configuration.md is stale; write it again with\n\
         cargo run -p greenloop -- man --configuration > docs/configuration.md"
    );
}

#[test]
fn an_unknown_setting_names_the_nearest() {
    let home = Home::with(crate::support::ADDER);
    home.write(&[("settings.toml", "runtime_dri = \"/x\"\n")]);
    let said = home.greenloop(&["status", "--config", "settings.toml"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("`runtime_dir`"), "{said:?}");
}
