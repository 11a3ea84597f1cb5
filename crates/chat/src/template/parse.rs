//! What a model wrote, read back: the types, and what the parsers of all families share.
//!
//! In: text in any portions. Out: [`ParseEvent`]s, which add up to an [`AssistantTurn`]; the same ones in effect however
//! the text was cut. What cannot be read is data ([`MalformedToolCall`]), never an error. Time is linear in the text.

use serde::Serialize;

use super::Template;
use super::glm4_parse::Glm4Parser;
use super::qwen25_parse::Qwen25Parser;
use crate::data::{ToolCall, ToolSpec};

/// An assistant's turn as it was generated.
///
/// Serializes to the command line's contract: `{"content", "reasoning", "tool_calls", "malformed"}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct AssistantTurn {
    /// The text around the calls; `None` where there is none.
    pub content: Option<String>,
    /// The thoughts, in families that mark them.
    pub reasoning: Option<String>,
    /// The calls, in order.
    pub tool_calls: Vec<ToolCall>,
    /// What looked like a call but could not be read, in order.
    pub malformed: Vec<MalformedToolCall>,
}

impl AssistantTurn {
    /// Adds what these events say.
    pub fn extend(&mut self, events: impl IntoIterator<Item = ParseEvent>) {
        for event in events {
            match event {
                ParseEvent::Content(text) => self.content.get_or_insert_default().push_str(&text),
                ParseEvent::ToolCall(call) => self.tool_calls.push(call),
                ParseEvent::Malformed(malformed) => self.malformed.push(malformed),
            }
        }
    }
}

/// What looked like a call but could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MalformedToolCall {
    /// What the model wrote, marks included.
    pub raw_text: String,
    /// Why it could not be read.
    pub error: String,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ParseEvent {
    /// Text for the reader, never empty; it follows the text of earlier events.
    Content(String),
    /// A complete call.
    ToolCall(ToolCall),
    /// What looked like a call but could not be read.
    Malformed(MalformedToolCall),
}

/// Reads an answer while it is written.
#[derive(Debug, Clone)]
pub struct StreamParser {
    family: Family,
}

#[derive(Debug, Clone)]
enum Family {
    Qwen25(Qwen25Parser),
    Glm4(Glm4Parser),
}

impl StreamParser {
    pub(super) fn new(template: Template, tools: Option<&[ToolSpec]>) -> Self {
        let offered = Offered::new(tools);
        let family = match template {
            Template::Qwen25 => Family::Qwen25(Qwen25Parser::new(offered)),
            Template::Glm4 => Family::Glm4(Glm4Parser::new(offered)),
        };
        Self { family }
    }

    /// Takes the next portion of text; returns what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<ParseEvent> {
        match &mut self.family {
            Family::Qwen25(parser) => parser.push(text),
            Family::Glm4(parser) => parser.push(text),
        }
    }

    /// Says that the text is complete; returns the rest.
    pub fn finish(self) -> Vec<ParseEvent> {
        match self.family {
            Family::Qwen25(parser) => parser.finish(),
            Family::Glm4(parser) => parser.finish(),
        }
    }
}

/// The names that a call may use.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    tools: Option<Vec<ToolSpec>>,
}

impl Offered {
    fn new(tools: Option<&[ToolSpec]>) -> Self {
        Self { tools: tools.map(<[ToolSpec]>::to_vec) }
    }
}
