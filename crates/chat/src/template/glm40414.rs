//! GLM-4-0414 (`glm4` in transformers). `⏎` is a newline; nothing separates messages.
//!
//! ```text
//! [gMASK]<sop>
//! <|system|>⏎# 可用工具⏎⏎## {name}⏎⏎{function, indented by 4}⏎在调用上述函数时，请使用 Json 格式表示调用的参数。⏎## …
//! <|system|>⏎{content}                                     ← every system message, wherever it stood
//! <|user|>⏎{content}
//! <|assistant|>⏎{thought}<|assistant|>{name} ⏎{arguments}<|observation|>⏎{result}<|assistant|>⏎{answer}
//! <|assistant|>                                                             ← the generation prompt
//! ```
//!
//! A space stands between the name of a call and the newline. Trained: from after `<|assistant|>`, the name, the space
//! and the newline included, to the role token that ends the turn.
//!
//! What it cannot say: a message without text that makes no call (an empty text it can), thoughts, ids of calls, where
//! a system message stood, tools defined by a text.

use super::family::{Family, History};
use super::glm_turns::{self, ASSISTANT, OBSERVATION, SYSTEM, Turns, USER};
use super::parse::{Grammar, NameLine};
use super::{RenderError, RenderOptions, Rendered, Template, glm4_tools};
use crate::data::{Conversation, Message, Role};
use crate::json::Json;

const TEMPLATE: Template = Template::Glm40414;

pub(super) const FAMILY: Family = Family {
    name: "glm4-0414",
    render,
    grammar: || Grammar::NameLine(NameLine::objects(&[])),
    stop_tokens: &[USER, OBSERVATION, "<|endoftext|>"],
    marks_calls: false,
    thinks: false,
    history: History::Kept,
    drops_empty: false,
    shows_tool: |tool| tool.definition().is_object(),
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let mut turns = Turns::begin(conversation, ["[gMASK]", "<sop>"], false)?;
    write_tools(&mut turns, conversation)?;
    let messages = || conversation.messages.iter().enumerate();
    for (index, message) in messages().filter(|(_, message)| message.role == Role::System) {
        turns.out.message = Some(index);
        turns.text(SYSTEM, message, glm_turns::text_of(message, index, TEMPLATE)?);
    }
    for (index, message) in messages() {
        turns.out.message = Some(index);
        match message.role {
            Role::System => {}
            Role::User => turns.text(USER, message, glm_turns::text_of(message, index, TEMPLATE)?),
            Role::Tool => turns.text(OBSERVATION, message, glm_turns::text_of(message, index, TEMPLATE)?),
            Role::Assistant => write_assistant(&mut turns, message, index)?,
        }
    }
    Ok(turns.finish(options))
}

fn write_tools(turns: &mut Turns, conversation: &Conversation) -> Result<(), RenderError> {
    if conversation.tools().is_empty() {
        return Ok(());
    }
    turns.role(SYSTEM);
    turns.out.structure("\n# 可用工具");
    for (index, tool) in conversation.tools().iter().enumerate() {
        if tool.definition().is_string() {
            return Err(RenderError::TextTool { tool: index, template: TEMPLATE });
        }
        // Anything false in Python's eyes is no function.
        let function = tool.definition().get("function").filter(|function| match function {
            Json::Object(map) => !map.is_empty(),
            _ => false,
        });
        let before = if index == 0 { "\n\n" } else { "\n" };
        glm4_tools::function(&mut turns.out, before, function.unwrap_or(tool.definition()));
    }
    Ok(())
}

fn write_assistant(turns: &mut Turns, message: &Message, index: usize) -> Result<(), RenderError> {
    if message.tool_calls.is_empty() {
        turns.text(ASSISTANT, message, glm_turns::text_of(message, index, TEMPLATE)?);
    } else if !message.text().is_empty() {
        turns.text(ASSISTANT, message, message.text());
    }
    for (call_index, call) in message.tool_calls.iter().enumerate() {
        glm_turns::check_name(&call.name, index, call_index, TEMPLATE)?;
        turns.name(message, &call.name, " ");
        turns.out.arguments(&call.arguments);
    }
    Ok(())
}
