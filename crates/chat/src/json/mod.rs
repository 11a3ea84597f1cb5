//! JSON as the field's Python tools read and write it.
//!
//! In: text or [`Json`] values. Out: values that keep key order and the digits of every number, and text with the very
//! characters of Python's `json.dumps(…, ensure_ascii=False)`, since each of them becomes a token. It does not know
//! conversations.

mod equal;
mod identifier;
mod literal;
mod python;
mod repeated;
mod repr;
mod scan;
mod scan_call;
mod unprintable;

pub(crate) use equal::canonical_number;
pub use equal::equal_by_value;
pub use identifier::is_identifier;
pub use literal::{LiteralError, parse_keywords, parse_literal};
pub(crate) use python::push_float;
pub use python::{push_python, push_python_indented, push_python_string, to_python, to_python_indented};
pub use repeated::{RepeatedKey, parse_noting_repeats};
pub use repr::{push_repr, to_repr, to_str};
pub(crate) use scan::{ObjectScan, Scan, ScanState};
pub(crate) use scan_call::CallScan;

/// A JSON value; objects keep the order of their keys, numbers their digits.
pub type Json = serde_json::Value;

/// A JSON object.
pub type JsonMap = serde_json::Map<String, Json>;

/// Reads one JSON value, with nothing after it but white space.
pub fn parse(text: &str) -> Result<Json, serde_json::Error> {
    serde_json::from_str(text)
}
