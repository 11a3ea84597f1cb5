//! Mistral with tools (Nemo, 7B v0.3): instructions between marks, calls as a list of objects.
//!
//! ```text
//! <s>[INST]{content}[/INST]{answer}</s>
//! [AVAILABLE_TOOLS][{"type": "function", "function": {…}}, …][/AVAILABLE_TOOLS][INST]{system}⏎⏎{content}[/INST]
//! [TOOL_CALLS][{"name": "{name}", "arguments": {arguments}, "id": "{id}"}, …]</s>
//! [TOOL_RESULTS]{"content": {result, raw}, "call_id": "{id}"}[/TOOL_RESULTS]
//! ```
//!
//! There is no generation prompt: an answer follows what it answers. The template shows the tools before the last question
//! alone (and before earlier ones of the same text), and the system text only in a question that is the very last message:
//! once it is answered, the text is gone. So one conversation is trained by several samples, and in each the last answer
//! has the prompt that it would have when served. The template writes no system text elsewhere, and neither do we.
//!
//! Ids have nine characters. One that has is kept; another, or none, is replaced by one made from the call itself and its
//! place (FNV-1a in base 62), the same in every run; a result takes the id of the call that it names, or else of the call
//! at its place. The next question must follow an answer: the template refuses roles out of turn, and so do we.
//!
//! Trained: an answer or its calls, marks included, to `</s>`. What it cannot say: text beside calls (dropped), thoughts
//! (dropped).

use super::chatml;
use super::family::{Family, History};
use super::mistral_ids::CallIds;
use super::parse::{BareJson, Grammar};
use super::rendered::{Part, PieceKind, Writer};
use super::samples::asked_last;
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::{Json, push_python, push_python_string};

pub(super) const CALLS: &str = "[TOOL_CALLS]";
const END: &str = "</s>";
pub(super) const STOPS: [&str; 1] = [END];

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    render,
    grammar: || Grammar::BareJson(BareJson::new(CALLS, &STOPS)),
    stop_tokens: &STOPS,
    marks_calls: true,
    thinks: false,
    history: History::RewrittenByAnswers,
    drops_empty: false,
    shows_tool: |tool| tool.definition().is_object(),
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    let first = messages.first().ok_or(RenderError::NoMessages)?;
    let system = match first.role {
        Role::System => Some(chatml::text_of(first, 0, Template::Mistral)?),
        _ => None,
    };
    let rest = usize::from(system.is_some());
    roles_in_turn(messages, rest)?;
    let ids = CallIds::new(messages);
    let last_question = messages.iter().rfind(|message| message.role == Role::User);
    let asked_last = asked_last(messages, options);

    let mut out = chatml::writer(conversation);
    out.control("<s>");
    for (index, message) in messages.iter().enumerate().skip(rest) {
        out.message = Some(index);
        out.trained = false;
        match message.role {
            Role::User => {
                let text = chatml::text_of(message, index, Template::Mistral)?;
                let is_last = last_question.is_some_and(|last| last.content == message.content);
                if is_last && let Some(tools) = &conversation.tools {
                    write_tools(&mut out, tools)?;
                }
                out.control("[INST]");
                if index == asked_last
                    && let Some(system) = system
                {
                    out.message = Some(0);
                    out.trained = first.is_trained();
                    out.content(system);
                    out.structure("\n\n");
                    out.message = Some(index);
                }
                out.trained = message.is_trained();
                out.content(text);
                out.trained = false;
                out.control("[/INST]");
            }
            Role::Assistant if !message.tool_calls.is_empty() => {
                out.trained = message.is_trained();
                write_calls(&mut out, &message.tool_calls, index, &ids);
            }
            Role::Assistant => {
                out.trained = message.is_trained();
                out.content(chatml::text_of(message, index, Template::Mistral)?);
                out.control(END);
            }
            Role::Tool => write_result(&mut out, message, index, &ids)?,
            Role::System => {
                return Err(RenderError::RoleOutOfTurn {
                    message: index,
                    role: message.role,
                    template: Template::Mistral,
                    expected: "a system message only at the beginning",
                });
            }
        }
    }
    Ok(out.finish())
}

/// The template's own check: questions and answers take turns; calls and results do not count.
fn roles_in_turn(messages: &[Message], from: usize) -> Result<(), RenderError> {
    let mut asks = true;
    for (index, message) in messages.iter().enumerate().skip(from) {
        if message.role == Role::Tool || !message.tool_calls.is_empty() {
            continue;
        }
        if (message.role == Role::User) != asks {
            return Err(RenderError::RoleOutOfTurn {
                message: index,
                role: message.role,
                template: Template::Mistral,
                expected: if asks { "the user's turn" } else { "the assistant's turn" },
            });
        }
        asks = !asks;
    }
    Ok(())
}

fn write_tools(out: &mut Writer, tools: &[ToolSpec]) -> Result<(), RenderError> {
    out.control("[AVAILABLE_TOOLS]");
    out.structure("[");
    for (index, tool) in tools.iter().enumerate() {
        let template = Template::Mistral;
        let definition = tool.definition();
        if definition.is_string() {
            return Err(RenderError::TextTool { tool: index, template });
        }
        let function = definition.get("function").and_then(Json::as_object);
        let function = function.ok_or_else(|| RenderError::UnwritableTool {
            tool: index,
            template,
            reason: "it has no \"function\"; expected {\"type\": \"function\", \"function\": {…}}".to_owned(),
        })?;
        out.structure(if index == 0 { "" } else { ", " });
        out.structure("{\"type\": \"function\", \"function\": {");
        for (place, (key, value)) in function.iter().filter(|(key, _)| *key != "return").enumerate() {
            out.structure(if place == 0 { "\"" } else { ", \"" });
            out.content(key);
            out.structure("\": ");
            match value {
                // A text stands between quotes as it is.
                Json::String(text) => {
                    out.structure("\"");
                    out.content(text);
                    out.structure("\"");
                }
                value => out.write(PieceKind::Content, |text| push_python(text, value)),
            }
        }
        out.structure("}}");
    }
    // The template closes the list with its last tool, so that an empty one stays open.
    out.structure(if tools.is_empty() { "" } else { "]" });
    out.control("[/AVAILABLE_TOOLS]");
    Ok(())
}

fn write_calls(out: &mut Writer, calls: &[ToolCall], message: usize, ids: &CallIds) {
    out.control(CALLS);
    out.structure("[");
    for (index, call) in calls.iter().enumerate() {
        out.structure(if index == 0 { "{\"name\": " } else { ", {\"name\": " });
        let write = |text: &mut String| push_python_string(text, &call.name);
        out.as_part(Part::Name, |out| out.write(PieceKind::Content, write));
        out.structure(", \"arguments\": ");
        out.arguments(&call.arguments);
        out.structure(", \"id\": \"");
        out.content_part(Part::Other, ids.of_call(message, index));
        out.structure("\"}");
    }
    out.structure("]");
    out.control(END);
}

fn write_result(out: &mut Writer, message: &Message, index: usize, ids: &CallIds) -> Result<(), RenderError> {
    let template = Template::Mistral;
    let text = chatml::text_of(message, index, template)?;
    let id = ids.of_result(index).ok_or(RenderError::ResultWithoutCall { message: index, template })?;
    out.control("[TOOL_RESULTS]");
    out.structure("{\"content\": ");
    out.trained = message.is_trained();
    out.content(text);
    out.trained = false;
    out.structure(", \"call_id\": \"");
    out.content(id);
    out.structure("\"}");
    out.control("[/TOOL_RESULTS]");
    Ok(())
}
