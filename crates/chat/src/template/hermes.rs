//! Hermes (Nous Research): ChatML, with tools described in a system message of their own. `⏎` is a newline.
//!
//! ```text
//! <|begin_of_text|><|im_start|>system⏎You are a function calling AI model. … <tools> {tool}⏎{tool} </tools>…<|im_end|>⏎
//! <|im_start|>system⏎{content}<|im_end|>⏎<|im_start|>user⏎{content}<|im_end|>⏎
//! <|im_start|>assistant⏎<tool_call>⏎{"name": "{name}", "arguments": {arguments}}⏎</tool_call>⏎<tool_call>…<|im_end|>⏎
//! <|im_start|>tool⏎<tool_response>⏎{result}⏎</tool_response>⏎<tool_response>⏎{result}⏎</tool_response>⏎<|im_end|>
//! <|im_start|>assistant⏎                                                             ← the generation prompt
//! ```
//!
//! This is the `tool_use` template of Hermes 3, its quirks included: a tool's text lacks one closing brace, a list is
//! `list[Union[]]`, and no newline follows the `<|im_end|>` of results. It cannot write a conversation without tools
//! (transformers takes the model's other template there): that is plain ChatML.
//!
//! A result that is the very last message lacks the newline before its `<|im_end|>`. Training writes results as they stood
//! when the last answer was asked for, so an answer to results has a sample of its own.
//!
//! Trained: from after `<|im_start|>assistant⏎` to `<|im_end|>`. What it cannot say: text beside calls (dropped), thoughts
//! (dropped), ids of calls, a tool without a description or with a type that is no JSON type it knows (an error).

use super::chatml;
use super::family::{Family, History};
use super::parse::Grammar;
use super::python_text::{python_str, strip};
use super::rendered::{PieceKind, Writer};
use super::samples::asked_last;
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolSpec};
use crate::json::{Json, push_python};

const BEFORE_TOOLS: &str = "You are a function calling AI model. You are provided with function signatures within \
    <tools></tools> XML tags. You may call one or more functions to assist with the user query. Don't make \
    assumptions about what values to plug into functions. Here are the available tools: <tools> ";
const AFTER_TOOLS: &str = " </tools>Use the following pydantic model json schema for each tool call you will make: \
    {\"properties\": {\"name\": {\"title\": \"Name\", \"type\": \"string\"}, \"arguments\": {\"title\": \"Arguments\", \
    \"type\": \"object\"}}, \"required\": [\"name\", \"arguments\"], \"title\": \"FunctionCall\", \"type\": \"object\"}}\n\
    For each function call return a json object with function name and arguments within <tool_call></tool_call> XML \
    tags as follows:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-dict>}\n</tool_call>";
/// How deep a type may name others.
const DEEPEST_TYPE: usize = 32;

pub(super) const FAMILY: Family = Family {
    name: "hermes",
    render,
    grammar: || Grammar::ToolCallTags(Default::default()),
    stop_tokens: &[chatml::END, "<|end_of_text|>"],
    marks_calls: true,
    thinks: false,
    history: History::RewrittenByAnswers,
    drops_empty: false,
    shows_tool: |tool| tool.definition().is_object(),
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    if messages.is_empty() {
        return Err(RenderError::NoMessages);
    }
    let asked_last = asked_last(messages, options);
    let mut out = chatml::writer(conversation);
    out.control("<|begin_of_text|>");
    if let Some(tools) = &conversation.tools {
        write_tools(&mut out, tools)?;
    }
    for (index, message) in messages.iter().enumerate() {
        out.message = Some(index);
        match message.role {
            Role::Assistant if !message.tool_calls.is_empty() => write_calls(&mut out, message, index)?,
            Role::Tool => write_result(&mut out, messages, index, index == asked_last)?,
            _ => chatml::write_text(&mut out, message, index, Template::Hermes)?,
        }
    }
    out.message = None;
    if options.add_generation_prompt {
        chatml::write_header(&mut out, Role::Assistant.as_str());
    }
    Ok(out.finish())
}

fn write_calls(out: &mut Writer, message: &Message, index: usize) -> Result<(), RenderError> {
    chatml::write_header(out, Role::Assistant.as_str());
    out.trained = message.is_trained();
    for (call_index, call) in message.tool_calls.iter().enumerate() {
        if call_index > 0 {
            out.structure("\n");
        }
        chatml::write_call(out, call, index, call_index, Template::Hermes)?;
    }
    chatml::write_end(out);
    Ok(())
}

fn write_result(
    out: &mut Writer,
    messages: &[Message],
    index: usize,
    is_last: bool,
) -> Result<(), RenderError> {
    let message = &messages[index];
    out.trained = false;
    // A result that nothing precedes gets no header; the template forgets it.
    if index > 0 && !chatml::is_result(messages, Some(index - 1)) {
        chatml::write_header(out, Role::Tool.as_str());
    }
    out.structure("<tool_response>\n");
    out.trained = message.is_trained();
    out.content(chatml::text_of(message, index, Template::Hermes)?);
    let closes = !chatml::is_result(messages, Some(index + 1));
    out.trained &= closes;
    out.structure(if is_last { "\n</tool_response>" } else { "\n</tool_response>\n" });
    if closes {
        out.control(chatml::END);
    }
    out.trained = false;
    Ok(())
}

