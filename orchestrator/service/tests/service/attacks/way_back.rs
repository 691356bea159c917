//! A rollback is asked for no cause, no test and no sites, so it may carry nothing but the way back.

use serde_json::Value;
use service::api;

use super::only;
use crate::dishonest::{BLOCKS, append, replace};
use crate::rollback::{disturbed, regressed};
use crate::support::{Bench, run};

/// The daemon's own rollback as a draft of the agent's, for another commit.
fn draft(bench: &Bench, body: &Value, commit: &str) -> api::ClaimDraft {
    let mut parts = body.clone();
    let object = parts.as_object_mut().unwrap();
    for own in [
        "schema",
        "repo",
        "ref_name",
        "parent",
        "tree",
        "diff_digest",
        "author",
    ] {
        object.remove(own);
    }
    let predictions = object.remove("predictions").unwrap();
    object.insert("prediction".into(), predictions);
    let change = serde_json::json!({
        "repo_path": bench.clone_path().to_str().unwrap(),
        "commit": commit,
    });
    object.insert("change".into(), change);
    serde_json::from_value(parts).unwrap()
}

#[test]
fn a_rollback_carries_nothing_but_the_way_back() {
    let bench = Bench::with(disturbed);
    let (loop_id, _) = regressed(&bench);
    let prepared = bench.prepared_rollback();
    let body = Value::Object(bench.claim(&prepared).body.into_iter().collect());
    let clone = bench.clone_path();
    let git = |args: &[&str]| run(&clone, "git", args);
    git(&["fetch", "-q", "origin"]);
    let reverted = |edit: &dyn Fn()| {
        git(&["checkout", "-q", "-f", "-B", "back", "origin/main"]);
        git(&["revert", "--no-commit", "HEAD"]);
        edit();
        git(&["add", "-A"]);
        git(&["commit", "-q", "-m", "back"]);
        git(&["rev-parse", "HEAD"])
    };
    let check = |commit: &str, file: Option<&str>| {
        let mut draft = draft(&bench, &body, commit);
        draft.sites.extend(file.map(|file| api::SiteView {
            file: file.into(),
            function: None,
            line_start: 1,
            line_end: 13,
        }));
        let request = api::CheckClaimRequest {
            loop_id: loop_id.clone(),
            draft,
        };
        bench.agent(request).unwrap().refused
    };
    assert_eq!(check(&reverted(&|| {}), None), []);
    let rides = reverted(&|| {
        append(
            &clone,
            "src/reference.rs",
            "\n/// Mine.\npub fn mine() {}\n",
        )
    });
    only(
        &check(&rides, Some("src/reference.rs")),
        ("rollback_carries_more", "change", "src/reference.rs"),
    );
    let other = reverted(&|| replace(&clone, BLOCKS, "let mut carry = 0;", "let mut carry = 1;"));
    only(
        &check(&other, None),
        ("rollback_carries_more", "change", BLOCKS),
    );
}
