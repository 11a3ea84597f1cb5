//! What a conversation is, whatever format it came in.
//!
//! In: nothing; these are the types that the readers fill and everything else takes. They say what was said, not how a
//! model family writes it. Order is not checked here: see [`crate::check`].

use serde::Serialize;

use super::shape;
use crate::json::Json;

/// A conversation and the tools that were offered in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conversation {
    /// The tools offered. `None` where the record has no tools at all; `Some(vec![])` where it offers an empty list,
    /// which GLM-4's template writes as a bare header.
    pub tools: Option<Vec<ToolSpec>>,
    /// The messages, in the order in which they were said.
    pub messages: Vec<Message>,
}

impl Conversation {
    /// A conversation without tools.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { tools: None, messages }
    }

    /// A conversation in which these tools are offered.
    pub fn with_tools(tools: Vec<ToolSpec>, messages: Vec<Message>) -> Self {
        Self { tools: Some(tools), messages }
    }

    /// The tools offered; empty where there are none.
    pub fn tools(&self) -> &[ToolSpec] {
        self.tools.as_deref().unwrap_or_default()
    }

    /// The tools as one JSON value, as the record had them: a list of definitions, or the undivided value.
    pub fn tools_json(&self) -> Option<Json> {
        match self.tools.as_deref()? {
            [tool] if tool.undivided => Some(tool.definition.clone()),
            tools => Some(Json::Array(tools.iter().map(|tool| tool.definition.clone()).collect())),
        }
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&ToolSpec> {
        self.tools().iter().find(|tool| tool.name() == Some(name))
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The instructions.
    System,
    /// The human.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call (GLM's `observation`).
    Tool,
}

impl Role {
    /// The role's name in the OpenAI format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text; `None` where the record has null or nothing, which is not the same as an empty text.
    pub content: Option<String>,
    /// The model's thoughts before its answer (`reasoning_content`).
    pub reasoning: Option<String>,
    /// The calls that an assistant makes, in order.
    pub tool_calls: Vec<ToolCall>,
    /// For a tool result: the id of the call it answers.
    pub tool_call_id: Option<String>,
    /// For a tool result: the name of the tool, where the record tells.
    pub name: Option<String>,
    /// Whether this message is trained; `None` leaves it to the role (assistant messages are, others are not).
    pub train: Option<bool>,
}

impl Message {
    /// A message of this role and text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { content: Some(content.into()), ..Self::empty(role) }
    }

    /// A message of this role that says nothing.
    pub fn empty(role: Role) -> Self {
        Self {
            role,
            content: None,
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
            train: None,
        }
    }

    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// An assistant message of text alone.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// An assistant message that makes these calls and says nothing else.
    pub fn calls(tool_calls: Vec<ToolCall>) -> Self {
        Self { tool_calls, ..Self::empty(Role::Assistant) }
    }

    /// The result of the call with this id.
    pub fn tool_result(tool_call_id: Option<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id, ..Self::new(Role::Tool, content) }
    }

    /// Whether the tokens of this message are trained.
    pub fn is_trained(&self) -> bool {
        self.train.unwrap_or(self.role == Role::Assistant)
    }

    /// The text, or nothing.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolCall {
    /// What its result refers to; `None` in formats that have no ids, and in what a model wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// The arguments: an object, except in broken data (which [`crate::check`] reports).
    pub arguments: Json,
}

impl ToolCall {
    /// A call without id.
    pub fn new(name: impl Into<String>, arguments: Json) -> Self {
        Self { id: None, name: name.into(), arguments }
    }

    /// The same call with an id.
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }
}

/// A tool as the record defines it: usually `{"type": "function", "function": {"name", "description", "parameters"}}`.
///
/// The definition is kept as given, key order and numbers included, because templates print it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    definition: Json,
    undivided: bool,
    had_nulls: bool,
}

impl ToolSpec {
    /// A tool with this definition, wrapped in `{"type": "function", …}` or not.
    pub fn new(definition: Json) -> Self {
        Self { definition, undivided: false, had_nulls: false }
    }

    /// All the tools of a record in one value that is no list of them, such as a text for people (`chatglm3` has these).
    pub fn undivided(definition: Json) -> Self {
        Self { definition, undivided: true, had_nulls: false }
    }

    /// The same tool without the nulls that Arrow writes wherever one schema lacks what another has; a null that the
    /// schema means (in `enum`, `const`, `default`, `examples`) stays. [`had_nulls`](Self::had_nulls) tells of it.
    pub(super) fn without_filled_in_nulls(mut self) -> Self {
        self.had_nulls = shape::drop_filled_in_nulls(&mut self.definition);
        self
    }

    /// Whether nulls were taken out of the definition when it was read.
    pub fn had_nulls(&self) -> bool {
        self.had_nulls
    }

    /// Whether this is the whole of a record's tools, which is no list.
    pub fn is_undivided(&self) -> bool {
        self.undivided
    }

    /// A function tool, wrapped as OpenAI's API takes it.
    pub fn function(name: impl Into<String>, description: impl Into<String>, parameters: Json) -> Self {
        Self::new(serde_json::json!({
            "type": "function",
            "function": {"name": name.into(), "description": description.into(), "parameters": parameters},
        }))
    }

    /// The definition as given.
    pub fn definition(&self) -> &Json {
        &self.definition
    }

    /// The definition as given, by value.
    pub fn into_definition(self) -> Json {
        self.definition
    }

    /// The value of `type`, where there is one (`function`, or a built-in tool such as `python`).
    pub fn kind(&self) -> Option<&str> {
        self.definition.get("type").and_then(Json::as_str)
    }

    /// The object that holds name, description and parameters: the value of `function`, or the definition itself.
    pub fn function_object(&self) -> &Json {
        self.definition.get("function").unwrap_or(&self.definition)
    }

    /// The name that calls use.
    pub fn name(&self) -> Option<&str> {
        let name = self.function_object().get("name").and_then(Json::as_str);
        // A built-in tool (`{"type": "python"}`) is called by its type.
        name.or_else(|| self.kind().filter(|kind| *kind != "function"))
    }

    /// What the tool is for.
    pub fn description(&self) -> Option<&str> {
        self.function_object().get("description").and_then(Json::as_str)
    }

    /// The JSON Schema of the arguments.
    pub fn parameters(&self) -> Option<&Json> {
        self.function_object().get("parameters")
    }
}
