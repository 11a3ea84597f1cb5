//! Reads Python literals (`{'city': '深圳', 'ok': True, 'n': None}`) as data; nothing is ever executed.
//!
//! In: text. Out: a [`Json`] value, or where and why the text is no literal. Tuples become lists. Keys must be strings.
//! Names, calls, operators and f-strings are errors.

use thiserror::Error;

use super::identifier::{goes_on_identifier, starts_identifier};
use super::{Json, JsonMap};

/// Why a text is no Python literal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("at byte {position}: {reason}")]
pub struct LiteralError {
    /// Where, in bytes.
    pub position: usize,
    /// Why.
    pub reason: &'static str,
}

/// Nesting beyond this is refused, so that no input exhausts the stack.
const DEEPEST: usize = 100;

/// Reads one literal, with nothing after it but white space.
pub fn parse_literal(text: &str) -> Result<Json, LiteralError> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.error("text after the value"));
    }
    Ok(value)
}

/// Reads the arguments of a call, `city='深圳', days=3`, with nothing else but white space and a comma at the end.
pub fn parse_keywords(text: &str) -> Result<JsonMap, LiteralError> {
    let mut reader = Reader { text, at: 0 };
    let mut map = JsonMap::new();
    loop {
        reader.skip_space();
        if reader.at == text.len() {
            return Ok(map);
        }
        let key = reader.identifier()?;
        if !reader.eat(b'=') {
            return Err(reader.error("expected = after an argument's name"));
        }
        map.insert(key, reader.value(0)?);
        if !reader.eat(b',') && reader.at < text.len() {
            return Err(reader.error("expected , or the end of the arguments"));
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: &'static str) -> LiteralError {
        LiteralError { position: self.at, reason }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0c)) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, LiteralError> {
        if depth > DEEPEST {
            return Err(self.error("nested too deeply"));
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.dict(depth),
            Some(b'[') => self.list(b']', depth),
            Some(b'(') => self.list(b')', depth),
            Some(b'\'' | b'"') => Ok(Json::String(self.strings()?)),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
            None => Err(self.error("the text ends where a value should stand")),
        }
    }

    fn identifier(&mut self) -> Result<String, LiteralError> {
        let rest = self.rest();
        let length = rest.find(|c| !goes_on_identifier(c)).unwrap_or(rest.len());
        if !rest.starts_with(starts_identifier) {
            return Err(self.error("expected the name of an argument"));
        }
        self.at += length;
        Ok(rest[..length].to_owned())
    }

    fn word(&mut self) -> Result<Json, LiteralError> {
        let words = [("True", Json::Bool(true)), ("False", Json::Bool(false)), ("None", Json::Null)];
        for (word, value) in words {
            let Some(after) = self.rest().strip_prefix(word) else { continue };
            if !after.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("expected a string, number, list, dict, True, False or None"))
    }

    fn dict(&mut self, depth: usize) -> Result<Json, LiteralError> {
        self.at += 1;
        let mut map = JsonMap::new();
        while !self.eat(b'}') {
            if !matches!(self.peek(), Some(b'\'' | b'"')) {
                return Err(self.error("expected a string as key, or }"));
            }
            let key = self.strings()?;
            if !self.eat(b':') {
                return Err(self.error("expected : after a key"));
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            if !self.eat(b',') && self.peek() != Some(b'}') {
                return Err(self.error("expected , or }"));
            }
        }
        Ok(Json::Object(map))
    }

    fn list(&mut self, close: u8, depth: usize) -> Result<Json, LiteralError> {
        let open = self.at;
        self.at += 1;
        let mut items = Vec::new();
        let mut commas = 0;
        while !self.eat(close) {
            items.push(self.value(depth + 1)?);
            if self.eat(b',') {
                commas += 1;
            } else if self.peek() != Some(close) {
                return Err(self.error("expected , or the end of the list"));
            }
        }
        if close == b')' && items.len() == 1 && commas == 0 {
            // Parentheses around one value are no tuple.
            return Ok(items.remove(0));
        }
        if close == b')' && items.is_empty() && commas > 0 {
            return Err(LiteralError { position: open, reason: "a tuple of nothing but a comma" });
        }
        Ok(Json::Array(items))
    }

    /// One string, or several that stand next to one another.
    fn strings(&mut self) -> Result<String, LiteralError> {
        let mut out = String::new();
        while let Some(quote @ (b'\'' | b'"')) = self.peek() {
            self.string(quote, &mut out)?;
            self.skip_space();
        }
        Ok(out)
    }

    fn string(&mut self, quote: u8, out: &mut String) -> Result<(), LiteralError> {
        let quote = char::from(quote);
        let triple = self.rest().chars().take(3).filter(|c| *c == quote).count() == 3;
        let width = if triple { 3 } else { 1 };
        self.at += width;
        loop {
            let Some(next) = self.rest().chars().next() else {
                return Err(self.error("the text ends inside a string"));
            };
            if next == quote {
                let run = self.rest().chars().take(width).filter(|c| *c == quote).count();
                if run == width {
                    self.at += width;
                    return Ok(());
                }
            }
            match next {
                '\\' => self.escape(out)?,
                '\n' if !triple => return Err(self.error("a line break inside a string")),
                other => {
                    out.push(other);
                    self.at += other.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), LiteralError> {
        self.at += 1;
        let Some(kind) = self.rest().chars().next() else {
            return Err(self.error("the text ends inside a string"));
        };
        self.at += kind.len_utf8();
        match kind {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(kind),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'a' => out.push('\u{7}'),
            'v' => out.push('\u{b}'),
            'x' => self.code_point(2, out)?,
            'u' => self.code_point(4, out)?,
            'U' => self.code_point(8, out)?,
            '0'..='7' => self.octal(kind, out),
            'N' => return Err(self.error("named characters (\\N{…}) are not read")),
            // As Python does (with a warning): an unknown escape stays as it is.
            other => {
                out.push('\\');
                out.push(other);
            }
        }
        Ok(())
    }

    fn code_point(&mut self, width: usize, out: &mut String) -> Result<(), LiteralError> {
        let digits = self.rest().get(..width).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(c) = code.and_then(char::from_u32) else {
            return Err(self.error("an escape that names no character"));
        };
        self.at += width;
        out.push(c);
        Ok(())
    }

    fn octal(&mut self, first: char, out: &mut String) {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'7') = self.peek() else { break };
            code = code * 8 + u32::from(digit - b'0');
            self.at += 1;
        }
        out.extend(char::from_u32(code));
    }

    fn number(&mut self) -> Result<Json, LiteralError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+')) {
            self.at += 1;
        }
        let sign_end = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'.' | b'_' | b'e' | b'E')) {
            let exponent = matches!(self.peek(), Some(b'e' | b'E'));
            self.at += 1;
            if exponent && matches!(self.peek(), Some(b'-' | b'+')) {
                self.at += 1;
            }
        }
        let error = LiteralError { position: start, reason: "not a number that JSON can hold" };
        let signs = &self.text[start..sign_end];
        let negative = signs.bytes().filter(|byte| *byte == b'-').count() % 2 == 1;
        let mut digits = self.text[sign_end..self.at].replace('_', "");
        if digits.starts_with('.') {
            digits.insert(0, '0');
        }
        if digits.ends_with('.') {
            digits.push('0');
        }
        let digits = digits.replace(".e", ".0e").replace(".E", ".0E");
        let text = if negative { format!("-{digits}") } else { digits };
        match super::parse(&text) {
            Ok(value @ Json::Number(_)) => Ok(value),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn literals_read_as_data() {
        let cases = [
            (
                r#"{'a': "it's", 'b': [1, -2.5, True, None], }"#,
                json!({"a": "it's", "b": [1, -2.5, true, null]}),
            ),
            (r"{'x': 'it\'s \u4f60\x41\n', 'y': ('a',)}", json!({"x": "it's 你A\n", "y": ["a"]})),
            ("('a' 'b')", json!("ab")),
            ("'''a\n'b'''", json!("a\n'b")),
            ("1_000", json!(1000)),
            ("{}", json!({})),
            ("[False, (), 1e3, .5]", json!([false, [], 1e3, 0.5])),
        ];
        for (text, expected) in cases {
            let value = parse_literal(text).unwrap();
            assert!(super::super::equal_by_value(&value, &expected), "{text}: {value}");
        }
        let huge = parse_literal("123456789012345678901234567890").unwrap();
        assert_eq!(huge.to_string(), "123456789012345678901234567890");
    }

    #[test]
    fn arguments_of_a_call_read_as_data() {
        let arguments = parse_keywords(" city='深圳', days = 3,\n 标签=['a'], ok=True, ").unwrap();
        let expected = json!({"city": "深圳", "days": 3, "标签": ["a"], "ok": true});
        assert_eq!(Json::Object(arguments), expected);
        assert!(parse_keywords("").unwrap().is_empty());
        for text in ["'a'", "a", "a=", "a=b", "a=1 b=2", "*a", "a=1,,", "1a=1", "a=f(1)"] {
            assert!(parse_keywords(text).is_err(), "{text}");
        }
    }

    #[test]
    fn code_is_refused_never_run() {
        for text in [
            "__import__('os').system('true')",
            "{'a': open('f')}",
            "1 + 1",
            "[x for x in 'abc']",
            "f'{1}'",
            "lambda: 0",
            "{1: 2}",
            "'a",
            "{'a' 1}",
            "Truely",
            "01x",
            "",
        ] {
            assert!(parse_literal(text).is_err(), "{text}");
        }
        assert!(parse_literal(&"[".repeat(100_000)).is_err());
    }
}
