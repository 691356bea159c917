//! The reference, timed.

use std::time::Instant;

use super::{BenchReport, BenchRequest, Machine, Speed, prompt_tokens};
use crate::cpu::{CpuReference, KeepTrace};
use crate::error::Result;
use crate::model::{LogitsRows, Model, PassRequest};
use crate::sample::greedy;

pub(super) fn run(file: &[u8], model: &Model, request: BenchRequest) -> Result<BenchReport> {
    let mut reference = CpuReference::new(model, file)?;
    let prompt = PassRequest {
        logits: LogitsRows::Last,
        ..PassRequest::prefill(&prompt_tokens(model, request.prompt))
    };
    let start = Instant::now();
    let mut logits = reference.run(&prompt, KeepTrace::No)?.logits;
    let prefill = Speed::new(request.prompt, start.elapsed().as_secs_f64());
    let start = Instant::now();
    for step in 0..request.decode {
        let token = greedy(&logits).unwrap_or(0);
        let pass = PassRequest::decode(token, request.prompt + step);
        logits = reference.run(&pass, KeepTrace::No)?.logits;
    }
    Ok(BenchReport {
        machine: Machine {
            backend: "cpu".into(),
            device: "cpu reference".into(),
            driver: "none".into(),
        },
        prefill,
        decode: Speed::new(request.decode, start.elapsed().as_secs_f64()),
        pass: None,
        bandwidth: None,
    })
}
