//! One raw record to what it says: a conversation, or plain text.
//!
//! In: a record's bytes. Out: a [`Record`], or the reason why it is none. Does not know templates or tokens.

use std::fmt;
use std::str::FromStr;

use serde_json::Value as Json;
use toolsmith_chat::data::{Conversation, SourceFormat, read_recognised, read_record};

use crate::{Place, Reason};

/// The shapes in which records come: those of conversations, and plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// A conversation in this format.
    Conversation(SourceFormat),
    /// `{"text": …}`: pre-training; every token is trained.
    Text,
}

impl FromStr for RecordFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "text" {
            return Ok(Self::Text);
        }
        name.parse().map(Self::Conversation).map_err(|_| {
            let names = SourceFormat::ALL.map(SourceFormat::as_str).join(", ");
            format!("unknown format {name:?}, expected one of: {names}, text")
        })
    }
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conversation(format) => format.fmt(f),
            Self::Text => f.write_str("text"),
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A conversation.
    Conversation(Conversation),
    /// Plain text.
    Text(String),
}

/// Reads a record's bytes; without a format, its shape tells it.
pub fn read(bytes: &[u8], place: Place, format: Option<RecordFormat>) -> Result<Record, Reason> {
    let json = parse(bytes, place)?;
    let shape = |error: toolsmith_chat::data::DataError| Reason::new("shape", error.to_string());
    match format {
        Some(RecordFormat::Conversation(format)) => {
            read_record(json, format).map(Record::Conversation).map_err(shape)
        }
        Some(RecordFormat::Text) => text(json),
        None if is_text(&json) => text(json),
        None => {
            read_recognised(json).map(|(conversation, _)| Record::Conversation(conversation)).map_err(shape)
        }
    }
}

/// Reads a record's bytes as JSON of whatever shape.
pub fn parse(bytes: &[u8], place: Place) -> Result<Json, Reason> {
    serde_json::from_slice(bytes).map_err(|error| broken_json(&error, bytes, place))
}

fn is_text(json: &Json) -> bool {
    json.get("text").is_some() && json.get("messages").is_none() && json.get("conversations").is_none()
}

fn text(mut json: Json) -> Result<Record, Reason> {
    match json.get_mut("text").map(Json::take) {
        Some(Json::String(text)) => Ok(Record::Text(text)),
        Some(other) => Err(Reason::new("shape", format!("text: found {other}, expected a string"))),
        None => Err(Reason::new("shape", "text: missing, expected a string".to_owned())),
    }
}

/// Says what is wrong in words for people, with line and column in the file.
fn broken_json(error: &serde_json::Error, bytes: &[u8], place: Place) -> Reason {
    // Counted from the record's first byte; the first line continues the file's.
    let line = place.line + error.line().saturating_sub(1);
    let column = if error.line() <= 1 { place.column - 1 + error.column() } else { error.column() };
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let hint = match what {
        _ if bytes.trim_ascii_end().ends_with(b"}") && error.is_eof() => {
            "A bracket or quote opened before it is never closed"
        }
        _ if error.is_eof() => "The record is cut off: is the file complete?",
        _ if what.contains("unicode") || what.contains("UTF-8") => "Save the file as UTF-8",
        _ => "Mend it there, or drop the record",
    };
    Reason::new("broken-json", format!("broken JSON at line {line}, column {column}: {what}. {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { index: 3, line: 10, column: 5 };

    #[test]
    fn broken_json_is_placed_in_the_file() {
        let message = |bytes: &[u8]| read(bytes, PLACE, None).expect_err("broken").message;
        let same_line = message(br#"{"messages": [}"#);
        assert!(same_line.starts_with("broken JSON at line 10, column 19: expected value"), "{same_line}");
        let later_line = message(b"{\"messages\":\n [x]}");
        assert!(later_line.starts_with("broken JSON at line 11, column 3: "), "{later_line}");
        assert!(message(b"{\"messages\": [").ends_with("is the file complete?"));
        assert!(message(b"{\"a\": \"\xff\"}").ends_with("Save the file as UTF-8"));
    }

    #[test]
    fn text_records_are_recognised() {
        assert_eq!(read(br#"{"text": "hi"}"#, PLACE, None), Ok(Record::Text("hi".to_owned())));
        let named = Some(RecordFormat::Text);
        assert!(
            read(br#"{"text": 3}"#, PLACE, named).expect_err("no text").message.contains("expected a string")
        );
        assert!(read(br#"{"messages": []}"#, PLACE, named).is_err());
        let other = Some(RecordFormat::Conversation(SourceFormat::OpenAi));
        assert!(read(br#"{"text": "hi"}"#, PLACE, other).is_err());
    }

    #[test]
    fn deep_and_strange_json_is_an_error_not_a_crash() {
        let deep = [b"[".repeat(1000), b"]".repeat(1000)].concat();
        assert!(read(&deep, PLACE, None).expect_err("too deep").message.contains("recursion limit"));
        assert!(read(b"{\"text\": NaN}", PLACE, None).is_err());
        assert!(read(b"3", PLACE, None).is_err());
    }
}
