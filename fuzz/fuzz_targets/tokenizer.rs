//! A tokenizer's file of any kind: read, and a text encoded and decoded with it.
//!
//! Input: the file; its length says which tokenizer_config.json lies beside it.
#![no_main]

use std::sync::LazyLock;

use serde_json::{Value, json};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_fuzz::fuzz_target;

static CONFIGS: LazyLock<[Value; 5]> = LazyLock::new(|| {
    [
        json!({"tokenizer_class": "ChatGLM4Tokenizer"}),
        json!({"tokenizer_class": "QWenTokenizer"}),
        json!({"tokenizer_class": "ChatGLMTokenizer"}),
        json!({"tokenizer_class": "LlamaTokenizer", "legacy": false, "add_prefix_space": false}),
        json!({"added_tokens_decoder": {"3": {"content": "<|x|>", "special": true}, "4294967295": {"content": "y"}}}),
    ]
});

const TEXT: &str = "The sea  is blue.\n\n<|user|> 深圳 e\u{301} it's 12345\u{0}";

/// A character that no file has, since what stands for those may be marked as a control token.
const UNKNOWN: &str = "\u{10fffd}";

fuzz_target!(|file: &[u8]| {
    let config = CONFIGS.get(file.len() % (CONFIGS.len() + 1));
    let tokenizer = match ChatTokenizer::from_file(file, config) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let unknown = tokenizer.encode_text(UNKNOWN).unwrap_or_default();
    for text in [TEXT, "", " ", &String::from_utf8_lossy(&file[..file.len().min(64)])] {
        let Ok(ids) = tokenizer.encode_text(text) else { continue };
        let is_fine = |id: &u32| !tokenizer.is_control(*id) || unknown.contains(id);
        assert!(ids.iter().all(is_fine), "{text:?}: {ids:?}");
        let _text = tokenizer.decode(&ids);
    }
    for id in [0, 1, u32::MAX] {
        let _text = (tokenizer.id_to_token(id), tokenizer.token_bytes(id));
    }
});
