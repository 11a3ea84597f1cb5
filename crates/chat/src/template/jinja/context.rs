//! A conversation as the variables that chat templates read.
//!
//! In: a [`Conversation`], and what becomes of each of its texts. Out: `messages` and `tools` as transformers passes them:
//! OpenAI's shape, keys without a value left out; or, for templates that read `metadata`, GLM-4's, in which each call is
//! a message of its own and results are observations.

use minijinja::value::Value;

use super::dumps::{convert, value_of};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::{Json, to_python};
use crate::template::{RenderError, glm4_raw_argument};

/// How a template wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// OpenAI's, arguments as objects.
    OpenAi,
    /// OpenAI's, arguments as JSON text.
    OpenAiTextArguments,
    /// GLM-4's, tools in a variable of their own.
    Metadata,
    /// GLM-4's, tools inside a system message.
    MetadataAndTools,
}

impl Shape {
    /// The shape that a template's source speaks of.
    pub(super) fn of(source: &str) -> Self {
        if !source.contains("metadata") || source.contains("tool_calls") {
            return Self::OpenAi;
        }
        if ["['tools']", "[\"tools\"]", "item.tools", "message.tools"]
            .iter()
            .any(|part| source.contains(part))
        {
            Self::MetadataAndTools
        } else {
            Self::Metadata
        }
    }
}

/// What a text is, which decides how it may be marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What somebody said.
    Said,
    /// The name of a called tool.
    Name,
    /// Anything else that the conversation holds.
    Other,
}

/// Takes each text of the conversation on its way to the template.
pub(super) trait Texts {
    /// The value to show in place of a text that belongs to this message, or to the tools.
    fn text(&mut self, text: &str, message: Option<usize>, kind: Kind) -> Value;
}

/// Texts as they are.
pub(super) struct Plain;

impl Texts for Plain {
    fn text(&mut self, text: &str, _: Option<usize>, _: Kind) -> Value {
        Value::from(text)
    }
}

/// The variables of a conversation.
#[derive(Debug, Clone)]
pub(super) struct Variables {
    /// The messages that the template sees.
    pub(super) messages: Vec<Value>,
    /// How many of them stand for the first so many messages of the conversation.
    pub(super) counts: Vec<usize>,
    /// The tools; none where the template takes them elsewhere or there are none.
    pub(super) tools: Value,
}

/// The variables for a conversation.
pub(super) fn variables(
    conversation: &Conversation,
    shape: Shape,
    texts: &mut dyn Texts,
) -> Result<Variables, RenderError> {
    let in_message = shape == Shape::MetadataAndTools;
    if let Some(tool) = conversation.tools().iter().position(|tool| tool.definition().is_string())
        && !in_message
    {
        return Err(RenderError::TextToolOfModel { tool });
    }
    let tools = match &conversation.tools {
        None => Value::from(()),
        Some(tools) => tools.iter().map(|tool| tool_value(tool, texts)).collect::<Vec<_>>().into(),
    };
    let mut builder = Builder { texts, messages: Vec::new() };
    if in_message && conversation.tools.is_some() {
        builder.system_with_tools(conversation, &tools);
    }
    let mut counts = vec![builder.messages.len()];
    for (index, message) in conversation.messages.iter().enumerate() {
        match shape {
            Shape::OpenAi => builder.openai(message, index, false),
            Shape::OpenAiTextArguments => builder.openai(message, index, true),
            // It was written with the tools.
            Shape::MetadataAndTools
                if index == 0 && message.role == Role::System && conversation.tools.is_some() => {}
            Shape::Metadata | Shape::MetadataAndTools => {
                builder.glm4(message, index, conversation.tools())?
            }
        }
        counts.push(builder.messages.len());
    }
    let messages = builder.messages;
    Ok(Variables { messages, counts, tools: if in_message { Value::from(()) } else { tools } })
}

fn tool_value(tool: &ToolSpec, texts: &mut dyn Texts) -> Value {
    convert(tool.definition(), &mut |text, _| texts.text(text, None, Kind::Other))
}

