//! The `openai` format.
//!
//! ```json
//! {"tools": [{"type": "function", "function": {"name": …, "description": …, "parameters": {…}}}],
//!  "messages": [{"role": "user", "content": …},
//!               {"role": "assistant", "content": null, "tool_calls": [
//!                   {"id": "c1", "type": "function", "function": {"name": …, "arguments": "{…}"}}]},
//!               {"role": "tool", "tool_call_id": "c1", "content": …}]}
//! ```
//!
//! `arguments` is JSON text or an object; `content` a text, null, or a list of text parts (or LLaMA-Factory 1.0's parts);
//! `train` or `loss` decides whether a message is trained. Tools may be wrapped or bare and are kept as they are.
//! `developer` is `system`, and a top-level `system` is the first message.

use super::shape::Place;
use super::sharegpt::{self, Names};
use super::{Conversation, DataError, Message, Role, ToolCall, ToolSpec, valued_parts};
use crate::json::{self, Json, JsonMap};

const ROLES: [(&str, Role); 5] = [
    ("system", Role::System),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("tool", Role::Tool),
    ("developer", Role::System),
];

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let tools = root.key("tools").tools(record.remove("tools"))?;
    let system = root.key("system").content(record.remove("system"))?;
    let place = root.key("messages");
    let items = place.array(record.remove("messages"), "a list of messages")?;
    let mut messages = Vec::with_capacity(items.len() + 1);
    messages.extend(system.filter(|system| !system.is_empty()).map(Message::system));
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        messages.push(read_message(&place, place.object(item)?)?);
    }
    Ok(Conversation { tools, messages })
}

/// Reads a record whose keys and roles have other names.
pub(super) fn read_named(record: Json, names: &Names) -> Result<Conversation, DataError> {
    let mut record = Place::Record.object(record)?;
    let mut conversation = sharegpt::read_frame(&mut record, &Names { tools: None, ..names.clone() })?;
    if let Some(name) = names.tools.as_deref() {
        conversation.tools = Place::Record.key(name).tools(record.remove(name))?;
    }
    let place = Place::Record;
    let place = place.key(&names.messages);
    let items = place.array(record.remove(names.messages.as_ref()), "a list of messages")?;
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        let mut message = place.object(item)?;
        let role_place = place.key(&names.role);
        let role = role_place.text(message.remove(names.role.as_ref()), "a role such as \"user\"")?;
        let role = names.role_of(&role_place, &role)?;
        message.insert("role".to_owned(), Json::String(role.to_string()));
        if let Some(content) = message.remove(names.content.as_ref()) {
            message.insert("content".to_owned(), content);
        }
        conversation.messages.push(read_message(&place, message)?);
    }
    Ok(conversation)
}

/// One message.
pub(super) fn read_message(place: &Place<'_>, mut message: JsonMap) -> Result<Message, DataError> {
    let role_place = place.key("role");
    let role = role_place.text(message.remove("role"), "a role such as \"user\"")?;
    let role = role_place.role(&role, &ROLES)?;
    valued_parts::spread(place, &mut message)?;
    let tool_calls = read_calls(&place.key("tool_calls"), message.remove("tool_calls"))?;
    Ok(Message {
        role,
        content: place.key("content").content(message.remove("content"))?,
        reasoning: place.key("reasoning_content").optional_text(message.remove("reasoning_content"))?,
        tool_calls,
        tool_call_id: place.key("tool_call_id").optional_text(message.remove("tool_call_id"))?,
        name: place.key("name").optional_text(message.remove("name"))?,
        train: place.train(&mut message)?,
    })
}

/// The calls of a message; none where there is no list.
pub(super) fn read_calls(place: &Place<'_>, value: Option<Json>) -> Result<Vec<ToolCall>, DataError> {
    if matches!(value, None | Some(Json::Null)) {
        return Ok(Vec::new());
    }
    let items = place.array(value, "a list of calls")?;
    items.into_iter().enumerate().map(|(index, call)| read_call(&place.item(index), call)).collect()
}

fn read_call(place: &Place<'_>, call: Json) -> Result<ToolCall, DataError> {
    let mut call = place.object(call)?;
    let id = place.key("id").optional_text(call.remove("id"))?;
    let function_place = place.key("function");
    match call.remove("function") {
        Some(function) => {
            let function = function_place.object(function)?;
            read_named_call(&function_place, id, function)
        }
        None => read_named_call(place, id, call),
    }
}

fn read_named_call(place: &Place<'_>, id: Option<String>, mut call: JsonMap) -> Result<ToolCall, DataError> {
    let name = place.key("name").text(call.remove("name"), "the tool's name")?;
    let place = place.key("arguments");
    let arguments = match call.remove("arguments") {
        None => return Err(place.missing("the arguments, as an object or JSON text; write {} for none")),
        Some(Json::String(text)) => json::parse(&text).map_err(|error| place.not_json(error, &text))?,
        Some(arguments) => arguments,
    };
    Ok(ToolCall { id, name, arguments })
}

/// The record of a conversation, arguments as JSON text: what OpenAI's API takes, and [`read`] reads back.
pub fn to_record(conversation: &Conversation) -> Json {
    let mut record = JsonMap::new();
    if let Some(tools) = &conversation.tools {
        let tools = tools.iter().map(ToolSpec::definition).cloned().collect();
        record.insert("tools".to_owned(), Json::Array(tools));
    }
    let messages = conversation.messages.iter().map(message_record).collect();
    record.insert("messages".to_owned(), Json::Array(messages));
    Json::Object(record)
}

/// The record of one message.
pub(super) fn message_record(message: &Message) -> Json {
    let text = |text: &String| Json::String(text.clone());
    let mut record = JsonMap::new();
    record.insert("role".to_owned(), Json::String(message.role.to_string()));
    record.insert("content".to_owned(), message.content.as_ref().map_or(Json::Null, text));
    let optional = [
        ("reasoning_content", &message.reasoning),
        ("tool_call_id", &message.tool_call_id),
        ("name", &message.name),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            record.insert(key.to_owned(), text(value));
        }
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(call_record).collect();
        record.insert("tool_calls".to_owned(), Json::Array(calls));
    }
    if let Some(train) = message.train {
        record.insert("train".to_owned(), Json::Bool(train));
    }
    Json::Object(record)
}

fn call_record(call: &ToolCall) -> Json {
    let mut function = JsonMap::new();
    function.insert("name".to_owned(), Json::String(call.name.clone()));
    function.insert("arguments".to_owned(), Json::String(json::to_python(&call.arguments)));
    let mut record = JsonMap::new();
    if let Some(id) = &call.id {
        record.insert("id".to_owned(), Json::String(id.clone()));
    }
    record.insert("type".to_owned(), Json::String("function".to_owned()));
    record.insert("function".to_owned(), Json::Object(function));
    Json::Object(record)
}
