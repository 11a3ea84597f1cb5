//! Taking values out of a record, each with the place it stood at.
//!
//! In: JSON values by value, so that texts move and are not copied. Out: typed parts, or a [`DataError`] with the place.

use std::fmt;

use super::{DataError, Role, ToolSpec};
use crate::json::{Json, JsonMap};

/// A path inside a record; written out only when something is wrong.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Record,
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub(super) fn key<'a>(&'a self, key: &'a str) -> Place<'a> {
        Place::Key(self, key)
    }

    pub(super) fn item(&self, index: usize) -> Place<'_> {
        Place::Item(self, index)
    }

    pub(super) fn wrong_type(&self, found: &Json, expected: &str) -> DataError {
        DataError::WrongType {
            place: self.to_string(),
            found: describe(found),
            expected: expected.to_owned(),
        }
    }

    pub(super) fn missing(&self, expected: &str) -> DataError {
        DataError::Missing { place: self.to_string(), expected: expected.to_owned() }
    }

    /// What to say of a text that should hold JSON; one that holds a Python literal is told apart.
    pub(super) fn not_json(&self, reason: impl fmt::Display, text: &str) -> DataError {
        if matches!(crate::json::parse_literal(text), Ok(Json::Object(_) | Json::Array(_))) {
            return DataError::PythonLiteral { place: self.to_string(), text: shorten(text) };
        }
        DataError::NotJson { place: self.to_string(), reason: reason.to_string(), text: shorten(text) }
    }

    pub(super) fn object(&self, value: Json) -> Result<JsonMap, DataError> {
        match value {
            Json::Object(map) => Ok(map),
            other => Err(self.wrong_type(&other, "an object")),
        }
    }

    pub(super) fn array(&self, value: Option<Json>, expected: &str) -> Result<Vec<Json>, DataError> {
        match value {
            Some(Json::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong_type(&other, expected)),
            None => Err(self.missing(expected)),
        }
    }

    /// A text; null and absence are `None`.
    pub(super) fn optional_text(&self, value: Option<Json>) -> Result<Option<String>, DataError> {
        match value {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(&other, "a string")),
        }
    }

    pub(super) fn text(&self, value: Option<Json>, expected: &str) -> Result<String, DataError> {
        match value {
            Some(Json::String(text)) => Ok(text),
            Some(other) => Err(self.wrong_type(&other, expected)),
            None => Err(self.missing(expected)),
        }
    }

    /// A message's text: a string, null, or a list of parts of type `text`, which are put together.
    pub(super) fn content(&self, value: Option<Json>) -> Result<Option<String>, DataError> {
        let Some(Json::Array(parts)) = value else {
            return match value {
                Some(other) if !matches!(other, Json::Null | Json::String(_)) => {
                    Err(self.wrong_type(&other, "a string, null, or a list of text parts"))
                }
                value => self.optional_text(value),
            };
        };
        let mut text = String::new();
        for (index, part) in parts.into_iter().enumerate() {
            let place = self.item(index);
            match part {
                Json::String(part) => text.push_str(&part),
                Json::Object(mut part) => {
                    let kind = place.key("type").text(part.remove("type"), "\"text\"")?;
                    if kind != "text" {
                        return Err(DataError::NotText { place: place.to_string(), kind });
                    }
                    text.push_str(&place.key("text").text(part.remove("text"), "a string")?);
                }
                other => {
                    return Err(place.wrong_type(&other, "{\"type\": \"text\", \"text\": …}"));
                }
            }
        }
        Ok(Some(text))
    }

    /// The tools of a record: a list, JSON text that holds one, or nothing.
    pub(super) fn tools(&self, value: Option<Json>) -> Result<Option<Vec<ToolSpec>>, DataError> {
        const EXPECTED: &str = "a list of tool definitions";
        let value = match value {
            Some(Json::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Json::String(text)) => {
                Some(crate::json::parse(&text).map_err(|error| self.not_json(error, &text))?)
            }
            other => other,
        };
        match value {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if !matches!(item, Json::Object(_) | Json::String(_)) {
                        let expected =
                            "an object such as {\"type\": \"function\", \"function\": {\"name\": …}}";
                        return Err(self.item(index).wrong_type(item, expected));
                    }
                }
                Ok(Some(
                    items.into_iter().map(|item| ToolSpec::new(item).without_filled_in_nulls()).collect(),
                ))
            }
            Some(other) => Err(self.wrong_type(&other, EXPECTED)),
        }
    }

    /// The tools of a record that may be any JSON: a list of whatever, JSON text that holds one, or one undivided value.
    pub(super) fn any_tools(&self, value: Option<Json>) -> Result<Option<Vec<ToolSpec>>, DataError> {
        let value = match value {
            Some(Json::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Json::String(text)) => match crate::json::parse(&text) {
                Ok(value @ (Json::Array(_) | Json::Object(_))) => Some(value),
                _ => Some(Json::String(text)),
            },
            other => other,
        };
        match value {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Array(items)) => Ok(Some(
                items.into_iter().map(|item| ToolSpec::new(item).without_filled_in_nulls()).collect(),
            )),
            Some(other) => Ok(Some(vec![ToolSpec::undivided(other).without_filled_in_nulls()])),
        }
    }

    /// `train` or `loss` (true or false), or OpenAI's `weight` (0 or 1).
    pub(super) fn train(&self, message: &mut JsonMap) -> Result<Option<bool>, DataError> {
        for key in ["train", "loss"] {
            match message.remove(key) {
                None | Some(Json::Null) => {}
                Some(Json::Bool(train)) => return Ok(Some(train)),
                Some(other) => return Err(self.key(key).wrong_type(&other, "true or false")),
            }
        }
        match message.remove("weight") {
            None | Some(Json::Null) => Ok(None),
            Some(weight) => match weight.as_f64() {
                Some(0.0) => Ok(Some(false)),
                Some(1.0) => Ok(Some(true)),
                _ => Err(self.key("weight").wrong_type(&weight, "0 or 1")),
            },
        }
    }

    pub(super) fn role(&self, name: &str, roles: &[(&str, Role)]) -> Result<Role, DataError> {
        roles.iter().find(|(known, _)| *known == name).map(|(_, role)| *role).ok_or_else(|| {
            DataError::UnknownRole {
                place: self.to_string(),
                role: name.to_owned(),
                expected: roles.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", "),
            }
        })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Record => f.write_str("record"),
            Place::Key(Place::Record, key) => f.write_str(key),
            Place::Key(parent, key) => write!(f, "{parent}.{key}"),
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Drops the nulls that Arrow writes wherever one schema lacks what another has, and says whether there were any; a
/// null the schema means (in `enum`, `const`, `default`, `examples`) stays.
pub(super) fn drop_filled_in_nulls(schema: &mut Json) -> bool {
    let mut dropped = false;
    match schema {
        Json::Object(map) => {
            let filled_in = |key: &str, value: &Json| value.is_null() && !matches!(key, "const" | "default");
            if map.iter().any(|(key, value)| filled_in(key, value)) {
                map.retain(|key, value| !filled_in(key, value));
                dropped = true;
            }
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("enum" | "const" | "default" | "examples", _) => {}
                    // Here keys are names that the tool's author chose.
                    ("properties" | "patternProperties" | "$defs" | "definitions", Json::Object(named)) => {
                        let before = named.len();
                        named.retain(|_, value| !value.is_null());
                        dropped |= named.len() < before;
                        named.values_mut().for_each(|value| dropped |= drop_filled_in_nulls(value));
                    }
                    (_, value) => dropped |= drop_filled_in_nulls(value),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| dropped |= drop_filled_in_nulls(item)),
        _ => {}
    }
    dropped
}

/// A value in words, for messages.
pub(super) fn describe(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => format!("{value}"),
        Json::Number(number) => format!("the number {}", shorten(number.as_str())),
        Json::String(text) => format!("the string {}", shorten(&format!("{text:?}"))),
        Json::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Json::Array(items) => format!("a list of {}", items.len()),
        Json::Object(map) if map.is_empty() => "an empty object".to_owned(),
        Json::Object(map) => {
            let keys: Vec<_> = map.keys().take(5).map(|key| format!("{key:?}")).collect();
            let more = if map.len() > 5 { ", …" } else { "" };
            shorten(&format!("an object with {}{more}", keys.join(", ")))
        }
    }
}

fn shorten(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
