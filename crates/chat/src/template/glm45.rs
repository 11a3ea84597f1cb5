//! GLM-4.5 and GLM-4.6. `⏎` is a newline; nothing separates messages.
//!
//! ```text
//! [gMASK]<sop><|system|>⏎# Tools⏎⏎…<tools>⏎{tool}⏎{tool}⏎</tools>⏎⏎…
//! <|system|>⏎{content}<|user|>⏎{content}
//! <|assistant|>⏎<think>{thoughts}</think>⏎{content}⏎<tool_call>{name}⏎<arg_key>{key}</arg_key>⏎<arg_value>{value}</arg_value>⏎</tool_call>
//! <|observation|>⏎<tool_response>⏎{result}⏎</tool_response>⏎<tool_response>⏎{result}⏎</tool_response>
//! <|assistant|>                                                             ← the generation prompt
//! ```
//!
//! Thoughts stand only in the turn after the last user message; before it, `<think></think>`. White space around
//! thoughts and content is dropped. Without thinking, every user message ends with `/nothink` and the generation prompt
//! with `⏎<think></think>`. Values that are strings are written raw, others as JSON. Trained: from where the generation
//! prompt ends, to the role token that ends the turn, `<|observation|>` after calls, else `<|user|>`.
//!
//! What it cannot say: ids of calls, tools defined by a text, a key or value that holds its own end mark; and whether a
//! value such as `5` was a number or a text, which only the tool's schema tells when it is read back. `</think>` in an
//! answer without thoughts of its own makes thoughts of what is before it.

use super::family::{Family, History};
use super::glm_turns::{ASSISTANT, OBSERVATION, SYSTEM, Turns, USER, text_of};
use super::parse::{ArgTags, Grammar};
use super::rendered::{Part, PieceKind};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall};
use crate::json::{self, Json, push_python};

const TEMPLATE: Template = Template::Glm45;
const NO_THOUGHTS: &str = "\n<think></think>";
const TOOLS_BEFORE: &str = "\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
    You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n";
const TOOLS_AFTER: &str = "</tools>\n\nFor each function call, output the function name and arguments within the \
    following XML format:\n<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n\
    <arg_value>{arg-value-1}</arg_value>\n<arg_key>{arg-key-2}</arg_key>\n\
    <arg_value>{arg-value-2}</arg_value>\n...\n</tool_call>";

pub(super) const FAMILY: Family = Family {
    name: "glm4.5",
    render,
    grammar: || Grammar::ArgTags(ArgTags::default()),
    stop_tokens: &[USER, OBSERVATION, "<|endoftext|>"],
    marks_calls: true,
    thinks: true,
    history: History::RewrittenByQuestions,
    drops_empty: false,
    shows_tool: |tool| tool.definition().is_object(),
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    let mut turns = Turns::begin(conversation, ["[gMASK]", "<sop>"], false)?;
    write_tools(&mut turns, conversation)?;
    let last_user = messages.iter().rposition(|message| message.role == Role::User);
    for (index, message) in messages.iter().enumerate() {
        turns.out.message = Some(index);
        match message.role {
            Role::System => turns.text(SYSTEM, message, message.text()),
            Role::User => {
                turns.text(USER, message, message.text());
                if !options.enable_thinking && !message.text().ends_with("/nothink") {
                    turns.out.structure("/nothink");
                }
            }
            Role::Assistant => {
                let may_think = last_user.is_none_or(|last| last < index);
                write_assistant(&mut turns, message, index, may_think, options)?;
            }
            Role::Tool => {
                let before = index.checked_sub(1).and_then(|before| messages.get(before));
                write_result(&mut turns, message, index, before.map(|message| message.role))?;
            }
        }
    }
    if options.add_generation_prompt {
        turns.prompt();
        if !options.enable_thinking {
            turns.out.structure(NO_THOUGHTS);
        }
        return Ok(turns.out.finish());
    }
    Ok(turns.finish(options))
}

fn write_tools(turns: &mut Turns, conversation: &Conversation) -> Result<(), RenderError> {
    if conversation.tools().is_empty() {
        return Ok(());
    }
    turns.role(SYSTEM);
    turns.out.structure(TOOLS_BEFORE);
    for (index, tool) in conversation.tools().iter().enumerate() {
        if tool.definition().is_string() {
            return Err(RenderError::TextTool { tool: index, template: TEMPLATE });
        }
        turns.out.write(PieceKind::Content, |text| push_python(text, tool.definition()));
        turns.out.structure("\n");
    }
    turns.out.structure(TOOLS_AFTER);
    Ok(())
}

