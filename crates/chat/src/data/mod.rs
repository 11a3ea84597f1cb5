//! Conversations as they come: one file per source format, all ending in one [`Conversation`].
//!
//! In: a JSON record. Out: a conversation, or a [`DataError`] that names the place inside the record. Shape is checked
//! here, once; whether the messages make sense in their order is [`crate::check`]'s question. It does not know files,
//! lines or model families.

mod conversation;
mod error;
pub mod glm4;
pub mod openai;
mod shape;
pub mod sharegpt;
mod train_on;

use std::fmt;
use std::str::FromStr;

pub use conversation::{Conversation, Message, Role, ToolCall, ToolSpec};
pub use error::DataError;
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
}

impl SourceFormat {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Glm4, Self::ShareGpt];

    /// The name that `--format` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Glm4 => "glm4",
            Self::ShareGpt => "sharegpt",
        }
    }

    /// The format of a record, told by its shape; `None` where no format fits.
    pub fn recognise(record: &Json) -> Option<Self> {
        if let Some(messages) = record.get("messages").and_then(Json::as_array) {
            return Some(if glm4::is_marked(record, messages) { Self::Glm4 } else { Self::OpenAi });
        }
        let turns = record.get("conversations")?.as_array()?;
        turns.iter().all(|turn| turn.get("from").is_some()).then_some(Self::ShareGpt)
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
    }
}

/// Recognises the format of a record and reads it.
pub fn read_recognised(record: Json) -> Result<(Conversation, SourceFormat), DataError> {
    let Some(format) = SourceFormat::recognise(&record) else {
        let keys = match &record {
            Json::Object(map) => map.keys().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(", "),
            other => format!("none, it is {}", shape::describe(other)),
        };
        return Err(DataError::Unrecognised { keys });
    };
    Ok((read_record(record, format)?, format))
}
