//! Records in the references' own formats.
//!
//! In: a record in any source format. Out: the same in the one that a reference reads. What is in its format already is
//! not touched, since references look at what readers ignore; anything else is read into a [`Conversation`] and written
//! anew. What a format cannot say is lost: thoughts everywhere, `train` flags except for ChatGLM3.

use super::{Compat, CompatError, chatglm3};
use crate::data::{self, Conversation, Message, Role, SourceFormat, ToolCall, ToolSpec};
use crate::json::{Json, JsonMap, to_python};

/// The record in the format that the reference reads.
pub(super) fn into_own(
    record: Json,
    format: Option<SourceFormat>,
    compat: Compat,
) -> Result<Json, CompatError> {
    // By name, so that the formats that only one reference has need no place here.
    let own = match (compat, format.map(SourceFormat::as_str)) {
        (Compat::Glm4Official | Compat::Glm4OfficialCombine, None) => is_glm4(&record),
        (Compat::Glm4Official | Compat::Glm4OfficialCombine, Some(name)) => name == "glm4",
        (Compat::ChatGlm3Of2023, None) => chatglm3::is_own(&record),
        (Compat::ChatGlm3Of2023, Some(name)) => matches!(name, "chatglm3" | "input-output"),
        (Compat::LlamaFactory, None) => {
            matches!(SourceFormat::recognise(&record), Some(SourceFormat::ShareGpt | SourceFormat::OpenAi))
        }
        (Compat::LlamaFactory, Some(name)) => matches!(name, "sharegpt" | "openai"),
    };
    if own {
        return Ok(record);
    }
    let conversation = match format {
        Some(format) => data::read_record(record, format)?,
        None => data::read_recognised(record)?.0,
    };
    match compat {
        Compat::Glm4Official | Compat::Glm4OfficialCombine => Ok(to_glm4(&conversation)),
        Compat::ChatGlm3Of2023 => Ok(to_chatglm3(&conversation)),
        Compat::LlamaFactory => Ok(to_sharegpt(&conversation)),
    }
}

/// Whether a record with messages holds nothing that only OpenAI's format has.
fn is_glm4(record: &Json) -> bool {
    let Some(messages) = record.get("messages").and_then(Json::as_array) else { return false };
    let foreign = |message: &Json| {
        let role = message.get("role").and_then(Json::as_str);
        matches!(role, Some("tool" | "developer"))
            || message.get("tool_calls").is_some_and(|calls| !calls.is_null())
            || message.get("content").is_some_and(Json::is_array)
    };
    record.get("tools").is_none_or(Json::is_null) && !messages.iter().any(foreign)
}

/// The conversation as a `glm4` record: tools in the first system message, one message a call.
pub fn to_glm4(conversation: &Conversation) -> Json {
    let mut messages = Vec::with_capacity(conversation.messages.len() + 1);
    let mut tools = conversation.tools.as_deref().map(|tools| definitions(tools, ToolSpec::definition));
    if tools.is_some() && conversation.messages.first().is_none_or(|first| first.role != Role::System) {
        messages.push(object([
            ("role", Some("system".into())),
            ("content", Some("".into())),
            ("tools", tools.take()),
        ]));
    }
    for message in &conversation.messages {
        let role = if message.role == Role::Tool { "observation" } else { message.role.as_str() };
        if message.tool_calls.is_empty() || !message.text().is_empty() {
            messages.push(object([
                ("role", Some(role.into())),
                ("content", Some(message.text().into())),
                ("tools", if message.role == Role::System { tools.take() } else { None }),
            ]));
        }
        for call in &message.tool_calls {
            messages.push(object([
                ("role", Some(role.into())),
                ("metadata", Some(call.name.as_str().into())),
                ("content", Some(to_python(&call.arguments).into())),
            ]));
        }
    }
    object([("messages", Some(Json::Array(messages)))])
}

