//! Rules about tools and the calls of them.

use std::collections::HashSet;

use super::schema::{Schemas, Verdict, unnamed};
use super::{Code, Findings};
use crate::data::{Conversation, ToolCall, ToolSpec};
use crate::json::{self, Json};
use crate::template::Template;

pub(super) fn check(
    conversation: &Conversation,
    template: Option<Template>,
    schemas: &Schemas,
    findings: &mut Findings,
) {
    definitions(conversation, template, schemas, findings);
    for (index, message) in conversation.messages.iter().enumerate() {
        for (call_index, call) in message.tool_calls.iter().enumerate() {
            let place = format!("messages[{index}].tool_calls[{call_index}]");
            check_call(conversation, call, index, place, schemas, findings);
        }
    }
}

fn definitions(
    conversation: &Conversation,
    template: Option<Template>,
    schemas: &Schemas,
    findings: &mut Findings,
) {
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
        if let Some(reason) = invalid_schema(tool, schemas) {
            let text = format!("the parameters are no JSON Schema: {reason}");
            let place = format!("{place}.parameters");
            findings.add(Code::SchemaInvalid, None, place, text, "Mend the schema there");
        }
        if tool.had_nulls() {
            let text = "the definition was full of nulls, which were taken out".to_owned();
            let mend = "Write it without them: other trainers print them";
            findings.add(Code::SchemaNullFilled, None, place.clone(), text, mend);
        }
        let shown = template.is_none_or(|template| template.shows_tool(tool));
        if !shown {
            let text = "the template does not print this tool, so the model would never see it".to_owned();
            let mend = "Write it as {\"type\": \"function\", \"function\": {…}}";
            findings.add(Code::ToolNotShown, None, place, text, mend);
        }
    }
}

fn invalid_schema(tool: &ToolSpec, schemas: &Schemas) -> Option<String> {
    schemas.why_invalid(tool.parameters().filter(|parameters| !parameters.is_null())?)
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
    schemas: &Schemas,
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
        Json::Object(_) => against_schema(conversation, call, message, &place, schemas, findings),
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

fn against_schema(
    conversation: &Conversation,
    call: &ToolCall,
    message: usize,
    place: &str,
    schemas: &Schemas,
    findings: &mut Findings,
) {
    let Some(parameters) = conversation.tool(&call.name).and_then(ToolSpec::parameters) else { return };
    if let Verdict::Invalid(violations) = schemas.verdict(Some(parameters), &call.arguments) {
        for violation in violations {
            let place = format!("{place}.arguments{}", violation.place);
            let mend = match violation.code {
                Code::MissingArgument => "Add it, take it from \"required\", or drop the record",
                Code::WrongType => "Write the value in that type, or mend the schema",
                Code::NotInEnum => "Use one of these, or add this one to the list",
                Code::UnknownArgument => "Add it to the schema's properties, or drop it",
                _ => "Mend the call, or the schema",
            };
            findings.add(violation.code, Some(message), place, violation.text, mend);
        }
    }
    let Some(arguments) = call.arguments.as_object() else { return };
    for name in unnamed(parameters, arguments) {
        let text = format!("the schema of {:?} has no argument {name:?}", call.name);
        let mend = "Add it to the schema's properties, or drop it";
        findings.add(Code::UnknownArgument, Some(message), format!("{place}.arguments.{name}"), text, mend);
    }
}
