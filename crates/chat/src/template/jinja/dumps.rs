//! JSON to the values that templates compute with, and back to text as Python's `json.dumps` writes it.
//!
//! In: [`Json`], or a template's value. Out: a value that keeps key order and the digits of large integers; JSON text.

use std::sync::Arc;

use minijinja::value::{DynObject, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::json::{Json, push_float, push_python_string};

/// An integer too large for the machine, as its digits.
#[derive(Debug)]
struct BigInteger(String);

impl Object for BigInteger {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }
}

/// The value that a template sees.
pub(super) fn value_of(json: &Json) -> Value {
    convert(json, &mut |text, _| Value::from(text))
}

/// The same, strings going through `text`; its second argument is true for keys.
pub(super) fn convert(json: &Json, text: &mut dyn FnMut(&str, bool) -> Value) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => number_of(number.as_str()),
        Json::String(value) => text(value, false),
        Json::Array(items) => Value::from(items.iter().map(|item| convert(item, text)).collect::<Vec<_>>()),
        Json::Object(map) => {
            Value::from_pairs(map.iter().map(|(key, value)| (text(key, true), convert(value, text))))
        }
    }
}

fn number_of(digits: &str) -> Value {
    if let Ok(small) = digits.parse::<i64>() {
        return Value::from(small);
    }
    if let Ok(large) = digits.parse::<i128>() {
        return Value::from(large);
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Value::from_object(BigInteger(digits.to_owned()));
    }
    digits.parse::<f64>().map_or_else(|_| Value::from(digits), Value::from)
}

/// The arguments of `json.dumps` that templates use.
#[derive(Debug, Clone, Default)]
pub(super) struct Dumps {
    pub(super) ensure_ascii: bool,
    pub(super) sort_keys: bool,
    pub(super) indent: Option<String>,
    pub(super) separators: Option<(String, String)>,
}

/// Nesting beyond this is refused, as Python does.
const DEEPEST: usize = 500;

/// Text longer than this is refused: a list that holds itself twice, and again, is short to say and long to write.
const LONGEST: usize = 1 << 24;

/// The value as `json.dumps` writes it.
pub(super) fn dumps(value: &Value, options: &Dumps) -> Result<String, Error> {
    let (item, key) = match &options.separators {
        Some((item, key)) => (item.as_str(), key.as_str()),
        None => (if options.indent.is_some() { "," } else { ", " }, ": "),
    };
    let mut writer = Writer { options, item, key, out: String::new() };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'a> {
    options: &'a Dumps,
    item: &'a str,
    key: &'a str,
    out: String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(not_json("values nested too deeply"));
        }
        if self.out.len() > LONGEST {
            return Err(not_json("values as long as these"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.out.push_str(&value.to_string()),
            ValueKind::Number => {
                push_float(&mut self.out, f64::try_from(value.clone()).unwrap_or(f64::NAN));
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.collect::<Vec<_>>();
                self.items('[', ']', items.len(), depth, |writer, index| {
                    writer.value(&items[index], depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut entries = Vec::new();
                for key in value.try_iter()? {
                    entries.push((key_text(&key)?, value.get_item(&key)?));
                }
                if self.options.sort_keys {
                    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.items('{', '}', entries.len(), depth, |writer, index| {
                    let (key, value) = &entries[index];
                    writer.string(key);
                    writer.out.push_str(writer.key);
                    writer.value(value, depth + 1)
                })?;
            }
            ValueKind::Plain if value.downcast_object_ref::<BigInteger>().is_some() => {
                self.out.push_str(&value.to_string());
            }
            other => return Err(not_json(&format!("{other} values"))),
        }
        Ok(())
    }

    fn items(
        &mut self,
        open: char,
        close: char,
        count: usize,
        depth: usize,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for index in 0..count {
            if index > 0 {
                self.out.push_str(self.item);
            }
            self.new_line(depth + 1);
            each(self, index)?;
        }
        if count > 0 {
            self.new_line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.options.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn string(&mut self, text: &str) {
        let start = self.out.len();
        push_python_string(&mut self.out, text);
        if self.options.ensure_ascii && !self.out[start..].is_ascii() {
            let written = self.out.split_off(start);
            for c in written.chars() {
                if c.is_ascii() {
                    self.out.push(c);
                    continue;
                }
                for unit in c.encode_utf16(&mut [0; 2]) {
                    self.out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
}

/// A key as `json.dumps` writes it: what is no string becomes one.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None | ValueKind::Bool | ValueKind::Number => dumps(key, &Dumps::default()),
        other => Err(not_json(&format!("keys of type {other}"))),
    }
}

fn not_json(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson cannot write {what}"))
}
