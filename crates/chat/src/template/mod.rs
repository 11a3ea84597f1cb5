//! Chat formats: one file per model family, each holding the renderer and its inverse.
//!
//! In: a [`Conversation`]. Out: [`Rendered`], the text that the family's Hugging Face chat template prints, cut into
//! pieces that know what they are. And back: the text that a model wrote, whole or in any portions, to an
//! [`AssistantTurn`]. It knows no tokenizer: a control token is a name here, and an id in [`crate::tokens`].

mod chat_template;
mod compare;
mod error;
mod family;
mod glm4;
mod jinja;
mod parse;
mod qwen25;
mod recognise;
mod rendered;
mod samples;

use std::fmt;
use std::str::FromStr;

pub use chat_template::{ChatTemplate, TemplateName};
pub use compare::{Difference, first_difference};
pub use error::RenderError;
pub use jinja::{LocalTime, ModelTemplate};
pub use parse::{AssistantTurn, MalformedToolCall, ParseEvent, StreamParser};
pub use recognise::ModelFacts;
pub use rendered::{Piece, PieceKind, Rendered};

use crate::data::{Conversation, ToolSpec};
use family::Family;

/// A model family's chat format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Template {
    /// Qwen2.5: ChatML, calls as JSON between `<tool_call>` and `</tool_call>`.
    Qwen25,
    /// GLM-4 9B chat, with the tools text of its Jinja template.
    Glm4,
}

/// How a conversation is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// End with what stands before an answer, so that the model answers next.
    pub add_generation_prompt: bool,
    /// Append the stop token of the last answer where the template writes none (GLM), so that it is trained too.
    pub for_training: bool,
    /// Let the model think before it answers, where the family leaves the choice (Qwen3, GLM-4.5).
    pub enable_thinking: bool,
}

impl RenderOptions {
    /// What the template prints, and nothing more.
    pub const PLAIN: Self = Self { add_generation_prompt: false, for_training: false, enable_thinking: true };
    /// The prompt of the next answer.
    pub const PROMPT: Self = Self { add_generation_prompt: true, ..Self::PLAIN };
    /// A sample to train on.
    pub const TRAINING: Self = Self { for_training: true, ..Self::PLAIN };
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl Template {
    /// Every template, in the order in which messages list them.
    pub const ALL: [Self; 2] = [Self::Qwen25, Self::Glm4];

    /// The name that `--template` takes.
    pub fn as_str(self) -> &'static str {
        self.family().name
    }

    /// The template of a model, told by the facts in its folder; `None` where no template is known to be the model's.
    pub fn recognise(facts: &ModelFacts) -> Option<Self> {
        recognise::recognise(facts)
    }

    /// Renders a conversation.
    pub fn render(
        self,
        conversation: &Conversation,
        options: &RenderOptions,
    ) -> Result<Rendered, RenderError> {
        (self.family().render)(conversation, options)
    }

    /// The samples to train a conversation by: one, except where the family writes earlier turns in another way once a
    /// later one came. There each trained user turn becomes a sample of its own, written as it is when it is served.
    pub fn samples(
        self,
        conversation: &Conversation,
        options: &RenderOptions,
    ) -> Result<Vec<Rendered>, RenderError> {
        let rewrites = self.family().rewrites_history;
        samples::samples(&|turn| self.render(turn, options), rewrites, conversation, options)
    }

    /// Reads a whole answer: what a model wrote after the generation prompt.
    ///
    /// With the tools that were offered, a call must name one of them; without (`None`), any name will do.
    pub fn parse(self, text: &str, tools: Option<&[ToolSpec]>) -> AssistantTurn {
        self.stream_parser(tools).whole(text)
    }

    /// A parser for an answer that is still being written.
    pub fn stream_parser(self, tools: Option<&[ToolSpec]>) -> StreamParser {
        let family = self.family();
        StreamParser::new((family.grammar)(), family.thinks, tools)
    }

    /// The control tokens that end an answer, the one that training teaches first. Generation stops at each of them.
    pub fn stop_tokens(self) -> &'static [&'static str] {
        self.family().stop_tokens
    }

    /// Whether calls stand between marks, so that no text can be taken for one.
    pub fn marks_calls(self) -> bool {
        self.family().marks_calls
    }

    fn family(self) -> &'static Family {
        match self {
            Self::Qwen25 => &qwen25::FAMILY,
            Self::Glm4 => &glm4::FAMILY,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Template {
    type Err = RenderError;

    fn from_str(name: &str) -> Result<Self, RenderError> {
        Self::ALL.into_iter().find(|template| template.as_str() == name).ok_or_else(|| {
            RenderError::UnknownTemplate {
                name: name.to_owned(),
                expected: Self::ALL.map(Self::as_str).join(", "),
            }
        })
    }
}

/// The key of the sole argument of a GLM built-in tool, whose calls carry raw text; `None` for tools that take JSON.
pub(crate) fn glm4_raw_argument(name: &str, tools: &[ToolSpec]) -> Option<&'static str> {
    glm4::raw_argument(name, tools)
}
