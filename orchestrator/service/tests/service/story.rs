//! The loop closes once, on the fixture project, through the command layer alone.
use base64::Engine as _;
use service::api;

use crate::support::{Bench, RED_TEST, SCOPE, codes};

#[test]
fn a_red_run_becomes_a_confirmed_claim() {
    let bench = Bench::new();
    let red = bench.run_scope();
    assert_eq!(red.conclusion.as_deref(), Some("failure"), "{red:?}");
    assert_eq!(red.green, Some(false));
    let class = bench
        .agent(api::ClassifyRunRequest {
            run_id: red.run_id.clone(),
        })
        .unwrap();
    assert!(class.first_divergence.is_some(), "{class:?}");
    assert!(!class.anchors.is_empty(), "{class:?}");
    reassemble(&bench, &red);

    let loop_id = bench.open_loop();
    let hypothesis = bench.hypothesis(
        &loop_id,
        "h1",
        "skipped_work",
        "the short last block is skipped",
    );
    let commit = bench.fix();
    let draft = bench.good_draft(&red, &hypothesis, &commit);
    let proposed = bench.propose(&loop_id, "c1", draft.clone());
    assert_eq!(proposed.refused, []);
    assert_eq!(proposed.state, "checked");
    let (claim, digest) = (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap());

    let early = bench.push(&loop_id, &claim, &digest);
    assert!(
        codes(&early.refused).contains(&"approval_missing"),
        "{:?}",
        early.refused
    );
    assert_eq!(bench.remote_refs().len(), 1);

    let gates = bench.gates(&loop_id, &claim, 300);
    assert_eq!(gates.refused, [], "{:#?}", gates.results);
    assert_eq!(gates.state, "staged");
    assert_eq!(gates.results.len(), 6);
    let still = bench.push(&loop_id, &claim, &digest);
    assert!(
        codes(&still.refused).contains(&"approval_missing"),
        "{:?}",
        still.refused
    );

    let approved = bench.approve(&claim);
    assert_eq!(
        (approved.state.as_str(), approved.refused.len()),
        ("approved", 0),
        "{approved:?}"
    );
    assert_eq!(approved.signer.as_deref(), Some("ana@example.org"));

    let pushed = bench.push(&loop_id, &claim, &digest);
    assert_eq!(pushed.refused, []);
    let commit = pushed.pushed_commit.clone().unwrap();
    let again = bench.push(&loop_id, &claim, &digest);
    assert_eq!(
        again.pushed_commit, pushed.pushed_commit,
        "asking again pushes nothing"
    );
    let refs = bench.remote_refs();
    assert_eq!(refs["refs/heads/main"], commit);
    assert!(refs.contains_key(&pushed.attestation_ref.unwrap()));

    let verified = bench.verified(&claim);
    assert_eq!(verified.state, "confirmed", "{verified:#?}");
    assert!(
        bench
            .remote_refs()
            .contains_key(&format!("refs/greenloop/verdict/{commit}"))
    );
    let why = bench
        .agent(api::ExplainPushRequest {
            commit: Some(commit[..10].into()),
            claim_id: None,
        })
        .unwrap();
    assert!(why.allowed && why.identical, "{why:#?}");
    let status = bench.agent(api::LoopStatusRequest::default()).unwrap();
    assert_eq!(status.scopes[0].signal, "green");
    let end = api::EndTurnRequest {
        loop_id,
        end: api::EndHow::Green,
    };
    assert!(bench.agent(end).unwrap().accepted);
}

/// Concatenated raw pages are the log that its digest names.
fn reassemble(bench: &Bench, run: &api::RunView) {
    let pulled = bench
        .agent(api::PullFullLogRequest {
            run_id: run.run_id.clone(),
            ..Default::default()
        })
        .unwrap();
    assert!(pulled.complete);
    assert_eq!(pulled.logs.len(), 2);
    let log = pulled.logs[0].log.clone().unwrap();
    let (mut bytes, mut offset) = (Vec::new(), Some(0));
    while let Some(at) = offset {
        let page = bench
            .agent(api::ReadLogRequest {
                log_id: log.log_id.clone(),
                offset: Some(at),
                line: None,
                max_bytes: Some(700),
                view: api::LogViewKind::Raw,
            })
            .unwrap();
        let data = match page.encoding.as_str() {
            "utf8" => page.data.into_bytes(),
            _ => base64::engine::general_purpose::STANDARD
                .decode(page.data)
                .unwrap(),
        };
        assert_eq!(data.len() as u64, page.len);
        assert_eq!(page.next_offset.unwrap_or(page.total_bytes), at + page.len);
        bytes.extend(data);
        offset = page.next_offset;
    }
    assert_eq!(attest::digest::Digest::of(&bytes).to_string(), log.log_id);
    assert!(String::from_utf8_lossy(&bytes).contains(RED_TEST));
    assert!(
        String::from_utf8_lossy(&bytes).contains("##[error]Process completed with exit code 101.")
    );
    assert_eq!(run.scope, SCOPE);
}
