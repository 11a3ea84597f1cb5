//! Conversations as they come: one file per source format, all ending in one [`Conversation`].
//!
//! In: a JSON record. Out: a conversation, or a [`DataError`] that names the place inside the record. Shape is checked
//! here, once; whether the messages make sense in their order is [`crate::check`]'s question. It does not know files,
//! lines or model families.

pub mod alpaca;
pub mod anthropic;
pub mod chatglm3;
mod conversation;
pub mod convert;
pub mod dataset_info;
mod error;
pub mod glaive;
pub mod glm4;
pub mod hermes;
pub mod input_output;
pub mod openai;
pub mod preference;
mod record;
mod shape;
pub mod sharegpt;
mod train_on;
mod valued_parts;

use std::fmt;
use std::str::FromStr;

pub use conversation::{Conversation, Message, Role, ToolCall, ToolSpec};
pub use error::DataError;
pub use input_output::InputOutput;
pub use preference::Preference;
pub use record::{Record, RecordFormat, read_any, recognise};
pub use train_on::TrainOn;

use crate::json::Json;

/// The shapes in which conversations come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceFormat {
    /// `messages` and `tools`, as OpenAI's API takes them: see [`openai`].
    OpenAi,
    /// `messages` with the tools inside the system message and role `observation`: see [`glm4`].
    Glm4,
    /// `conversations` of `from` and `value`: see [`sharegpt`].
    ShareGpt,
    /// `conversations` of `role` and `content`, a call and its result in one entry: see [`chatglm3`].
    ChatGlm3,
    /// `instruction`, `input` and `output`: see [`alpaca`].
    Alpaca,
    /// `messages` whose content is in blocks: see [`anthropic`].
    Anthropic,
    /// `system` and `chat`, each one text: see [`glaive`].
    GlaiveV2,
    /// `conversations` as in `sharegpt`, with marked text: see [`hermes`].
    Hermes,
}

impl SourceFormat {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 8] = [
        Self::OpenAi,
        Self::Glm4,
        Self::ShareGpt,
        Self::ChatGlm3,
        Self::Alpaca,
        Self::Anthropic,
        Self::GlaiveV2,
        Self::Hermes,
    ];

    /// The name that `--format` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Glm4 => "glm4",
            Self::ShareGpt => "sharegpt",
            Self::ChatGlm3 => "chatglm3",
            Self::Alpaca => "alpaca",
            Self::Anthropic => "anthropic",
            Self::GlaiveV2 => "glaive-v2",
            Self::Hermes => "hermes",
        }
    }

    /// The format of a record, told by its shape; `None` where no format fits.
    pub fn recognise(record: &Json) -> Option<Self> {
        if let Some(messages) = record.get("messages").and_then(Json::as_array) {
            return Some(if anthropic::is_marked(record, messages) {
                Self::Anthropic
            } else if glm4::is_marked(record, messages) {
                Self::Glm4
            } else {
                Self::OpenAi
            });
        }
        if let Some(turns) = record.get("conversations").and_then(Json::as_array) {
            let all_have = |key: &str| turns.iter().all(|turn| turn.get(key).is_some());
            return if all_have("from") {
                Some(if hermes::is_marked(turns) { Self::Hermes } else { Self::ShareGpt })
            } else {
                all_have("role").then_some(Self::ChatGlm3)
            };
        }
        if glaive::is_marked(record) {
            return Some(Self::GlaiveV2);
        }
        let has = |key: &str| record.get(key).is_some();
        (has("instruction") && has("output")).then_some(Self::Alpaca)
    }
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SourceFormat {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL.into_iter().find(|format| format.as_str() == name).ok_or_else(|| DataError::UnknownFormat {
            name: name.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// Reads a record of this format.
pub fn read_record(record: Json, format: SourceFormat) -> Result<Conversation, DataError> {
    match format {
        SourceFormat::OpenAi => openai::read(record),
        SourceFormat::Glm4 => glm4::read(record),
        SourceFormat::ShareGpt => sharegpt::read(record),
        SourceFormat::ChatGlm3 => chatglm3::read(record),
        SourceFormat::Alpaca => alpaca::read(record),
        SourceFormat::Anthropic => anthropic::read(record),
        SourceFormat::GlaiveV2 => glaive::read(record),
        SourceFormat::Hermes => hermes::read(record),
    }
}

/// Recognises the format of a record and reads it.
pub fn read_recognised(record: Json) -> Result<(Conversation, SourceFormat), DataError> {
    let Some(format) = SourceFormat::recognise(&record) else {
        return Err(record::unrecognised(&record));
    };
    Ok((read_record(record, format)?, format))
}
