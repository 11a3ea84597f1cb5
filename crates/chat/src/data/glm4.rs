//! The `glm4` format.
//!
//! ```json
//! {"messages": [{"role": "system", "content": "", "tools": [{"type": "function", "function": {…}}]},
//!               {"role": "user", "content": …},
//!               {"role": "assistant", "content": "{\"name\": …, \"arguments\": {…}}"},
//!               {"role": "observation", "content": …}]}
//! ```
//!
//! An assistant's content may be a call in disguise: `{"name": …, "arguments": …}` as JSON or as a Python literal, or
//! `name⏎{…}` with a name that is offered; or the name stands in `metadata` and content holds the arguments. A text
//! and the calls right after it are one turn, so they become one message. `tool` is `observation`. `tool_calls` as in
//! `openai` are read too.

use super::shape::Place;
use super::{Conversation, DataError, Message, Role, ToolCall, ToolSpec, openai};
use crate::json::{self, Json, JsonMap};

const ROLES: [(&str, Role); 5] = [
    ("system", Role::System),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("observation", Role::Tool),
    ("tool", Role::Tool),
];

/// Whether a record with `messages` says itself that it is of this format.
pub(super) fn is_marked(record: &Json, messages: &[Json]) -> bool {
    record.get("tools").is_none_or(Json::is_null)
        && messages.iter().any(|message| {
            let observes = message.get("role").and_then(Json::as_str) == Some("observation");
            observes || message.get("tools").is_some() || message.get("metadata").is_some()
        })
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let mut tools = root.key("tools").tools(record.remove("tools"))?;
    let place = root.key("messages");
    let items = place.array(record.remove("messages"), "a list of messages")?;
    let mut raw = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        let mut item = place.object(item)?;
        let offered = place.key("tools").tools(item.remove("tools"))?;
        // A system message that only carries the tools says nothing itself.
        let says_nothing = match item.get("content") {
            None | Some(Json::Null) => true,
            Some(Json::String(text)) => text.is_empty(),
            Some(_) => false,
        };
        let only_tools = offered.is_some() && says_nothing;
        tools = match (tools, offered) {
            (Some(mut tools), Some(offered)) => {
                tools.extend(offered);
                Some(tools)
            }
            (tools, offered) => tools.or(offered),
        };
        if !only_tools {
            raw.push((index, item));
        }
    }
    let mut messages: Vec<Message> = Vec::with_capacity(raw.len());
    for (index, item) in raw {
        let message = read_message(&place.item(index), item, tools.as_deref())?;
        match messages.last_mut() {
            Some(last) if continues(last, &message) => last.tool_calls.extend(message.tool_calls),
            _ => messages.push(message),
        }
    }
    Ok(Conversation { tools, messages })
}

/// Whether a message's calls belong to the assistant's turn before it.
fn continues(last: &Message, message: &Message) -> bool {
    last.role == Role::Assistant
        && message.role == Role::Assistant
        && message.content.is_none()
        && message.reasoning.is_none()
        && last.train == message.train
        && !message.tool_calls.is_empty()
}

fn read_message(
    place: &Place<'_>,
    mut message: JsonMap,
    tools: Option<&[ToolSpec]>,
) -> Result<Message, DataError> {
    let role_place = place.key("role");
    let role = role_place.text(message.remove("role"), "a role such as \"user\"")?;
    let role = role_place.role(&role, &ROLES)?;
    let content = place.key("content").content(message.remove("content"))?;
    let metadata = place.key("metadata").optional_text(message.remove("metadata"))?;
    let reasoning = place.key("reasoning_content").optional_text(message.remove("reasoning_content"))?;
    let train = place.train(&mut message)?;
    let tool_calls = openai::read_calls(&place.key("tool_calls"), message.remove("tool_calls"))?;
    let read = Message { content, reasoning, tool_calls, train, ..Message::empty(role) };
    if role != Role::Assistant || !read.tool_calls.is_empty() {
        return Ok(read);
    }
    let call = match metadata.filter(|name| !name.trim().is_empty()) {
        Some(name) => Some(call_of_metadata(place, name, read.text(), tools)?),
        None => disguised_call(read.text(), tools),
    };
    Ok(match call {
        Some(call) => Message { content: None, tool_calls: vec![call], ..read },
        None => read,
    })
}

fn call_of_metadata(
    place: &Place<'_>,
    name: String,
    content: &str,
    tools: Option<&[ToolSpec]>,
) -> Result<ToolCall, DataError> {
    if let Some(key) = crate::template::glm4_raw_argument(&name, tools.unwrap_or_default()) {
        return Ok(raw_call(name, key, content));
    }
    match json::parse(content) {
        Ok(arguments) => Ok(ToolCall::new(name, arguments)),
        Err(error) => match json::parse_literal(content) {
            Ok(arguments @ Json::Object(_)) => Ok(ToolCall::new(name, arguments)),
            _ => Err(place.key("content").not_json(error, content)),
        },
    }
}

fn raw_call(name: String, key: &str, text: &str) -> ToolCall {
    let mut arguments = JsonMap::new();
    arguments.insert(key.to_owned(), Json::String(text.to_owned()));
    ToolCall::new(name, Json::Object(arguments))
}

/// The call that a text is, if it is one.
pub(super) fn disguised_call(text: &str, tools: Option<&[ToolSpec]>) -> Option<ToolCall> {
    let trimmed = text.trim();
    if trimmed.starts_with('{') {
        let value = json::parse(trimmed).ok().or_else(|| json::parse_literal(trimmed).ok())?;
        return call_object(value);
    }
    let mut turn = crate::template::Template::Glm4.parse(text, tools);
    let whole = turn.content.is_none() && turn.malformed.is_empty() && turn.tool_calls.len() == 1;
    whole.then(|| turn.tool_calls.remove(0))
}

/// The call that an object `{"name": …, "arguments": …}` with nothing else in it describes.
pub(super) fn call_object(value: Json) -> Option<ToolCall> {
    let Json::Object(mut object) = value else { return None };
    if object.len() != 2 {
        return None;
    }
    let Some(Json::String(name)) = object.remove("name") else { return None };
    let arguments = match object.remove("arguments")? {
        Json::String(text) => json::parse(&text).ok().or_else(|| json::parse_literal(&text).ok())?,
        arguments => arguments,
    };
    arguments.is_object().then(|| ToolCall::new(name, arguments))
}
