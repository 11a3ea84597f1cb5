//! GLM-4 9B chat. `⏎` is a newline; nothing separates messages.
//!
//! ```text
//! [gMASK]<sop>
//! <|system|>⏎{preamble}⏎⏎# 可用工具⏎## {name}⏎⏎{function, indented by 4}⏎在调用上述函数时，请使用 Json 格式表示调用的参数。⏎## …
//! <|system|>⏎{content}<|user|>⏎{content}
//! <|assistant|>⏎{thought}<|assistant|>{name}⏎{arguments}<|observation|>⏎{result}<|assistant|>⏎{answer}
//! <|assistant|>                                                             ← the generation prompt
//! ```
//!
//! Four texts for the tools are in the wild, and a model must be served with the one that it was trained on:
//! - `glm4`: its Jinja template, as above;
//! - `glm4:a`: the Python tokenizer of June 2024. Another preamble, no `# 可用工具`, a blank line before each tool; header
//!   and content are encoded apart;
//! - `glm4:b`: ports to C++. The text of `glm4:a` with `⏎⏎# 可用工具`, encoded as one;
//! - `glm4:d`: LLaMA-Factory. Its own preamble, a blank line before each tool, all behind the system message's text.
//!
//! Each call is a segment of its own. Trained: from after `<|assistant|>`, the name and the newline included. The
//! built-in tools `python`, `simple_browser` and `cogview` have texts of their own and take raw text instead of JSON
//! (not in `glm4:d`, which knows functions alone).
//!
//! What it cannot say: thoughts, ids of calls. A message without text vanishes, role and all (`glm4` and `glm4:a`).
//! `glm4` shows nothing of a tool whose type is neither `function` nor built in; the others refuse it.

use super::family::{Family, History};
use super::glm_turns::{self, ASSISTANT, BuiltIn, OBSERVATION, SYSTEM, Turns, USER, raw_argument};
use super::glm4_tools as tools_text;
use super::parse::{Grammar, NameLine};
use super::rendered::Part;
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json};

/// How one of the four says things.
struct Variant {
    template: Template,
    preamble: &'static str,
    /// What sets a tool apart.
    before_tool: &'static str,
    built_in: BuiltIn,
    /// Whether header and content are encoded apart.
    apart: bool,
    drops_empty: bool,
    /// Whether an empty list of tools is offered too.
    offers_none: bool,
    system_inside: bool,
}

/// What stands before the tools of the Jinja template.
pub(crate) const PREAMBLE: &str = "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具";

const C: Variant = Variant {
    template: Template::Glm4,
    preamble: PREAMBLE,
    before_tool: "\n",
    built_in: tools_text::BUILT_IN,
    apart: false,
    drops_empty: true,
    offers_none: true,
    system_inside: false,
};
const A: Variant = Variant {
    template: Template::Glm4A,
    preamble: "你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。",
    before_tool: "\n\n",
    apart: true,
    offers_none: false,
    ..C
};
const B: Variant = Variant {
    template: Template::Glm4B,
    preamble: "你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具",
    apart: false,
    drops_empty: false,
    ..A
};
const D: Variant = Variant {
    template: Template::Glm4D,
    preamble: "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱 AI 公司训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具",
    built_in: &[],
    system_inside: true,
    ..B
};

pub(super) const FAMILY: Family = Family {
    name: "glm4",
    render: |conversation, options| render(conversation, options, &C),
    grammar: || Grammar::NameLine(NameLine::objects(C.built_in)),
    stop_tokens: &[USER, OBSERVATION, "<|endoftext|>"],
    marks_calls: false,
    thinks: false,
    history: History::Kept,
    drops_empty: C.drops_empty,
    shows_tool: |tool| tool.kind() == Some("function") || tools_text::built_in(tool.kind()).is_some(),
};
pub(super) const FAMILY_A: Family = Family {
    name: "glm4:a",
    render: |conversation, options| render(conversation, options, &A),
    grammar: || Grammar::NameLine(NameLine::objects(A.built_in)),
    drops_empty: A.drops_empty,
    ..FAMILY
};
pub(super) const FAMILY_B: Family = Family {
    name: "glm4:b",
    render: |conversation, options| render(conversation, options, &B),
    grammar: || Grammar::NameLine(NameLine::objects(B.built_in)),
    drops_empty: B.drops_empty,
    ..FAMILY
};
pub(super) const FAMILY_D: Family = Family {
    name: "glm4:d",
    render: |conversation, options| render(conversation, options, &D),
    grammar: || Grammar::NameLine(NameLine::objects(D.built_in)),
    drops_empty: D.drops_empty,
    shows_tool: |tool| tool.definition().is_object(),
    ..FAMILY
};

