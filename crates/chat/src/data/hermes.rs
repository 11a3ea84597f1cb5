//! The `hermes` format: `sharegpt` turns that hold tools, calls and results as marked text.
//!
//! ```json
//! {"conversations": [{"from": "system", "value": "You are a function calling AI model. … <tools>[{…}]</tools> …"},
//!                    {"from": "human", "value": …},
//!                    {"from": "gpt", "value": "<think>…</think><tool_call>\n{\"name\": …, \"arguments\": {…}}\n</tool_call>"},
//!                    {"from": "tool", "value": "<tool_response>\n…\n</tool_response>"},
//!                    {"from": "gpt", "value": …}]}
//! ```
//!
//! Tools come from the `<tools>` block (a list, or one after another), or from the record's own `tools`. The text that
//! explains the marks goes with them, because templates have their own; what else the system says stays. Thoughts stand
//! in `<think>` or `<scratch_pad>` at the beginning of an answer. Values are JSON or Python literals; nothing is
//! executed.

use super::shape::Place;
use super::sharegpt::{Names, calls_of, read_frame, wrap};
use super::{Conversation, DataError, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json, JsonMap};

const ROLES: [(&str, Role); 8] = [
    ("system", Role::System),
    ("human", Role::User),
    ("user", Role::User),
    ("gpt", Role::Assistant),
    ("assistant", Role::Assistant),
    ("model", Role::Assistant),
    ("tool", Role::Tool),
    ("observation", Role::Tool),
];
const TOOLS: (&str, &str) = ("<tools>", "</tools>");
const CALL: (&str, &str) = ("<tool_call>", "</tool_call>");
const RESULT: (&str, &str) = ("<tool_response>", "</tool_response>");
const THOUGHTS: [(&str, &str); 2] = [("<think>", "</think>"), ("<scratch_pad>", "</scratch_pad>")];

/// Where the text that explains the marks may begin, before the tools.
const OPENERS: [&str; 6] = [
    "# Tools\n",
    "You are a function calling AI model",
    "You are a function-calling AI model",
    "You are an AI assistant with access to",
    "You may call one or more functions",
    "You are provided with function signatures",
];

/// Whether a record with `conversations` says itself that it is of this format: its system turn holds tools.
pub(super) fn is_marked(turns: &[Json]) -> bool {
    turns.first().is_some_and(|turn| {
        turn.get("from").and_then(Json::as_str) == Some("system")
            && turn.get("value").and_then(Json::as_str).is_some_and(|text| tools_block(text).is_some())
    })
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let mut conversation = read_frame(&mut record, &Names::USUAL)?;
    let place = root.key("conversations");
    let items = place.array(record.remove("conversations"), "a list of turns")?;
    for (index, item) in items.into_iter().enumerate() {
        let place = place.item(index);
        read_turn(&place, place.object(item)?, &mut conversation)?;
    }
    Ok(conversation)
}

fn read_turn(place: &Place<'_>, mut turn: JsonMap, conversation: &mut Conversation) -> Result<(), DataError> {
    let from_place = place.key("from");
    let from = from_place.text(turn.remove("from"), "a role such as \"human\"")?;
    let role = from_place.role(&from, &ROLES)?;
    let train = place.train(&mut turn)?;
    let place = place.key("value");
    let value = place.text(turn.remove("value"), "a string")?;
    match role {
        Role::System => {
            let (text, tools) = read_system(&place, &value)?;
            // The block is what the model was shown, so it goes before the record's own list.
            conversation.tools = tools.or(conversation.tools.take());
            conversation.messages.extend(text.map(|text| Message { train, ..Message::system(text) }));
        }
        Role::User => conversation.messages.push(Message { train, ..Message::user(value) }),
        Role::Assistant => {
            conversation.messages.push(Message { train, ..read_answer(&place, &value)? });
        }
        Role::Tool => {
            let results = results(&value);
            let message =
                |text: &str| Message { name: name_of(text), train, ..Message::tool_result(None, text) };
            conversation.messages.extend(results.into_iter().map(message));
        }
    }
    Ok(())
}

/// What stands between two marks, and the text before and after them.
fn between<'a>(text: &'a str, marks: (&str, &str)) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(marks.0)?;
    let (inside, after) = rest.split_once(marks.1)?;
    Some((before, inside, after))
}

/// The block that holds tools; the explanation before it names its marks too, with nothing between them.
fn tools_block(text: &str) -> Option<(usize, &str, usize)> {
    let mut start = 0;
    while let Some((before, inside, after)) = between(&text[start..], TOOLS) {
        let end = text.len() - after.len();
        if inside.trim_start().starts_with(['[', '{']) {
            return Some((start + before.len(), inside, end));
        }
        start = end;
    }
    None
}

