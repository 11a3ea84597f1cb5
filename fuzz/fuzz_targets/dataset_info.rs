//! A `dataset_info.json`, and records read as it says.
//!
//! Input: the file's text, a zero byte, a record; or, where no brace comes first, draws.
#![no_main]

use serde_json::{Value, json};
use toolsmith_chat::data::dataset_info;
use toolsmith_fuzz::arbitrary::{Result, Unstructured};
use toolsmith_fuzz::{draw, fuzz_target};

fn described(input: &[u8]) -> Result<(String, Value)> {
    if input.starts_with(b"{") {
        let mut parts = input.splitn(2, |byte| *byte == 0);
        let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let record = serde_json::from_slice(parts.next().unwrap_or_default()).unwrap_or_default();
        return Ok((text, record));
    }
    let mut u = Unstructured::new(input);
    let formatting: &str = u.choose(&["alpaca", "sharegpt", "openai"])?;
    let mut names = || -> Result<Value> {
        const KEYS: [&str; 18] = [
            "prompt",
            "query",
            "response",
            "history",
            "messages",
            "system",
            "tools",
            "images",
            "chosen",
            "rejected",
            "kto_tag",
            "role_tag",
            "content_tag",
            "user_tag",
            "assistant_tag",
            "observation_tag",
            "function_tag",
            "system_tag",
        ];
        const VALUES: [&str; 12] = [
            "instruction",
            "input",
            "output",
            "history",
            "messages",
            "conversations",
            "from",
            "value",
            "user",
            "gpt",
            "tool",
            "",
        ];
        let count = u.int_in_range(0..=6)?;
        let pairs = (0..count).map(|_| Ok((u.choose(&KEYS)?.to_string(), Value::from(*u.choose(&VALUES)?))));
        Ok(Value::Object(pairs.collect::<Result<_>>()?))
    };
    let (columns, tags) = (names()?, names()?);
    let info = json!({"d": {"file_name": "f", "formatting": formatting, "ranking": u.arbitrary::<bool>()?,
        "columns": columns, "tags": tags}});
    let record = draw::record(u.take_rest()).unwrap_or_default();
    Ok((info.to_string(), record))
}

fuzz_target!(|input: &[u8]| {
    let Ok((text, record)) = described(input) else { return };
    match dataset_info::parse(&text, "d") {
        Ok(dataset) => drop(dataset.read(record)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