fn render(
    conversation: &Conversation,
    options: &RenderOptions,
    variant: &Variant,
) -> Result<Rendered, RenderError> {
    let mut turns = Turns::begin(conversation, ["[gMASK]", "<sop>"], variant.apart)?;
    let first_is_inside = write_system(&mut turns, conversation, variant)?;
    for (index, message) in conversation.messages.iter().enumerate() {
        turns.out.message = Some(index);
        match message.role {
            Role::System if index == 0 && first_is_inside => {}
            Role::System => write_text(&mut turns, SYSTEM, message, index, variant)?,
            Role::User => write_text(&mut turns, USER, message, index, variant)?,
            Role::Tool => write_text(&mut turns, OBSERVATION, message, index, variant)?,
            Role::Assistant => {
                if !message.text().is_empty() || message.tool_calls.is_empty() {
                    write_text(&mut turns, ASSISTANT, message, index, variant)?;
                }
                for (call_index, call) in message.tool_calls.iter().enumerate() {
                    let raw_key = raw_argument(&call.name, conversation.tools(), variant.built_in);
                    glm_turns::check_name(&call.name, index, call_index, variant.template)?;
                    turns.name(message, &call.name, "");
                    match raw_key {
                        None => turns.out.arguments(&call.arguments),
                        Some(key) => {
                            turns.out.content_part(
                                Part::ArgumentValue,
                                raw_text(call, key, index, call_index, variant.template)?,
                            );
                        }
                    }
                }
            }
        }
    }
    Ok(turns.finish(options))
}

/// The raw text that a built-in tool is called with.
pub(super) fn raw_text<'a>(
    call: &'a ToolCall,
    key: &'static str,
    message: usize,
    index: usize,
    template: Template,
) -> Result<&'a str, RenderError> {
    let arguments = call.arguments.as_object().filter(|arguments| arguments.len() == 1);
    let raw = arguments.and_then(|arguments| arguments.get(key)).and_then(Json::as_str);
    raw.ok_or_else(|| RenderError::BuiltInArguments {
        message,
        call: index,
        name: call.name.clone(),
        template,
        key,
        found: json::to_python(&call.arguments),
    })
}

fn write_text(
    turns: &mut Turns,
    role: &'static str,
    message: &Message,
    index: usize,
    variant: &Variant,
) -> Result<(), RenderError> {
    if variant.drops_empty {
        if !message.text().is_empty() {
            turns.text(role, message, message.text());
        }
        return Ok(());
    }
    turns.text(role, message, glm_turns::text_of(message, index, variant.template)?);
    Ok(())
}

/// What offers the tools; whether the first message stands in it.
fn write_system(
    turns: &mut Turns,
    conversation: &Conversation,
    variant: &Variant,
) -> Result<bool, RenderError> {
    let first = &conversation.messages[0];
    let is_system = first.role == Role::System;
    let inside = variant.system_inside && is_system;
    let offers = match &conversation.tools {
        None => false,
        Some(tools) => variant.offers_none || variant.system_inside || !tools.is_empty(),
    };
    let says_something = inside && !first.text().is_empty();
    if !(offers || says_something) {
        return Ok(inside);
    }
    turns.out.message = is_system.then_some(0);
    turns.role(SYSTEM);
    turns.out.trained = inside && first.is_trained();
    turns.end_header();
    if inside {
        turns.out.content(first.text());
        turns.out.trained = false;
    }
    let tools = conversation.tools();
    if tools.is_empty() && !variant.offers_none {
        return Ok(inside);
    }
    turns.out.structure(variant.preamble);
    for (index, tool) in tools.iter().enumerate() {
        write_tool(turns, tool, index, variant)?;
    }
    Ok(inside)
}

fn write_tool(
    turns: &mut Turns,
    tool: &ToolSpec,
    index: usize,
    variant: &Variant,
) -> Result<(), RenderError> {
    let strict = variant.template != Template::Glm4;
    let refuse = |reason: &str| {
        Err(RenderError::UnwritableTool {
            tool: index,
            template: variant.template,
            reason: reason.to_owned(),
        })
    };
    if strict && tool.definition().is_string() {
        return Err(RenderError::TextTool { tool: index, template: variant.template });
    }
    let function = match tool.kind() {
        Some("function") => tool.definition().get("function").unwrap_or(&Json::Null),
        // LLaMA-Factory takes tools without their wrapping too.
        _ if variant.built_in.is_empty() => tool.definition(),
        kind => {
            match tools_text::built_in(kind) {
                Some(text) => {
                    turns.out.structure(variant.before_tool);
                    turns.out.structure(text);
                }
                None if strict => return refuse("its type is neither \"function\" nor a built-in tool"),
                None => {}
            }
            return Ok(());
        }
    };
    if strict && function.get("name").and_then(Json::as_str).is_none() {
        return refuse("it has no name");
    }
    tools_text::function(&mut turns.out, variant.before_tool, function);
    Ok(())
}
