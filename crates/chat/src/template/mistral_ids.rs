//! The ids that Mistral's format demands of every call and result: nine characters.
//!
//! In: messages. Out: the id of each call, the record's own where it fits, else one made from the call and its place; and
//! the id of each result, which is its call's. The same messages always give the same ids.

use std::collections::HashMap;

use crate::data::{Message, Role, ToolCall};
use crate::json::to_python;

const LENGTH: usize = 9;

/// The ids of a conversation.
pub(super) struct CallIds {
    /// By message and call.
    calls: Vec<Vec<String>>,
    /// By message; `None` where it is no result, or answers no call.
    results: Vec<Option<String>>,
}

impl CallIds {
    pub(super) fn new(messages: &[Message]) -> Self {
        let mut calls: Vec<Vec<String>> = Vec::with_capacity(messages.len());
        let mut results = Vec::with_capacity(messages.len());
        // What the record calls them, by the ids that are written.
        let mut named: HashMap<&str, String> = HashMap::new();
        let mut open: std::vec::IntoIter<String> = Vec::new().into_iter();
        for (index, message) in messages.iter().enumerate() {
            let made = message.tool_calls.iter().enumerate().map(|(place, call)| id_of(call, index, place));
            let made: Vec<String> = made.collect();
            for (call, id) in message.tool_calls.iter().zip(&made) {
                if let Some(name) = &call.id {
                    named.insert(name, id.clone());
                }
            }
            if !made.is_empty() {
                open = made.clone().into_iter();
            }
            calls.push(made);
            results.push(if message.role == Role::Tool {
                let at_its_place = open.next();
                let name = message.tool_call_id.as_deref();
                let by_name = name.and_then(|name| {
                    named.get(name).cloned().or_else(|| fits(name).then(|| name.to_owned()))
                });
                by_name.or(at_its_place)
            } else {
                None
            });
        }
        Self { calls, results }
    }

    pub(super) fn of_call(&self, message: usize, call: usize) -> &str {
        self.calls.get(message).and_then(|calls| calls.get(call)).map_or("", String::as_str)
    }

    pub(super) fn of_result(&self, message: usize) -> Option<&str> {
        self.results.get(message)?.as_deref()
    }
}

/// Whether an id can stand as it is: the template counts its characters and puts it between quotes.
fn fits(id: &str) -> bool {
    id.chars().count() == LENGTH && !id.contains(['"', '\\']) && !id.contains(char::is_control)
}

fn id_of(call: &ToolCall, message: usize, place: usize) -> String {
    match &call.id {
        Some(id) if fits(id) => id.clone(),
        _ => made_from(&format!("{message} {place} {} {}", call.name, to_python(&call.arguments))),
    }
}

/// Nine characters of base 62 from the 64-bit FNV-1a hash of a text.
fn made_from(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut id = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        id.push(char::from(DIGITS[(hash % 62) as usize]));
        hash /= 62;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(id: Option<&str>) -> ToolCall {
        ToolCall { id: id.map(str::to_owned), ..ToolCall::new("f", json!({"x": 1})) }
    }

    #[test]
    fn ids_that_fit_stay_and_results_find_their_calls() {
        let messages = [
            Message::calls(vec![call(Some("abcdefghi")), call(Some("short")), call(None)]),
            Message::tool_result(Some("short".to_owned()), "2"),
            Message::tool_result(None, "at its place"),
            Message::tool_result(Some("abcdefghi".to_owned()), "1"),
            Message::tool_result(None, "of no call"),
        ];
        let ids = CallIds::new(&messages);
        assert_eq!(ids.of_call(0, 0), "abcdefghi");
        let made = [ids.of_call(0, 1), ids.of_call(0, 2)];
        assert!(made[0] != made[1] && made.iter().all(|id| id.len() == 9));
        assert_eq!(ids.of_result(1), Some(made[0]));
        assert_eq!(ids.of_result(2), Some(made[0]));
        assert_eq!(ids.of_result(3), Some("abcdefghi"));
        assert_eq!(ids.of_result(4), None);
        assert_eq!(CallIds::new(&messages).calls, ids.calls);
    }
}
