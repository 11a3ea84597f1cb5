//! Text as Python sees it: what its `strip` takes away, and what its `str` makes of a JSON value.
//!
//! Templates that print schemas as text, or trim messages, do it with Python's own rules.

use crate::json::{Json, push_python};

/// `text.strip()`: Python's white space is Unicode's and the four separators before the space.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\x1c'..='\x1f'))
}

/// `str(value)`: `True`, `None`, lists and objects as Python writes them, a text as it is.
pub(super) fn python_str(value: &Json) -> String {
    let mut out = String::new();
    match value {
        Json::String(text) => out.push_str(text),
        other => push_repr(&mut out, other),
    }
    out
}

fn push_repr(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("None"),
        Json::Bool(true) => out.push_str("True"),
        Json::Bool(false) => out.push_str("False"),
        Json::Number(_) => push_python(out, value),
        Json::String(text) => push_quoted(out, text),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push_repr(out, item);
            }
            out.push(']');
        }
        Json::Object(map) => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push_quoted(out, key);
                out.push_str(": ");
                push_repr(out, item);
            }
            out.push('}');
        }
    }
}

/// A string in quotes; single ones, unless it holds those and no double ones.
fn push_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_print_as_str_prints_them() {
        let cases = [
            (json!("as it is'"), "as it is'"),
            (json!(true), "True"),
            (json!(null), "None"),
            (json!(1.0), "1.0"),
            (json!(["string", "null"]), "['string', 'null']"),
            (json!({"a": [null, false, "it's", "\"'\n"]}), "{'a': [None, False, \"it's\", '\"\\'\\n']}"),
        ];
        for (value, expected) in cases {
            assert_eq!(python_str(&value), expected);
        }
        assert_eq!(strip("\x1c\u{3000} a b\u{a0}\n"), "a b");
    }
}
