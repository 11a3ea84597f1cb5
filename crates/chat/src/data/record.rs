//! What a record of a data file can be, whatever its format: a conversation, plain text, a prompt with its response, or
//! a preference.
//!
//! In: a JSON record and, perhaps, the name of its format. Out: a [`Record`]. Without a name the shape tells the format;
//! a shape that fits several is an error that names them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::dataset_info::Dataset;
use super::input_output::{self, InputOutput};
use super::preference::{self, Preference};
use super::shape::{Place, describe};
use super::{Conversation, DataError, SourceFormat, read_record};
use crate::json::Json;

/// The shapes in which records come.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordFormat {
    /// A conversation in this format.
    Conversation(SourceFormat),
    /// `{"text": …}`: pre-training; every token is trained.
    Text,
    /// `{"prompt": …, "response": …}`: see [`input_output`].
    InputOutput,
    /// A prompt with `chosen` and `rejected`: see [`preference`].
    Preference,
    /// As a `dataset_info.json` describes it.
    Dataset(Arc<Dataset>),
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A conversation.
    Conversation(Conversation),
    /// Plain text.
    Text(String),
    /// A prompt and its response, without any template.
    InputOutput(InputOutput),
    /// Two answers to one prompt.
    Preference(Preference),
}

const OTHER_NAMES: [&str; 3] = ["input-output", "text", "preference"];

impl RecordFormat {
    /// Every name that `--format` takes.
    pub fn names() -> Vec<&'static str> {
        SourceFormat::ALL.map(SourceFormat::as_str).into_iter().chain(OTHER_NAMES).collect()
    }
}

impl FromStr for RecordFormat {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        match name {
            "text" => Ok(Self::Text),
            "input-output" => Ok(Self::InputOutput),
            "preference" => Ok(Self::Preference),
            _ => name.parse().map(Self::Conversation).map_err(|_| DataError::UnknownFormat {
                name: name.to_owned(),
                expected: Self::names().join(", "),
            }),
        }
    }
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conversation(format) => format.fmt(f),
            Self::Text => f.write_str("text"),
            Self::InputOutput => f.write_str("input-output"),
            Self::Preference => f.write_str("preference"),
            Self::Dataset(dataset) => write!(f, "dataset {}", dataset.name),
        }
    }
}

/// Reads a record; without a format, its shape tells it.
pub fn read_any(json: Json, format: Option<&RecordFormat>) -> Result<Record, DataError> {
    match format {
        Some(RecordFormat::Conversation(format)) => read_record(json, *format).map(Record::Conversation),
        Some(RecordFormat::Text) => read_text(json, "text"),
        Some(RecordFormat::InputOutput) => input_output::read(json).map(Record::InputOutput),
        Some(RecordFormat::Preference) => preference::read(json).map(Record::Preference),
        Some(RecordFormat::Dataset(dataset)) => dataset.read(json),
        None => {
            let format = recognise(&json)?;
            read_any(json, Some(&format))
        }
    }
}

/// The format of a record, told by its shape.
pub fn recognise(record: &Json) -> Result<RecordFormat, DataError> {
    if preference::is_marked(record) {
        return Ok(RecordFormat::Preference);
    }
    let has = |keys: &[&str]| keys.iter().all(|key| record.get(key).is_some());
    let conversation = SourceFormat::recognise(record);
    // Data sets often keep what a conversation was made from beside it, so its own lists go before other keys.
    if let Some(format) = conversation
        && (has(&["messages"]) || has(&["conversations"]))
    {
        return Ok(RecordFormat::Conversation(format));
    }
    let mut found: Vec<RecordFormat> = conversation.map(RecordFormat::Conversation).into_iter().collect();
    if has(&["prompt", "response"]) {
        found.push(RecordFormat::InputOutput);
    }
    if has(&["text"]) && !has(&["messages"]) && !has(&["conversations"]) {
        found.push(RecordFormat::Text);
    }
    if found.len() > 1 {
        let formats = found.iter().map(RecordFormat::to_string).collect::<Vec<_>>().join(", ");
        return Err(DataError::Ambiguous { keys: keys_of(record), formats });
    }
    found.pop().ok_or_else(|| unrecognised(record))
}

pub(super) fn unrecognised(record: &Json) -> DataError {
    let has = |key: &str| record.get(key).is_some();
    let hint = if has("NLDocumentation") {
        "This is raw ToolAlpaca data: run `toolsmith convert toolalpaca` first"
    } else if has("content") && has("summary") {
        "This is raw AdvertiseGen data: run `toolsmith convert advertisegen` first"
    } else if has("input_ids") {
        "These are token ids: `train` reads them from Parquet (in Hugging Face datasets: to_parquet)"
    } else {
        "Name the format with --format"
    };
    DataError::Unrecognised { keys: keys_of(record), hint }
}

fn keys_of(record: &Json) -> String {
    match record {
        Json::Object(map) => map.keys().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(", "),
        other => format!("none, it is {}", describe(other)),
    }
}

/// The text under this key.
pub(super) fn read_text(record: Json, key: &str) -> Result<Record, DataError> {
    let mut record = Place::Record.object(record)?;
    Place::Record.key(key).text(record.remove(key), "a string").map(Record::Text)
}
