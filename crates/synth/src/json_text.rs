//! JSON as chat templates print it: `", "` and `": "` between parts, as Python's `json.dumps` does.
//!
//! In: a JSON value. Out: its text, keys in their order. It does not know what the JSON means.

use serde_json::Value as Json;

/// The text of `value`.
pub(crate) fn json_text(value: &Json) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Json, out: &mut String) {
    match value {
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(&Json::String(name.clone()), out);
                out.push_str(": ");
                write(field, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
