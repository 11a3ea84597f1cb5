//! The rules that find what goes wrong silently.
//!
//! In: a conversation (and the template it will be written with), or what became of it. Out: [`Finding`]s, each with a
//! stable code, a level, a place and how to mend it. `render` works all the same; `prepare` and `train` refuse what has
//! an error. It changes nothing.

pub mod duplicates;
mod order;
mod tools;

use serde::Serialize;

use crate::data::{Conversation, Role};
use crate::template::{Rendered, Template};
use crate::tokens::Encoded;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Warning,
    /// Training on it teaches something wrong, or nothing.
    Error,
}

/// The rules; [`Code::as_str`] is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// No messages at all.
    NoMessages,
    /// A system message after another message.
    SystemNotFirst,
    /// More than one system message.
    SecondSystem,
    /// A user message right after a user message, an answer right after an answer, or an answer that answers nothing.
    RolesOutOfTurn,
    /// A tool result that answers no call.
    OrphanResult,
    /// A second result for the same call.
    SecondResult,
    /// A call that the conversation goes on from without a result.
    UnansweredCall,
    /// A call in a message that is not the assistant's.
    CallByOther,
    /// Two calls with the same id.
    RepeatedCallId,
    /// A call of a tool that is not offered.
    UndefinedTool,
    /// Arguments that are no JSON object.
    ArgumentsNotObject,
    /// Arguments that are JSON text inside a JSON string.
    ArgumentsEncodedTwice,
    /// A tool without a name.
    UnnamedTool,
    /// Two tools of one name.
    RepeatedTool,
    /// A tool that the template does not print.
    ToolNotShown,
    /// A message that the template drops because it has no text.
    VanishingMessage,
    /// Text beside calls that the template does not print.
    TextNotShown,
    /// Nothing is trained.
    NothingTrained,
    /// A token that has trained and untrained text in it, and is therefore not trained.
    StraddlingToken,
}

impl Code {
    /// The code as it is printed and named in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMessages => "no-messages",
            Self::SystemNotFirst => "system-not-first",
            Self::SecondSystem => "second-system",
            Self::RolesOutOfTurn => "roles-out-of-turn",
            Self::OrphanResult => "orphan-result",
            Self::SecondResult => "second-result",
            Self::UnansweredCall => "unanswered-call",
            Self::CallByOther => "call-by-other",
            Self::RepeatedCallId => "repeated-call-id",
            Self::UndefinedTool => "undefined-tool",
            Self::ArgumentsNotObject => "arguments-not-object",
            Self::ArgumentsEncodedTwice => "arguments-encoded-twice",
            Self::UnnamedTool => "unnamed-tool",
            Self::RepeatedTool => "repeated-tool",
            Self::ToolNotShown => "tool-not-shown",
            Self::VanishingMessage => "vanishing-message",
            Self::TextNotShown => "text-not-shown",
            Self::NothingTrained => "nothing-trained",
            Self::StraddlingToken => "straddling-token",
        }
    }

    /// How bad it is.
    pub fn level(self) -> Level {
        match self {
            Self::UnansweredCall
            | Self::RepeatedTool
            | Self::StraddlingToken
            | Self::RepeatedCallId
            | Self::TextNotShown => Level::Warning,
            _ => Level::Error,
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub code: Code,
    /// How bad it is.
    pub level: Level,
    /// Index of the message, where it is about one.
    pub message: Option<usize>,
    /// Where, as `messages[3].tool_calls[0]`.
    pub place: String,
    /// What was found, and what was expected.
    pub text: String,
    /// How to mend it.
    pub mend: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}. {} [{}]", self.place, self.text, self.mend, self.code)
    }
}

/// Collects findings.
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, code: Code, message: Option<usize>, place: String, text: String, mend: &str) {
        self.0.push(Finding { code, level: code.level(), message, place, text, mend: mend.to_owned() });
    }

    fn add_at(&mut self, code: Code, message: usize, text: String, mend: &str) {
        self.add(code, Some(message), format!("messages[{message}]"), text, mend);
    }
}

/// Everything that is wrong with a conversation's structure; with a template, also what that template loses.
pub fn check(conversation: &Conversation, template: Option<Template>) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    if conversation.messages.is_empty() {
        let place = "messages".to_owned();
        findings.add(Code::NoMessages, None, place, "there are no messages".to_owned(), "Drop the record");
        return findings.0;
    }
    order::check(conversation, &mut findings);
    tools::check(conversation, template, &mut findings);
    if template.is_some_and(Template::drops_empty_messages) {
        vanishing_messages(conversation, &mut findings);
    }
    if matches!(template, Some(Template::Hermes | Template::Llama31 | Template::Mistral)) {
        texts_not_shown(conversation, &mut findings);
    }
    if !conversation.messages.iter().any(crate::data::Message::is_trained) {
        let text = "no message is trained: none is the assistant's, or all say train: false".to_owned();
        let mend = "Add the answer to learn, set train: true on it, or drop the record";
        findings.add(Code::NothingTrained, None, "messages".to_owned(), text, mend);
    }
    findings.0.sort_by_key(|finding| finding.message);
    findings.0
}

fn vanishing_messages(conversation: &Conversation, findings: &mut Findings) {
    for (index, message) in conversation.messages.iter().enumerate() {
        let vanishes = message.text().is_empty() && message.tool_calls.is_empty();
        let carries_tools = index == 0 && message.role == Role::System && conversation.tools.is_some();
        if vanishes && !carries_tools {
            let text = format!(
                "the {} message has no text, and the template drops such a message, role and all",
                message.role
            );
            findings.add_at(Code::VanishingMessage, index, text, "Give it a text, or drop it yourself");
        }
    }
}

fn texts_not_shown(conversation: &Conversation, findings: &mut Findings) {
    for (index, message) in conversation.messages.iter().enumerate() {
        if !message.tool_calls.is_empty() && !message.text().trim().is_empty() {
            let text =
                "the text beside the calls is not written: the template writes the calls alone".to_owned();
            let mend = "Say it in a message of its own, if the template takes one there, or do without it";
            findings.add_at(Code::TextNotShown, index, text, mend);
        }
    }
}

/// What is wrong with a rendering: nothing in it is trained.
pub fn check_rendered(rendered: &Rendered) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    if !rendered.has_trained_piece() {
        nothing_trained(&mut findings, "no part of the rendered text is trained");
    }
    findings.0
}

/// What is wrong with encoded ids: no label, or tokens that straddle the edge of the trained text.
pub fn check_encoded(encoded: &Encoded) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    if encoded.trained_tokens() == 0 {
        nothing_trained(&mut findings, "every label is -100, so the loss would be 0 and teach nothing");
    }
    if encoded.straddling_tokens > 0 {
        let text = format!(
            "{} tokens hold trained and untrained text at once, and are not trained",
            encoded.straddling_tokens
        );
        let mend = "Often an answer that begins with a newline: strip it";
        findings.add(Code::StraddlingToken, None, "input_ids".to_owned(), text, mend);
    }
    findings.0
}

fn nothing_trained(findings: &mut Findings, text: &str) {
    let mend = "Add the answer to learn, set train: true on it, or drop the record";
    findings.add(Code::NothingTrained, None, "labels".to_owned(), text.to_owned(), mend);
}