struct Builder<'a> {
    texts: &'a mut dyn Texts,
    messages: Vec<Value>,
}

impl Builder<'_> {
    fn push(&mut self, entries: Vec<(&'static str, Value)>) {
        self.messages.push(Value::from_pairs(entries));
    }

    fn system_with_tools(&mut self, conversation: &Conversation, tools: &Value) {
        let first = conversation.messages.first().filter(|message| message.role == Role::System);
        let content = self.texts.text(first.map_or("", Message::text), Some(0), Kind::Said);
        self.push(vec![("role", Value::from("system")), ("content", content), ("tools", tools.clone())]);
    }

    fn openai(&mut self, message: &Message, index: usize, text_arguments: bool) {
        let owner = Some(index);
        let mut entries = vec![("role", Value::from(message.role.as_str()))];
        if let Some(content) = &message.content {
            entries.push(("content", self.texts.text(content, owner, Kind::Said)));
        }
        if let Some(reasoning) = &message.reasoning {
            // Three names are in use for it; transformers shows all that templates read.
            let reasoning = self.texts.text(reasoning, owner, Kind::Said);
            entries.push(("reasoning_content", reasoning.clone()));
            entries.push(("thinking", reasoning));
        }
        if !message.tool_calls.is_empty() {
            let calls = message.tool_calls.iter().map(|call| self.call(call, owner, text_arguments));
            entries.push(("tool_calls", calls.collect::<Vec<_>>().into()));
        }
        if let Some(id) = &message.tool_call_id {
            entries.push(("tool_call_id", self.texts.text(id, owner, Kind::Other)));
        }
        if let Some(name) = &message.name {
            entries.push(("name", self.texts.text(name, owner, Kind::Other)));
        }
        self.push(entries);
    }

    fn call(&mut self, call: &ToolCall, owner: Option<usize>, text_arguments: bool) -> Value {
        let name = self.texts.text(&call.name, owner, Kind::Name);
        let arguments = if text_arguments {
            self.texts.text(&to_python(&call.arguments), owner, Kind::Other)
        } else {
            convert(&call.arguments, &mut |text, _| self.texts.text(text, owner, Kind::Other))
        };
        let function = Value::from_pairs([("name", name), ("arguments", arguments)]);
        let id = call.id.iter().map(|id| ("id", self.texts.text(id, owner, Kind::Other)));
        Value::from_pairs(id.chain([("type", Value::from("function")), ("function", function)]))
    }

    fn glm4(&mut self, message: &Message, index: usize, tools: &[ToolSpec]) -> Result<(), RenderError> {
        let owner = Some(index);
        let role = match message.role {
            Role::Tool => "observation",
            role => role.as_str(),
        };
        if message.tool_calls.is_empty() || !message.text().is_empty() {
            let content = self.texts.text(message.text(), owner, Kind::Said);
            self.push(vec![("role", Value::from(role)), ("content", content)]);
        }
        for (call_index, call) in message.tool_calls.iter().enumerate() {
            let content = match glm4_raw_argument(&call.name, tools) {
                None => to_python(&call.arguments),
                Some(key) => call
                    .arguments
                    .as_object()
                    .filter(|arguments| arguments.len() == 1)
                    .and_then(|arguments| arguments.get(key)?.as_str())
                    .map(str::to_owned)
                    .ok_or_else(|| RenderError::BuiltInArguments {
                        message: index,
                        call: call_index,
                        name: call.name.clone(),
                        template: crate::template::Template::Glm4,
                        key,
                        found: to_python(&call.arguments),
                    })?,
            };
            let name = self.texts.text(&call.name, owner, Kind::Name);
            let content = self.texts.text(&content, owner, Kind::Other);
            self.push(vec![("role", Value::from(role)), ("metadata", name), ("content", content)]);
        }
        Ok(())
    }
}

/// A JSON object's entries as variables.
pub(super) fn entries(object: &Json) -> Vec<(String, Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value_of(value))).collect()
}
