//! Qwen3: the ChatML of Qwen2.5 without its default system text, and with thoughts. `⏎` is a newline.
//!
//! ```text
//! <|im_start|>system⏎{system}⏎⏎# Tools⏎⏎…<|im_end|>⏎                  (nothing where there is neither)
//! <|im_start|>user⏎{content}<|im_end|>⏎
//! <|im_start|>assistant⏎<think>⏎{thoughts}⏎</think>⏎⏎{content}⏎<tool_call>⏎{…}⏎</tool_call><|im_end|>⏎
//! <|im_start|>user⏎<tool_response>⏎{result}⏎</tool_response><|im_end|>⏎
//! <|im_start|>assistant⏎                                     ← the generation prompt
//! <|im_start|>assistant⏎<think>⏎⏎</think>⏎⏎                   ← the same where the model shall not think
//! ```
//!
//! Thoughts stand only behind the last question; earlier ones are dropped, so a conversation of several questions is
//! trained by several samples. The last message has the block even where there are no thoughts. A text that holds
//! `</think>` is cut there into thoughts and answer, where the record names no thoughts itself.
//!
//! Trained: from after `<|im_start|>assistant⏎` to `<|im_end|>`, thoughts included. Where the model shall not think,
//! no thoughts are written for training and the empty block is the prompt's. A turn of calls whose content is null is
//! written as one whose content is empty, as the template's later revisions do; its first one raised an error.

use super::chatml;
use super::family::{Family, History};
use super::parse::Grammar;
use super::rendered::Writer;
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role};

const OPEN: &str = "<think>\n";
const CLOSE: &str = "\n</think>\n\n";

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    render,
    grammar: || Grammar::ToolCallTags(Default::default()),
    stop_tokens: &chatml::STOPS,
    marks_calls: true,
    thinks: true,
    history: History::RewrittenByQuestions,
    drops_empty: false,
    shows_tool: |tool| tool.definition().is_object(),
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    let first = messages.first().ok_or(RenderError::NoMessages)?;
    let mut out = chatml::writer(conversation);

    write_system(&mut out, conversation, first)?;
    let question = last_question(messages);
    for (index, message) in messages.iter().enumerate() {
        out.message = Some(index);
        match message.role {
            Role::System if index == 0 => {}
            Role::System | Role::User => chatml::write_text(&mut out, message, index, Template::Qwen3)?,
            Role::Assistant => {
                let is_last = index + 1 == messages.len();
                let thoughts = Thoughts { shown: index > question, is_last, options };
                write_assistant(&mut out, message, index, &thoughts)?;
            }
            Role::Tool => chatml::write_result(&mut out, messages, index, Template::Qwen3)?,
        }
    }
    out.message = None;
    if options.add_generation_prompt {
        chatml::write_header(&mut out, Role::Assistant.as_str());
        if !options.enable_thinking {
            out.structure(OPEN);
            out.structure(CLOSE);
        }
    }
    Ok(out.finish())
}

fn write_system(out: &mut Writer, conversation: &Conversation, first: &Message) -> Result<(), RenderError> {
    let given = first.role == Role::System;
    let tools = !conversation.tools().is_empty();
    if !given && !tools {
        return Ok(());
    }
    out.message = given.then_some(0);
    chatml::write_header(out, Role::System.as_str());
    out.trained = given && first.is_trained();
    if given {
        out.content(chatml::text_of(first, 0, Template::Qwen3)?);
    }
    if tools {
        if given {
            out.structure("\n\n");
        }
        chatml::write_tools(out, conversation, Template::Qwen3)?;
    }
    chatml::write_end(out);
    Ok(())
}

/// The last message of the user that is not a tool result in disguise; the last message where there is none.
fn last_question(messages: &[Message]) -> usize {
    let is_question = |message: &Message| {
        let text = message.text();
        let is_result = text.starts_with("<tool_response>") && text.ends_with("</tool_response>");
        message.role == Role::User && !is_result
    };
    messages.iter().rposition(is_question).unwrap_or(messages.len() - 1)
}

/// How the thoughts of a message are written.
struct Thoughts<'a> {
    /// Whether thoughts are shown here at all.
    shown: bool,
    is_last: bool,
    options: &'a RenderOptions,
}

fn write_assistant(
    out: &mut Writer,
    message: &Message,
    index: usize,
    thoughts: &Thoughts<'_>,
) -> Result<(), RenderError> {
    let Thoughts { shown, is_last, options } = *thoughts;
    let calls = &message.tool_calls;
    let text =
        if calls.is_empty() { chatml::text_of(message, index, Template::Qwen3)? } else { message.text() };
    let (mut reasoning, content) = match &message.reasoning {
        Some(reasoning) => (reasoning.as_str(), text),
        None => cut_thoughts(text),
    };
    let keeps_silent = options.for_training && !options.enable_thinking;
    if keeps_silent {
        reasoning = "";
    }
    chatml::write_header(out, Role::Assistant.as_str());
    out.trained = message.is_trained();
    if shown && (is_last || !reasoning.is_empty()) {
        // The empty block is the prompt's where the model shall not think.
        out.trained &= !keeps_silent;
        out.structure(OPEN);
        out.content(reasoning.trim_matches('\n'));
        out.structure(CLOSE);
        out.trained = message.is_trained();
        out.content(content.trim_start_matches('\n'));
    } else {
        out.content(content);
    }
    for (call_index, call) in calls.iter().enumerate() {
        if call_index > 0 || !content.is_empty() {
            out.structure("\n");
        }
        chatml::write_call(out, call, index, call_index, Template::Qwen3)?;
    }
    chatml::write_end(out);
    Ok(())
}

/// Thoughts and answer of a text that holds both.
fn cut_thoughts(text: &str) -> (&str, &str) {
    const OPEN: &str = "<think>";
    const CLOSE: &str = "</think>";
    let (Some((before, _)), Some((_, after))) = (text.split_once(CLOSE), text.rsplit_once(CLOSE)) else {
        return ("", text);
    };
    let before = before.trim_end_matches('\n');
    let thoughts = before.rsplit_once(OPEN).map_or(before, |(_, thoughts)| thoughts);
    (thoughts.trim_start_matches('\n'), after.trim_start_matches('\n'))
}
