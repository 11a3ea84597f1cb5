//! The `input-output` format: a text to go on from, and how it goes on.
//!
//! ```json
//! {"prompt": …, "response": …}
//! ```
//!
//! This is no conversation: no role token and no template stands around either text. The prompt is not trained; the
//! response is, and the token that ends it.

use super::DataError;
use super::shape::Place;
use crate::json::{Json, JsonMap};

/// A prompt and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputOutput {
    /// What is given; not trained.
    pub prompt: String,
    /// What the model is to write; trained.
    pub response: String,
}

/// Reads a record of this format.
pub fn read(record: Json) -> Result<InputOutput, DataError> {
    let root = Place::Record;
    let mut record = root.object(record)?;
    let prompt = root.key("prompt").text(record.remove("prompt"), "a string")?;
    let response = root.key("response").text(record.remove("response"), "a string")?;
    Ok(InputOutput { prompt, response })
}

/// The record that [`read`] reads back.
pub fn to_record(pair: &InputOutput) -> Json {
    let mut record = JsonMap::new();
    record.insert("prompt".to_owned(), Json::String(pair.prompt.clone()));
    record.insert("response".to_owned(), Json::String(pair.response.clone()));
    Json::Object(record)
}
