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
    /// `None`: any name will do.
    tools: Option<Vec<OfferedTool>>,
}

#[derive(Debug, Clone)]
struct OfferedTool {
    name: String,
    raw_key: Option<&'static str>,
}

impl Offered {
    fn new(tools: Option<&[ToolSpec]>) -> Self {
        let offered = |tools: &[ToolSpec]| {
            let offered = |tool: &ToolSpec| {
                let name = tool.name()?.to_owned();
                let raw_key = super::glm4::raw_argument(&name, tools);
                Some(OfferedTool { name, raw_key })
            };
            // A tool described by a text has its name somewhere in it: then any name will do.
            tools.iter().map(offered).collect::<Option<Vec<_>>>()
        };
        Self { tools: tools.and_then(offered) }
    }

    /// Whether names are known, so that a call must use one of them.
    pub(super) fn is_listed(&self) -> bool {
        self.tools.is_some()
    }

    /// Whether a call may use this name.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool.name == name))
    }

    /// Whether a listed name starts like this.
    pub(super) fn any_starts_with(&self, start: &str) -> bool {
        self.tools.as_ref().is_some_and(|tools| tools.iter().any(|tool| tool.name.starts_with(start)))
    }

    /// The length of the longest listed name.
    pub(super) fn longest_name(&self) -> usize {
        self.tools.iter().flatten().map(|tool| tool.name.len()).max().unwrap_or(0)
    }

    /// The key under which a built-in tool's raw text goes; `None` for tools that take JSON.
    pub(super) fn raw_key(&self, name: &str) -> Option<&'static str> {
        match &self.tools {
            Some(tools) => tools.iter().find(|tool| tool.name == name)?.raw_key,
            None => super::glm4::raw_argument(name, &[]),
        }
    }

    /// Why a name cannot be called.
    pub(super) fn refusal(&self, name: &str) -> String {
        let names: Vec<_> = self.tools.iter().flatten().map(|tool| tool.name.as_str()).collect();
        if names.is_empty() {
            return format!("the tool {name:?} is not offered; no tools are");
        }
        format!("the tool {name:?} is not offered; offered are: {}", names.join(", "))
    }
}

/// Whether text ends in the middle of one of these marks: it begins one, and more text may complete it.
pub(super) fn begins_mark(text: &str, marks: &[&str]) -> bool {
    marks.iter().any(|mark| mark.len() > text.len() && mark.starts_with(text))
}

/// The mark that a text starts with.
pub(super) fn starts_with_mark<'a>(text: &str, marks: &[&'a str]) -> Option<&'a str> {
    marks.iter().copied().find(|mark| text.starts_with(mark))
}

/// How many bytes of white space a text starts with.
pub(super) fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// A text without the stop tokens and white space at its end.
pub(super) fn without_stops<'a>(mut text: &'a str, stops: &[&str]) -> &'a str {
    loop {
        let trimmed = text.trim_end();
        match stops.iter().find_map(|stop| trimmed.strip_suffix(stop)) {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}
