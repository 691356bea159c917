//! Gates that pass on something else than the claim's tree.

use std::fs;

use service::api;

use super::Field;
use crate::dishonest::{BLOCKS, append, replace};
use crate::support::Bench;

/// The bug again, in other words, so that there is a change to claim.
const AGAIN: &str = "values.chunks_exact(BLOCK + 0)";

/// Gates of a claim on this commit: the answer, and the claim withdrawn after it.
fn gated(field: &Field, key: &str, draft: api::ClaimDraft) -> api::RunGatesAnswer {
    let bench = &field.bench;
    let (claim, _) = bench.accepted(&field.loop_id, key, draft);
    let gates = bench.gates(&field.loop_id, &claim, 300);
    let withdraw = api::WithdrawClaimRequest {
        loop_id: field.loop_id.clone(),
        claim_id: claim,
        reason: "it was an attack".into(),
    };
    assert_eq!(bench.agent(withdraw).unwrap().refused, []);
    gates
}

fn stopped(gates: &api::RunGatesAnswer, code: &str, field: &str, words: &str) {
    assert_eq!(gates.state, "checked", "{:#?}", gates.refused);
    let found = gates.refused.iter().any(|refusal| {
        refusal.code == code && refusal.field == field && refusal.reason.contains(words)
    });
    assert!(found, "{code} @ {field}: {:#?}", gates.refused);
}

#[test]
fn a_gate_passes_on_the_claims_tree_or_not_at_all() {
    let field = Field::over(Bench::new());
    // A build script mends the source while it is compiled; the tree that was reviewed is not mended.
    let commit = field.commit(|root| {
        replace(root, BLOCKS, "values.chunks(BLOCK)", AGAIN);
        let script = "fn main() {\n    let file = \"src/blocks.rs\";\n    if let Ok(text) = std::fs::read_to_string(file) {\n        let _ = std::fs::write(file, text.replace(\"chunks_exact(\", \"chunks(\"));\n    }\n}\n";
        fs::write(root.join("build.rs"), script).unwrap();
    });
    let gates = gated(&field, "c1", field.declared(&commit));
    stopped(&gates, "gate_changed_tree", "gates[1]", "src/blocks.rs");

    // The fix is a file of this machine, whose name no literal holds as a whole.
    let outside = field.bench.root().join("outside.rs");
    fs::write(&outside, "/// Values of the tail.\npub fn tail() {}\n").unwrap();
    let (folder, name) = (field.bench.root(), "outside.rs");
    let commit = field.commit(|root| {
        let line = format!(
            "\ninclude!(concat!(\"{}\", \"/{name}\"));\n",
            folder.to_str().unwrap()
        );
        append(root, BLOCKS, &line);
    });
    let gates = gated(&field, "c2", field.declared(&commit));
    stopped(&gates, "gate_compiled_outside", "gates[1]", "outside.rs");

    // A test changes what the next gate finds built already.
    let poison = r#"
/// Poisons the well.
#[test]
fn path_equivalence_poison() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../seeds");
    std::fs::create_dir_all(seeds.join("mine")).unwrap();
}
"#;
    let commit = field.commit(|root| append(root, "tests/paths.rs", poison));
    let gates = gated(&field, "c4", field.declared(&commit));
    stopped(
        &gates,
        "gate_changed_dependencies",
        "gates[1]",
        "built anew",
    );
    assert!(!field.bench.root().join("state/rooms/seeds/mine").exists());

    // A test leaves a process behind that writes into the next room.
    let stray = r#"
/// Leaves somebody behind.
#[test]
fn path_equivalence_stray() {
    let script = "here=$(stat -c %i .); for i in $(seq 2000); do [ \"$(stat -c %i \"$PWD\" 2>/dev/null || echo $here)\" != $here ] && [ -f \"$PWD/src/lib.rs\" ] && break; sleep 0.05; done; sleep 0.2; echo '// mine' >> \"$PWD/src/lib.rs\"";
    let started = std::process::Command::new("setsid")
        .args(["sh", "-c", script])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    assert!(started.is_ok());
}
"#;
    let commit = field.commit(|root| append(root, "tests/paths.rs", stray));
    let gates = gated(&field, "c3", field.declared(&commit));
    stopped(&gates, "gate_left_processes", "gates[1]", "1 process group");
}
