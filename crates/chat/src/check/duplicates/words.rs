//! The words of a conversation that tell it from others.
//!
//! In: a conversation. Out: what user and assistant say and call, as lower-case words without punctuation, and the
//! sequences of [`SHINGLE`] words in it. System prompts, tool definitions and tool results are left out: good data
//! repeats them.

use crate::data::{Conversation, Message, Role};
use crate::json::Json;

/// How many words in a row make one feature.
pub(super) const SHINGLE: usize = 3;

/// From here on characters are words of their own: Chinese and Japanese put no spaces between words.
const FIRST_CJK: char = '\u{2e80}';

/// Words, each after a space, and where each begins.
#[derive(Default)]
pub(super) struct Words {
    text: String,
    starts: Vec<usize>,
}

impl Words {
    pub(super) fn of(conversation: &Conversation) -> Self {
        let mut words = Self::default();
        for message in &conversation.messages {
            if matches!(message.role, Role::User | Role::Assistant) {
                words.message(message);
            }
        }
        words
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Every [`SHINGLE`] words in a row, as text. They run on from one message into the next, so that an answer of one
    /// word is part of some.
    pub(super) fn shingles(&self) -> impl Iterator<Item = &str> {
        let ends = self.starts.iter().skip(SHINGLE).map(|start| start - 1).chain([self.text.len()]);
        self.starts.iter().zip(ends).filter_map(|(&start, end)| self.text.get(start..end))
    }

    fn message(&mut self, message: &Message) {
        self.text(message.reasoning.as_deref().unwrap_or_default());
        self.text(message.text());
        for call in &message.tool_calls {
            self.text(&call.name);
            self.json(&call.arguments);
        }
    }

    fn json(&mut self, value: &Json) {
        match value {
            Json::Null => {}
            Json::Bool(value) => self.text(if *value { "true" } else { "false" }),
            Json::Number(number) => self.text(number.as_str()),
            Json::String(text) => self.text(text),
            Json::Array(items) => items.iter().for_each(|item| self.json(item)),
            Json::Object(object) => {
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
        let mut inside_word = false;
        for character in text.chars() {
            if !character.is_alphanumeric() {
                inside_word = false;
                continue;
            }
            let alone = character >= FIRST_CJK;
            if alone || !inside_word {
                self.text.push(' ');
                self.starts.push(self.text.len());
            }
            inside_word = !alone;
            if character.is_ascii() {
                self.text.push(character.to_ascii_lowercase());
            } else {
                self.text.extend(character.to_lowercase());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ToolCall;

    fn shingles(message: Message) -> Vec<String> {
        Words::of(&Conversation::new(vec![message])).shingles().map(str::to_owned).collect()
    }

    #[test]
    fn case_and_punctuation_do_not_count() {
        assert_eq!(shingles(Message::user("Rain, in PARIS: ÉTÉ?")), ["rain in paris", "in paris été"]);
        assert!(shingles(Message::user("two words")).is_empty());
        assert!(shingles(Message::system("one two three")).is_empty());
    }

    #[test]
    fn chinese_characters_are_words() {
        assert_eq!(shingles(Message::user("深圳 weather 好")), ["深 圳 weather", "圳 weather 好"]);
    }

    #[test]
    fn calls_are_read_in_the_order_of_their_keys() {
        let arguments = serde_json::json!({"until": 2.5, "city": "Rome"});
        let calls = shingles(Message::calls(vec![ToolCall::new("get_rain", arguments)]));
        assert_eq!(
            calls,
            ["get rain city", "rain city rome", "city rome until", "rome until 2", "until 2 5"]
        );
    }
}
