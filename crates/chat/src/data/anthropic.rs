//! The `anthropic` format: content in blocks, as Anthropic's API takes it.
//!
//! ```json
//! {"system": …, "tools": [{"name": …, "description": …, "input_schema": {…}}],
//!  "messages": [{"role": "user", "content": …},
//!               {"role": "assistant", "content": [{"type": "thinking", "thinking": …},
//!                                                 {"type": "text", "text": …},
//!                                                 {"type": "tool_use", "id": …, "name": …, "input": {…}}]},
//!               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": …, "content": …}]}]}
//! ```
//!
//! A user's message that carries results becomes one message a result, in the order of the blocks. `input_schema`
//! becomes `parameters`, so that the model is shown what a server of the other API shows. That a result is an error
//! (`is_error`) is not kept; its text is. A text after a call has no place in a message here, and is an error.

use super::shape::Place;
use super::{Conversation, DataError, Message, Role, ToolCall, ToolSpec};
use crate::json::{Json, JsonMap};

const ROLES: [(&str, Role); 3] =
    [("user", Role::User), ("assistant", Role::Assistant), ("system", Role::System)];

/// Whether a record with `messages` says itself that it is of this format.
pub(super) fn is_marked(record: &Json, messages: &[Json]) -> bool {
    let own_tools = record.get("tools").and_then(Json::as_array);
    if own_tools.is_some_and(|tools| tools.iter().any(|tool| tool.get("input_schema").is_some())) {
        return true;
    }
    let mut only_two_roles = true;
    for message in messages {
        let blocks = message.get("content").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let kind = |block: &Json| {
            matches!(block.get("type").and_then(Json::as_str), Some("tool_use" | "tool_result" | "thinking"))
        };
        if blocks.iter().any(kind) {
            return true;
        }
        only_two_roles &= message.get("tool_calls").is_none()
            && matches!(message.get("role").and_then(Json::as_str), Some("user" | "assistant"));
    }
    // The API of this name alone has the system text beside the messages, where nothing says that it is another's.
    only_two_roles
        && record.get("tools").is_none_or(Json::is_null)
        && record.get("system").is_some_and(Json::is_array)
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let tools = root.key("tools").tools(record.remove("tools"))?;
    let tools = tools.map(|tools| tools.into_iter().map(with_parameters).collect());
    let system = root.key("system").content(record.remove("system"))?;
    let place = root.key("messages");
    let items = place.array(record.remove("messages"), "a list of messages")?;
    let mut messages = Vec::with_capacity(items.len() + 1);
    messages.extend(system.filter(|system| !system.is_empty()).map(Message::system));
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        read_message(&place, place.object(item)?, &mut messages)?;
    }
    Ok(Conversation { tools, messages })
}

/// The tool as the other formats define it; a tool without `input_schema` (one of the server's own) stays as it is.
fn with_parameters(tool: ToolSpec) -> ToolSpec {
    let Json::Object(definition) = tool.definition() else { return tool };
    let Some(schema) = definition.get("input_schema") else { return tool };
    let mut function = JsonMap::new();
    for (key, value) in definition {
        match key.as_str() {
            "type" | "input_schema" | "cache_control" => {}
            _ => {
                function.insert(key.clone(), value.clone());
            }
        }
    }
    function.insert("parameters".to_owned(), schema.clone());
    let mut wrapped = JsonMap::new();
    wrapped.insert("type".to_owned(), Json::String("function".to_owned()));
    wrapped.insert("function".to_owned(), Json::Object(function));
    ToolSpec::new(Json::Object(wrapped))
}

fn read_message(
    place: &Place<'_>,
    mut message: JsonMap,
    messages: &mut Vec<Message>,
) -> Result<(), DataError> {
    let role_place = place.key("role");
    let role = role_place.text(message.remove("role"), "a role such as \"user\"")?;
    let role = role_place.role(&role, &ROLES)?;
    let train = place.train(&mut message)?;
    let place = place.key("content");
    let blocks = match message.remove("content") {
        Some(Json::Array(blocks)) => blocks,
        text => {
            let content = place.content(text)?;
            messages.push(Message { content, train, ..Message::empty(role) });
            return Ok(());
        }
    };
    let mut said = Message { train, ..Message::empty(role) };
    let mut results = false;
    for (index, block) in blocks.into_iter().enumerate() {
        let place = place.item(index);
        let mut block = place.object(block)?;
        let kind =
            place.key("type").text(block.remove("type"), "\"text\", \"tool_use\" or \"tool_result\"")?;
        match (kind.as_str(), role) {
            ("text", _) => {
                let text = place.key("text").text(block.remove("text"), "a string")?;
                if !said.tool_calls.is_empty() {
                    return Err(DataError::TextAfterCall { place: place.to_string() });
                }
                said.content.get_or_insert_default().push_str(&text);
            }
            ("thinking", Role::Assistant) => {
                let thought = place.key("thinking").text(block.remove("thinking"), "a string")?;
                let reasoning = said.reasoning.get_or_insert_default();
                if !reasoning.is_empty() {
                    reasoning.push_str("\n\n");
                }
                reasoning.push_str(&thought);
            }
            ("tool_use", Role::Assistant) => said.tool_calls.push(read_call(&place, block)?),
            ("tool_result", Role::User) => {
                if said.content.is_some() {
                    messages.push(std::mem::replace(&mut said, Message { train, ..Message::empty(role) }));
                }
                messages.push(read_result(&place, block)?);
                results = true;
            }
            _ => return Err(DataError::NotText { place: place.to_string(), kind }),
        }
    }
    // A message of results alone says nothing itself.
    if !results || said.content.is_some() {
        messages.push(said);
    }
    Ok(())
}

fn read_call(place: &Place<'_>, mut block: JsonMap) -> Result<ToolCall, DataError> {
    let id = place.key("id").optional_text(block.remove("id"))?;
    let name = place.key("name").text(block.remove("name"), "the tool's name")?;
    let place = place.key("input");
    match block.remove("input") {
        None => Err(place.missing("the arguments as an object; write {} for none")),
        Some(Json::String(text)) => {
            let arguments = crate::json::parse(&text).map_err(|error| place.not_json(error, &text))?;
            Ok(ToolCall { id, name, arguments })
        }
        Some(arguments) => Ok(ToolCall { id, name, arguments }),
    }
}

fn read_result(place: &Place<'_>, mut block: JsonMap) -> Result<Message, DataError> {
    let id = place.key("tool_use_id").optional_text(block.remove("tool_use_id"))?;
    let content = place.key("content").content(block.remove("content"))?;
    Ok(Message::tool_result(id, content.unwrap_or_default()))
}
