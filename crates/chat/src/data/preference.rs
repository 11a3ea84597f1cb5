//! The `preference` format: one prompt with an answer to prefer and one to avoid.
//!
//! ```json
//! {"prompt": …, "chosen": …, "rejected": …}
//! ```
//!
//! The prompt is a text, or messages under `prompt`, `messages` or `conversations`; `instruction` with `input` does too.
//! An answer is a text, a message or a list of messages (as `openai` or `sharegpt` write them), with the prompt before
//! it or not. Without a prompt, what both lists begin with is it. `system` and `tools` stand beside them.

use super::shape::Place;
use super::sharegpt::{self, Names};
use super::{Conversation, DataError, Message, Role, ToolSpec, alpaca, openai};
use crate::json::{Json, JsonMap};

/// Two answers to one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Preference {
    /// The tools offered.
    pub tools: Option<Vec<ToolSpec>>,
    /// What both answers answer.
    pub prompt: Vec<Message>,
    /// The answer to prefer: at least one message.
    pub chosen: Vec<Message>,
    /// The answer to avoid: at least one message, not the same.
    pub rejected: Vec<Message>,
}

/// One of the two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The answer to prefer.
    Chosen,
    /// The answer to avoid.
    Rejected,
}

impl Side {
    /// Both, in the order in which they are written.
    pub const BOTH: [Self; 2] = [Self::Chosen, Self::Rejected];

    /// The record's key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Rejected => "rejected",
        }
    }
}

impl Preference {
    /// The conversation that ends in this answer. Nothing in its prompt is trained.
    pub fn conversation(&self, side: Side) -> Conversation {
        let answer = match side {
            Side::Chosen => &self.chosen,
            Side::Rejected => &self.rejected,
        };
        let prompt = self.prompt.iter().cloned().map(|message| Message { train: Some(false), ..message });
        let messages = prompt.chain(answer.iter().cloned()).collect();
        Conversation { tools: self.tools.clone(), messages }
    }

    fn checked(self, place: &Place<'_>) -> Result<Self, DataError> {
        if self.chosen == self.rejected {
            return Err(DataError::SameAnswers { place: place.key("rejected").to_string() });
        }
        Ok(self)
    }
}

/// What the parts of a preference record are called.
pub(super) struct Keys<'a> {
    pub(super) chosen: &'a str,
    pub(super) rejected: &'a str,
    pub(super) turns: &'a Names,
}

const USUAL: Keys<'static> = Keys { chosen: "chosen", rejected: "rejected", turns: &Names::USUAL };

/// Whether a record is of this format.
pub(super) fn is_marked(record: &Json) -> bool {
    record.get("chosen").is_some() && record.get("rejected").is_some()
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<Preference, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let present = |key: &str| record.get(key).is_some_and(|value| !value.is_null());
    let prompt_key = ["prompt", "messages", "conversations"].into_iter().find(|key| present(key));
    if prompt_key.is_none() && present("instruction") {
        let frame = alpaca::read_question(&mut record, &alpaca::Columns::USUAL)?;
        return read_answers(record, frame, &USUAL);
    }
    let mut frame = sharegpt::read_frame(&mut record, &Names::USUAL)?;
    if let Some(key) = prompt_key {
        let place = root.key(key);
        let value = record.remove(key).unwrap_or_default();
        frame.messages.extend(read_messages(&place, value, Role::User, &Names::USUAL)?);
    }
    read_answers(record, frame, &USUAL)
}

/// Reads the two answers behind what was read already.
pub(super) fn read_answers(
    mut record: JsonMap,
    frame: Conversation,
    keys: &Keys<'_>,
) -> Result<Preference, DataError> {
    let root = Place::Record;
    let mut answer = |key: &str| {
        let place = root.key(key);
        let value = record.remove(key).ok_or_else(|| place.missing("an answer: a text or messages"))?;
        let messages = read_messages(&place, value, Role::Assistant, keys.turns)?;
        if messages.is_empty() { Err(place.missing("an answer: a text or messages")) } else { Ok(messages) }
    };
    let (chosen, rejected) = (answer(keys.chosen)?, answer(keys.rejected)?);
    let Conversation { tools, messages: mut prompt } = frame;
    let asks = |messages: &[Message]| messages.first().is_some_and(|first| first.role != Role::Assistant);
    if !asks(&chosen) && !asks(&rejected) {
        return Preference { tools, prompt, chosen, rejected }.checked(&root);
    }
    // Whole conversations: what they begin with in common is the prompt, all of it or the part that was not told.
    let shared = chosen.iter().zip(&rejected).take_while(|(one, other)| one == other).count();
    let shared = shared.min(chosen.len() - 1).min(rejected.len() - 1);
    let told = prompt.iter().filter(|message| message.role != Role::System).count();
    let spoken = chosen[..shared].iter().filter(|message| message.role != Role::System);
    if told > 0 && !spoken.take(told).eq(prompt.iter().filter(|message| message.role != Role::System)) {
        return Err(DataError::OtherPrompt { place: root.key(keys.chosen).to_string() });
    }
    let own_system = chosen[..shared].iter().any(|message| message.role == Role::System);
    prompt.retain(|message| message.role == Role::System && !own_system);
    prompt.extend(chosen[..shared].iter().cloned());
    let after = |messages: Vec<Message>| messages.into_iter().skip(shared).collect::<Vec<_>>();
    let (chosen, rejected) = (after(chosen), after(rejected));
    if asks(&chosen) || asks(&rejected) {
        return Err(DataError::OtherPrompt { place: root.key(keys.rejected).to_string() });
    }
    Preference { tools, prompt, chosen, rejected }.checked(&root)
}

/// A text, a message, or a list of them; a message says `role` or the name that turns have for it.
fn read_messages(
    place: &Place<'_>,
    value: Json,
    role_of_text: Role,
    names: &Names,
) -> Result<Vec<Message>, DataError> {
    let one = |place: &Place<'_>, map: JsonMap| {
        if map.contains_key(names.role.as_ref()) {
            sharegpt::read_turn(place, map, names)
        } else {
            openai::read_message(place, map)
        }
    };
    match value {
        Json::String(text) => Ok(vec![Message::new(role_of_text, text)]),
        Json::Object(map) => Ok(vec![one(place, map)?]),
        Json::Array(items) => {
            let read = |(index, item)| {
                let place = place.item(index);
                one(&place, place.object(item)?)
            };
            items.into_iter().enumerate().map(read).collect()
        }
        other => Err(place.wrong_type(&other, "a text, a message, or a list of messages")),
    }
}

/// The record of a preference that [`read`] reads back, with messages as `openai` writes them.
pub fn to_record(preference: &Preference) -> Json {
    let messages = |messages: &[Message]| Json::Array(messages.iter().map(openai::message_record).collect());
    let mut record = JsonMap::new();
    if let Some(tools) = &preference.tools {
        let tools = tools.iter().map(ToolSpec::definition).cloned().collect();
        record.insert("tools".to_owned(), Json::Array(tools));
    }
    record.insert("messages".to_owned(), messages(&preference.prompt));
    record.insert("chosen".to_owned(), messages(&preference.chosen));
    record.insert("rejected".to_owned(), messages(&preference.rejected));
    Json::Object(record)
}