/// The conversation as a `chatglm3` record: a call and its result are one message.
pub fn to_chatglm3(conversation: &Conversation) -> Json {
    let tools = conversation.tools.as_deref().map(|tools| definitions(tools, ToolSpec::function_object));
    let mut turns = Vec::with_capacity(conversation.messages.len());
    let mut rest = conversation.messages.as_slice();
    while let Some((message, after)) = rest.split_first() {
        rest = after;
        let loss = message.train.map(Json::Bool);
        if message.tool_calls.is_empty() || !message.text().is_empty() {
            let role = if message.role == Role::Tool { "observation" } else { message.role.as_str() };
            turns.push(object([
                ("role", Some(role.into())),
                ("content", Some(message.text().into())),
                ("loss", loss.clone()),
            ]));
        }
        let answers = after.iter().take_while(|message| message.role == Role::Tool).count();
        let (results, unused) = pair(&message.tool_calls, &after[..answers]);
        for (call, result) in message.tool_calls.iter().zip(results) {
            turns.push(object([
                ("role", Some("tool".into())),
                ("name", Some(call.name.as_str().into())),
                ("parameters", Some(call.arguments.clone())),
                ("observation", result.map(|result| result.text().into())),
                ("loss", loss.clone()),
            ]));
        }
        if !message.tool_calls.is_empty() {
            for orphan in unused {
                turns.push(object([
                    ("role", Some("observation".into())),
                    ("content", Some(orphan.text().into())),
                    ("loss", orphan.train.map(Json::Bool)),
                ]));
            }
            rest = &after[answers..];
        }
    }
    object([("tools", tools), ("conversations", Some(Json::Array(turns)))])
}

/// For each call the result that names it, else the next that names none; and the results that are left.
fn pair<'a>(calls: &[ToolCall], results: &'a [Message]) -> (Vec<Option<&'a Message>>, Vec<&'a Message>) {
    let mut left: Vec<&Message> = results.iter().collect();
    let mut take = |fits: &dyn Fn(&Message) -> bool| {
        let at = left.iter().position(|result| fits(result))?;
        Some(left.remove(at))
    };
    let mut paired: Vec<Option<&Message>> = calls
        .iter()
        .map(|call| call.id.as_ref().and_then(|id| take(&|result| result.tool_call_id.as_ref() == Some(id))))
        .collect();
    for result in paired.iter_mut().filter(|result| result.is_none()) {
        *result = take(&|result| result.tool_call_id.is_none());
    }
    (paired, left)
}

/// The conversation as LLaMA-Factory's `sharegpt` record: several calls are a list, results in a row one turn.
pub fn to_sharegpt(conversation: &Conversation) -> Json {
    let tools = conversation.tools.as_deref();
    let tools =
        tools.map_or_else(String::new, |tools| to_python(&definitions(tools, ToolSpec::function_object)));
    let mut turns: Vec<(&str, String)> = Vec::with_capacity(conversation.messages.len());
    let mut system = String::new();
    for (index, message) in conversation.messages.iter().enumerate() {
        match (message.role, turns.last_mut()) {
            (Role::System, _) if index == 0 => message.text().clone_into(&mut system),
            (Role::System, _) => turns.push(("system", message.text().to_owned())),
            (Role::User, _) => turns.push(("human", message.text().to_owned())),
            (Role::Tool, Some(("observation", results))) => {
                results.push('\n');
                results.push_str(message.text());
            }
            (Role::Tool, _) => turns.push(("observation", message.text().to_owned())),
            (Role::Assistant, _) if message.tool_calls.is_empty() => {
                turns.push(("gpt", message.text().to_owned()));
            }
            (Role::Assistant, _) => turns.push(("function_call", function_call(message))),
        }
    }
    let turn =
        |(from, value): (&str, String)| object([("from", Some(from.into())), ("value", Some(value.into()))]);
    object([
        ("conversations", Some(Json::Array(turns.into_iter().map(turn).collect()))),
        ("system", Some(system.into())),
        ("tools", Some(tools.into())),
    ])
}

fn function_call(message: &Message) -> String {
    let call = |call: &ToolCall| {
        object([("name", Some(call.name.as_str().into())), ("arguments", Some(call.arguments.clone()))])
    };
    let calls = match message.tool_calls.as_slice() {
        [only] => call(only),
        calls => Json::Array(calls.iter().map(call).collect()),
    };
    match message.text() {
        "" => to_python(&calls),
        text => format!("{text}<tool_call>{}</tool_call>", to_python(&calls)),
    }
}

fn definitions(tools: &[ToolSpec], part: impl Fn(&ToolSpec) -> &Json) -> Json {
    Json::Array(tools.iter().map(|tool| part(tool).clone()).collect())
}

fn object<const N: usize>(entries: [(&str, Option<Json>); N]) -> Json {
    let entries = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Json::Object(entries.collect::<JsonMap>())
}
