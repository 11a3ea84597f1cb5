//! One object that is a call: `{"name": …, "arguments": {…}}`, or `parameters` in the place of `arguments`.

use crate::data::ToolCall;
use crate::json::{self, Json};

const EXPECTED: &str = "expected {\"name\": …, \"arguments\": {…}}";

/// Reads a call.
pub(super) fn read(text: &str) -> Result<ToolCall, String> {
    let mut call = match json::parse(text) {
        Ok(Json::Object(call)) => call,
        Ok(_) => return Err(format!("no object; {EXPECTED}")),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    let Some(Json::String(name)) = call.remove("name").filter(|name| name.as_str() != Some("")) else {
        return Err(format!("no \"name\" in the call; {EXPECTED}"));
    };
    let arguments = match call.remove("arguments").or_else(|| call.remove("parameters")) {
        // Some models write the arguments as JSON text.
        Some(Json::String(text)) => {
            json::parse(&text).map_err(|error| format!("the arguments are no JSON: {error}"))?
        }
        Some(arguments) => arguments,
        None => return Err(format!("no \"arguments\" in the call; {EXPECTED}")),
    };
    if !arguments.is_object() {
        return Err(format!("the arguments are no object; {EXPECTED}"));
    }
    Ok(ToolCall::new(name, arguments))
}

/// Reads a call where no mark says that it is one: nothing but what makes a call may stand in the object.
pub(super) fn read_unmarked(text: &str) -> Option<ToolCall> {
    let object = json::parse(text).ok()?;
    let plain = |key: &String| matches!(key.as_str(), "name" | "arguments" | "parameters" | "id" | "type");
    if !object.as_object()?.keys().all(plain) {
        return None;
    }
    read(text).ok()
}

/// Whether a text that breaks off begins as a call does: name first, then the arguments.
pub(super) fn begins_call(text: &str) -> bool {
    let after_name = |text: &str| {
        let text = text.strip_prefix('{')?.trim_start().strip_prefix("\"name\"")?;
        let text = text.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        let (name, rest) = text.split_once('"')?;
        let rest = rest.trim_start().strip_prefix(',')?.trim_start();
        Some(!name.is_empty() && ["\"arguments\"", "\"parameters\""].iter().any(|key| rest.starts_with(key)))
    };
    after_name(text).unwrap_or(false)
}
