//! The `sharegpt` format, as LLaMA-Factory reads it.
//!
//! ```json
//! {"system": …, "tools": "[{\"name\": …, \"description\": …, \"parameters\": {…}}]",
//!  "conversations": [{"from": "human", "value": …},
//!                    {"from": "function_call", "value": "{\"name\": …, \"arguments\": {…}}"},
//!                    {"from": "observation", "value": …},
//!                    {"from": "gpt", "value": …}]}
//! ```
//!
//! `function_call` holds one call, a list of calls, or text with `<tool_call>{…}</tool_call>` in it. The format writes
//! bare function objects as tools; they are wrapped in `{"type": "function", "function": …}` here, because that is what
//! a model is shown when it is served.

use super::shape::Place;
use super::{Conversation, DataError, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json, JsonMap};

/// What `from` says; a call is an assistant's message.
const ROLES: [(&str, Role); 13] = [
    ("system", Role::System),
    ("human", Role::User),
    ("user", Role::User),
    ("gpt", Role::Assistant),
    ("assistant", Role::Assistant),
    ("chatgpt", Role::Assistant),
    ("model", Role::Assistant),
    ("function_call", Role::Assistant),
    ("tool_call", Role::Assistant),
    ("observation", Role::Tool),
    ("function_response", Role::Tool),
    ("tool_response", Role::Tool),
    ("tool", Role::Tool),
];

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let tools = root.key("tools").tools(record.remove("tools"))?;
    let tools = tools.map(|tools| tools.into_iter().map(wrap).collect());
    let system = root.key("system").optional_text(record.remove("system"))?;
    let place = root.key("conversations");
    let items = place.array(record.remove("conversations"), "a list of turns")?;
    let mut messages = Vec::with_capacity(items.len() + 1);
    messages.extend(system.filter(|system| !system.is_empty()).map(Message::system));
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        messages.push(read_turn(&place, place.object(item)?)?);
    }
    Ok(Conversation { tools, messages })
}

fn wrap(tool: ToolSpec) -> ToolSpec {
    let bare = tool.definition().get("name").is_some() && tool.definition().get("function").is_none();
    if !bare {
        return tool;
    }
    let mut wrapped = JsonMap::new();
    wrapped.insert("type".to_owned(), Json::String("function".to_owned()));
    wrapped.insert("function".to_owned(), tool.definition().clone());
    ToolSpec::new(Json::Object(wrapped))
}

fn read_turn(place: &Place<'_>, mut turn: JsonMap) -> Result<Message, DataError> {
    let from_place = place.key("from");
    let from = from_place.text(turn.remove("from"), "a role such as \"human\"")?;
    let role = from_place.role(&from, &ROLES)?;
    let train = place.train(&mut turn)?;
    let value_place = place.key("value");
    if matches!(from.as_str(), "function_call" | "tool_call") {
        let value = turn.remove("value").ok_or_else(|| value_place.missing("a call"))?;
        let (content, tool_calls) = read_calls(&value_place, value)?;
        return Ok(Message { content, tool_calls, train, ..Message::empty(role) });
    }
    let value = value_place.text(turn.remove("value"), "a string")?;
    Ok(Message { train, ..Message::new(role, value) })
}

type TextAndCalls = (Option<String>, Vec<ToolCall>);

fn read_calls(place: &Place<'_>, value: Json) -> Result<TextAndCalls, DataError> {
    let Json::String(text) = value else {
        return Ok((None, calls_of(place, value)?));
    };
    match json::parse(&text) {
        Ok(value) => Ok((None, calls_of(place, value)?)),
        Err(error) => {
            if let Ok(value) = json::parse_literal(&text) {
                return Ok((None, calls_of(place, value)?));
            }
            if text.contains("<tool_call>") {
                return read_marked(place, &text);
            }
            Err(place.not_json(error, &text))
        }
    }
}

/// Text with calls between `<tool_call>` and `</tool_call>`.
fn read_marked(place: &Place<'_>, text: &str) -> Result<TextAndCalls, DataError> {
    const OPEN: &str = "<tool_call>";
    const CLOSE: &str = "</tool_call>";
    let (content, mut rest) = text.split_once(OPEN).unwrap_or((text, ""));
    let mut calls = Vec::new();
    loop {
        let body = rest.trim_start();
        let mut values = serde_json::Deserializer::from_str(body).into_iter::<Json>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(place.not_json(error, body)),
            None => return Err(place.not_json("a call was expected after <tool_call>", body)),
        };
        calls.extend(calls_of(place, value)?);
        let after = body[values.byte_offset()..].trim_start();
        let after = after.strip_prefix(CLOSE).unwrap_or(after).trim_start();
        match after.strip_prefix(OPEN) {
            Some(next) => rest = next,
            None if after.is_empty() => break,
            None => return Err(place.not_json("text after the last call", after)),
        }
    }
    Ok(((!content.is_empty()).then(|| content.to_owned()), calls))
}

fn calls_of(place: &Place<'_>, value: Json) -> Result<Vec<ToolCall>, DataError> {
    match value {
        Json::Array(items) => {
            items.into_iter().enumerate().map(|(index, item)| call_of(&place.item(index), item)).collect()
        }
        other => Ok(vec![call_of(place, other)?]),
    }
}

fn call_of(place: &Place<'_>, value: Json) -> Result<ToolCall, DataError> {
    let mut call = match value {
        Json::Object(call) => call,
        other => return Err(place.wrong_type(&other, "{\"name\": …, \"arguments\": {…}}")),
    };
    let name = place.key("name").text(call.remove("name"), "the tool's name")?;
    let place = place.key("arguments");
    let arguments = match call.remove("arguments") {
        None => return Err(place.missing("the arguments as an object; write {} for none")),
        Some(Json::String(text)) => json::parse(&text)
            .or_else(|error| json::parse_literal(&text).map_err(|_| place.not_json(error, &text)))?,
        Some(arguments) => arguments,
    };
    Ok(ToolCall::new(name, arguments))
}
