//! What the families that write ChatML share: Qwen2.5, Qwen3, Qwen3-Coder, Hermes, ReAct.
//!
//! In: messages and the writer of a family. Out: turns between `<|im_start|>` and `<|im_end|>`. A turn owns its
//! `<|im_end|>`, which is trained when the turn is; the newline after it is not.

use super::rendered::{Part, PieceKind, Writer};
use super::{RenderError, Template};
use crate::data::{Conversation, Message, Role, ToolCall};
use crate::json::push_python;

pub(super) const START: &str = "<|im_start|>";
pub(super) const END: &str = "<|im_end|>";
/// What ends an answer: the turn's end, and what base models write.
pub(super) const STOPS: [&str; 2] = [END, "<|endoftext|>"];

/// Opens a turn.
pub(super) fn write_header(out: &mut Writer, role: &str) {
    out.trained = false;
    out.control(START);
    out.structure(role);
    out.structure("\n");
}

/// Ends a turn.
pub(super) fn write_end(out: &mut Writer) {
    out.control(END);
    out.trained = false;
    out.structure("\n");
}

/// A turn that is its text and nothing else.
pub(super) fn write_text(
    out: &mut Writer,
    message: &Message,
    index: usize,
    template: Template,
) -> Result<(), RenderError> {
    write_header(out, message.role.as_str());
    out.trained = message.is_trained();
    out.content(text_of(message, index, template)?);
    write_end(out);
    Ok(())
}

/// The tools as Qwen2.5 and Qwen3 list them: one definition a line.
pub(super) fn write_tools(
    out: &mut Writer,
    conversation: &Conversation,
    template: Template,
) -> Result<(), RenderError> {
    const BEFORE: &str = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
        You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
    const AFTER: &str = "\n</tools>\n\nFor each function call, return a json object with function name and \
        arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n\
        {\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";
    out.structure(BEFORE);
    for (index, tool) in conversation.tools().iter().enumerate() {
        if tool.definition().is_string() {
            return Err(RenderError::TextTool { tool: index, template });
        }
        out.structure("\n");
        out.write(PieceKind::Content, |text| push_python(text, tool.definition()));
    }
    out.structure(AFTER);
    Ok(())
}

/// A call as JSON between `<tool_call>` and `</tool_call>`.
pub(super) fn write_call(
    out: &mut Writer,
    call: &ToolCall,
    message: usize,
    index: usize,
    template: Template,
) -> Result<(), RenderError> {
    quoted_name(call, message, index, template)?;
    out.structure("<tool_call>\n{\"name\": \"");
    out.content_part(Part::Name, &call.name);
    out.structure("\", \"arguments\": ");
    out.arguments(&call.arguments);
    out.structure("}\n</tool_call>");
    Ok(())
}

/// That a name can stand between quotes as it is.
pub(super) fn quoted_name(
    call: &ToolCall,
    message: usize,
    index: usize,
    template: Template,
) -> Result<(), RenderError> {
    if call.name.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return Err(RenderError::UnwritableName {
            message,
            call: index,
            name: call.name.clone(),
            template,
            reason: "it stands between quotes that the template does not escape",
        });
    }
    Ok(())
}

/// A result in a block of its own; neighbours share one message of the user.
pub(super) fn write_result(
    out: &mut Writer,
    messages: &[Message],
    index: usize,
    template: Template,
) -> Result<(), RenderError> {
    let message = &messages[index];
    let opens = !is_result(messages, index.checked_sub(1));
    let closes = !is_result(messages, index.checked_add(1));
    if opens {
        write_header(out, Role::User.as_str());
    }
    out.trained = false;
    // The newline before the first block is the header's.
    out.structure(if opens { "<tool_response>\n" } else { "\n<tool_response>\n" });
    out.trained = message.is_trained();
    out.content(text_of(message, index, template)?);
    if closes {
        out.structure("\n</tool_response>");
        write_end(out);
    } else {
        out.trained = false;
        out.structure("\n</tool_response>");
    }
    Ok(())
}

/// Whether a tool result stands there.
pub(super) fn is_result(messages: &[Message], at: Option<usize>) -> bool {
    at.and_then(|at| messages.get(at)).is_some_and(|message| message.role == Role::Tool)
}

/// The text that a template writes where it cannot do without.
pub(super) fn text_of(message: &Message, index: usize, template: Template) -> Result<&str, RenderError> {
    message.content.as_deref().ok_or(RenderError::NoContent { message: index, role: message.role, template })
}

/// A writer with room for a conversation.
pub(super) fn writer(conversation: &Conversation) -> Writer {
    let messages = &conversation.messages;
    let size: usize = messages.iter().map(|message| message.text().len() + 64).sum();
    Writer::with_capacity(size + 512 * (1 + conversation.tools().len()), 6 * messages.len() + 8)
}
