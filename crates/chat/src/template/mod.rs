//! Chat formats: one file per model family, each holding the renderer and its inverse.
//!
//! In: a [`Conversation`]. Out: [`Rendered`], the text that the family's Hugging Face chat template prints, cut into
//! pieces that know what they are. And back: the text that a model wrote, whole or in any portions, to an
//! [`AssistantTurn`]. It knows no tokenizer: a control token is a name here, and an id in [`crate::tokens`].

mod chat_template;
mod chatglm3;
mod chatml;
mod compare;
mod error;
mod family;
pub(crate) mod glm4;
mod glm40414;
mod glm45;
pub(crate) mod glm4_tools;
pub(crate) mod glm_turns;
mod hermes;
mod jinja;
mod llama31;
mod mistral;
mod mistral_ids;
mod parse;
mod python_text;
mod qwen25;
mod qwen3;
mod qwen3_coder;
mod react;
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
pub use rendered::{Part, Piece, PieceKind, Rendered};
pub use samples::TrainingSample;

use crate::data::{Conversation, ToolSpec};
use family::{Family, History};
use parse::Offered;

/// A model family's chat format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Template {
    /// Qwen2.5: ChatML, calls as JSON between `<tool_call>` and `</tool_call>`.
    Qwen25,
    /// GLM-4 9B chat, with the tools text of its Jinja template.
    Glm4,
    /// GLM-4 9B chat, with the tools text of its Python tokenizer of June 2024.
    Glm4A,
    /// GLM-4 9B chat, with the tools text of the ports to C++.
    Glm4B,
    /// GLM-4 9B chat, with the tools text of LLaMA-Factory.
    Glm4D,
    /// GLM-4-0414: tools first, then all system messages.
    Glm40414,
    /// GLM-4.5 and GLM-4.6: thoughts, calls in tags.
    Glm45,
    /// ChatGLM3: calls as Python in a fenced block.
    ChatGlm3,
    /// Qwen3: as Qwen2.5, with thoughts and no default system text.
    Qwen3,
    /// Qwen3-Coder: ChatML, calls as `<function=…>` and `<parameter=…>`.
    Qwen3Coder,
    /// Hermes: ChatML, calls as Qwen2.5 writes them, tools in a system message of their own.
    Hermes,
    /// ReAct in ChatML, as LLaMA-Factory writes it: `Action:` and `Action Input:`.
    React,
    /// Llama 3.1: a call is the whole message, one JSON object.
    Llama31,
    /// Mistral Nemo: `[TOOL_CALLS]` and a list of objects with ids.
    Mistral,
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
    pub const ALL: [Self; 14] = [
        Self::Qwen25,
        Self::Glm4,
        Self::Glm4A,
        Self::Glm4B,
        Self::Glm4D,
        Self::Glm40414,
        Self::Glm45,
        Self::ChatGlm3,
        Self::Qwen3,
        Self::Qwen3Coder,
        Self::Hermes,
        Self::React,
        Self::Llama31,
        Self::Mistral,
    ];

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
    pub fn samples<'a>(
        self,
        conversation: &'a Conversation,
        options: &RenderOptions,
    ) -> Result<Vec<TrainingSample<'a>>, RenderError> {
        let render = |conversation: &Conversation| self.render(conversation, options);
        match self.family().history {
            _ if options.add_generation_prompt => samples::whole(conversation, &render),
            History::Kept => samples::whole(conversation, &render),
            History::RewrittenByQuestions => samples::by_turns(conversation, false, &render),
            History::RewrittenByAnswers => samples::by_turns(conversation, true, &render),
        }
    }

    /// Reads a whole answer: what a model wrote after the generation prompt.
    ///
    /// With the tools that were offered, a call must name one of them; without (`None`), any name will do.
    pub fn parse(self, text: &str, tools: Option<&[ToolSpec]>) -> AssistantTurn {
        self.stream_parser(tools).read_whole(text)
    }

    /// Reads a whole answer to score it: where calls are marked, one of a tool that is not offered is a wrong call. The
    /// tools still say which types arguments have, in families that write none.
    pub fn parse_to_score(self, text: &str, tools: &[ToolSpec]) -> AssistantTurn {
        match self.marks_calls() {
            true => self.parser(Offered::any_of(tools)).read_whole(text),
            false => self.parse(text, Some(tools)),
        }
    }

    /// A parser for an answer that is still being written.
    pub fn stream_parser(self, tools: Option<&[ToolSpec]>) -> StreamParser {
        self.parser(Offered::new(tools))
    }

    fn parser(self, offered: Offered) -> StreamParser {
        let family = self.family();
        StreamParser::new((family.grammar)(), family.thinks, offered)
    }

    /// The control tokens that end an answer, the one that training teaches first. Generation stops at each of them.
    pub fn stop_tokens(self) -> &'static [&'static str] {
        self.family().stop_tokens
    }

    /// Whether calls stand between marks, so that no text can be taken for one.
    pub fn marks_calls(self) -> bool {
        self.family().marks_calls
    }

    /// Whether answers may begin with thoughts, which the template writes.
    pub fn thinks(self) -> bool {
        self.family().thinks
    }

    /// Whether a message without text is not written at all, role and all.
    pub fn drops_empty_messages(self) -> bool {
        self.family().drops_empty
    }

    /// Whether the format tells the model of this tool.
    pub fn shows_tool(self, tool: &ToolSpec) -> bool {
        (self.family().shows_tool)(tool)
    }

    fn family(self) -> &'static Family {
        match self {
            Self::Qwen25 => &qwen25::FAMILY,
            Self::Glm4 => &glm4::FAMILY,
            Self::Glm4A => &glm4::FAMILY_A,
            Self::Glm4B => &glm4::FAMILY_B,
            Self::Glm4D => &glm4::FAMILY_D,
            Self::Glm40414 => &glm40414::FAMILY,
            Self::Glm45 => &glm45::FAMILY,
            Self::ChatGlm3 => &chatglm3::FAMILY,
            Self::Qwen3 => &qwen3::FAMILY,
            Self::Qwen3Coder => &qwen3_coder::FAMILY,
            Self::Hermes => &hermes::FAMILY,
            Self::React => &react::FAMILY,
            Self::Llama31 => &llama31::FAMILY,
            Self::Mistral => &mistral::FAMILY,
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
    glm_turns::raw_argument(name, tools, glm4_tools::BUILT_IN)
}
