//! Pages of a listing, and listings that no page count bounds.

use super::*;

/// The jobs of run 7 on these pages, linked one to the next.
fn paged(forge: &Forge, total: usize, pages: &[(Vec<serde_json::Value>, Option<String>)]) {
    let path = format!("{REPO}/actions/runs/7/attempts/1/jobs");
    forge.api.forget(&path);
    for (jobs, next) in pages {
        let body = json!({"total_count": total, "jobs": jobs}).to_string();
        let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
        let headers: Vec<(&str, &str)> = link.iter().map(|link| ("Link", link.as_str())).collect();
        forge.api.on(&path, reply(200, &headers, body.as_bytes()));
    }
}

fn page(forge: &Forge, number: u32) -> Option<String> {
    let path = format!("{REPO}/actions/runs/7/attempts/1/jobs?per_page=100&page={number}");
    Some(format!("http://127.0.0.1:{}{path}", forge.api.port))
}

#[test]
fn every_page_is_read() {
    let forge = Forge::with(&[(1, "a", LOG), (2, "b", LOG), (3, "c", LOG)]);
    let pages = [
        (vec![job(1, "a"), job(2, "b")], page(&forge, 2)),
        (vec![job(2, "b"), job(3, "c")], None),
    ];
    paged(&forge, 3, &pages);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert_eq!(pulled.jobs.len(), 3);
    assert!(pulled.is_full());
}

#[test]
fn an_empty_page_with_a_next_one_ends_the_listing() {
    let forge = Forge::with(&[(1, "a", LOG)]);
    let pages = [
        (vec![job(1, "a")], page(&forge, 2)),
        (vec![], page(&forge, 3)),
    ];
    paged(&forge, 1, &pages);
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(pulled.is_full());
}

#[test]
fn fewer_rows_than_are_counted_are_no_listing() {
    let forge = Forge::with(&[(1, "a", LOG)]);
    paged(&forge, 2, &[(vec![job(1, "a")], None)]);
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(
        error.to_string().contains("counts 2 and lists 1"),
        "{error}"
    );
}

#[test]
fn a_next_page_on_a_foreign_host_is_refused() {
    let forge = Forge::with(&[(1, "a", LOG)]);
    let foreign = format!("http://127.0.0.1:{}/steal", forge.blob.port);
    paged(&forge, 2, &[(vec![job(1, "a")], Some(foreign))]);
    let error = Bench::default().pull(&forge.client(), "7").unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
    assert_eq!(forge.blob.asked().len(), 0);
}

#[test]
fn listings_beyond_a_thousand_go_on_by_date() {
    let forge = Forge::start();
    let listed = |ids: std::ops::Range<u64>, total: usize| {
        let rows: Vec<_> = ids
            .rev()
            .map(|id| {
                let mut run = run(id);
                run["created_at"] = json!(format!("2026-01-02T{:02}:{:02}:00Z", id / 60, id % 60));
                run
            })
            .collect();
        ok(&json!({"total_count": total, "workflow_runs": rows}))
    };
    let path = format!("{REPO}/actions/workflows/gpu-tests.yml/runs");
    forge.api.on(&path, listed(200..1200, 1200));
    forge.api.on(&path, listed(1..201, 200));
    forge.api.on(&path, listed(1..2, 1));
    let query = RunQuery {
        workflow: Some("gpu-tests.yml".into()),
        ..RunQuery::default()
    };
    let cancel = Cancel::new().unwrap();
    let runs = ci::forge::Forge::runs(&forge.client(), &query, &cancel).unwrap();
    assert_eq!(runs.len(), 1199);
    assert_eq!((runs[0].id, runs[1198].id), (1199, 1));
    let asked = forge.api.asked();
    assert!(
        asked[1]
            .path
            .contains("created=%3C%3D2026-01-02T03%3A20%3A00Z"),
        "{:?}",
        asked[1].path
    );
}

#[test]
fn the_walk_back_passes_a_storm() {
    let forge = Forge::with(&[]);
    let mut rows = Vec::new();
    for id in (7..=101u64).rev() {
        let mut row = run(id);
        row["conclusion"] = json!(if id == 7 { "failure" } else { "cancelled" });
        row["created_at"] = json!(format!("2026-01-02T{:02}:{:02}:00Z", id / 60, id % 60));
        rows.push(row);
        if id > 7 {
            let path = format!("{REPO}/actions/runs/{id}/attempts/1/jobs");
            forge
                .api
                .on(&path, ok(&json!({"total_count": 0, "jobs": []})));
        }
    }
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, "gpu")]);
    let total = rows.len();
    forge.api.on(
        &format!("{REPO}/actions/runs"),
        ok(&json!({"total_count": total, "workflow_runs": rows})),
    );
    let cancel = Cancel::new().unwrap();
    let found = last_signal(&forge.client(), &RunQuery::default(), 0, &cancel)
        .unwrap()
        .unwrap();
    assert_eq!((found.run.id, found.passed.len()), (7, 94));
}
