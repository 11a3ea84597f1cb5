//! Texts, JSON, records and conversations, drawn from the fuzzer's bytes.

use serde_json::{Map, Value, json};
use toolsmith_chat::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use toolsmith_chat::json;

use crate::arbitrary::{Result, Unstructured};
use crate::words::{KEYS, MARKS};

/// A text of marks, plain words and whatever else.
pub fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    for _ in 0..u.int_in_range(0..=5)? {
        match u.int_in_range(0..=2)? {
            0 => text.push_str(u.choose(&MARKS)?),
            1 => text.extend(u.bytes(3)?.iter().map(|byte| char::from(b' ' + byte % 95))),
            _ => text.push_str(u.arbitrary()?),
        }
    }
    Ok(text)
}

/// A key or value of a record.
fn word(u: &mut Unstructured<'_>) -> Result<String> {
    if u.ratio(7, 8)? { Ok(u.choose(&KEYS)?.clone()) } else { text(u) }
}

/// A number that JSON and Python spell alike.
fn number(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=2)? {
        0 => Value::from(u.arbitrary::<i64>()?),
        1 => Value::from(f64::from(u.arbitrary::<i32>()?) / 8.0),
        _ => json::parse("123456789012345678901234567890").unwrap_or_default(),
    })
}

/// Any JSON value, texts by `words`.
pub fn json(
    u: &mut Unstructured<'_>,
    depth: usize,
    words: fn(&mut Unstructured<'_>) -> Result<String>,
) -> Result<Value> {
    let kinds = if depth == 0 { 5 } else { 8 };
    Ok(match u.int_in_range(0..=kinds)? {
        0 => Value::Null,
        1 => Value::Bool(u.arbitrary()?),
        2 => number(u)?,
        3..=5 => Value::String(words(u)?),
        6 => {
            let count = u.int_in_range(0..=3)?;
            Value::Array((0..count).map(|_| json(u, depth - 1, words)).collect::<Result<_>>()?)
        }
        _ => Value::Object(object(u, depth - 1, words)?),
    })
}

fn object(
    u: &mut Unstructured<'_>,
    depth: usize,
    words: fn(&mut Unstructured<'_>) -> Result<String>,
) -> Result<Map<String, Value>> {
    let count = u.int_in_range(0..=4)?;
    (0..count).map(|_| Ok((words(u)?, json(u, depth, words)?))).collect()
}

/// A record: what the bytes say where they are JSON, else one drawn from the words of the source formats.
pub fn record(bytes: &[u8]) -> Option<Value> {
    if let [b'{' | b'[', ..] = bytes {
        return serde_json::from_slice(bytes).ok();
    }
    drawn_record(&mut Unstructured::new(bytes)).ok()
}

fn drawn_record(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut record = object(u, 3, word)?;
    match u.int_in_range(0..=6)? {
        0 => record.extend([("messages".to_owned(), entries(u)?)]),
        1 => record.extend([("conversations".to_owned(), entries(u)?)]),
        2 => record.extend([
            ("prompt".to_owned(), entries(u)?),
            ("chosen".to_owned(), json(u, 3, word)?),
            ("rejected".to_owned(), json(u, 3, word)?),
        ]),
        3 => record.extend([
            ("instruction".to_owned(), word(u)?.into()),
            ("output".to_owned(), json(u, 1, word)?),
            ("history".to_owned(), json(u, 3, word)?),
        ]),
        4 => record.extend([("system".to_owned(), word(u)?.into()), ("chat".to_owned(), chat(u)?.into())]),
        5 => record
            .extend([("NLDocumentation".to_owned(), "d".into()), ("Instances".to_owned(), instances(u)?)]),
        _ => {}
    }
    Ok(Value::Object(record))
}

/// A list of messages that most formats would take, were it not for an odd value here and there.
fn entries(u: &mut Unstructured<'_>) -> Result<Value> {
    const ROLES: [&str; 10] = [
        "user",
        "assistant",
        "tool",
        "system",
        "observation",
        "human",
        "gpt",
        "function_call",
        "function_response",
        "developer",
    ];
    let mut entries = Vec::new();
    for _ in 0..u.int_in_range(0..=5)? {
        let role: &str = u.choose(&ROLES)?;
        let (role_key, content_key) = if u.arbitrary()? { ("role", "content") } else { ("from", "value") };
        let content = match u.int_in_range(0..=3)? {
            0 => json(u, 3, word)?,
            1 => word(u)?.into(),
            _ => text(u)?.into(),
        };
        let mut entry = Map::new();
        entry.insert(role_key.to_owned(), role.into());
        entry.insert(content_key.to_owned(), content);
        if u.arbitrary()? {
            let call = json!({"id": word(u)?, "type": "function",
                "function": {"name": word(u)?, "arguments": json(u, 2, word)?}});
            entry.insert("tool_calls".to_owned(), json!([call]));
        }
        entry.extend(object(u, 2, word)?);
        entries.push(Value::Object(entry));
    }
    Ok(entries.into())
}

/// A text in which Glaive's speakers take turns.
fn chat(u: &mut Unstructured<'_>) -> Result<String> {
    const SPEAKERS: [&str; 5] =
        ["USER: ", "\n\n\nASSISTANT: ", "<functioncall> ", "\n\n\nFUNCTION RESPONSE: ", " <|endoftext|>"];
    let mut chat = String::new();
    for _ in 0..u.int_in_range(0..=8)? {
        chat.push_str(u.choose(&SPEAKERS)?);
        chat.push_str(&word(u)?);
    }
    Ok(chat)
}

/// ToolAlpaca's instances, or nearly.
fn instances(u: &mut Unstructured<'_>) -> Result<Value> {
    let step = json!([[word(u)?, word(u)?, text(u)?], json(u, 1, word)?]);
    let steps = if u.arbitrary()? { json!([step]) } else { json(u, 4, word)? };
    Ok(json!([{"input": "i", "intermediate_steps": steps, "Final Thought": "t", "output": word(u)?}]))
}

/// A name that reads as one without a list of tools.
fn name(u: &mut Unstructured<'_>) -> Result<String> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    const MORE: &[u8] = b"abcxyz019_.-";
    if u.ratio(1, 16)? {
        return Ok("查询_天气".to_owned());
    }
    let mut name = String::from(char::from(*u.choose(LETTERS)?));
    for _ in 0..u.int_in_range(0..=6)? {
        name.push(char::from(*u.choose(MORE)?));
    }
    name.push(char::from(*u.choose(LETTERS)?));
    Ok(name)
}

/// A call whose name reads as one and whose arguments are any object.
pub fn call(u: &mut Unstructured<'_>) -> Result<ToolCall> {
    Ok(ToolCall::new(name(u)?, Value::Object(object(u, 2, text)?)))
}

/// One to three calls.
pub fn calls(u: &mut Unstructured<'_>) -> Result<Vec<ToolCall>> {
    let count = u.int_in_range(1..=3)?;
    (0..count).map(|_| call(u)).collect()
}

/// Definitions of tools that take these calls.
pub fn tools_of(calls: &[ToolCall]) -> Vec<ToolSpec> {
    let tool = |call: &ToolCall| {
        let properties = call.arguments.as_object().into_iter().flatten().map(|(key, value)| {
            let kind = match value {
                // Hermes cannot say "null".
                Value::Null => return (key.clone(), json!({})),
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            (key.clone(), json!({"type": kind}))
        });
        let properties: Map<String, Value> = properties.collect();
        ToolSpec::function(call.name.clone(), "", json!({"type": "object", "properties": properties}))
    };
    calls.iter().map(tool).collect()
}

fn optional<T>(u: &mut Unstructured<'_>, draw: fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Option<T>> {
    if u.arbitrary()? { draw(u).map(Some) } else { Ok(None) }
}

/// A conversation in whatever order, with whatever in it.
pub fn conversation(u: &mut Unstructured<'_>) -> Result<Conversation> {
    const ROLES: [Role; 4] = [Role::User, Role::Assistant, Role::Tool, Role::System];
    let mut messages = Vec::new();
    for _ in 0..u.int_in_range(1..=6)? {
        let role = *u.choose(&ROLES)?;
        messages.push(Message {
            content: optional(u, text)?,
            reasoning: optional(u, text)?,
            tool_calls: if role == Role::Assistant && u.arbitrary()? { calls(u)? } else { Vec::new() },
            tool_call_id: optional(u, name)?,
            name: optional(u, name)?,
            train: u.arbitrary()?,
            ..Message::empty(role)
        });
    }
    let tools = match u.int_in_range(0..=3)? {
        0 => None,
        1 => {
            let calls: Vec<_> = messages.iter().flat_map(|message| message.tool_calls.clone()).collect();
            Some(tools_of(&calls))
        }
        2 => Some(vec![ToolSpec::new(json(u, 3, word)?)]),
        _ => Some(vec![ToolSpec::undivided(json(u, 2, word)?)]),
    };
    Ok(Conversation { tools, messages })
}
