//! The tokenizer against what other programs made of the same texts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::path::Path;
use std::sync::LazyLock;

use engine::EngineError;
use engine::gguf::{Gguf, GgufFault};
use engine::tok::{ControlText, ControlTokens, Tokenizer};
use proptest::prelude::*;
use support::{bytes, data, golden, golden_roots, ids, json};

fn tokenizer(model: &Path) -> Tokenizer {
    Tokenizer::read(&Gguf::parse(&bytes(model)).unwrap()).unwrap()
}

fn unhex(text: &serde_json::Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap()).unwrap()
}

/// Golden descriptions with the tokenizers that they are of.
fn goldens() -> Vec<(String, serde_json::Value, Tokenizer)> {
    let mut found = Vec::new();
    for root in golden_roots() {
        for pre in ["llama-bpe", "qwen2", "qwen35"] {
            let path = root.join(format!("tokenizer/{pre}.json"));
            if path.exists() {
                let golden = json(&path);
                let tokenizer = tokenizer(&root.join(golden["gguf"].as_str().unwrap()));
                found.push((pre.to_owned(), golden, tokenizer));
            }
        }
    }
    assert!(
        found.len() >= 2,
        "the subset inside the project has two tokenizers"
    );
    found
}

#[test]
fn texts_become_the_golden_ids() {
    for (pre, golden, tokenizer) in goldens() {
        let entries = golden["encode"].as_array().unwrap();
        assert!(entries.len() >= 74, "{pre}");
        for entry in entries {
            let text = entry["text"].as_str().unwrap();
            let recognised = tokenizer.encode(text, ControlText::Recognised);
            assert_eq!(recognised, ids(&entry["ids"]), "{pre} {text:?}");
            let plain = tokenizer.encode(text, ControlText::Plain);
            assert_eq!(plain, ids(&entry["ids_no_special"]), "{pre} {text:?} plain");
            let pieces = entry["pieces_hex"].as_array().unwrap();
            for (id, piece) in recognised.iter().zip(pieces) {
                assert_eq!(tokenizer.bytes(*id).unwrap(), unhex(piece), "{pre} {id}");
            }
        }
    }
}

#[test]
fn ids_become_the_golden_bytes() {
    for (pre, golden, tokenizer) in goldens() {
        let entries = golden["decode"].as_array().unwrap();
        assert!(entries.len() >= 24, "{pre}");
        for entry in entries {
            let ids = ids(&entry["ids"]);
            let written = tokenizer.decode(&ids, ControlTokens::Written).unwrap();
            assert_eq!(written, unhex(&entry["bytes_hex"]), "{pre} {ids:?}");
            let lossy = String::from_utf8_lossy(&written);
            assert_eq!(
                lossy,
                entry["text_lossy"].as_str().unwrap(),
                "{pre} {ids:?}"
            );
            let dropped = tokenizer.decode(&ids, ControlTokens::Dropped).unwrap();
            assert_eq!(
                dropped,
                unhex(&entry["bytes_hex_skip_special"]),
                "{pre} {ids:?}"
            );
        }
    }
}

#[test]
fn prompts_of_the_logits_are_reproduced_with_their_first_token() {
    for root in golden_roots() {
        for name in ["llama-a.f32", "qwen3-a.f32", "qwen3-yarn-a.q8_0"] {
            let Some(golden) = golden(&root, name) else {
                continue;
            };
            let tokenizer = tokenizer(&golden.model);
            let value = json(&root.join(format!("golden/{name}.json")));
            for (case, entry) in golden.cases.iter().zip(value["cases"].as_array().unwrap()) {
                let Some(text) = entry["text"].as_str() else {
                    continue;
                };
                let encoded = tokenizer.encode(text, ControlText::Recognised);
                let prompt: Vec<u32> = tokenizer.bos().into_iter().chain(encoded).collect();
                assert_eq!(prompt, case.prompt, "{name}");
                assert_eq!(tokenizer.bos().is_some(), entry["add_bos"], "{name}");
            }
        }
    }
    let llama = tokenizer(&data().join("models/llama-a.q8_0.gguf"));
    assert_eq!(llama.bos(), Some(597));
    let qwen = tokenizer(&data().join("models/qwen3-a.f32.gguf"));
    assert_eq!(qwen.bos(), None);
}

#[test]
fn an_unknown_id_is_refused() {
    let tokenizer = tokenizer(&data().join("models/qwen3-a.f32.gguf"));
    let refused = tokenizer.decode(&[608], ControlTokens::Written);
    assert!(
        matches!(refused, Err(EngineError::Request(_))),
        "{refused:?}"
    );
    assert_eq!(tokenizer.bytes(608), None);
}

#[test]
fn a_file_without_a_tokenizer_says_which_key_is_needed() {
    let mut file = engine::gguf::GgufWriter::new();
    file.string("general.architecture", "llama");
    let file = file.finish();
    let missing = Tokenizer::read(&Gguf::parse(&file).unwrap()).unwrap_err();
    assert!(
        matches!(
            &missing,
            EngineError::Gguf {
                fault: GgufFault::MissingKey,
                ..
            }
        ),
        "{missing:?}"
    );
    assert!(missing.to_string().contains("tokenizer.ggml.model"));
}

