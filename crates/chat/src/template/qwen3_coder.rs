//! Qwen3-Coder: ChatML, with tools and calls in an XML of its own. `⏎` is a newline.
//!
//! ```text
//! <|im_start|>system⏎{system, or a default}⏎⏎# Tools⏎⏎…<tools>⏎<function>⏎<name>{name}</name>…</tools>…<|im_end|>⏎
//! <|im_start|>assistant⏎{content}⏎⏎<tool_call>⏎<function={name}>⏎<parameter={key}>⏎{value}⏎</parameter>⏎</function>⏎</tool_call><|im_end|>⏎
//! <|im_start|>user⏎<tool_response>⏎{result}⏎</tool_response>⏎<|im_end|>⏎
//! <|im_start|>assistant⏎                                                             ← the generation prompt
//! ```
//!
//! A value that is a text stands raw, a list or an object as JSON, everything else as Python prints it (`True`, `None`);
//! [`super::parse::FunctionXml`] says how types come back. Text beside calls loses the white space around it. The default
//! system text is written only where tools are offered.
//!
//! Trained: from after `<|im_start|>assistant⏎` to `<|im_end|>`. What it cannot say: thoughts (dropped), ids of calls, and
//! names, keys and values that would end their own marks (an error).

use super::chatml;
use super::family::{Family, History};
use super::parse::{FunctionXml, Grammar};
use super::python_text::{python_str, strip};
use super::rendered::{Part, PieceKind, Writer};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::{Json, push_python};

pub(super) const DEFAULT_SYSTEM: &str =
    "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks.";
const BEFORE_TOOLS: &str = "\n\n# Tools\n\nYou have access to the following tools:\n\n<tools>";
const AFTER_TOOLS: &str = "\n</tools>\n\nIf you choose to call a tool ONLY reply in the following format with NO \
    suffix:\n\n<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n\
    <parameter=example_parameter_2>\nvalue_2\n</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n\
    - Function calls MUST follow the specified format: the tool calling block MUST begin with an opening <tool_call> tag \
    and end with a closing </tool_call> tag.\n\
    - Required parameters MUST be specified\n\
    - You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT \
    after\n\
    - If there is no function call available, answer the question like normal with your current knowledge and do not \
    tell the user about function calls\n</IMPORTANT>";

pub(super) const FAMILY: Family = Family {
    name: "qwen3-coder",
    render,
    grammar: || Grammar::FunctionXml(Default::default()),
    stop_tokens: &chatml::STOPS,
    marks_calls: true,
    thinks: false,
    history: History::Kept,
    drops_empty: false,
    shows_tool: |tool| tool.definition().is_object(),
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    let first = messages.first().ok_or(RenderError::NoMessages)?;
    let mut out = chatml::writer(conversation);
    write_system(&mut out, conversation, first)?;
    let after_system = usize::from(first.role == Role::System);
    for (index, message) in messages.iter().enumerate().skip(after_system) {
        out.message = Some(index);
        match message.role {
            Role::Assistant if !message.tool_calls.is_empty() => write_calls(&mut out, message, index)?,
            Role::Tool => write_result(&mut out, messages, index, after_system)?,
            _ => chatml::write_text(&mut out, message, index, Template::Qwen3Coder)?,
        }
    }
    out.message = None;
    if options.add_generation_prompt {
        chatml::write_header(&mut out, Role::Assistant.as_str());
    }
    Ok(out.finish())
}

fn write_system(out: &mut Writer, conversation: &Conversation, first: &Message) -> Result<(), RenderError> {
    let given = first.role == Role::System;
    let tools = conversation.tools();
    if !given && tools.is_empty() {
        return Ok(());
    }
    out.message = given.then_some(0);
    chatml::write_header(out, Role::System.as_str());
    out.trained = given && first.is_trained();
    if given {
        out.content(chatml::text_of(first, 0, Template::Qwen3Coder)?);
    } else {
        out.structure(DEFAULT_SYSTEM);
    }
    if !tools.is_empty() {
        out.structure(BEFORE_TOOLS);
        for (index, tool) in tools.iter().enumerate() {
            write_tool(out, tool, index)?;
        }
        out.structure(AFTER_TOOLS);
    }
    chatml::write_end(out);
    Ok(())
}

