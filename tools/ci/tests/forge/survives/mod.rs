//! What must survive: each way in which a forge, a network or an archive can misbehave.

mod archives;
mod artifacts;
mod bodies;
mod corruptions;
mod credentials;
mod limits;
mod listings;
mod redirects;
mod runs;

use crate::fake::{
    self, Forge, REPO, Step, TOKEN, bytes, half, job, ok, reply, run, short, status, unframed,
};
use crate::support::{Bench, chain, fates, zip_of};
use ci::forge::{Fate, ForgeError, HarnessPattern, RunQuery, RunnerState, last_signal};
use ci::github::{Credential, Github, SecretSource};
use discipline::model::{Conclusion, WhyEmpty};
use exec::Cancel;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

const LOG: &[u8] = b"2026-01-02T03:04:05.0000000Z test a ... ok\n\
    2026-01-02T03:04:06.0000000Z ##[error]Process completed with exit code 101.\n";

/// One job whose log comes by this blob answer, after any number of others.
fn pulled_by(replies: Vec<fake::Reply>) -> (Bench, ci::forge::Pulled) {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, "gpu")]);
    for reply in replies {
        forge.log_reply(1, reply);
    }
    let mut bench = Bench::default();
    let pulled = bench.pull(&forge.client(), "7").unwrap();
    (bench, pulled)
}

/// One job whose log request is answered so by the API.
fn asked_by(replies: Vec<fake::Reply>) -> ci::forge::PulledJob {
    let forge = Forge::with(&[]);
    forge
        .api
        .forget(&format!("{REPO}/actions/runs/7/attempts/1/jobs"));
    forge.jobs(&[job(1, "gpu")]);
    for reply in replies {
        forge.api.on(&Forge::log_path(1), reply);
    }
    let pulled = Bench::default().pull(&forge.client(), "7").unwrap();
    assert!(!pulled.is_full());
    assert_eq!(pulled.jobs[0].log, None);
    pulled.jobs[0].clone()
}

fn redirected(location: &[u8]) -> fake::Reply {
    let mut answer =
        b"HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: ".to_vec();
    answer.extend_from_slice(location);
    answer.extend_from_slice(b"\r\n\r\n");
    vec![Step::Bytes(answer)]
}
