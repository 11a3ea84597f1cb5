//! The `alpaca` format: one question with an answer.
//!
//! ```json
//! {"system": …, "history": [["earlier question", "earlier answer"]],
//!  "instruction": …, "input": …, "output": …}
//! ```
//!
//! The question is `instruction` and, on a new line, `input` where there is one. Earlier answers are trained too: each is
//! an answer to its own question.

use std::borrow::Cow;

use super::shape::Place;
use super::sharegpt::{self, Names};
use super::{Conversation, DataError, Message};
use crate::json::{Json, JsonMap};

type Name = Option<Cow<'static, str>>;

/// What the keys of a record are called; `None` where the record has none that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The question.
    pub instruction: Name,
    /// What the question is about.
    pub input: Name,
    /// The answer.
    pub output: Name,
    /// Earlier questions, each with its answer.
    pub history: Name,
    /// The system text.
    pub system: Name,
    /// The tools, as in `sharegpt`.
    pub tools: Name,
}

impl Columns {
    /// The names that records of this format usually have.
    pub const USUAL: Self = Self {
        instruction: Some(Cow::Borrowed("instruction")),
        input: Some(Cow::Borrowed("input")),
        output: Some(Cow::Borrowed("output")),
        history: Some(Cow::Borrowed("history")),
        system: Some(Cow::Borrowed("system")),
        tools: Some(Cow::Borrowed("tools")),
    };
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Conversation, DataError> {
    read_named(record, &Columns::USUAL)
}

/// Reads a record whose keys have these names.
pub fn read_named(record: Json, columns: &Columns) -> Result<Conversation, DataError> {
    let mut record = Place::Record.object(record)?;
    let mut conversation = read_question(&mut record, columns)?;
    let name = columns.output.as_deref().unwrap_or("output");
    let answer = Place::Record.key(name).text(record.remove(name), "the answer, a string")?;
    conversation.messages.push(Message::assistant(answer));
    Ok(conversation)
}

/// Everything before the answer.
pub(super) fn read_question(record: &mut JsonMap, columns: &Columns) -> Result<Conversation, DataError> {
    let root = Place::Record;
    let names = Names { system: columns.system.clone(), tools: columns.tools.clone(), ..Names::USUAL };
    let mut conversation = sharegpt::read_frame(record, &names)?;
    if let Some(name) = columns.history.as_deref() {
        read_history(&root.key(name), record.remove(name), &mut conversation.messages)?;
    }
    let mut parts = Vec::with_capacity(2);
    for name in [&columns.instruction, &columns.input] {
        let Some(name) = name.as_deref() else { continue };
        parts.extend(root.key(name).optional_text(record.remove(name))?.filter(|part| !part.is_empty()));
    }
    if parts.is_empty() {
        let name = columns.instruction.as_deref().unwrap_or("instruction");
        return Err(root.key(name).missing("the question, a string that is not empty"));
    }
    conversation.messages.push(Message::user(parts.join("\n")));
    Ok(conversation)
}

fn read_history(
    place: &Place<'_>,
    history: Option<Json>,
    messages: &mut Vec<Message>,
) -> Result<(), DataError> {
    const EXPECTED: &str = "a list of [question, answer]";
    if matches!(history, None | Some(Json::Null)) {
        return Ok(());
    }
    for (index, pair) in place.array(history, EXPECTED)?.into_iter().enumerate() {
        let place = place.item(index);
        let mut pair = place.array(Some(pair), "[question, answer]")?;
        if pair.len() != 2 {
            return Err(place.wrong_type(&Json::Array(pair), "[question, answer]"));
        }
        let (answer, question) = (pair.pop(), pair.pop());
        messages.push(Message::user(place.item(0).text(question, "the question, a string")?));
        messages.push(Message::assistant(place.item(1).text(answer, "the answer, a string")?));
    }
    Ok(())
}