#[test]
fn a_merge_of_no_tokens_is_a_bad_tokenizer() {
    let mut file = engine::gguf::GgufWriter::new();
    file.string("tokenizer.ggml.model", "gpt2");
    file.string("tokenizer.ggml.pre", "qwen2");
    file.strings("tokenizer.ggml.tokens", ["a", "b"].into_iter());
    file.strings("tokenizer.ggml.merges", ["a b"].into_iter());
    let file = file.finish();
    let bad = Tokenizer::read(&Gguf::parse(&file).unwrap()).unwrap_err();
    assert!(
        matches!(
            &bad,
            EngineError::Gguf {
                fault: GgufFault::BadTokenizer,
                ..
            }
        ),
        "{bad:?}"
    );
    assert!(bad.to_string().contains("\"ab\""), "{bad}");
}

#[test]
fn a_long_piece_is_joined_in_reasonable_time() {
    let tokenizer = tokenizer(&data().join("models/qwen3-a.f32.gguf"));
    let text = "the".repeat(100_000);
    let ids = tokenizer.encode(&text, ControlText::Plain);
    let back = tokenizer.decode(&ids, ControlTokens::Written).unwrap();
    assert!(back == text.as_bytes());
}

/// A tokenizer file with every byte as a token, more tokens, and merges.
fn tokenizer_file(more: &[String], merges: &[String], types: &[i32]) -> Vec<u8> {
    let bytes = (0..=255u8).map(byte_character);
    let tokens: Vec<String> = bytes.chain(more.iter().cloned()).collect();
    let mut file = engine::gguf::GgufWriter::new();
    file.string("tokenizer.ggml.model", "gpt2");
    file.string("tokenizer.ggml.pre", "qwen2");
    file.strings("tokenizer.ggml.tokens", tokens.iter().map(String::as_str));
    file.strings("tokenizer.ggml.merges", merges.iter().map(String::as_str));
    if !types.is_empty() {
        let types: Vec<i32> = (0..tokens.len())
            .map(|at| if at < 256 { 1 } else { types[at % types.len()] })
            .collect();
        file.i32s("tokenizer.ggml.token_type", &types);
    }
    file.finish()
}

/// The character that GPT-2's alphabet has for a byte.
fn byte_character(byte: u8) -> String {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let before = (0..byte).filter(|other| !printable(*other)).count() as u32;
    let code = if printable(byte) {
        u32::from(byte)
    } else {
        256 + before
    };
    char::from_u32(code).unwrap().to_string()
}

#[test]
fn merges_that_go_round_in_circles_still_end() {
    let texts = |list: &[&str]| {
        list.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let more = texts(&["", "ab", "ba", "aba", "bab", "abab"]);
    let merges = texts(&[
        "a b", "b a", "ab a", "a ba", "ba b", "b ab", "ab ab", " a", "a ", "a b",
    ]);
    let file = tokenizer_file(&more, &merges, &[]);
    let tokenizer = Tokenizer::read(&Gguf::parse(&file).unwrap()).unwrap();
    for text in ["ab", "abababa", "bbaabb", &"ab".repeat(5000)] {
        let ids = tokenizer.encode(text, ControlText::Recognised);
        assert!(ids.len() <= text.len(), "{} ids", ids.len());
        let back = tokenizer.decode(&ids, ControlTokens::Written).unwrap();
        assert!(back == text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever stands in the lists: a typed error, or a tokenizer that gives texts back.
    #[test]
    fn any_vocabulary_is_refused_or_keeps_texts(
        more in prop::collection::vec("[ab]{0,4}|[<|>x]{1,3}", 0..12),
        merges in prop::collection::vec("[ab]{0,3} [ab]{0,3}|[ab ]{0,4}", 0..12),
        types in prop::collection::vec(-1i32..7, 0..4),
        text in "[ab<|>x ]{0,24}",
    ) {
        let file = tokenizer_file(&more, &merges, &types);
        match Tokenizer::read(&Gguf::parse(&file).unwrap()) {
            Ok(tokenizer) => for control in [ControlText::Recognised, ControlText::Plain] {
                let ids = tokenizer.encode(&text, control);
                let back = tokenizer.decode(&ids, ControlTokens::Written).unwrap();
                prop_assert_eq!(back, text.as_bytes());
            },
            Err(error) => {
                let bad = matches!(&error, EngineError::Gguf { fault: GgufFault::BadTokenizer, .. });
                prop_assert!(bad, "{}", error);
            }
        }
    }
}

static TOKENIZERS: LazyLock<[Tokenizer; 2]> = LazyLock::new(|| {
    ["models/qwen3-yarn-a.q4_0.gguf", "models/llama-a.q8_0.gguf"]
        .map(|model| tokenizer(&data().join(model)))
});

proptest! {
    #[test]
    fn every_text_comes_back_byte_for_byte(text in "\\PC{0,40}|[ \\t\\r\\n'a-z0-9é̂世]{0,40}") {
        for tokenizer in TOKENIZERS.iter() {
            for control in [ControlText::Recognised, ControlText::Plain] {
                let ids = tokenizer.encode(&text, control);
                let back = tokenizer.decode(&ids, ControlTokens::Written).unwrap();
                prop_assert_eq!(back, text.as_bytes());
            }
        }
    }
}
