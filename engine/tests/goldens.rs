//! Every dense golden model on the device, through a worker: logits at the required level, choices exactly.
//!
//! The subset inside the project always, the whole set where it lies beside the project.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[path = "smoke/check.rs"]
mod check;
#[path = "smoke/lab.rs"]
mod lab;
mod support;

use engine::worker::protocol::Prompt;
use lab::Lab;
use support::{golden_models, golden_roots};

#[test]
fn every_dense_model_gives_the_golden_logits_and_choices() {
    let models = golden_models(&["llama", "qwen3"]);
    let whole_set = golden_roots().len() > 1;
    assert!(models.len() >= if whole_set { 19 } else { 3 });
    for golden in &models {
        let mut lab = Lab::open(&golden.model);
        for case in &golden.cases {
            let prompt = Prompt {
                tokens: case.prompt.clone(),
                greedy: u32::try_from(case.greedy.len()).unwrap(),
                ..Prompt::default()
            };
            lab.check(golden, case, &prompt);
        }
        println!("{}: {} cases", golden.name, golden.cases.len());
    }
}
