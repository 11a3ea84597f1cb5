//! Llama 3.1: tools in the first message of the user. `⏎` is a newline.
//!
//! ```text
//! <|begin_of_text|><|start_header_id|>system<|end_header_id|>⏎⏎Environment: ipython⏎Cutting Knowledge Date: December 2023⏎
//! Today Date: 26 Jul 2024⏎⏎{system}<|eot_id|>
//! <|start_header_id|>user<|end_header_id|>⏎⏎Given the following functions, …{tool, indented by 4}⏎⏎{content}<|eot_id|>
//! <|start_header_id|>assistant<|end_header_id|>⏎⏎{"name": "{name}", "parameters": {arguments}}<|eot_id|>
//! <|start_header_id|>ipython<|end_header_id|>⏎⏎{result, as a JSON text}<|eot_id|>
//! <|start_header_id|>assistant<|end_header_id|>⏎⏎                                     ← the generation prompt
//! ```
//!
//! Texts lose the white space around them. `Environment: ipython` stands there where tools are offered. The date is the
//! one that the template writes when it is told none. Whatever comes first after the system message becomes the first
//! message of the user where tools are offered, and is not trained unless it is the user's own.
//!
//! Trained: from after the header to `<|eot_id|>`. What it cannot say: more than one call a message (an error), text
//! beside a call (dropped), thoughts (dropped), ids of calls.

use super::chatml;
use super::family::{Family, History};
use super::parse::{BareJson, Grammar};
use super::python_text::strip;
use super::rendered::{Part, PieceKind, Writer};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role};
use crate::json::{push_python_indented, push_python_string};

const END: &str = "<|eot_id|>";
pub(super) const PYTHON_TAG: &str = "<|python_tag|>";
pub(super) const STOPS: [&str; 3] = [END, "<|eom_id|>", "<|end_of_text|>"];
const DATES: &str = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
const BEFORE_TOOLS: &str = "Given the following functions, please respond with a JSON for a function call with its \
    proper arguments that best answers the given prompt.\n\n\
    Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its value}.\
    Do not use variables.\n\n";

pub(super) const FAMILY: Family = Family {
    name: "llama3.1",
    render,
    grammar: || Grammar::BareJson(BareJson::new(PYTHON_TAG, &STOPS)),
    stop_tokens: &STOPS,
    marks_calls: false,
    thinks: false,
    history: History::Kept,
    drops_empty: false,
    shows_tool: |tool| tool.definition().is_object(),
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    let first = messages.first().ok_or(RenderError::NoMessages)?;
    let mut out = chatml::writer(conversation);
    out.control("<|begin_of_text|>");

    let given = first.role == Role::System;
    out.message = given.then_some(0);
    write_header(&mut out, "system");
    if conversation.tools.is_some() {
        out.structure("Environment: ipython\n");
    }
    out.structure(DATES);
    if given {
        out.trained = first.is_trained();
        out.content(strip(chatml::text_of(first, 0, Template::Llama31)?));
    }
    write_end(&mut out);

    let mut rest = usize::from(given);
    if conversation.tools.is_some() {
        write_tools(&mut out, conversation, rest)?;
        rest += 1;
    }
    for (index, message) in messages.iter().enumerate().skip(rest) {
        out.message = Some(index);
        write_message(&mut out, message, index)?;
    }
    out.message = None;
    if options.add_generation_prompt {
        write_header(&mut out, "assistant");
    }
    Ok(out.finish())
}

fn write_header(out: &mut Writer, role: &str) {
    out.trained = false;
    out.control("<|start_header_id|>");
    out.structure(role);
    out.control("<|end_header_id|>");
    out.structure("\n\n");
}

fn write_end(out: &mut Writer) {
    out.control(END);
    out.trained = false;
}

fn write_tools(out: &mut Writer, conversation: &Conversation, first: usize) -> Result<(), RenderError> {
    let template = Template::Llama31;
    let message = conversation.messages.get(first).ok_or(RenderError::NoUserMessage { template })?;
    out.message = Some(first);
    write_header(out, "user");
    out.structure(BEFORE_TOOLS);
    for (index, tool) in conversation.tools().iter().enumerate() {
        if tool.definition().is_string() {
            return Err(RenderError::TextTool { tool: index, template });
        }
        out.write(PieceKind::Content, |text| push_python_indented(text, tool.definition(), 4));
        out.structure("\n\n");
    }
    out.trained = message.role == Role::User && message.is_trained();
    out.content(strip(chatml::text_of(message, first, template)?));
    write_end(out);
    Ok(())
}

fn write_message(out: &mut Writer, message: &Message, index: usize) -> Result<(), RenderError> {
    let template = Template::Llama31;
    match message.tool_calls.as_slice() {
        [] => {
            let text = chatml::text_of(message, index, template)?;
            write_header(out, if message.role == Role::Tool { "ipython" } else { message.role.as_str() });
            out.trained = message.is_trained();
            if message.role == Role::Tool {
                out.write(PieceKind::Content, |out| push_python_string(out, text));
            } else {
                out.content(strip(text));
            }
        }
        [call] => {
            chatml::quoted_name(call, index, 0, template)?;
            write_header(out, "assistant");
            out.trained = message.is_trained();
            out.structure("{\"name\": \"");
            out.content_part(Part::Name, &call.name);
            out.structure("\", \"parameters\": ");
            out.arguments(&call.arguments);
            out.structure("}");
        }
        calls => return Err(RenderError::SeveralCalls { message: index, found: calls.len(), template }),
    }
    write_end(out);
    Ok(())
}
