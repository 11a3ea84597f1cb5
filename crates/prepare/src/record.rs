//! One raw record to what it says: a conversation, plain text, a prompt with its response, or a preference.
//!
//! In: a record's bytes. Out: a [`Record`], or the reason why it is none. Does not know templates or tokens.

use serde_json::Value as Json;
use toolsmith_chat::check::{Code, Finding};
use toolsmith_chat::data::read_any;
pub use toolsmith_chat::data::{Record, RecordFormat};
use toolsmith_chat::json::{self, RepeatedKey};

use crate::Place;
use crate::open::UTF8_BOM;

/// Reads a record's bytes; without a format, its shape tells it.
pub fn read(bytes: &[u8], place: Place, format: Option<&RecordFormat>) -> Result<Record, Finding> {
    shape(parse(bytes, place)?, format)
}

/// The same, with a warning for each key that an object has twice.
pub fn read_warily(
    bytes: &[u8],
    place: Place,
    format: Option<&RecordFormat>,
) -> Result<(Record, Vec<Finding>), Finding> {
    let (json, repeated) = parse_noting_repeats(bytes, place)?;
    Ok((shape(json, format)?, repeated.into_iter().map(repeated_key).collect()))
}

fn shape(json: Json, format: Option<&RecordFormat>) -> Result<Record, Finding> {
    read_any(json, format).map_err(|error| Finding::new(error.code(), error.to_string()))
}

pub(crate) fn repeated_key(key: RepeatedKey) -> Finding {
    let text = format!("{key}: this key stands twice in its object; the last counts. Drop the other");
    Finding::new(Code::RepeatedKey, text)
}

/// Reads a record's bytes as JSON of whatever shape.
pub fn parse(bytes: &[u8], place: Place) -> Result<Json, Finding> {
    parse_noting_repeats(bytes, place).map(|(json, _)| json)
}

/// The same, and the places of keys that an object has twice, of which the last counts.
pub fn parse_noting_repeats(bytes: &[u8], place: Place) -> Result<(Json, Vec<RepeatedKey>), Finding> {
    // A line's end belongs to the line, so what is missing is missing before it.
    let bytes = bytes.trim_ascii_end();
    let parsed = match str::from_utf8(bytes) {
        Ok(text) => json::parse_noting_repeats(text),
        // Says where.
        Err(_) => serde_json::from_slice(bytes).map(|json| (json, Vec::new())),
    };
    parsed.map_err(|error| broken_json(&error, bytes, place))
}

/// Says what is wrong in words for people, with line and column in the file.
fn broken_json(error: &serde_json::Error, bytes: &[u8], place: Place) -> Finding {
    // Counted from the record's first byte; the first line continues the file's.
    let line = place.line + error.line().saturating_sub(1);
    let column = if error.line() <= 1 { place.column - 1 + error.column() } else { error.column() };
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let found = found_at(bytes, error);
    let hint = match what {
        _ if bytes.ends_with(b"}") && error.is_eof() => "A bracket or quote opened before it is never closed",
        _ if error.is_eof() => "The record is cut off: is the file complete?",
        _ if what.contains("unicode") || what.contains("UTF-8") => "Save the file as UTF-8",
        _ if found.starts_with(UTF8_BOM) => {
            "A byte-order mark stands there, as where files were joined: remove it"
        }
        _ if found.starts_with(b"NaN") || found.starts_with(b"Infinity") => {
            "JSON has no NaN and no Infinity: write null, or leave the key out"
        }
        "trailing characters" if found.starts_with(b"{") => {
            "A second record begins there: put it on a line of its own"
        }
        "recursion limit exceeded" => {
            "At most 127 objects and lists are read inside each other: flatten it, or drop the record"
        }
        _ => "Mend it there, or drop the record",
    };
    Finding::new(Code::BrokenJson, format!("broken JSON at line {line}, column {column}: {what}. {hint}"))
}

/// What stands where reading broke off.
fn found_at<'a>(bytes: &'a [u8], error: &serde_json::Error) -> &'a [u8] {
    let line = bytes.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    line.get(error.column().saturating_sub(1)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use toolsmith_chat::data::SourceFormat;

    use super::*;

    const PLACE: Place = Place { index: 3, line: 10, column: 5 };

    #[test]
    fn broken_json_is_placed_in_the_file() {
        let message = |bytes: &[u8]| read(bytes, PLACE, None).expect_err("broken").text;
        let same_line = message(br#"{"messages": [}"#);
        assert!(same_line.starts_with("broken JSON at line 10, column 19: expected value"), "{same_line}");
        let later_line = message(b"{\"messages\":\n [x]}");
        assert!(later_line.starts_with("broken JSON at line 11, column 3: "), "{later_line}");
        assert!(message(b"{\"messages\": [").ends_with("is the file complete?"));
        assert!(message(b"{\"messages\": [\r\n").starts_with("broken JSON at line 10, column 18: EOF"));
        assert!(message(b"{\"a\": \"\xff\"}").ends_with("Save the file as UTF-8"));
    }

    #[test]
    fn the_usual_mistakes_are_told_by_name() {
        let message = |bytes: &[u8]| read(bytes, PLACE, None).expect_err("broken").text;
        for (bytes, column, hint) in [
            (&b"{\"a\": NaN}"[..], 11, "JSON has no NaN and no Infinity"),
            (b"{\"a\": -Infinity}", 12, "JSON has no NaN and no Infinity"),
            (b"\xef\xbb\xbf{\"a\": 1}", 5, "A byte-order mark stands there"),
            (b"{\"a\": 1} {\"a\": 2}", 14, "A second record begins there"),
            (b"{\"a\": 1},", 13, "Mend it there"),
        ] {
            let said = message(bytes);
            assert!(said.starts_with(&format!("broken JSON at line 10, column {column}: ")), "{said}");
            assert!(said.contains(hint), "{said}");
        }
    }

    #[test]
    fn keys_that_stand_twice_are_told() {
        let (record, warnings) =
            read_warily(br#"{"text": "a", "x": [{"k": 1, "k": 2}], "text": "b"}"#, PLACE, None)
                .expect("read");
        assert_eq!(record, Record::Text("b".to_owned()));
        let said: Vec<_> = warnings.iter().map(|warning| warning.text.as_str()).collect();
        assert!(said[0].starts_with("x[0].k: this key stands twice"), "{said:?}");
        assert!(said[1].starts_with("text: "), "{said:?}");
    }

    #[test]
    fn text_records_are_recognised() {
        assert_eq!(read(br#"{"text": "hi"}"#, PLACE, None), Ok(Record::Text("hi".to_owned())));
        let named = Some(&RecordFormat::Text);
        assert!(
            read(br#"{"text": 3}"#, PLACE, named).expect_err("no text").text.contains("expected a string")
        );
        assert!(read(br#"{"messages": []}"#, PLACE, named).is_err());
        let other = Some(&RecordFormat::Conversation(SourceFormat::OpenAi));
        assert!(read(br#"{"text": "hi"}"#, PLACE, other).is_err());
    }

    #[test]
    fn deep_and_strange_json_is_an_error_not_a_crash() {
        let deep = [b"[".repeat(1000), b"]".repeat(1000)].concat();
        assert!(
            read(&deep, PLACE, None).expect_err("too deep").text.contains("At most 127 objects and lists")
        );
        let nested = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        assert!(parse(&nested(127), PLACE).is_ok());
        assert!(parse(&nested(128), PLACE).is_err());
        assert!(read(b"{\"text\": NaN}", PLACE, None).is_err());
        assert!(read(b"3", PLACE, None).is_err());
    }
}
