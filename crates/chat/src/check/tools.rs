//! Rules about tools and the calls of them.

use std::collections::HashSet;

use super::{Code, Findings};
use crate::data::{Conversation, ToolCall, ToolSpec};
use crate::json::{self, Json};
use crate::template::Template;

pub(super) fn check(conversation: &Conversation, template: Option<Template>, findings: &mut Findings) {
    definitions(conversation, template, findings);
    for (index, message) in conversation.messages.iter().enumerate() {
        for (call_index, call) in message.tool_calls.iter().enumerate() {
            let place = format!("messages[{index}].tool_calls[{call_index}]");
            check_call(conversation, call, index, place, findings);
        }
    }
}

fn definitions(conversation: &Conversation, template: Option<Template>, findings: &mut Findings) {
    let mut names = HashSet::new();
    for (index, tool) in conversation.tools().iter().enumerate() {
        let place = format!("tools[{index}]");
        match tool.name() {
            // A tool described by a text has its name somewhere in it.
            None if described_by_text(tool) => {}
            None => {
                let text = "a tool without a name".to_owned();
                findings.add(Code::UnnamedTool, None, place.clone(), text, "Set function.name");
            }
            Some(name) if !names.insert(name) => {
                let text = format!("a second tool named {name:?}");
                findings.add(Code::RepeatedTool, None, place.clone(), text, "Rename one of them, or drop it");
            }
            Some(_) => {}
        }
        let shown = template.is_none_or(|template| template.shows_tool(tool));
        if !shown {
            let text = "the template does not print this tool, so the model would never see it".to_owned();
            let mend = "Write it as {\"type\": \"function\", \"function\": {…}}";
            findings.add(Code::ToolNotShown, None, place, text, mend);
        }
    }
}

/// Whether the names of tools stand somewhere inside this definition, where no rule can find them.
fn described_by_text(tool: &ToolSpec) -> bool {
    tool.definition().is_string() || tool.is_undivided()
}

fn check_call(
    conversation: &Conversation,
    call: &ToolCall,
    message: usize,
    place: String,
    findings: &mut Findings,
) {
    let may_be_in_text = conversation.tools().iter().any(described_by_text);
    if conversation.tool(&call.name).is_none() && !may_be_in_text {
        let names: Vec<_> = conversation.tools().iter().filter_map(|tool| tool.name()).collect();
        let offered = if names.is_empty() {
            "no tools are offered".to_owned()
        } else {
            format!("the tools offered are: {}", names.join(", "))
        };
        let text = format!("a call of {:?}, which is not defined; {offered}", call.name);
        let mend = "Define the tool in tools, rename the call, or drop the record";
        findings.add(Code::UndefinedTool, Some(message), place.clone(), text, mend);
    }
    match &call.arguments {
        Json::Object(_) => {}
        Json::String(text) if matches!(json::parse(text), Ok(Json::Object(_))) => {
            let text = "the arguments are JSON text inside a JSON string: they were encoded twice".to_owned();
            let mend = "Write the object once, as {\"arguments\": \"{…}\"} or {\"arguments\": {…}}";
            findings.add(
                Code::ArgumentsEncodedTwice,
                Some(message),
                format!("{place}.arguments"),
                text,
                mend,
            );
        }
        other => {
            let text = format!("the arguments are {}, not an object", json::to_python(other));
            let mend = "Write them as an object, {} where there are none";
            findings.add(Code::ArgumentsNotObject, Some(message), format!("{place}.arguments"), text, mend);
        }
    }
}
