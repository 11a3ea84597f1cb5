//! ChatGLM3. `⏎` is a newline; nothing separates messages, and `␣` is what SentencePiece writes where a text begins.
//!
//! ````text
//! [gMASK]sop
//! <|system|>⏎Answer the following questions as best as you can. You have access to the following tools:⏎{tools, indented by 4}
//! <|system|>⏎{content}<|user|>⏎{content}
//! <|assistant|>⏎{thought}<|assistant|>{name}⏎```python⏎tool_call({key}={value}, …)⏎```<|observation|>⏎{result}
//! <|assistant|>interpreter⏎```python⏎{code}⏎```<|observation|>⏎{output}<|assistant|>⏎{answer}
//! <|assistant|>                                                             ← the generation prompt
//! ````
//!
//! Header and content are encoded apart, so that each begins with a `␣` token that is no part of the text; models
//! write it too, and reading an answer drops it. Tools are printed as they are, objects and texts, functions without
//! their wrapping. Values are Python literals, written as Python's `repr` and read back without running anything. The
//! code interpreter takes raw code. The reference is the model's own code of 2023, its Jinja template knows no tools.
//! Trained: from after `<|assistant|>`, the name and the newline included, to the role token that ends the turn.
//!
//! What it cannot say: a message without text that makes no call (an empty text it can), thoughts, ids of calls, a key
//! that is no Python identifier.

use super::family::{Family, History};
use super::glm_turns::{self, ASSISTANT, BuiltIn, OBSERVATION, SYSTEM, Turns, USER};
use super::glm4::raw_text;
use super::parse::{Grammar, NameLine};
use super::rendered::{Part, PieceKind};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json, is_identifier, push_python_indented, push_repr};

const TEMPLATE: Template = Template::ChatGlm3;
/// The code interpreter.
const BUILT_IN: BuiltIn = &[("interpreter", "code")];
const TOOLS_BEFORE: &str =
    "Answer the following questions as best as you can. You have access to the following tools:\n";
const FENCE_BEFORE: &str = "```python\n";
const FENCE_AFTER: &str = "\n```";

pub(super) const FAMILY: Family = Family {
    name: "chatglm3",
    render,
    grammar: || Grammar::NameLine(NameLine::python_blocks(BUILT_IN)),
    stop_tokens: &[USER, OBSERVATION, "</s>"],
    marks_calls: false,
    thinks: false,
    history: History::Kept,
    drops_empty: false,
    shows_tool: |_| true,
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let mut turns = Turns::begin(conversation, ["[gMASK]", "sop"], true)?;
    if let Some(tools) = &conversation.tools {
        write_tools(&mut turns, tools);
    }
    for (index, message) in conversation.messages.iter().enumerate() {
        turns.out.message = Some(index);
        let role = match message.role {
            Role::System => SYSTEM,
            Role::User => USER,
            Role::Tool => OBSERVATION,
            Role::Assistant => ASSISTANT,
        };
        if message.tool_calls.is_empty() {
            turns.text(role, message, glm_turns::text_of(message, index, TEMPLATE)?);
        } else if !message.text().is_empty() {
            turns.text(role, message, message.text());
        }
        if message.role == Role::Assistant {
            for (call_index, call) in message.tool_calls.iter().enumerate() {
                write_call(&mut turns, message, index, call, call_index, conversation.tools())?;
            }
        }
    }
    Ok(turns.finish(options))
}

fn write_tools(turns: &mut Turns, tools: &[ToolSpec]) {
    turns.role(SYSTEM);
    turns.end_header();
    turns.out.structure(TOOLS_BEFORE);
    let tools = tools.iter().map(|tool| match tool.kind() {
        Some("function") => tool.function_object().clone(),
        _ => tool.definition().clone(),
    });
    let tools = Json::Array(tools.collect());
    turns.out.write(PieceKind::Content, |text| push_python_indented(text, &tools, 4));
}

fn write_call(
    turns: &mut Turns,
    message: &Message,
    message_index: usize,
    call: &ToolCall,
    index: usize,
    tools: &[ToolSpec],
) -> Result<(), RenderError> {
    glm_turns::check_name(&call.name, message_index, index, TEMPLATE)?;
    turns.name(message, &call.name, "");
    turns.out.structure(FENCE_BEFORE);
    if let Some(key) = glm_turns::raw_argument(&call.name, tools, BUILT_IN) {
        turns.out.content_part(Part::ArgumentValue, raw_text(call, key, message_index, index, TEMPLATE)?);
        turns.out.structure(FENCE_AFTER);
        return Ok(());
    }
    let Json::Object(arguments) = &call.arguments else {
        return Err(RenderError::ArgumentsNotObject {
            message: message_index,
            call: index,
            template: TEMPLATE,
            found: json::to_python(&call.arguments),
        });
    };
    if let Some(key) = arguments.keys().find(|key| !is_identifier(key)) {
        return Err(RenderError::UnwritableArgument {
            message: message_index,
            call: index,
            key: key.clone(),
            template: TEMPLATE,
            reason: "its key is no Python identifier, and it is written as one in tool_call(key=…)",
        });
    }
    turns.out.structure("tool_call(");
    for (place, (key, value)) in arguments.iter().enumerate() {
        if place > 0 {
            turns.out.structure(", ");
        }
        turns.out.content_part(Part::ArgumentKey, key);
        turns.out.structure("=");
        let write = |text: &mut String| push_repr(text, value);
        turns.out.as_part(Part::ArgumentValue, |out| out.write(PieceKind::Content, write));
    }
    turns.out.structure(")");
    turns.out.structure(FENCE_AFTER);
    Ok(())
}
