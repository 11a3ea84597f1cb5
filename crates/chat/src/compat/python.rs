//! What Python makes of a JSON value: whether it is true, how it is named.
//!
//! In: values that a reference takes without looking. Out: what its code would see.

use crate::json::{Json, to_repr};

/// Whether Python takes the value for true.
pub(super) fn is_true(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(value) => *value,
        Json::Number(number) => number.as_str().parse::<f64>().is_ok_and(|value| value != 0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(map) => !map.is_empty(),
    }
}

/// The value under a key, unless Python takes it for false.
pub(super) fn true_value<'a>(object: &'a Json, key: &str) -> Option<&'a Json> {
    object.get(key).filter(|value| is_true(value))
}

/// A value in words, for messages.
pub(super) fn describe(value: Option<&Json>) -> String {
    const MOST: usize = 60;
    let Some(value) = value else { return "nothing".to_owned() };
    let (kind, text) = match value {
        Json::Null => return "null".to_owned(),
        Json::Array(items) => return format!("a list of {}", items.len()),
        Json::Bool(_) => ("", to_repr(value)),
        Json::Number(_) => ("the number ", to_repr(value)),
        Json::String(_) => ("the text ", to_repr(value)),
        Json::Object(_) => ("the object ", to_repr(value)),
    };
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{kind}{}…", &text[..end]),
        None => format!("{kind}{text}"),
    }
}
