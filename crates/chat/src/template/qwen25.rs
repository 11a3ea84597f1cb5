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

use super::chatml;
use super::family::{Family, History};
use super::parse::Grammar;
use super::rendered::Writer;
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role};

/// The system text where a conversation has none.
pub(super) const DEFAULT_SYSTEM: &str =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

pub(super) const FAMILY: Family = Family {
    name: "qwen2.5",
    render,
    grammar: || Grammar::ToolCallTags(Default::default()),
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
            Role::System | Role::User => chatml::write_text(&mut out, message, index, Template::Qwen25)?,
            Role::Assistant => write_assistant(&mut out, message, index)?,
            Role::Tool => chatml::write_result(&mut out, messages, index, Template::Qwen25)?,
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
    out.message = given.then_some(0);
    chatml::write_header(out, Role::System.as_str());
    out.trained = given && first.is_trained();
    if given {
        out.content(chatml::text_of(first, 0, Template::Qwen25)?);
    } else {
        out.structure(DEFAULT_SYSTEM);
    }
    if !conversation.tools().is_empty() {
        out.structure("\n\n");
        chatml::write_tools(out, conversation, Template::Qwen25)?;
    }
    chatml::write_end(out);
    Ok(())
}

fn write_assistant(out: &mut Writer, message: &Message, index: usize) -> Result<(), RenderError> {
    chatml::write_header(out, Role::Assistant.as_str());
    out.trained = message.is_trained();
    let calls = &message.tool_calls;
    if calls.is_empty() {
        out.content(chatml::text_of(message, index, Template::Qwen25)?);
    } else {
        out.content(message.text());
    }
    for (call_index, call) in calls.iter().enumerate() {
        // The first newline of a turn that only calls is the header's.
        if call_index > 0 || !message.text().is_empty() {
            out.structure("\n");
        }
        chatml::write_call(out, call, index, call_index, Template::Qwen25)?;
    }
    chatml::write_end(out);
    Ok(())
}
