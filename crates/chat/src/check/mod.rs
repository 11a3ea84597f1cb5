//! The rules that find what goes wrong silently.
//!
//! In: a conversation (and the template and tokenizer it will be written with), or what became of it. Out:
//! [`Finding`]s, each with a stable [`Code`], a level, a place and how to mend it. `render` works all the same;
//! `prepare` and `train` refuse what has an error. It changes nothing, except in [`fix`].

mod calls_in_text;
mod dataset;
pub mod duplicates;
mod finding;
pub mod fix;
mod order;
mod rules;
mod schema;
mod text;
mod tools;
mod trained;

pub use dataset::DatasetFacts;
pub use finding::{Finding, Spot};
pub use rules::{Code, Level, Rule};
pub use schema::{Schemas, Verdict, Violation};
pub use trained::check_encoded;

use crate::data::{Conversation, Message};
use crate::template::{ChatTemplate, PieceKind, Rendered, Template};
use crate::tokens::{ChatTokenizer, IGNORE_INDEX};

/// Collects findings.
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, code: Code, message: Option<usize>, place: String, text: String, mend: &str) {
        self.0.push(Finding { message, place, mend: mend.to_owned(), ..Finding::new(code, text) });
    }

    fn add_at(&mut self, code: Code, message: usize, text: String, mend: &str) {
        self.add(code, Some(message), format!("messages[{message}]"), text, mend);
    }

    /// Marks a spot of the text that the last finding is about.
    fn mark(&mut self, text: &str, range: std::ops::Range<usize>) {
        if let Some(finding) = self.0.last_mut() {
            finding.spot = Some(Box::new(Spot::new(text, range)));
        }
    }

    fn has(&self, code: Code, message: usize) -> bool {
        self.0.iter().any(|finding| finding.code == code && finding.message == Some(message))
    }
}

/// The rules about single conversations, with what they remember between them.
#[derive(Debug, Default)]
pub struct Checker<'a> {
    template: Option<ChatTemplate>,
    tokenizer: Option<&'a ChatTokenizer>,
    /// The ids that end an answer; empty where they are not known.
    stops: Vec<u32>,
    schemas: Schemas,
}

impl<'a> Checker<'a> {
    /// Rules for what will be written with this template and encoded by this tokenizer; rules that need the one that is
    /// not given find nothing.
    pub fn new(template: Option<ChatTemplate>, tokenizer: Option<&'a ChatTokenizer>) -> Self {
        let stops = match (&template, tokenizer) {
            (Some(template), Some(tokenizer)) => tokenizer.control_ids(&template.stop_tokens()),
            _ => Vec::new(),
        };
        Self { template, tokenizer, stops, schemas: Schemas::default() }
    }

    /// The schemas that were compiled so far, for [`fix::mend`].
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Everything that is wrong with a conversation; with a template, also what that template loses.
    pub fn check(&self, conversation: &Conversation) -> Vec<Finding> {
        let native = self.template.as_ref().and_then(ChatTemplate::native);
        let mut findings = Findings(Vec::new());
        if conversation.messages.is_empty() {
            let place = "messages".to_owned();
            findings.add(
                Code::NoMessages,
                None,
                place,
                "there are no messages".to_owned(),
                "Drop the record",
            );
            return findings.0;
        }
        order::check(conversation, &mut findings);
        tools::check(conversation, native, &self.schemas, &mut findings);
        if native.is_some_and(Template::drops_empty_messages) {
            text::vanishing_messages(conversation, &mut findings);
        }
        if matches!(native, Some(Template::Hermes | Template::Llama31 | Template::Mistral)) {
            text::texts_not_shown(conversation, &mut findings);
        }
        text::check(conversation, native, self.tokenizer, &mut findings);
        calls_in_text::check(conversation, &mut findings);
        if !conversation.messages.iter().any(Message::is_trained) {
            let text = "no message is trained: none is the assistant's, or all say train: false".to_owned();
            let mend = "Add the answer to learn, set train: true on it, or drop the record";
            findings.add(Code::NothingTrained, None, "messages".to_owned(), text, mend);
        }
        findings.0.sort_by_key(|finding| finding.message);
        findings.0
    }

    /// What the model's own chat template lost of the conversation; the native ones lose no call.
    pub fn check_rendered(&self, conversation: &Conversation, rendered: &Rendered) -> Vec<Finding> {
        let mut findings = Findings(Vec::new());
        if matches!(self.template, Some(ChatTemplate::Model(_))) {
            calls_not_written(conversation, rendered, &mut findings);
        }
        findings.0
    }

    /// Whether each trained answer ends in a token that stops generation. `cut` says that the sample was cut at its end,
    /// which is not this rule's matter.
    pub fn check_stops(&self, input_ids: &[u32], labels: &[i32], cut: bool) -> Option<Finding> {
        let tokenizer = self.tokenizer.filter(|_| !self.stops.is_empty())?;
        trained::check_stops(input_ids, labels, &self.stops, cut, tokenizer)
    }

    /// Whether a sample that was cut at its end breaks off inside a call.
    pub fn check_cut(&self, input_ids: &[u32], labels: &[i32]) -> Option<Finding> {
        let (template, tokenizer) = (self.template.as_ref()?, self.tokenizer?);
        let trained = labels.iter().rev().take_while(|label| **label != IGNORE_INDEX).count();
        let text = tokenizer.decode(input_ids.get(input_ids.len().saturating_sub(trained)..)?);
        let turn = template.parse(&text, None);
        let malformed = turn.malformed.last()?;
        let text = format!("the sample is cut inside a call: {}", malformed.error);
        let mend = "Use --truncate structured, or raise --max-length";
        Some(Finding { mend: mend.to_owned(), ..Finding::new(Code::CutInCall, text) })
    }
}

/// Everything that is wrong with a conversation's structure; with a template, also what that template loses.
pub fn check(conversation: &Conversation, template: Option<Template>) -> Vec<Finding> {
    Checker::new(template.map(ChatTemplate::Native), None).check(conversation)
}

fn calls_not_written(conversation: &Conversation, rendered: &Rendered, findings: &mut Findings) {
    for (index, message) in conversation.messages.iter().enumerate() {
        if message.tool_calls.is_empty() || !message.is_trained() {
            continue;
        }
        let pieces = rendered.pieces().iter().filter(|piece| piece.message == Some(index));
        let written: String = pieces
            .filter(|piece| piece.kind != PieceKind::Control)
            .map(|piece| rendered.piece_text(piece))
            .collect();
        for (call_index, call) in message.tool_calls.iter().enumerate() {
            if !written.contains(&call.name) {
                let place = format!("messages[{index}].tool_calls[{call_index}]");
                let text = format!("the call of {:?} is not in what the chat template prints", call.name);
                let mend = Code::CallNotWritten.rule().mend.trim_end_matches('.');
                findings.add(Code::CallNotWritten, Some(index), place, text, mend);
            }
        }
    }
}
