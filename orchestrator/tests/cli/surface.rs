//! Help, completions, manual, colours, exit codes.

use crate::support::{ADDER, Home};

#[test]
fn completions_know_every_verb() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = home.greenloop(&["completions", shell]);
        assert_eq!(said.code, 0, "{said:?}");
        for verb in ["init", "review", "approve", "hypotheses"] {
            assert!(said.out.contains(verb), "{shell} does not complete {verb}");
        }
    }
    assert_eq!(home.greenloop(&["completions", "tcsh"]).code, 2);
}

#[test]
fn the_manual_has_a_page_per_verb() {
    let home = Home::new();
    let page = home.greenloop(&["man"]);
    assert!(page.out.contains(".TH greenloop"), "{page:?}");
    assert!(
        page.out.contains("waits for a person"),
        "no exit codes: {page:?}"
    );
    assert_eq!(home.greenloop(&["man", "--dir", "man"]).code, 0);
    for page in [
        "greenloop.1",
        "greenloop-init.1",
        "greenloop-state-verify.1",
    ] {
        assert!(home.repo.join("man").join(page).is_file(), "{page}");
    }
}

#[test]
fn nothing_is_coloured_unless_on_a_terminal() {
    let home = Home::with(ADDER);
    for args in [&["doctor"][..], &["init"], &["status"]] {
        let said = home.greenloop(args);
        assert!(
            !said.out.contains('\x1b') && !said.err.contains('\x1b'),
            "{args:?}: {said:?}"
        );
    }
}
