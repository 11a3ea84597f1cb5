//! The folder of real tokenizers, data and goldens that lies beside the checkout, in `../shared/data`, or where
//! `TOOLSMITH_SHARED_DATA` says. It is no part of the project: tests that need it are ignored unless asked for.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toolsmith_chat::tokens::ChatTokenizer;

/// `name` in the folder.
pub(crate) fn path(name: &str) -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("TOOLSMITH_SHARED_DATA").map_or_else(beside, PathBuf::from);
    assert!(
        folder.is_dir(),
        "{} is not there: this test needs the data folder beside the checkout, or TOOLSMITH_SHARED_DATA to name it",
        folder.display()
    );
    folder.join(name)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let path = path(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(name)).unwrap()
}

/// The values of a file of JSON lines.
pub(crate) fn lines(name: &str) -> Vec<Value> {
    let text = String::from_utf8(bytes(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn tokenizer(name: &str) -> ChatTokenizer {
    ChatTokenizer::from_bytes(&bytes(&format!("tokenizers/{name}/tokenizer.json"))).unwrap()
}

/// Whether any text of the conversation holds the name of an added token: there, ids differ on purpose.
pub(crate) fn holds_control_text(value: &Value, tokenizer: &ChatTokenizer) -> bool {
    let named = |text: &str| tokenizer.added_tokens().any(|name| text.contains(name));
    match value {
        Value::String(text) => named(text),
        Value::Array(items) => items.iter().any(|item| holds_control_text(item, tokenizer)),
        Value::Object(map) => map.iter().any(|(key, item)| named(key) || holds_control_text(item, tokenizer)),
        _ => false,
    }
}
