//! What the GLM families share: role tokens that part the messages and end the answers.
//!
//! In: what a renderer says of each message. Out: pieces. Nobody owns a stop token: the next role does its work,
//! `<|observation|>` after a call, else `<|user|>`; it is trained with the answer before it, as is an `<|assistant|>`
//! that goes on. It does not know what stands inside a message.

use super::rendered::{Part, Writer};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, ToolSpec};

pub(crate) const SYSTEM: &str = "<|system|>";
pub(crate) const USER: &str = "<|user|>";
pub(crate) const ASSISTANT: &str = "<|assistant|>";
pub(super) const OBSERVATION: &str = "<|observation|>";

/// Tools that take raw text instead of JSON: their names, each with the key of its sole argument.
pub(super) type BuiltIn = &'static [(&'static str, &'static str)];

/// The key of a built-in tool's sole argument, which is written raw; `None` for tools that take JSON.
///
/// A tool that is offered as a function takes JSON whatever its name is.
pub(super) fn raw_argument(name: &str, tools: &[ToolSpec], built_in: BuiltIn) -> Option<&'static str> {
    let (_, key) = built_in.iter().find(|(known, _)| *known == name)?;
    (!tools.iter().any(|tool| is_function(tool, name))).then_some(key)
}

/// Whether a tool is a function of this name, and not the built-in tool.
pub(super) fn is_function(tool: &ToolSpec, name: &str) -> bool {
    tool.name() == Some(name) && tool.kind() != Some(name)
}

/// An assistant segment that was written last: the next role token ends it.
struct Answer {
    trained: bool,
    stop: &'static str,
}

/// Writes messages one after another.
pub(super) struct Turns {
    pub(super) out: Writer,
    answer: Option<Answer>,
    /// Whether header and content are encoded apart.
    apart: bool,
}

impl Turns {
    pub(super) fn begin(
        conversation: &Conversation,
        start: [&str; 2],
        apart: bool,
    ) -> Result<Self, RenderError> {
        let messages = &conversation.messages;
        if messages.is_empty() {
            return Err(RenderError::NoMessages);
        }
        let size: usize = messages.iter().map(|message| message.text().len() + 64).sum();
        let size = size + 1024 * (1 + conversation.tools().len());
        let mut out = Writer::with_capacity(size, 4 * messages.len() + 16);
        start.iter().for_each(|name| out.control(name));
        Ok(Self { out, answer: None, apart })
    }

    /// A role token; it is trained where it ends a trained answer as the model should end it, or goes on.
    pub(super) fn role(&mut self, role: &'static str) {
        let ends = self.answer.take();
        self.out.trained =
            ends.is_some_and(|answer| answer.trained && (role == answer.stop || role == ASSISTANT));
        self.out.control(role);
        self.out.trained = false;
    }

    /// The newline behind a role, or behind a name.
    pub(super) fn end_header(&mut self) {
        self.out.structure("\n");
        if self.apart {
            self.out.start_run();
        }
    }

    /// A message of text.
    pub(super) fn text(&mut self, role: &'static str, message: &Message, text: &str) {
        self.role(role);
        self.out.trained = message.is_trained();
        self.end_header();
        self.out.content(text);
        if role == ASSISTANT {
            self.answers(message, USER);
        }
    }

    /// A segment that calls, up to its name; `end` is what stands between the name and the newline.
    pub(super) fn name(&mut self, message: &Message, name: &str, end: &str) {
        self.role(ASSISTANT);
        self.out.trained = message.is_trained();
        self.out.content_part(Part::Name, name);
        self.out.structure(end);
        self.end_header();
        self.answers(message, OBSERVATION);
    }

    /// What was written is an answer, and this role token should end it.
    pub(super) fn answers(&mut self, message: &Message, stop: &'static str) {
        self.answer = Some(Answer { trained: message.is_trained(), stop });
    }

    /// What stands before an answer.
    pub(super) fn prompt(&mut self) {
        self.out.message = None;
        self.role(ASSISTANT);
    }

    pub(super) fn finish(mut self, options: &RenderOptions) -> Rendered {
        if options.add_generation_prompt {
            self.prompt();
        }
        if options.for_training
            && let Some(answer) = self.answer.take()
        {
            self.out.trained = answer.trained;
            self.out.control(answer.stop);
        }
        self.out.finish()
    }
}

/// Why a name cannot stand on a line of its own before a call.
pub(super) fn check_name(
    name: &str,
    message: usize,
    call: usize,
    template: Template,
) -> Result<(), RenderError> {
    let reason = if name.trim().is_empty() {
        "a call without a name reads as text"
    } else if name != name.trim() {
        "white space around it is lost when the call is read back"
    } else if name.contains(['\n', '\r']) {
        "it stands on a line of its own"
    } else {
        return Ok(());
    };
    Err(RenderError::UnwritableName { message, call, name: name.to_owned(), template, reason })
}

/// The text of a message in a template that cannot write one without.
pub(super) fn text_of(message: &Message, index: usize, template: Template) -> Result<&str, RenderError> {
    message.content.as_deref().ok_or(RenderError::NoContent { message: index, role: message.role, template })
}
