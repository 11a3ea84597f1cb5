//! A configuration as written: every value with the place it came from.
//!
//! In: the text of a YAML file, and `key=value` words from the command line. Out: an [`Entry`] tree that still knows
//! lines, so that a wrong value can be reported where it stands. It does not know which keys exist.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::NonFiniteFloatPolicy;

use super::issue::{Issue, Place};

/// A value as YAML resolves it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Entry>),
    Map(Vec<(Entry, Entry)>),
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// How a message shows a value.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("nothing"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::List(_) => f.write_str("a list"),
            Value::Map(_) => f.write_str("a group of keys"),
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: Place::Line(spanned.referenced.line()), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // Beyond i64 no key of ours has a meaning; the float says how large it was.
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element()? {
            entries.push(entry);
        }
        Ok(Value::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

/// Reads a YAML file into one level of keys.
pub(super) fn read(text: &str) -> Result<Vec<(Entry, Entry)>, Issue> {
    let document: Entry = parse(text).map_err(|(line, message)| Issue {
        place: Place::Line(line),
        message: format!("this is not valid YAML: {message}"),
    })?;
    match document.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(Vec::new()),
        other => Err(Issue {
            place: document.place,
            message: format!("found {other}; expected keys and values, such as `learning_rate: 2e-4`"),
        }),
    }
}

/// Merges one `key=value` word over the file: the value is YAML, a dot in the key steps into a group.
pub(super) fn override_with(entries: &mut Vec<(Entry, Entry)>, word: &str) -> Result<(), Issue> {
    let place = Place::CommandLine(word.to_owned());
    let issue = |message: String| Issue { place: place.clone(), message };
    let Some((key, text)) = word.split_once('=') else {
        return Err(issue("expected key=value, such as learning_rate=2e-4".to_owned()));
    };
    let mut entry: Entry = parse(text).map_err(|(_, message)| issue(format!("not valid YAML: {message}")))?;
    entry.move_to(&place);
    set(entries, key, entry, &place);
    Ok(())
}

fn set(entries: &mut Vec<(Entry, Entry)>, key: &str, entry: Entry, place: &Place) {
    let (name, rest) = key.split_once('.').map_or((key, None), |(name, rest)| (name, Some(rest)));
    let name_value = Value::Text(name.to_owned());
    let index = match entries.iter().position(|(known, _)| known.value == name_value) {
        Some(index) => index,
        None => {
            let empty = Entry { place: place.clone(), value: Value::Map(Vec::new()) };
            entries.push((Entry { place: place.clone(), value: name_value }, empty));
            entries.len() - 1
        }
    };
    let (key_entry, slot) = &mut entries[index];
    match rest {
        None => {
            key_entry.place = place.clone();
            *slot = entry;
        }
        Some(rest) => {
            if !matches!(slot.value, Value::Map(_)) {
                slot.value = Value::Map(Vec::new());
            }
            if let Value::Map(inner) = &mut slot.value {
                set(inner, rest, entry, place);
            }
        }
    }
}

impl Entry {
    fn move_to(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.value {
            Value::List(entries) => entries.iter_mut().for_each(|entry| entry.move_to(place)),
            Value::Map(entries) => entries.iter_mut().for_each(|(key, entry)| {
                key.move_to(place);
                entry.move_to(place);
            }),
            _ => {}
        }
    }
}

fn parse(text: &str) -> Result<Entry, (u64, String)> {
    if text.trim().is_empty() {
        return Ok(Entry { place: Place::Line(1), value: Value::Null });
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        // Whether a number may be infinite is for each key to say.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let message = match &error {
            serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("the key {key} stands here for the second time; keep one of the two")
            }
            other => {
                let text = other.to_string();
                // The line is said in front.
                text.split(" at line ").next().unwrap_or_default().to_owned()
            }
        };
        (line, message)
    })
}
