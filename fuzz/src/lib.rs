//! What the fuzz targets share: values drawn from fuzzer bytes, a small tokenizer, and a bound on memory.
//!
//! In: the bytes that libFuzzer makes up. Out: texts, JSON, records and conversations of the kind that the crates read,
//! hostile ones more often than chance would have it.

mod bound;
pub mod draw;
pub mod folder;
pub mod words;

use std::sync::LazyLock;

use serde_json::{Value, json};
use toolsmith_chat::tokens::ChatTokenizer;

pub use libfuzzer_sys::{arbitrary, fuzz_target};

/// The small tokenizer of the goldens, with the tokens of ChatGLM3's file that it lacks.
pub static TOKENIZER: LazyLock<ChatTokenizer> = LazyLock::new(|| {
    let file = include_bytes!("../../crates/chat/tests/golden/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(file).expect("the golden tokenizer is JSON");
    let added = tokenizer["added_tokens"].as_array_mut().expect("it has added tokens");
    let next = added.iter().filter_map(|token| token["id"].as_u64()).max().unwrap_or(0) + 1;
    if !added.iter().any(|token| token["content"] == "<unk>") {
        let mut token = added[0].clone();
        token["id"] = json!(next);
        token["content"] = json!("<unk>");
        added.push(token);
    }
    ChatTokenizer::from_json(tokenizer).expect("the golden tokenizer reads")
});

/// A text cut at places that follow from `seed`, never inside a character.
pub fn portions(text: &str, seed: u8) -> Vec<&str> {
    let mut state = u32::from(seed) | 0x100;
    let mut rest = text;
    let mut portions = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = rest.ceil_char_boundary((state >> 24) as usize % 24);
        let (portion, after) = rest.split_at(at);
        portions.push(portion);
        rest = after;
    }
    portions
}