fn write_assistant(
    turns: &mut Turns,
    message: &Message,
    index: usize,
    may_think: bool,
    options: &RenderOptions,
) -> Result<(), RenderError> {
    let (thoughts, content) = match &message.reasoning {
        Some(thoughts) => (thoughts.as_str(), message.text()),
        None => split_thoughts(message.text()),
    };
    turns.role(ASSISTANT);
    if may_think && !thoughts.is_empty() {
        turns.out.trained = message.is_trained();
        turns.out.structure("\n<think>");
        turns.out.content(strip(thoughts));
        turns.out.structure("</think>");
    } else {
        // Without thinking this is the end of the generation prompt, and not the model's.
        turns.out.trained = message.is_trained() && options.enable_thinking;
        turns.out.structure(NO_THOUGHTS);
        turns.out.trained = message.is_trained();
    }
    let content = strip(content);
    if !content.is_empty() {
        turns.out.structure("\n");
        turns.out.content(content);
    }
    for (call_index, call) in message.tool_calls.iter().enumerate() {
        write_call(turns, call, index, call_index)?;
    }
    turns.answers(message, if message.tool_calls.is_empty() { USER } else { OBSERVATION });
    Ok(())
}

/// The thoughts in a text that has not got them apart, and what follows them.
fn split_thoughts(text: &str) -> (&str, &str) {
    let Some((before, _)) = text.split_once("</think>") else { return ("", text) };
    let before = before.trim_end_matches('\n');
    let thoughts = before.rsplit_once("<think>").map_or(before, |(_, thoughts)| thoughts);
    let content = text.rsplit_once("</think>").map_or(text, |(_, content)| content);
    (thoughts.trim_start_matches('\n'), content.trim_start_matches('\n'))
}

fn write_call(turns: &mut Turns, call: &ToolCall, message: usize, index: usize) -> Result<(), RenderError> {
    let name = call.name.as_str();
    if name.is_empty() || name != name.trim() || name.starts_with('{') || name.contains(['\n', '\r', '<']) {
        return Err(RenderError::UnwritableName {
            message,
            call: index,
            name: name.to_owned(),
            template: TEMPLATE,
            reason: "it stands bare between <tool_call> and a newline, so it can be neither empty nor begin with {, nor hold <, a newline or white space at its ends",
        });
    }
    let Json::Object(arguments) = &call.arguments else {
        return Err(RenderError::ArgumentsNotObject {
            message,
            call: index,
            template: TEMPLATE,
            found: json::to_python(&call.arguments),
        });
    };
    let out = &mut turns.out;
    out.structure("\n<tool_call>");
    out.content_part(Part::Name, name);
    out.structure("\n");
    for (key, value) in arguments {
        let unwritable = |reason| RenderError::UnwritableArgument {
            message,
            call: index,
            key: key.clone(),
            template: TEMPLATE,
            reason,
        };
        if key.contains("</arg_key>") {
            return Err(unwritable("its key holds </arg_key>, which ends it"));
        }
        out.structure("<arg_key>");
        out.content_part(Part::ArgumentKey, key);
        out.structure("</arg_key>\n<arg_value>");
        match value {
            Json::String(text) if ends_early(text) => return Err(unwritable(ENDS_EARLY)),
            Json::String(text) => out.content_part(Part::ArgumentValue, text),
            other => {
                let text = json::to_python(other);
                if ends_early(&text) {
                    return Err(unwritable(ENDS_EARLY));
                }
                out.content_part(Part::ArgumentValue, &text);
            }
        }
        out.structure("</arg_value>\n");
    }
    out.structure("</tool_call>");
    Ok(())
}

const ENDS_EARLY: &str =
    "its value holds </arg_value> with <arg_key> or </tool_call> behind it, which ends it";

/// Whether a value would be read back as ending before its end.
fn ends_early(value: &str) -> bool {
    value.match_indices("</arg_value>").any(|(at, mark)| {
        let behind = value[at + mark.len()..].trim_start();
        behind.starts_with("<arg_key>") || behind.starts_with("</tool_call>")
    })
}

fn write_result(
    turns: &mut Turns,
    message: &Message,
    index: usize,
    before: Option<Role>,
) -> Result<(), RenderError> {
    let text = text_of(message, index, TEMPLATE)?;
    if before != Some(Role::Tool) {
        turns.role(OBSERVATION);
    }
    turns.out.trained = false;
    turns.out.structure("\n<tool_response>\n");
    turns.out.trained = message.is_trained();
    turns.out.content(text);
    turns.out.trained = false;
    turns.out.structure("\n</tool_response>");
    Ok(())
}

/// A text without the white space at its ends, as Python's `str.strip` sees it.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}
