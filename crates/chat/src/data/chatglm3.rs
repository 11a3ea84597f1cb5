//! The `chatglm3` format, as ChatGLM3's own fine-tuning code reads it.
//!
//! ```json
//! {"tools": [{"name": …, "description": …, "parameters": {…}}],
//!  "conversations": [{"role": "user", "content": …},
//!                    {"role": "assistant", "content": …, "loss": false},
//!                    {"role": "tool", "name": …, "parameters": {…}, "observation": …},
//!                    {"role": "assistant", "content": …}]}
//! ```
//!
//! A `tool` entry is a call and its result at once; `observation` is any JSON, printed as text where it is none, and
//! without it the call has no result. `loss` decides over the call; a result is never trained. A text and the call
//! right after it are one turn, so they become one message. `tools` is any JSON, texts for people included, and kept
//! as it is.

use super::shape::Place;
use super::{Conversation, DataError, Message, Role, ToolCall};
use crate::json::{self, Json, JsonMap};

const ROLES: [(&str, Role); 5] = [
    ("system", Role::System),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("observation", Role::Tool),
    ("tool", Role::Assistant),
];

/// The metadata of an assistant's message that holds code for the code interpreter, not text.
const INTERPRETER: &str = "interpreter";

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let tools = root.key("tools").any_tools(record.remove("tools"))?;
    let place = root.key("conversations");
    let items = place.array(record.remove("conversations"), "a list of messages")?;
    let mut messages = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        read_entry(&place, place.object(item)?, &mut messages)?;
    }
    Ok(Conversation { tools, messages })
}

fn read_entry(place: &Place<'_>, mut entry: JsonMap, messages: &mut Vec<Message>) -> Result<(), DataError> {
    let role_place = place.key("role");
    let name = role_place.text(entry.remove("role"), "a role such as \"user\"")?;
    let role = role_place.role(&name, &ROLES)?;
    let train = place.train(&mut entry)?;
    if name == "tool" {
        let call = read_call(place, &mut entry)?;
        let name = call.name.clone();
        join_or_push(messages, Message { train, ..Message::calls(vec![call]) });
        if let Some(observation) = entry.remove("observation") {
            let text = match observation {
                Json::String(text) => text,
                other => json::to_python(&other),
            };
            messages.push(Message { name: Some(name), ..Message::tool_result(None, text) });
        }
        return Ok(());
    }
    let metadata = place.key("metadata").optional_text(entry.remove("metadata"))?;
    let content = place.key("content").content(entry.remove("content"))?;
    if role == Role::Assistant && metadata.as_deref().map(str::trim) == Some(INTERPRETER) {
        let mut arguments = JsonMap::new();
        arguments.insert("code".to_owned(), Json::String(content.unwrap_or_default()));
        let call = ToolCall::new(INTERPRETER, Json::Object(arguments));
        join_or_push(messages, Message { train, ..Message::calls(vec![call]) });
        return Ok(());
    }
    messages.push(Message { content, train, ..Message::empty(role) });
    Ok(())
}

fn read_call(place: &Place<'_>, entry: &mut JsonMap) -> Result<ToolCall, DataError> {
    let name = place.key("name").text(entry.remove("name"), "the tool's name")?;
    let place = place.key("parameters");
    match entry.remove("parameters") {
        None => Err(place.missing("the call's arguments as an object; write {} for none")),
        Some(Json::String(text)) => {
            let arguments = json::parse(&text).map_err(|error| place.not_json(error, &text))?;
            Ok(ToolCall::new(name, arguments))
        }
        Some(arguments) => Ok(ToolCall::new(name, arguments)),
    }
}

/// A text right before a call is what the same turn says first.
fn join_or_push(messages: &mut Vec<Message>, calls: Message) {
    match messages.last_mut() {
        Some(last)
            if last.role == Role::Assistant && last.tool_calls.is_empty() && last.train == calls.train =>
        {
            last.tool_calls = calls.tool_calls;
        }
        _ => messages.push(calls),
    }
}

/// The record of a conversation. Ids, thoughts and what else the format cannot say are left out; each result goes to the
/// first call before it that still waits for one.
pub fn to_record(conversation: &Conversation) -> Json {
    let mut record = JsonMap::new();
    if let Some(tools) = conversation.tools_json() {
        record.insert("tools".to_owned(), tools);
    }
    let mut entries: Vec<Json> = Vec::new();
    // Where the entries of calls stand that still lack their observation.
    let mut waiting = std::collections::VecDeque::new();
    for message in &conversation.messages {
        if message.role == Role::Tool
            && let Some(Json::Object(call)) = waiting.pop_front().and_then(|at: usize| entries.get_mut(at))
        {
            call.insert("observation".to_owned(), Json::String(message.text().to_owned()));
            continue;
        }
        if message.role != Role::Tool {
            waiting.clear();
        }
        if message.content.is_some() || message.tool_calls.is_empty() {
            entries.push(text_entry(message));
        }
        for call in &message.tool_calls {
            waiting.push_back(entries.len());
            entries.push(call_entry(call, message.train));
        }
    }
    record.insert("conversations".to_owned(), Json::Array(entries));
    Json::Object(record)
}

fn text_entry(message: &Message) -> Json {
    let role = if message.role == Role::Tool { "observation" } else { message.role.as_str() };
    let mut entry = JsonMap::new();
    entry.insert("role".to_owned(), Json::String(role.to_owned()));
    entry.insert("content".to_owned(), message.content.clone().map_or(Json::Null, Json::String));
    entry.extend(message.train.map(|train| ("loss".to_owned(), Json::Bool(train))));
    Json::Object(entry)
}

fn call_entry(call: &ToolCall, train: Option<bool>) -> Json {
    let mut entry = JsonMap::new();
    entry.insert("role".to_owned(), Json::String("tool".to_owned()));
    entry.insert("name".to_owned(), Json::String(call.name.clone()));
    entry.insert("parameters".to_owned(), call.arguments.clone());
    entry.extend(train.map(|train| ("loss".to_owned(), Json::Bool(train))));
    Json::Object(entry)
}
