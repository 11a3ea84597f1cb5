//! Writes values as Python's `repr` and `str` do, for formats that hold Python code.
//!
//! In: JSON values, as `json.loads` would give them to Python. Out: text. Nothing is ever read back as code here.

use super::unprintable::is_unprintable;
use super::{Json, python::push_number};

/// The value as Python's `repr` writes it: `True`, `None`, `'it\'s'`, `[1, 2.0]`, `{'a': 1}`.
pub fn to_repr(value: &Json) -> String {
    let mut out = String::new();
    push_repr(&mut out, value);
    out
}

/// The value as Python's `str` writes it: a string is itself, everything else as by [`to_repr`].
pub fn to_str(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => to_repr(other),
    }
}

/// Appends what [`to_repr`] returns.
pub fn push_repr(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("None"),
        Json::Bool(true) => out.push_str("True"),
        Json::Bool(false) => out.push_str("False"),
        Json::Number(number) => {
            let mut digits = String::new();
            push_number(&mut digits, number.as_str());
            out.push_str(match digits.as_str() {
                "Infinity" => "inf",
                "-Infinity" => "-inf",
                "NaN" => "nan",
                digits => digits,
            });
        }
        Json::String(text) => push_repr_string(out, text),
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
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push_repr_string(out, key);
                out.push_str(": ");
                push_repr(out, value);
            }
            out.push('}');
        }
    }
}

/// Appends a string literal: in single quotes, in double ones where only those spare an escape.
fn push_repr_string(out: &mut String, text: &str) {
    use std::fmt::Write;
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_unprintable(c) => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ = match code {
                    ..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected texts: python3.11 -c 'import json; print(repr(json.loads(INPUT)))'.
    #[test]
    fn values_print_as_python_code() {
        let cases = [
            (r#""it's""#, r#""it's""#),
            (r#""it's \"so\"""#, r#"'it\'s "so"'"#),
            (r#""a\"b""#, r#"'a"b'"#),
            (r#""\t\r\n\u0000\\\u007f""#, r"'\t\r\n\x00\\\x7f'"),
            (
                r#""\u3000\u200b\ufeff\ue000\u0378\ud83d\ude00深\u00a0\u00ad\u2028""#,
                r"'\u3000\u200b\ufeff\ue000\u0378😀深\xa0\xad\u2028'",
            ),
            (r#""\udb80\udc00\udbff\udfff""#, r"'\U000f0000\U0010ffff'"),
            (
                r#"[true, null, -0.0, -0, 1E5, 1e400, {"a": []}]"#,
                "[True, None, -0.0, 0, 100000.0, inf, {'a': []}]",
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(to_repr(&super::super::parse(input).unwrap()), expected, "{input}");
        }
        assert_eq!(to_str(&Json::from("it's")), "it's");
    }
}
