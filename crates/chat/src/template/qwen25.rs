//! Qwen2.5 (and models that took its format): ChatML with Hermes-style tool calls. `⏎` is a newline.
//!
//! ```text
//! <|im_start|>system⏎{system, or the default}⏎⏎# Tools⏎⏎…<tools>⏎{tool}⏎{tool}⏎</tools>⏎⏎…<|im_end|>⏎
//! <|im_start|>user⏎{content}<|im_end|>⏎
//! <|im_start|>assistant⏎{content}⏎<tool_call>⏎{"name": "{name}", "arguments": {arguments}}⏎</tool_call><|im_end|>⏎
//! <|im_start|>user⏎<tool_response>⏎{result}⏎</tool_response>⏎<tool_response>⏎{result}⏎</tool_response><|im_end|>⏎
//! <|im_start|>assistant⏎                                                             ← the generation prompt
//! ```
//!
//! Trained: from after `<|im_start|>assistant⏎` to the turn's `<|im_end|>`, which the turn owns; the newline after it is
//! not. What it cannot say: thoughts (dropped), ids of calls, a message without text that makes no call.

use super::family::Family;
use super::parse::Grammar;
use super::rendered::{PieceKind, Writer};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall};
use crate::json::push_python;

pub(super) const START: &str = "<|im_start|>";
pub(super) const END: &str = "<|im_end|>";
/// The system text where a conversation has none.
pub(super) const DEFAULT_SYSTEM: &str =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
const TOOLS_BEFORE: &str = "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
    You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
const TOOLS_AFTER: &str = "\n</tools>\n\nFor each function call, return a json object with function name and \
    arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n\
    {\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";

pub(super) const FAMILY: Family = Family {
    name: "qwen2.5",
    render,
    grammar: || Grammar::ToolCallTags(Default::default()),
    stop_tokens: &[END, "<|endoftext|>"],
    marks_calls: true,
    thinks: false,
    rewrites_history: false,
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    let first = messages.first().ok_or(RenderError::NoMessages)?;
    let size: usize = messages.iter().map(|message| message.text().len() + 64).sum();
    let mut out =
        Writer::with_capacity(size + 512 * (1 + conversation.tools().len()), 6 * messages.len() + 8);

    write_system(&mut out, conversation, first)?;
    for (index, message) in messages.iter().enumerate() {
        out.message = Some(index);
        match message.role {
            Role::System if index == 0 => {}
            Role::System | Role::User => {
                write_header(&mut out, message.role);
                out.trained = message.is_trained();
                out.content(text_of(message, index)?);
                write_end(&mut out);
            }
            Role::Assistant => write_assistant(&mut out, message, index)?,
            Role::Tool => {
                let neighbour = |at: Option<usize>| at.and_then(|at| messages.get(at)).map(|m| m.role);
                let opens = neighbour(index.checked_sub(1)) != Some(Role::Tool);
                let closes = neighbour(index.checked_add(1)) != Some(Role::Tool);
                write_result(&mut out, message, index, opens, closes)?;
            }
        }
    }
    out.message = None;
    if options.add_generation_prompt {
        write_header(&mut out, Role::Assistant);
    }
    Ok(out.finish())
}

fn write_system(out: &mut Writer, conversation: &Conversation, first: &Message) -> Result<(), RenderError> {
    let given = first.role == Role::System;
    out.message = given.then_some(0);
    write_header(out, Role::System);
    out.trained = given && first.is_trained();
    if given {
        out.content(text_of(first, 0)?);
    } else {
        out.structure(DEFAULT_SYSTEM);
    }
    if !conversation.tools().is_empty() {
        out.structure(TOOLS_BEFORE);
        for (index, tool) in conversation.tools().iter().enumerate() {
            if tool.definition().is_string() {
                return Err(RenderError::TextTool { tool: index, template: Template::Qwen25 });
            }
            out.structure("\n");
            out.write(PieceKind::Content, |text| push_python(text, tool.definition()));
        }
        out.structure(TOOLS_AFTER);
    }
    write_end(out);
    Ok(())
}

fn write_header(out: &mut Writer, role: Role) {
    out.trained = false;
    out.control(START);
    out.structure(match role {
        Role::System => "system\n",
        Role::Assistant => "assistant\n",
        // A tool result is said by the user.
        Role::User | Role::Tool => "user\n",
    });
}

fn write_end(out: &mut Writer) {
    out.control(END);
    out.trained = false;
    out.structure("\n");
}

fn write_assistant(out: &mut Writer, message: &Message, index: usize) -> Result<(), RenderError> {
    write_header(out, Role::Assistant);
    out.trained = message.is_trained();
    let calls = &message.tool_calls;
    if calls.is_empty() {
        out.content(text_of(message, index)?);
    } else {
        out.content(message.text());
    }
    for (call_index, call) in calls.iter().enumerate() {
        // The first newline of a turn that only calls is the header's.
        if call_index > 0 || !message.text().is_empty() {
            out.structure("\n");
        }
        write_call(out, call, index, call_index)?;
    }
    write_end(out);
    Ok(())
}

fn write_call(out: &mut Writer, call: &ToolCall, message: usize, index: usize) -> Result<(), RenderError> {
    if call.name.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return Err(RenderError::UnwritableName {
            message,
            call: index,
            name: call.name.clone(),
            template: Template::Qwen25,
            reason: "it stands between quotes that the template does not escape",
        });
    }
    out.structure("<tool_call>\n{\"name\": \"");
    out.content(&call.name);
    out.structure("\", \"arguments\": ");
    out.write(PieceKind::Content, |text| push_python(text, &call.arguments));
    out.structure("}\n</tool_call>");
    Ok(())
}

fn write_result(
    out: &mut Writer,
    message: &Message,
    index: usize,
    opens: bool,
    closes: bool,
) -> Result<(), RenderError> {
    if opens {
        write_header(out, Role::Tool);
    }
    out.trained = false;
    // The newline before the first block is the header's.
    out.structure(if opens { "<tool_response>\n" } else { "\n<tool_response>\n" });
    out.trained = message.is_trained();
    out.content(text_of(message, index)?);
    if closes {
        out.structure("\n</tool_response>");
        write_end(out);
    } else {
        out.trained = false;
        out.structure("\n</tool_response>");
    }
    Ok(())
}

fn text_of(message: &Message, index: usize) -> Result<&str, RenderError> {
    message.content.as_deref().ok_or(RenderError::NoContent {
        message: index,
        role: message.role,
        template: Template::Qwen25,
    })
}
