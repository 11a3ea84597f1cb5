//! A chat format, native or the model's own: what everything that has a model folder works with.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{
    AssistantTurn, ModelTemplate, RenderError, RenderOptions, Rendered, StreamParser, Template,
    TrainingSample,
};
use crate::data::{Conversation, ToolSpec};

/// What `--template` takes: a native family, or `jinja` for the model's own chat template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TemplateName {
    /// A family that this crate writes itself.
    Native(Template),
    /// The chat template in the model's files.
    Jinja,
}

impl TemplateName {
    const JINJA: &'static str = "jinja";

    /// Every name, in the order in which messages list them.
    pub fn all() -> Vec<&'static str> {
        Template::ALL.map(Template::as_str).into_iter().chain([Self::JINJA]).collect()
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native(template) => template.as_str(),
            Self::Jinja => Self::JINJA,
        }
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TemplateName {
    type Err = RenderError;

    fn from_str(name: &str) -> Result<Self, RenderError> {
        if name == Self::JINJA {
            return Ok(Self::Jinja);
        }
        name.parse().map(Self::Native).map_err(|_| RenderError::UnknownTemplate {
            name: name.to_owned(),
            expected: Self::all().join(", "),
        })
    }
}

/// A chat format.
#[derive(Debug, Clone)]
pub enum ChatTemplate {
    /// A family that this crate writes itself.
    Native(Template),
    /// The model's own template.
    Model(Arc<ModelTemplate>),
}

impl ChatTemplate {
    /// The name that `--template` takes.
    pub fn as_str(&self) -> &'static str {
        self.name().as_str()
    }

    /// The same as a value.
    pub fn name(&self) -> TemplateName {
        match self {
            Self::Native(template) => TemplateName::Native(*template),
            Self::Model(_) => TemplateName::Jinja,
        }
    }

    /// The native family, where it is one.
    pub fn native(&self) -> Option<Template> {
        match self {
            Self::Native(template) => Some(*template),
            Self::Model(_) => None,
        }
    }

    /// See [`Template::render`].
    pub fn render(
        &self,
        conversation: &Conversation,
        options: &RenderOptions,
    ) -> Result<Rendered, RenderError> {
        match self {
            Self::Native(template) => template.render(conversation, options),
            Self::Model(template) => template.render(conversation, options),
        }
    }

    /// See [`Template::samples`].
    pub fn samples<'a>(
        &self,
        conversation: &'a Conversation,
        options: &RenderOptions,
    ) -> Result<Vec<TrainingSample<'a>>, RenderError> {
        match self {
            Self::Native(template) => template.samples(conversation, options),
            Self::Model(template) => template.samples(conversation, options),
        }
    }

    /// See [`Template::parse`].
    pub fn parse(&self, text: &str, tools: Option<&[ToolSpec]>) -> AssistantTurn {
        self.stream_parser(tools).read_whole(text)
    }

    /// See [`Template::parse_to_score`].
    pub fn parse_to_score(&self, text: &str, tools: &[ToolSpec]) -> AssistantTurn {
        match self {
            Self::Native(template) => template.parse_to_score(text, tools),
            Self::Model(template) => template.parse_to_score(text, tools),
        }
    }

    /// See [`Template::stream_parser`].
    pub fn stream_parser(&self, tools: Option<&[ToolSpec]>) -> StreamParser {
        match self {
            Self::Native(template) => template.stream_parser(tools),
            Self::Model(template) => template.stream_parser(tools),
        }
    }

    /// See [`Template::stop_tokens`].
    pub fn stop_tokens(&self) -> Vec<&str> {
        match self {
            Self::Native(template) => template.stop_tokens().to_vec(),
            Self::Model(template) => template.stop_tokens().iter().map(String::as_str).collect(),
        }
    }

    /// See [`Template::marks_calls`].
    pub fn marks_calls(&self) -> bool {
        match self {
            Self::Native(template) => template.marks_calls(),
            Self::Model(template) => template.marks_calls(),
        }
    }
}

impl From<Template> for ChatTemplate {
    fn from(template: Template) -> Self {
        Self::Native(template)
    }
}

impl fmt::Display for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