fn write_tools(out: &mut Writer, tools: &[ToolSpec]) -> Result<(), RenderError> {
    chatml::write_header(out, Role::System.as_str());
    out.structure(BEFORE_TOOLS);
    for (index, tool) in tools.iter().enumerate() {
        if tool.definition().is_string() {
            return Err(RenderError::TextTool { tool: index, template: Template::Hermes });
        }
        if index > 0 {
            out.structure("\n");
        }
        write_tool(out, tool.function_object()).map_err(|reason| RenderError::UnwritableTool {
            tool: index,
            template: Template::Hermes,
            reason,
        })?;
    }
    out.structure(AFTER_TOOLS);
    chatml::write_end(out);
    Ok(())
}

/// A tool as the template describes it; `Err` with the reason where it cannot.
fn write_tool(out: &mut Writer, tool: &Json) -> Result<(), String> {
    let text_at = |key: &str| {
        tool.get(key).and_then(Json::as_str).ok_or_else(|| format!("it has no {key:?}; expected a text"))
    };
    let (name, description) = (text_at("name")?, text_at("description")?);
    let parameters = tool.get("parameters").ok_or("it has no \"parameters\"; expected {}")?;
    let properties = match parameters.get("properties") {
        None | Some(Json::Object(_)) => parameters.get("properties").and_then(Json::as_object),
        Some(_) => return Err("its properties are no object".to_owned()),
    };
    let properties = || properties.into_iter().flatten();

    out.structure("{\"type\": \"function\", \"function\": {\"name\": \"");
    out.content(name);
    out.structure("\", \"description\": \"");
    out.content(name);
    out.structure("(");
    for (index, (key, schema)) in properties().enumerate() {
        if index > 0 {
            out.structure(", ");
        }
        out.content(key);
        out.structure(": ");
        out.content(&type_name(schema)?);
    }
    out.structure(")");
    let returned = tool.get("return");
    if let Some(returned) = returned {
        out.structure(" -> ");
        out.content(&type_name(returned)?);
    }
    out.structure(" - ");
    out.content(description);
    out.structure("\n\n");
    for (index, (key, schema)) in properties().enumerate() {
        out.structure(if index == 0 { "    Args:\n        " } else { "        " });
        out.content(key);
        out.structure("(");
        out.content(&type_name(schema)?);
        out.structure("): ");
        if let Some(description) = schema.get("description") {
            out.content(strip(&python_str(description)));
        }
    }
    if let Some(description) = returned.and_then(|returned| returned.get("description")) {
        out.structure("\n    Returns:\n        ");
        out.content(description.as_str().ok_or("the description of its return is no text")?);
    }
    out.structure("\", \"parameters\": ");
    if properties().next().is_none() {
        out.structure("{}");
    } else {
        out.write(PieceKind::Content, |text| push_python(text, parameters));
    }
    out.structure("}");
    Ok(())
}

/// A schema's type as the template names it.
fn type_name(schema: &Json) -> Result<String, String> {
    let mut name = String::new();
    push_type(&mut name, schema.get("type"), schema.get("additionalProperties"), 0)?;
    Ok(name)
}

fn push_type(
    out: &mut String,
    kind: Option<&Json>,
    additional: Option<&Json>,
    depth: usize,
) -> Result<(), String> {
    if depth > DEEPEST_TYPE {
        return Err("its types are nested too deep".to_owned());
    }
    match kind {
        Some(Json::String(kind)) => match kind.as_str() {
            "string" => out.push_str("str"),
            "number" => out.push_str("float"),
            "integer" => out.push_str("int"),
            "boolean" => out.push_str("bool"),
            // The template looks for the type of the items in the wrong place.
            "array" => out.push_str("list[Union[]]"),
            "object" => match additional {
                None => out.push_str("dict"),
                Some(values) => {
                    out.push_str("dict[str, ");
                    push_type(out, values.get("type"), values.get("additionalProperties"), depth + 1)?;
                    out.push(']');
                }
            },
            "" => out.push_str("Union[]"),
            other => {
                return Err(format!(
                    "it has the type {other:?}; the template knows string, number, integer, boolean, array and object"
                ));
            }
        },
        None => out.push_str("Union[]"),
        Some(Json::Array(kinds)) => {
            out.push_str("Union[");
            for (index, kind) in kinds.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_type(out, Some(kind), None, depth + 1)?;
            }
            out.push(']');
        }
        Some(Json::Object(_)) => return Err("it has an object for a type".to_owned()),
        Some(_) => out.push_str("Any"),
    }
    Ok(())
}
