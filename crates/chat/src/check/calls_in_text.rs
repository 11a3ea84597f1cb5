//! The rule that finds calls which stand in the plain text of answers.
//!
//! A text is a call in disguise when a chat format reads one from it, or when the whole of it is an object that has a
//! call's shape and names a tool that is offered. Prose about tools, and examples inside prose, are not.

use super::{Code, Findings};
use crate::data::{Conversation, Role, ToolSpec};
use crate::json::{self, Json};
use crate::template::Template;

/// Formats whose calls stand between marks, each with a mark that every call of it has.
const MARKED: [(&str, Template); 5] = [
    ("<tool_call>", Template::Qwen25),
    ("<tool_call>", Template::Glm45),
    ("<function=", Template::Qwen3Coder),
    ("[TOOL_CALLS]", Template::Mistral),
    ("tool_call(", Template::ChatGlm3),
];

/// Formats that a text can only be in as a whole, since they have no marks; a tool's name stands in each.
const WHOLE: [Template; 3] = [Template::Llama31, Template::Glm4, Template::React];

const MEND: &str = "Move it into tool_calls, or say in words what it is about";

pub(super) fn check(conversation: &Conversation, findings: &mut Findings) {
    for (index, message) in conversation.messages.iter().enumerate() {
        let text = message.text();
        if message.role == Role::Assistant
            && text.contains(['{', '(', '<', '['])
            && let Some(found) = disguised(text, conversation.tools())
        {
            let name = &found.name;
            let text_of = format!("the text holds a call of {name:?}, written {}", found.form);
            findings.add_at(Code::CallInDisguise, index, text_of, MEND);
            let at = text.find(name.as_str()).unwrap_or(0);
            findings.mark(text, at..at + name.len());
        }
    }
}

struct Disguised {
    name: String,
    form: String,
}

fn disguised(text: &str, tools: &[ToolSpec]) -> Option<Disguised> {
    for (mark, template) in MARKED {
        if text.contains(mark)
            && let Some(call) = template.parse(text, None).tool_calls.into_iter().next()
        {
            return Some(Disguised { name: call.name, form: format!("as {template} writes calls") });
        }
    }
    let offered = |name: &str| tools.iter().any(|tool| tool.name() == Some(name));
    if !tools.iter().filter_map(ToolSpec::name).any(|name| text.contains(name)) {
        return None;
    }
    if let Some(name) = named_by(text).filter(|name| offered(name)) {
        return Some(Disguised { name, form: "as an object".to_owned() });
    }
    for template in WHOLE {
        let turn = template.parse(text.trim(), Some(tools));
        if let Some(call) = turn.tool_calls.into_iter().next()
            && (turn.content.is_none() || template == Template::React)
        {
            return Some(Disguised { name: call.name, form: format!("as {template} writes calls") });
        }
    }
    None
}

/// The name in a text that is wholly one object in a call's shape, or a list of such objects.
fn named_by(text: &str) -> Option<String> {
    let text = inside_fence(text.trim());
    let text = text.strip_prefix("<functioncall>").unwrap_or(text).trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let value = json::parse(text).ok().or_else(|| json::parse_literal(text).ok())?;
    name_in(&value).map(str::to_owned)
}

fn name_in(value: &Json) -> Option<&str> {
    let object = match value {
        Json::Array(items) => return name_in(items.first()?),
        Json::Object(object) => object,
        _ => return None,
    };
    for wrapped in ["function", "function_call", "tool_calls", "tool_call"] {
        if let Some(inner @ (Json::Object(_) | Json::Array(_))) = object.get(wrapped) {
            return name_in(inner);
        }
    }
    let name = ["name", "action", "tool", "function"].iter().find_map(|key| object.get(*key)?.as_str())?;
    let takes = ["arguments", "parameters", "args", "action_input", "input"];
    takes.iter().any(|key| object.contains_key(*key)).then_some(name)
}

/// What stands inside a fenced block, where the text is one.
fn inside_fence(text: &str) -> &str {
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    inside.and_then(|inside| inside.split_once('\n')).map_or(text, |(_language, inside)| inside.trim())
}
