//! Writes JSON as Python's `json.dumps(value, ensure_ascii=False)` does.
//!
//! In: a value. Out: text appended to a buffer. Separators are `", "` and `": "`; integers are exact at any size;
//! floats print as Python's `repr` (`1E5` is `100000.0`, `1e22` is `1e+22`).

use super::Json;

/// The value as `json.dumps(value, ensure_ascii=False)` prints it.
pub fn to_python(value: &Json) -> String {
    let mut out = String::new();
    push_python(&mut out, value);
    out
}

/// The value as `json.dumps(value, ensure_ascii=False, indent=indent)` prints it.
pub fn to_python_indented(value: &Json, indent: usize) -> String {
    let mut out = String::new();
    push_python_indented(&mut out, value, indent);
    out
}

/// Appends what [`to_python`] returns.
pub fn push_python(out: &mut String, value: &Json) {
    match value {
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push_python(out, item);
            }
            out.push(']');
        }
        Json::Object(map) => {
            out.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push_python_string(out, key);
                out.push_str(": ");
                push_python(out, value);
            }
            out.push('}');
        }
        scalar => push_scalar(out, scalar),
    }
}

/// Appends what [`to_python_indented`] returns.
pub fn push_python_indented(out: &mut String, value: &Json, indent: usize) {
    push_indented(out, value, indent, 0);
}

fn push_indented(out: &mut String, value: &Json, indent: usize, depth: usize) {
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent * depth));
    };
    match value {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                new_line(out, depth + 1);
                push_indented(out, item, indent, depth + 1);
            }
            new_line(out, depth);
            out.push(']');
        }
        Json::Object(map) if !map.is_empty() => {
            out.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                new_line(out, depth + 1);
                push_python_string(out, key);
                out.push_str(": ");
                push_indented(out, value, indent, depth + 1);
            }
            new_line(out, depth);
            out.push('}');
        }
        other => push_python(out, other),
    }
}

fn push_scalar(out: &mut String, value: &Json) {
    match value {
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => push_number(out, number.as_str()),
        Json::String(text) => push_python_string(out, text),
        // Lists and objects are the callers'.
        Json::Null | Json::Array(_) | Json::Object(_) => out.push_str("null"),
    }
}

/// Appends a string in quotes, escaping what Python escapes: quote, backslash and the control characters below space.
pub fn push_python_string(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..index]);
        start = index + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => {
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(control >> 4)]));
                out.push(char::from(HEX[usize::from(control & 15)]));
            }
        }
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// Appends a number as Python prints what it read from these digits.
pub(super) fn push_number(out: &mut String, digits: &str) {
    if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        // Python's int has no negative zero.
        out.push_str(if digits == "-0" { "0" } else { digits });
        return;
    }
    match digits.parse::<f64>() {
        Ok(value) => push_float(out, value),
        Err(_) => out.push_str(digits),
    }
}

/// Appends a float as Python's `repr`: the fewest digits that read back, an exponent below 1e-4 and from 1e16 on.
pub(crate) fn push_float(out: &mut String, value: f64) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    out.push_str(sign);
    if !(-4..16).contains(&exponent) {
        out.push_str(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push('e');
        out.push(sign);
        out.push_str(&format!("{:02}", exponent.abs()));
        return;
    }
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    match usize::try_from(exponent) {
        Err(_) => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
            out.push_str(&digits);
        }
        Ok(whole) if digits.len() <= whole + 1 => {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', whole + 1 - digits.len()));
            out.push_str(".0");
        }
        Ok(whole) => {
            out.push_str(&digits[..=whole]);
            out.push('.');
            out.push_str(&digits[whole + 1..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected texts: python3 -c 'import json; print(json.dumps(json.loads(INPUT), ensure_ascii=False))', Python 3.11.
    #[test]
    fn numbers_print_as_python_prints_them() {
        let cases = [
            ("1E5", "100000.0"),
            ("1e5", "100000.0"),
            ("1e22", "1e+22"),
            ("1e16", "1e+16"),
            ("1e15", "1000000000000000.0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e-7", "1e-07"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("1e400", "Infinity"),
            ("1.0", "1.0"),
            ("100.25", "100.25"),
            ("3.141592653589793", "3.141592653589793"),
            ("12345678901234567.0", "1.2345678901234568e+16"),
        ];
        for (input, expected) in cases {
            assert_eq!(to_python(&super::super::parse(input).unwrap()), expected, "{input}");
        }
    }

    #[test]
    fn strings_escape_what_python_escapes() {
        let text = "\"\\/\u{8}\u{c}\n\r\t\u{1f}\u{7f}\u{2028}é😀";
        let expected = "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\u{7f}\u{2028}é😀\"";
        assert_eq!(to_python(&Json::String(text.to_owned())), expected);
    }

    #[test]
    fn indented_lists_and_objects_break_lines_unless_empty() {
        let value = super::super::parse(r#"{"a": [1, {"b": []}], "c": {}}"#).unwrap();
        let expected = "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n        }\n    ],\n    \"c\": {}\n}";
        assert_eq!(to_python_indented(&value, 4), expected);
    }
}
