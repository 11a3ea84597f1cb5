//! Messages in parts, as LLaMA-Factory 1.0 writes them.
//!
//! ```json
//! {"role": "assistant", "content": [{"type": "reasoning", "value": …},
//!                                   {"type": "text", "value": …},
//!                                   {"type": "tool_call", "value": "{\"name\": …, \"arguments\": {…}}"}]}
//! ```
//!
//! In: a message of the `openai` format. Out: the same message with text, thoughts and calls where that format has them.
//! OpenAI's own parts hold their text under the name of their type, not under `value`: those are left as they are.

use super::DataError;
use super::shape::Place;
use crate::json::{self, Json, JsonMap};

/// Spreads the parts of a message over `content`, `reasoning_content` and `tool_calls`.
pub(super) fn spread(outer: &Place<'_>, message: &mut JsonMap) -> Result<(), DataError> {
    let valued = |part: &Json| part.get("value").is_some() && part.get("text").is_none();
    let Some(Json::Array(parts)) = message.get_mut("content").filter(|content| {
        content.as_array().is_some_and(|parts| !parts.is_empty() && parts.iter().all(valued))
    }) else {
        return Ok(());
    };
    let parts = std::mem::take(parts);
    let place = outer.key("content");
    let (mut text, mut reasoning, mut calls) = (None, None, Vec::new());
    for (index, part) in parts.into_iter().enumerate() {
        let place = place.item(index);
        let mut part = place.object(part)?;
        let kind = place.key("type").text(part.remove("type"), "\"text\", \"reasoning\" or \"tool_call\"")?;
        let place = place.key("value");
        let value = part.remove("value");
        match kind.as_str() {
            "text" => text.get_or_insert_with(String::new).push_str(&place.text(value, "a string")?),
            "reasoning" => {
                reasoning.get_or_insert_with(String::new).push_str(&place.text(value, "a string")?);
            }
            "tool_call" => calls.push(match value {
                Some(Json::String(text)) => {
                    json::parse(&text).map_err(|error| place.not_json(error, &text))?
                }
                value => place.object(value.unwrap_or_default()).map(Json::Object)?,
            }),
            _ => return Err(DataError::NotText { place: place.to_string(), kind }),
        }
    }
    let mut put = |key: &str, value: Json| match message.get(key) {
        None | Some(Json::Null) => {
            message.insert(key.to_owned(), value);
            Ok(())
        }
        Some(found) => {
            Err(outer.key(key).wrong_type(found, "nothing, since the content's parts hold the same"))
        }
    };
    if let Some(reasoning) = reasoning {
        put("reasoning_content", Json::String(reasoning))?;
    }
    if !calls.is_empty() {
        put("tool_calls", Json::Array(calls))?;
    }
    message.insert("content".to_owned(), text.map_or(Json::Null, Json::String));
    Ok(())
}
