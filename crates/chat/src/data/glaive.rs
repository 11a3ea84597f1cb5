//! The `glaive-v2` format: a whole conversation in one text, as in Glaive's function-calling data, version 2.
//!
//! ```json
//! {"system": "SYSTEM: … access to the following functions. Use them if required -\n{…}\n{…}",
//!  "chat": "USER: …\n\n\nASSISTANT: <functioncall> {\"name\": …, \"arguments\": '{…}'} <|endoftext|>\n\n\nFUNCTION RESPONSE: {…}\n\n\nASSISTANT: … <|endoftext|>"}
//! ```
//!
//! The functions in the system text become tools, wrapped as a server shows them; the sentence that announces them goes,
//! because templates have their own. `arguments` between single quotes is no JSON; it is read all the same.

use super::shape::Place;
use super::sharegpt::wrap;
use super::{Conversation, DataError, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json, JsonMap};

const MARKS: [(&str, Role); 3] =
    [("USER:", Role::User), ("ASSISTANT:", Role::Assistant), ("FUNCTION RESPONSE:", Role::Tool)];
const CALL: &str = "<functioncall>";
const END: &str = "<|endoftext|>";

/// Whether a record is of this format.
pub(super) fn is_marked(record: &Json) -> bool {
    let text = |key: &str| record.get(key).and_then(Json::as_str);
    text("system").is_some() && text("chat").is_some_and(|chat| mark_at(chat.trim_start()).is_some())
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let place = root.key("system");
    let system = place.optional_text(record.remove("system"))?.unwrap_or_default();
    let (system, tools) = read_system(&place, &system)?;
    let place = root.key("chat");
    let chat = place.text(record.remove("chat"), "the conversation, a string that begins with \"USER:\"")?;
    let mut messages: Vec<Message> = system.map(Message::system).into_iter().collect();
    for (role, text) in segments(&place, &chat)? {
        messages.push(match role {
            Role::Assistant => read_answer(&place, text)?,
            role => Message::new(role, text.trim()),
        });
    }
    Ok(Conversation { tools, messages })
}

/// The system text that is left, and the functions in it.
fn read_system(place: &Place<'_>, text: &str) -> Result<(Option<String>, Option<Vec<ToolSpec>>), DataError> {
    let text = text.trim();
    let text = text.strip_prefix("SYSTEM:").unwrap_or(text).trim();
    let start = if text.starts_with('{') { Some(0) } else { text.find("\n{").map(|at| at + 1) };
    let Some(start) = start else {
        return Ok(((!text.is_empty()).then(|| text.to_owned()), None));
    };
    let (before, functions) = text.split_at(start);
    let mut tools = Vec::new();
    for function in serde_json::Deserializer::from_str(functions).into_iter::<Json>() {
        let function = function.map_err(|error| place.not_json(error, functions))?;
        tools.push(wrap(ToolSpec::new(place.object(function).map(Json::Object)?)));
    }
    let before = before.trim();
    let announces = before.contains("access to the following function");
    Ok(((!announces && !before.is_empty()).then(|| before.to_owned()), Some(tools)))
}

/// The mark that a line begins with: its length, and who speaks behind it.
fn mark_at(text: &str) -> Option<(usize, Role)> {
    MARKS.iter().find(|(mark, _)| text.starts_with(mark)).map(|(mark, role)| (mark.len(), *role))
}

/// The text behind each mark that stands at the beginning of a line.
fn segments<'a>(place: &Place<'_>, chat: &'a str) -> Result<Vec<(Role, &'a str)>, DataError> {
    let mut found: Vec<(usize, usize, Role)> = Vec::new();
    let mut start = 0;
    for line in chat.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if let Some((length, role)) = mark_at(line.trim_start()) {
            found.push((start, start + indent + length, role));
        }
        start += line.len();
    }
    let before = found.first().map_or(chat, |(start, ..)| &chat[..*start]);
    if found.is_empty() || !before.trim().is_empty() {
        return Err(place.wrong_type(
            &Json::String(before.trim().to_owned()),
            "a text that begins with \"USER:\" or \"ASSISTANT:\"",
        ));
    }
    let ends = found.iter().skip(1).map(|(start, ..)| *start).chain([chat.len()]);
    Ok(found.iter().zip(ends).map(|((_, start, role), end)| (*role, &chat[*start..end])).collect())
}

fn read_answer(place: &Place<'_>, text: &str) -> Result<Message, DataError> {
    let text = text.trim();
    let text = text.strip_suffix(END).unwrap_or(text);
    let mut parts = text.split(CALL);
    let content = parts.next().unwrap_or_default().trim();
    let tool_calls = parts.map(|part| read_call(place, part)).collect::<Result<Vec<_>, _>>()?;
    if tool_calls.is_empty() {
        return Ok(Message::assistant(content));
    }
    let content = (!content.is_empty()).then(|| content.to_owned());
    Ok(Message { content, ..Message::calls(tool_calls) })
}

fn read_call(place: &Place<'_>, text: &str) -> Result<ToolCall, DataError> {
    let text = text.trim();
    let text = text.strip_suffix(END).unwrap_or(text).trim();
    let strict = json::parse(text);
    let read = match strict {
        Ok(Json::Object(call)) => Some(call),
        _ => quoted_call(text).or_else(|| match json::parse_literal(text) {
            Ok(Json::Object(call)) => Some(call),
            _ => None,
        }),
    };
    let Some(mut call) = read else {
        let reason = json::parse(text).err().map_or("not an object".to_owned(), |error| error.to_string());
        return Err(place.not_json(reason, text));
    };
    let name = place.key("name").text(call.remove("name"), "the function's name")?;
    let arguments = match call.remove("arguments") {
        None | Some(Json::Null) => Json::Object(JsonMap::new()),
        Some(Json::String(text)) => json::parse(&text)
            .or_else(|error| json::parse_literal(&text).map_err(|_| place.not_json(error, &text)))?,
        Some(arguments) => arguments,
    };
    Ok(ToolCall::new(name, arguments))
}

/// `{"name": "f", "arguments": '{…}'}`: the text between the single quotes is JSON, apostrophes and all.
fn quoted_call(text: &str) -> Option<JsonMap> {
    const KEY: &str = "\"arguments\"";
    let (head, rest) = text.split_once(KEY)?;
    let quoted = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('\'')?;
    let inner = quoted.trim_end().strip_suffix('}')?.trim_end().strip_suffix('\'')?;
    let arguments = json::parse(inner).or_else(|_| json::parse(&inner.replace("\\'", "'"))).ok()?;
    let head = head.trim_end().strip_suffix(',')?;
    let Json::Object(mut call) = json::parse(&format!("{head}}}")).ok()? else { return None };
    call.insert("arguments".to_owned(), arguments);
    Some(call)
}
