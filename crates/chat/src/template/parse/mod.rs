//! What a model wrote, read back: the types, and which grammar reads which family.
//!
//! In: text in any portions. Out: [`ParseEvent`]s, which add up to an [`AssistantTurn`]; the same ones in effect however
//! the text was cut. What cannot be read is data ([`MalformedToolCall`]), never an error. Time is linear in the text.
//! One file per way of writing calls; families share them.

mod arg_tags;
mod bare_json;
mod function_xml;
mod json_call;
mod name_line;
mod offered;
mod python_block;
mod react;
mod scanner;
mod schema_types;
mod sink;
mod thinking;
mod tool_call_tags;

use serde::Serialize;

pub(super) use arg_tags::ArgTags;
pub(super) use bare_json::BareJson;
pub(super) use function_xml::FunctionXml;
pub(super) use name_line::NameLine;
pub(super) use offered::Offered;
pub(super) use react::React;
use scanner::Scanner;
use thinking::Thinking;
pub(super) use tool_call_tags::ToolCallTags;

use crate::data::ToolCall;

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
                ParseEvent::Reasoning(text) => self.reasoning.get_or_insert_default().push_str(&text),
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
    /// Thoughts, never empty; they follow those of earlier events.
    Reasoning(String),
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
    scanner: Scanner,
    /// The thoughts before the answer, until they are over.
    thinking: Option<Thinking>,
    grammar: Grammar,
}

/// A way of writing calls.
#[derive(Debug, Clone)]
pub(super) enum Grammar {
    ToolCallTags(ToolCallTags),
    NameLine(NameLine),
    ArgTags(ArgTags),
    FunctionXml(FunctionXml),
    React(React),
    BareJson(BareJson),
}

impl Grammar {
    /// One step; `false` where more text is needed, or where there is none left.
    fn step(&mut self, scanner: &mut Scanner, last: bool) -> bool {
        match self {
            Self::ToolCallTags(grammar) => grammar.step(scanner, last),
            Self::NameLine(grammar) => grammar.step(scanner, last),
            Self::ArgTags(grammar) => grammar.step(scanner, last),
            Self::FunctionXml(grammar) => grammar.step(scanner, last),
            Self::React(grammar) => grammar.step(scanner, last),
            Self::BareJson(grammar) => grammar.step(scanner, last),
        }
    }

    /// The text is complete and every step was made.
    fn finish(&mut self, scanner: &mut Scanner) {
        match self {
            Self::ToolCallTags(_)
            | Self::ArgTags(_)
            | Self::FunctionXml(_)
            | Self::React(_)
            | Self::BareJson(_) => {}
            Self::NameLine(grammar) => grammar.finish(scanner),
        }
    }
}

impl StreamParser {
    pub(super) fn new(grammar: Grammar, thinks: bool, offered: Offered) -> Self {
        let mut scanner = Scanner::new(offered);
        scanner.calls_own_space(matches!(grammar, Grammar::FunctionXml(_)));
        Self { scanner, thinking: thinks.then(Thinking::new), grammar }
    }

    /// Takes the next portion of text; returns what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<ParseEvent> {
        self.scanner.push(text);
        self.read(false);
        self.scanner.take_events()
    }

    /// Says that the text is complete; returns the rest.
    pub fn finish(mut self) -> Vec<ParseEvent> {
        self.read(true);
        self.grammar.finish(&mut self.scanner);
        self.scanner.finish()
    }

    /// Reads all of it at once.
    pub(super) fn read_whole(mut self, text: &str) -> AssistantTurn {
        let mut turn = AssistantTurn::default();
        turn.extend(self.push(text));
        turn.extend(self.finish());
        turn
    }

    fn read(&mut self, last: bool) {
        if let Some(thinking) = &mut self.thinking {
            if !thinking.is_over(&mut self.scanner, last) {
                return;
            }
            self.thinking = None;
        }
        while self.grammar.step(&mut self.scanner, last) {}
    }
}
