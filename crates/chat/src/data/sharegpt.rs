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

use std::borrow::Cow;

use super::shape::Place;
use super::{Conversation, DataError, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json, JsonMap};

/// What the keys and speakers of a record are called; LLaMA-Factory's `dataset_info.json` may name them otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The list of turns.
    pub messages: Cow<'static, str>,
    /// The system text, beside the turns; `None` where the record has none that counts.
    pub system: Option<Cow<'static, str>>,
    /// The tools; `None` where the record has none that count.
    pub tools: Option<Cow<'static, str>>,
    /// In a turn: who speaks.
    pub role: Cow<'static, str>,
    /// In a turn: what is said.
    pub content: Cow<'static, str>,
    /// What `role` says, and whom it means.
    pub speakers: Cow<'static, [(Cow<'static, str>, Speaker)]>,
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The instructions.
    System,
    /// The human.
    User,
    /// The model, in words.
    Assistant,
    /// The model, calling tools.
    Call,
    /// A tool's result.
    Result,
}

impl Speaker {
    fn role(self) -> Role {
        match self {
            Self::System => Role::System,
            Self::User => Role::User,
            Self::Assistant | Self::Call => Role::Assistant,
            Self::Result => Role::Tool,
        }
    }
}

const SPEAKERS: [(Cow<'static, str>, Speaker); 13] = [
    (Cow::Borrowed("system"), Speaker::System),
    (Cow::Borrowed("human"), Speaker::User),
    (Cow::Borrowed("user"), Speaker::User),
    (Cow::Borrowed("gpt"), Speaker::Assistant),
    (Cow::Borrowed("assistant"), Speaker::Assistant),
    (Cow::Borrowed("chatgpt"), Speaker::Assistant),
    (Cow::Borrowed("model"), Speaker::Assistant),
    (Cow::Borrowed("function_call"), Speaker::Call),
    (Cow::Borrowed("tool_call"), Speaker::Call),
    (Cow::Borrowed("observation"), Speaker::Result),
    (Cow::Borrowed("function_response"), Speaker::Result),
    (Cow::Borrowed("tool_response"), Speaker::Result),
    (Cow::Borrowed("tool"), Speaker::Result),
];

impl Names {
    /// The names that records of this format usually have.
    pub const USUAL: Self = Self {
        messages: Cow::Borrowed("conversations"),
        system: Some(Cow::Borrowed("system")),
        tools: Some(Cow::Borrowed("tools")),
        role: Cow::Borrowed("from"),
        content: Cow::Borrowed("value"),
        speakers: Cow::Borrowed(&SPEAKERS),
    };

    pub(super) fn role_of(&self, place: &Place<'_>, name: &str) -> Result<Role, DataError> {
        self.speaker(place, name).map(Speaker::role)
    }

    fn speaker(&self, place: &Place<'_>, name: &str) -> Result<Speaker, DataError> {
        let found = self.speakers.iter().find(|(known, _)| known == name);
        found.map(|(_, speaker)| *speaker).ok_or_else(|| DataError::UnknownRole {
            place: place.to_string(),
            role: name.to_owned(),
            expected: self.speakers.iter().map(|(known, _)| known.as_ref()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    read_named(record, &Names::USUAL)
}

/// Reads a record whose keys and speakers have these names.
pub fn read_named(record: Json, names: &Names) -> Result<Conversation, DataError> {
    let mut record = Place::Record.object(record)?;
    let mut conversation = read_frame(&mut record, names)?;
    let place = Place::Record;
    let place = place.key(&names.messages);
    let items = place.array(record.remove(names.messages.as_ref()), "a list of turns")?;
    conversation.messages.reserve(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        conversation.messages.push(read_turn(&place, place.object(item)?, names)?);
    }
    Ok(conversation)
}

/// What stands around the turns: the tools, and the system text as the first message.
pub(super) fn read_frame(record: &mut JsonMap, names: &Names) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut take =
        |name: &Option<Cow<'static, str>>| name.as_ref().and_then(|name| record.remove(name.as_ref()));
    let (tools, system) = (take(&names.tools), take(&names.system));
    let tools = root.key(names.tools.as_deref().unwrap_or("tools")).tools(tools)?;
    let tools = tools.map(|tools| tools.into_iter().map(wrap).collect());
    let system = root.key(names.system.as_deref().unwrap_or("system")).optional_text(system)?;
    let messages = system.filter(|system| !system.is_empty()).map(Message::system).into_iter().collect();
    Ok(Conversation { tools, messages })
}

/// A bare function as a server shows it: inside `{"type": "function", "function": …}`.
pub(super) fn wrap(tool: ToolSpec) -> ToolSpec {
    let bare = tool.definition().get("name").is_some() && tool.definition().get("function").is_none();
    if !bare {
        return tool;
    }
    let mut wrapped = JsonMap::new();
    wrapped.insert("type".to_owned(), Json::String("function".to_owned()));
    wrapped.insert("function".to_owned(), tool.into_definition());
    ToolSpec::new(Json::Object(wrapped))
}

/// One turn.
pub(super) fn read_turn(place: &Place<'_>, mut turn: JsonMap, names: &Names) -> Result<Message, DataError> {
    let from_place = place.key(&names.role);
    let from = from_place.text(turn.remove(names.role.as_ref()), "a role such as \"human\"")?;
    let speaker = names.speaker(&from_place, &from)?;
    let role = speaker.role();
    let train = place.train(&mut turn)?;
    let value_place = place.key(&names.content);
    let value = turn.remove(names.content.as_ref());
    if speaker == Speaker::Call {
        let value = value.ok_or_else(|| value_place.missing("a call"))?;
        let (content, tool_calls) = read_calls(&value_place, value)?;
        return Ok(Message { content, tool_calls, train, ..Message::empty(role) });
    }
    let value = value_place.text(value, "a string")?;
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

pub(super) fn calls_of(place: &Place<'_>, value: Json) -> Result<Vec<ToolCall>, DataError> {
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
