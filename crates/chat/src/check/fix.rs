//! Mending what can be mended safely: where only one thing can have been meant.
//!
//! In: a record as it was read, or a conversation. Out: the same, mended, and which rules it was mended for. What is
//! left is for a person to decide.

use super::schema::{Schemas, Verdict};
use super::{Code, text};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json};

/// Mends a record of the `openai` shape that cannot be read as it is: arguments and tools that are Python literals in a
/// string become JSON.
pub fn mend_record(record: &mut Json) -> Vec<Code> {
    let mut mended = Vec::new();
    if let Some(tools @ Json::String(_)) = record.get_mut("tools") {
        from_python(tools, &mut mended);
    }
    let messages = record.get_mut("messages").and_then(Json::as_array_mut);
    for message in messages.into_iter().flatten() {
        let calls = message.get_mut("tool_calls").and_then(Json::as_array_mut);
        for call in calls.into_iter().flatten() {
            if let Some(arguments @ Json::String(_)) = call.pointer_mut("/function/arguments") {
                from_python(arguments, &mut mended);
            }
        }
    }
    mended
}

/// Turns a text that holds a Python literal, and no JSON, into the value.
fn from_python(value: &mut Json, mended: &mut Vec<Code>) {
    let Json::String(text) = &*value else { return };
    if text::is_python(text)
        && let Ok(literal) = json::parse_literal(text)
    {
        *value = literal;
        mended.push(Code::PythonArguments);
    }
}

/// Mends a conversation; each rule is named once for everything it was mended for.
pub fn mend(conversation: &mut Conversation, schemas: &Schemas) -> Vec<Code> {
    let mut mended = Vec::new();
    if conversation.tools().iter().any(ToolSpec::had_nulls) {
        mended.push(Code::SchemaNullFilled);
    }
    let messages = conversation.messages.len();
    conversation.messages.retain(|message| message.role != Role::System || !text::is_none(message));
    if conversation.messages.len() < messages {
        mended.push(Code::NoneInText);
    }
    let Conversation { tools, messages } = conversation;
    for message in messages.iter_mut() {
        if message.role == Role::Tool
            && text::is_python(message.text())
            && let Ok(value) = json::parse_literal(message.text())
        {
            message.content = Some(json::to_python(&value));
            mended.push(Code::PythonResult);
        }
        for call in &mut message.tool_calls {
            mend_call(call, tools.as_deref().unwrap_or_default(), schemas, &mut mended);
        }
    }
    if order_results(messages) {
        mended.push(Code::ResultsOutOfOrder);
    }
    mended.sort_unstable();
    mended.dedup();
    mended
}

fn mend_call(call: &mut ToolCall, tools: &[ToolSpec], schemas: &Schemas, mended: &mut Vec<Code>) {
    if let Json::String(text) = &call.arguments
        && let Ok(object @ Json::Object(_)) = json::parse(text)
    {
        call.arguments = object;
        mended.push(Code::ArgumentsEncodedTwice);
    }
    let tool = tools.iter().find(|tool| tool.name() == Some(call.name.as_str()));
    let Some(parameters) = tool.and_then(ToolSpec::parameters) else { return };
    let Verdict::Invalid(violations) = schemas.verdict(Some(parameters), &call.arguments) else { return };
    for violation in violations.iter().filter(|violation| violation.code == Code::WrongType) {
        let Some(value) = call.arguments.pointer_mut(&violation.pointer) else { continue };
        let Some(spelled) = value.as_str().and_then(value_spelled) else { continue };
        let before = std::mem::replace(value, spelled);
        // Kept only where the schema then has nothing against that value.
        let still = match schemas.verdict(Some(parameters), &call.arguments) {
            Verdict::Invalid(left) => left.iter().any(|left| left.pointer == violation.pointer),
            Verdict::Valid | Verdict::Unknown(_) => false,
        };
        match call.arguments.pointer_mut(&violation.pointer) {
            Some(value) if still => *value = before,
            _ => mended.push(Code::WrongType),
        }
    }
}

/// The value that a text spells in JSON or Python, where it is no text itself.
fn value_spelled(text: &str) -> Option<Json> {
    let value = json::parse(text.trim()).ok().or_else(|| json::parse_literal(text.trim()).ok())?;
    (!value.is_string()).then_some(value)
}

/// Puts results behind one message's calls into the order of the calls, where all of them have ids.
fn order_results(messages: &mut [Message]) -> bool {
    let mut changed = false;
    let mut index = 0;
    while index < messages.len() {
        let (before, after) = messages.split_at_mut(index + 1);
        index += 1;
        let calls = &before[index - 1].tool_calls;
        if calls.len() < 2 {
            continue;
        }
        let results = after.iter().take_while(|message| message.role == Role::Tool).count();
        let place = |message: &Message| {
            let id = message.tool_call_id.as_deref()?;
            calls.iter().position(|call| call.id.as_deref() == Some(id))
        };
        let results = &mut after[..results];
        let places: Option<Vec<usize>> = results.iter().map(place).collect();
        if places.is_some_and(|places| !places.is_sorted()) {
            results.sort_by_key(|message| place(message));
            changed = true;
        }
    }
    changed
}
