//! Any bytes as a model file: an answer or a typed error, never a panic, a hang or memory out of proportion.
#![no_main]

use engine::gguf::{Gguf, Value};
use engine::hazard;
use engine::model::{Model, PassRequest};
use engine::plan::Plan;
use engine::profile::{EnvSnapshot, ExecutionProfile, RequestKind};
use engine::record::record_pass;
use engine::tok::{ControlText, Tokenizer};
use libfuzzer_sys::fuzz_target;

/// Blocks of a model whose stream is still judged; the fuzzer should not spend its time on tall ones.
const TALL: u32 = 4;

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::parse(bytes) else {
        return;
    };
    for key in gguf.keys() {
        if let Some(Value::Array(array)) = gguf.value(key) {
            assert!(array.iter().count() as u64 <= array.len);
        }
    }
    for tensor in gguf.tensors() {
        assert_eq!(gguf.data(tensor).len(), tensor.len);
    }
    if let Ok(tokenizer) = Tokenizer::read(&gguf) {
        let _ = tokenizer.encode("Any text, 123 <|eot_id|>\n", ControlText::Recognised);
    }
    let Ok(model) = Model::load(bytes, Some(8)) else {
        return;
    };
    let (Ok(weights), true) = (model.weights_plan(), model.params.n_layers <= TALL) else {
        return;
    };
    let request = PassRequest::decode(0, 3);
    let graph = model.graph(&request).expect("a pass within the context");
    let _ = model.host_data(&request).expect("a pass within the context");
    let Ok(plan) = Plan::new(&graph, 1 << 32) else {
        return;
    };
    let profile = ExecutionProfile::resolve(&EnvSnapshot::default(), RequestKind::Production)
        .expect("an empty environment");
    if let Ok(stream) = record_pass(&graph, &plan, &weights, &profile) {
        assert_eq!(hazard::check(&stream), []);
    }
});
