//! What makes two conversations the same: one number for all that is shown and said in it.
//!
//! In: a conversation. Out: 64 bits that are equal when the tools offered, and the role, text, thoughts and calls of
//! every message are. White space around a text, the ids of calls, the name beside a tool's result, the `train` flags,
//! the order of an object's keys and the spelling of a number (`1`, `1.0`) do not count: they teach nothing else.
//! It does not know what is merely alike.

use xxhash_rust::xxh3::Xxh3;

use crate::data::{Conversation, Message, Role};
use crate::json::{Json, canonical_number};

/// The hash is XXH3, whose values are the same on every machine and in every version.
pub(super) fn hash(conversation: &Conversation) -> u64 {
    let mut digest = Digest(Xxh3::new());
    digest.count(conversation.tools().len());
    for tool in conversation.tools() {
        digest.json(tool.definition());
    }
    for message in &conversation.messages {
        digest.message(message);
    }
    digest.0.digest()
}

/// Takes values in such a way that no two sequences of them give the same bytes.
struct Digest(Xxh3);

impl Digest {
    fn message(&mut self, message: &Message) {
        self.mark(match message.role {
            Role::System => 1,
            Role::User => 2,
            Role::Assistant => 3,
            Role::Tool => 4,
        });
        self.text(message.text().trim());
        self.text(message.reasoning.as_deref().unwrap_or_default().trim());
        self.count(message.tool_calls.len());
        for call in &message.tool_calls {
            self.text(&call.name);
            self.json(&call.arguments);
        }
    }

    fn json(&mut self, value: &Json) {
        match value {
            Json::Null => self.mark(1),
            Json::Bool(false) => self.mark(2),
            Json::Bool(true) => self.mark(3),
            Json::Number(number) => {
                self.mark(4);
                self.text(&canonical_number(number.as_str()));
            }
            Json::String(text) => {
                self.mark(5);
                self.text(text);
            }
            Json::Array(items) => {
                self.mark(6);
                self.count(items.len());
                items.iter().for_each(|item| self.json(item));
            }
            Json::Object(object) => {
                self.mark(7);
                self.count(object.len());
                let mut entries: Vec<_> = object.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                for (key, value) in entries {
                    self.text(key);
                    self.json(value);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_le_bytes());
    }

    fn mark(&mut self, kind: u8) {
        self.0.update(&[kind]);
    }
}
