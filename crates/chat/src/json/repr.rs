//! Writes values as Python's `repr` does, to be read back as literals ([`super::parse_literal`]).
//!
//! In: a value. Out: text appended to a buffer: `{'city': '深圳', 'ok': True, 'n': None}`. What counts as printable is
//! told by the Unicode tables of Rust's standard library; a Python with older ones escapes the newest characters.

use super::Json;
use super::python::push_number;

/// Appends the value as Python's `repr(json.loads(text))` prints it.
pub fn push_repr(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("None"),
        Json::Bool(true) => out.push_str("True"),
        Json::Bool(false) => out.push_str("False"),
        Json::Number(number) => push_number(out, number.as_str()),
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

fn push_repr_string(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => {
                out.push('\\');
                out.push(c);
            }
            _ if is_printable(c) => out.push(c),
            _ => {
                let code = u32::from(c);
                out.push_str(&match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push(quote);
}

/// Whether Python prints a character as it is: anything but control, format, surrogate, private and unassigned
/// characters and separators other than the space. Rust's debug format follows the same rule, except that it escapes
/// what extends the character before it where there is none: hence the letter.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut buffer = [b'a'; 5];
    c.encode_utf8(&mut buffer[1..]);
    std::str::from_utf8(&buffer[..=c.len_utf8()]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// Whether a text can be the name of a Python argument: an identifier that is no keyword.
pub fn is_identifier(text: &str) -> bool {
    const KEYWORDS: [&str; 35] = [
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
        "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in",
        "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    ];
    let mut chars = text.chars();
    chars.next().is_some_and(starts_identifier) && chars.all(goes_on_identifier) && !KEYWORDS.contains(&text)
}

/// Whether an identifier can start with a character.
pub(crate) fn starts_identifier(c: char) -> bool {
    c == '_' || unicode_ident::is_xid_start(c)
}

/// Whether an identifier can go on with a character.
pub(crate) fn goes_on_identifier(c: char) -> bool {
    unicode_ident::is_xid_continue(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected texts: python3 -c 'import json; print(repr(json.loads(INPUT)))', Python 3.11.
    #[test]
    fn values_print_as_python_prints_them() {
        let cases = [
            (r#""it's""#, r#""it's""#),
            (r#""say \"it's\"""#, r#"'say "it\'s"'"#),
            (r#""\"quoted\"""#, r#"'"quoted"'"#),
            (r#""a\\b\n\r\t\u0000\u001b\u007f""#, r"'a\\b\n\r\t\x00\x1b\x7f'"),
            (
                r#""\u3000\u200b\ufeff\ue000\u0378\u2028\u00a0\u00ad""#,
                r"'\u3000\u200b\ufeff\ue000\u0378\u2028\xa0\xad'",
            ),
            (r#""e\u0301 \u0301 é深😀\udb40\udc01""#, "'e\u{301} \u{301} é深😀\\U000e0001'"),
            (
                "[true, false, null, {}, [], 1E5, 1e22, -0.0, -7]",
                "[True, False, None, {}, [], 100000.0, 1e+22, -0.0, -7]",
            ),
            (
                r#"{"a'b": {"c": 123456789012345678901234567890}}"#,
                r#"{"a'b": {'c': 123456789012345678901234567890}}"#,
            ),
        ];
        for (input, expected) in cases {
            let value = super::super::parse(input).unwrap();
            let mut out = String::new();
            push_repr(&mut out, &value);
            assert_eq!(out, expected, "{input}");
            assert!(
                super::super::equal_by_value(&super::super::parse_literal(&out).unwrap(), &value),
                "{out}"
            );
        }
    }

    #[test]
    fn keys_that_python_takes_are_identifiers() {
        assert!(["a", "_b1", "城市", "é"].into_iter().all(is_identifier));
        assert!(
            ["", "1a", "a-b", "a b", "class", "None", "x.y", "a\n"]
                .into_iter()
                .all(|text| !is_identifier(text))
        );
    }
}
