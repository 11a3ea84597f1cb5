//! ReAct as Qwen2's time wrote it: LLaMA-Factory's `chatml` template with its tool format `default`. `⏎` is a newline.
//!
//! ```text
//! <|im_start|>system⏎{system}You have access to the following tools:⏎> Tool Name: {name}⏎Tool Description: …⏎Tool Args:⏎
//!   - {key} ({type}, required): {description}⏎⏎Use the following format if using a tool:⏎…<|im_end|>⏎
//! <|im_start|>user⏎{content}<|im_end|>⏎
//! <|im_start|>assistant⏎{content}Action: {name}⏎Action Input: {arguments}⏎Action: {name}⏎Action Input: {arguments}<|im_end|>⏎
//! <|im_start|>tool⏎{result}⏎{result}<|im_end|>⏎
//! <|im_start|>assistant⏎                                                             ← the generation prompt
//! ```
//!
//! Nothing parts a text from the calls behind it, and results that follow one another share a turn. A system turn is
//! written wherever there is a system message or a list of tools, even an empty one; a tool without properties is
//! written as one without arguments (the reference raises an error).
//!
//! Trained: from after `<|im_start|>assistant⏎` to `<|im_end|>`. What it cannot say: thoughts (dropped), ids of calls, a
//! name that does not stand on one line.

use super::chatml;
use super::family::{Family, History};
use super::parse::Grammar;
use super::python_text::python_str;
use super::rendered::{Part, Writer};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::Json;

pub(super) const ACTION: &str = "Action:";
pub(super) const INPUT: &str = "Action Input:";
const BEFORE_TOOLS: &str = "You have access to the following tools:\n";
const AFTER_TOOLS: &str = "Use the following format if using a tool:\n```\nAction: tool name (one of [";
const AFTER_NAMES: &str = "])\nAction Input: the input to the tool, in a JSON format representing the kwargs \
    (e.g. ```{\"input\": \"hello world\", \"num_beams\": 5}```)\n```\n";

pub(super) const FAMILY: Family = Family {
    name: "react",
    render,
    grammar: || Grammar::React(Default::default()),
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
    for (index, message) in messages.iter().enumerate() {
        out.message = Some(index);
        match message.role {
            Role::System if index == 0 => {}
            Role::Assistant if !message.tool_calls.is_empty() => write_calls(&mut out, message, index)?,
            Role::Tool => write_result(&mut out, messages, index)?,
            _ => chatml::write_text(&mut out, message, index, Template::React)?,
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
    if !given && conversation.tools.is_none() {
        return Ok(());
    }
    out.message = given.then_some(0);
    chatml::write_header(out, Role::System.as_str());
    out.trained = given && first.is_trained();
    if given {
        out.content(chatml::text_of(first, 0, Template::React)?);
    }
    let tools = conversation.tools();
    if !tools.is_empty() {
        out.structure(BEFORE_TOOLS);
        for (index, tool) in tools.iter().enumerate() {
            if tool.definition().is_string() {
                return Err(RenderError::TextTool { tool: index, template: Template::React });
            }
            write_tool(out, tool).map_err(|reason| RenderError::UnwritableTool {
                tool: index,
                template: Template::React,
                reason,
            })?;
        }
        out.structure(AFTER_TOOLS);
        for (index, tool) in tools.iter().enumerate() {
            if index > 0 {
                out.structure(", ");
            }
            out.content(tool.name().unwrap_or_default());
        }
        out.structure(AFTER_NAMES);
    }
    chatml::write_end(out);
    Ok(())
}

/// A tool in prose; `Err` with the reason where that cannot be.
fn write_tool(out: &mut Writer, tool: &ToolSpec) -> Result<(), String> {
    let function = tool.function_object();
    let name = tool.name().ok_or("it has no name")?;
    let text_at = |of: &Json, key: &str| of.get(key).map(python_str).unwrap_or_default();
    out.structure("> Tool Name: ");
    out.content(name);
    out.structure("\nTool Description: ");
    out.content(&text_at(function, "description"));
    out.structure("\nTool Args:\n");
    let parameters = tool.parameters();
    let required = parameters.and_then(|parameters| parameters.get("required")).and_then(Json::as_array);
    let properties = parameters.and_then(|parameters| parameters.get("properties")).and_then(Json::as_object);
    for (key, schema) in properties.into_iter().flatten() {
        out.structure("  - ");
        out.content(key);
        out.structure(" (");
        out.content(&text_at(schema, "type"));
        if required.is_some_and(|required| required.iter().any(|name| name.as_str() == Some(key))) {
            out.structure(", required");
        }
        out.structure("): ");
        out.content(&text_at(schema, "description"));
        if let Some(values) = schema.get("enum").and_then(Json::as_array).filter(|values| !values.is_empty())
        {
            out.structure(", should be one of [");
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.structure(", ");
                }
                let value = value.as_str();
                out.content(value.ok_or_else(|| format!("the enum of {key:?} holds what is no text"))?);
            }
            out.structure("]");
        }
        if let Some(items) =
            schema.get("items").filter(|items| items.as_object().is_some_and(|map| !map.is_empty()))
        {
            out.structure(", where each item should be ");
            out.content(&text_at(items, "type"));
        }
        out.structure("\n");
    }
    out.structure("\n");
    Ok(())
}

fn write_calls(out: &mut Writer, message: &Message, index: usize) -> Result<(), RenderError> {
    chatml::write_header(out, Role::Assistant.as_str());
    out.trained = message.is_trained();
    out.content(message.text());
    for (call_index, call) in message.tool_calls.iter().enumerate() {
        if call_index > 0 {
            out.structure("\n");
        }
        write_call(out, call, index, call_index)?;
    }
    chatml::write_end(out);
    Ok(())
}

fn write_call(out: &mut Writer, call: &ToolCall, message: usize, index: usize) -> Result<(), RenderError> {
    if let Some(reason) = unwritable(&call.name) {
        let (name, template) = (call.name.clone(), Template::React);
        return Err(RenderError::UnwritableName { message, call: index, name, template, reason });
    }
    out.structure("Action: ");
    out.content_part(Part::Name, &call.name);
    out.structure("\nAction Input: ");
    out.arguments(&call.arguments);
    Ok(())
}

fn unwritable(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a call without a name reads as text")
    } else if name.trim_matches(['`', ' ']) != name || name.trim() != name {
        Some("white space and backticks around it are lost when the call is read back")
    } else if name.contains(['\n', '\r']) || name.contains(INPUT) || name.contains(ACTION) {
        Some("it stands on a line of its own")
    } else {
        None
    }
}

fn write_result(out: &mut Writer, messages: &[Message], index: usize) -> Result<(), RenderError> {
    let message = &messages[index];
    if chatml::is_result(messages, index.checked_sub(1)) {
        out.trained = false;
        out.structure("\n");
    } else {
        chatml::write_header(out, Role::Tool.as_str());
    }
    out.trained = message.is_trained();
    out.content(chatml::text_of(message, index, Template::React)?);
    if !chatml::is_result(messages, Some(index + 1)) {
        chatml::write_end(out);
    }
    Ok(())
}
