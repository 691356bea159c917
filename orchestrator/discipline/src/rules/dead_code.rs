//! New code that rustc itself finds unused while the gates compile the claim's tree. The syntax of the change
//! told most of it at proposal; the compiler also sees items that only use each other, methods, variants
//! and fields.

use std::collections::BTreeSet;

use attest::claim::ClaimKind;

use super::Case;
use crate::model::{DeadCode, GateResult, Refusal};

pub(super) fn judge(case: &Case<'_>) -> Vec<Refusal> {
    let Some(gates) = &case.input.gates else {
        return Vec::new();
    };
    // What a rollback restores was there before.
    if case.body().kind == ClaimKind::Rollback {
        return Vec::new();
    }
    let on = |head: bool| {
        let results = gates.results.iter();
        results.filter(move |result: &&GateResult| result.role.on_head() == head)
    };
    let old: BTreeSet<(&str, &str)> = on(false).flat_map(|r| &r.dead_code).map(named).collect();
    // Features that one gate builds without may be all that uses an item.
    let used_by_another = |dead: &DeadCode| {
        let mut compiled = on(true).filter(|result| result.covered.contains(&dead.file));
        compiled.any(|result| !result.dead_code.iter().any(|own| named(own) == named(dead)))
    };
    let new: BTreeSet<&DeadCode> = on(true)
        .flat_map(|result| &result.dead_code)
        .filter(|dead| added(case, dead) && !old.contains(&named(dead)) && !used_by_another(dead))
        .collect();
    let refusal = |dead: &DeadCode| {
        Refusal::new(
            "symbol_unused",
            "change",
            format!(
                "{}:{}: rustc says that nothing uses {}",
                dead.file, dead.line, dead.what
            ),
            "call it where the mechanism needs it, or leave it out",
        )
    };
    new.into_iter().map(refusal).collect()
}

fn named(dead: &DeadCode) -> (&str, &str) {
    (&dead.file, &dead.what)
}

/// True when the change wrote the line.
fn added(case: &Case<'_>, dead: &DeadCode) -> bool {
    let hunks = case.input.diff.hunks.iter();
    let mut of_file = hunks.filter(|hunk| hunk.file == dead.file);
    of_file.any(|hunk| {
        let end = hunk.new_start.saturating_add(hunk.new_len);
        (hunk.new_start..end).contains(&dead.line)
    })
}