fn read_system(place: &Place<'_>, text: &str) -> Result<(Option<String>, Option<Vec<ToolSpec>>), DataError> {
    let Some((block, inside, end)) = tools_block(text) else {
        return Ok((Some(text.to_owned()), None));
    };
    let tools = tool_values(place, inside.trim())?;
    let head = OPENERS.iter().filter_map(|opener| text[..block].find(opener)).min().unwrap_or(block);
    // The explanation ends with the example of a call, where there is one.
    let tail = text[end..].rfind(CALL.1).map_or(end, |at| end + at + CALL.1.len());
    let kept = [text[..head].trim(), text[tail..].trim()];
    let kept: Vec<_> = kept.into_iter().filter(|part| !part.is_empty()).collect();
    Ok(((!kept.is_empty()).then(|| kept.join("\n\n")), Some(tools)))
}

/// A list of tools, or one after another.
fn tool_values(place: &Place<'_>, text: &str) -> Result<Vec<ToolSpec>, DataError> {
    let values: Result<Vec<Json>, _> = serde_json::Deserializer::from_str(text).into_iter::<Json>().collect();
    let values = match values {
        Ok(values) => values,
        Err(error) => {
            let literals = match json::parse_literal(text) {
                Ok(value) => Ok(vec![value]),
                Err(_) => {
                    text.lines().filter(|line| !line.trim().is_empty()).map(json::parse_literal).collect()
                }
            };
            literals.map_err(|_| place.not_json(error, text))?
        }
    };
    let mut tools = Vec::new();
    for value in values {
        match value {
            Json::Array(items) => tools.extend(items),
            other => tools.push(other),
        }
    }
    for tool in &tools {
        if !tool.is_object() {
            return Err(place.wrong_type(tool, "tool definitions as objects between <tools> and </tools>"));
        }
    }
    Ok(tools.into_iter().map(ToolSpec::new).map(wrap).collect())
}

fn read_answer(place: &Place<'_>, text: &str) -> Result<Message, DataError> {
    let mut rest = text;
    let mut thoughts: Vec<&str> = Vec::new();
    while let Some((thought, after)) = leading_thought(rest) {
        thoughts.push(thought.trim());
        rest = after;
    }
    let reasoning = (!thoughts.is_empty()).then(|| thoughts.join("\n\n"));
    let mut content = String::new();
    let mut tool_calls = Vec::new();
    if !rest.contains(CALL.0) {
        let content = if reasoning.is_some() { rest.trim_start() } else { rest };
        return Ok(Message { reasoning, ..Message::assistant(content) });
    }
    while let Some((before, after)) = rest.split_once(CALL.0) {
        content.push_str(before.trim());
        if !tool_calls.is_empty() && !before.trim().is_empty() {
            return Err(DataError::TextAfterCall { place: place.to_string() });
        }
        let (body, after) = after.split_once(CALL.1).unwrap_or((after, ""));
        tool_calls.extend(read_calls(place, body.trim())?);
        rest = after;
    }
    if !rest.trim().is_empty() {
        return Err(DataError::TextAfterCall { place: place.to_string() });
    }
    let content = (!content.is_empty()).then_some(content);
    Ok(Message { reasoning, content, ..Message::calls(tool_calls) })
}

fn leading_thought(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let marks = THOUGHTS.into_iter().find(|(open, _)| text.starts_with(open))?;
    let (_, thought, after) = between(text, marks)?;
    Some((thought, after))
}

fn read_calls(place: &Place<'_>, body: &str) -> Result<Vec<ToolCall>, DataError> {
    let value = json::parse(body)
        .or_else(|error| json::parse_literal(body).map_err(|_| place.not_json(error, body)))?;
    calls_of(place, value)
}

/// The results in a turn: each between its marks, or the whole text where something stands outside of them.
fn results(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, inside, after)) = between(rest, RESULT) {
        if !before.trim().is_empty() {
            return vec![text.trim()];
        }
        found.push(inside.trim());
        rest = after;
    }
    if found.is_empty() || !rest.trim().is_empty() { vec![text.trim()] } else { found }
}

/// The tool that a result `{"name": …, "content": …}` names.
fn name_of(result: &str) -> Option<String> {
    let value = json::parse(result).ok().or_else(|| json::parse_literal(result).ok())?;
    value.get("content")?;
    value.get("name").and_then(Json::as_str).map(str::to_owned)
}