fn write_tool(out: &mut Writer, tool: &ToolSpec, index: usize) -> Result<(), RenderError> {
    let function = tool.function_object();
    if function.is_string() {
        return Err(RenderError::TextTool { tool: index, template: Template::Qwen3Coder });
    }
    out.structure("\n<function>\n<name>");
    write_str(out, function.get("name"));
    out.structure("</name>");
    write_description(out, function);
    out.structure("\n<parameters>");
    let parameters = function.get("parameters");
    let properties = parameters.and_then(|parameters| parameters.get("properties")).and_then(Json::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        out.structure("\n<parameter>\n<name>");
        out.content(name);
        out.structure("</name>");
        if let Some(kind) = schema.get("type") {
            out.structure("\n<type>");
            write_str(out, Some(kind));
            out.structure("</type>");
        }
        write_description(out, schema);
        write_others(out, schema, &["name", "type", "description"]);
        out.structure("\n</parameter>");
    }
    if let Some(parameters) = parameters {
        write_others(out, parameters, &["type", "properties"]);
    }
    out.structure("\n</parameters>");
    write_others(out, function, &["type", "name", "description", "parameters"]);
    out.structure("\n</function>");
    Ok(())
}

fn write_str(out: &mut Writer, value: Option<&Json>) {
    if let Some(value) = value {
        out.content(&python_str(value));
    }
}

fn write_description(out: &mut Writer, of: &Json) {
    if let Some(description) = of.get("description") {
        out.structure("\n<description>");
        out.content(strip(&python_str(description)));
        out.structure("</description>");
    }
}

/// Every key but these, as an element of its name.
fn write_others(out: &mut Writer, of: &Json, known: &[&str]) {
    for (key, value) in of.as_object().into_iter().flatten() {
        if known.contains(&key.as_str()) {
            continue;
        }
        out.structure("\n<");
        out.content(key);
        out.structure(">");
        write_value(out, value);
        out.structure("</");
        out.content(key);
        out.structure(">");
    }
}

/// Lists and objects as JSON, everything else as Python's `str` prints it.
fn write_value(out: &mut Writer, value: &Json) {
    match value {
        Json::Array(_) | Json::Object(_) => out.write(PieceKind::Content, |text| push_python(text, value)),
        Json::String(text) => out.content(text),
        other => out.content(&python_str(other)),
    }
}

fn write_calls(out: &mut Writer, message: &Message, index: usize) -> Result<(), RenderError> {
    chatml::write_header(out, Role::Assistant.as_str());
    out.trained = message.is_trained();
    let text = strip(message.text());
    if !text.is_empty() {
        out.content(text);
        out.structure("\n");
    }
    for (call_index, call) in message.tool_calls.iter().enumerate() {
        // The first newline of a turn that only calls is the header's.
        if call_index > 0 || !text.is_empty() {
            out.structure("\n");
        }
        write_call(out, call, index, call_index)?;
    }
    chatml::write_end(out);
    Ok(())
}

fn write_call(out: &mut Writer, call: &ToolCall, message: usize, index: usize) -> Result<(), RenderError> {
    let template = Template::Qwen3Coder;
    if let Some(reason) = FunctionXml::unwritable_name(&call.name) {
        let name = call.name.clone();
        return Err(RenderError::UnwritableName { message, call: index, name, template, reason });
    }
    out.structure("<tool_call>\n<function=");
    out.content_part(Part::Name, &call.name);
    out.structure(">\n");
    for (key, value) in call.arguments.as_object().into_iter().flatten() {
        if let Some(reason) = FunctionXml::unwritable_argument(key, value) {
            let key = key.clone();
            return Err(RenderError::UnwritableArgument { message, call: index, key, template, reason });
        }
        out.structure("<parameter=");
        out.content_part(Part::ArgumentKey, key);
        out.structure(">\n");
        out.as_part(Part::ArgumentValue, |out| write_value(out, value));
        out.structure("\n</parameter>\n");
    }
    out.structure("</function>\n</tool_call>");
    Ok(())
}

fn write_result(
    out: &mut Writer,
    messages: &[Message],
    index: usize,
    after_system: usize,
) -> Result<(), RenderError> {
    let message = &messages[index];
    out.trained = false;
    // A result that nothing but the system message precedes gets no header; the template forgets it.
    if index > after_system && !chatml::is_result(messages, Some(index - 1)) {
        chatml::write_header(out, Role::User.as_str());
    }
    out.structure("<tool_response>\n");
    out.trained = message.is_trained();
    out.content(chatml::text_of(message, index, Template::Qwen3Coder)?);
    let closes = !chatml::is_result(messages, Some(index + 1));
    out.trained &= closes;
    out.structure("\n</tool_response>\n");
    if closes {
        chatml::write_end(out);
    }
    out.trained = false;
    Ok(())
}
