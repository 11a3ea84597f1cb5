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

/// ASCII letters in lower case and digits; a space for all else.
const FOLDED: [u8; 256] = {
    let mut folded = [b' '; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            folded[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    folded
};

/// Words, each after a space, and where each begins.
pub(super) struct Words {
    text: Vec<u8>,
    starts: Vec<usize>,
}

impl Words {
    pub(super) fn of(conversation: &Conversation) -> Self {
        let mut words = Self { text: Vec::with_capacity(2048), starts: Vec::with_capacity(512) };
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

    /// Every [`SHINGLE`] words in a row. They run on from one message into the next, so that an answer of one
    /// word is part of some.
    pub(super) fn shingles(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(SHINGLE).map(|start| start - 1).chain([self.text.len()]);
        let shingles = self.starts.iter().zip(ends).take((self.len() + 1).saturating_sub(SHINGLE));
        shingles.filter_map(|(&start, end)| self.text.get(start..end))
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
        if text.is_ascii() {
            return self.ascii(text.as_bytes());
        }
        for word in text.split(|character| !is_letter(character)).filter(|word| !word.is_empty()) {
            self.word(word);
        }
    }

    /// The same without branches: where words end cannot be foreseen, and most texts are of this kind.
    fn ascii(&mut self, text: &[u8]) {
        let (mut end, mut count) = (self.text.len(), self.starts.len());
        // A space before, and a byte to write the next one to; every second byte can begin a word.
        self.text.resize(end + text.len() + 2, b' ');
        self.starts.resize(count + text.len() / 2 + 2, 0);
        let (to, starts) = (&mut self.text[..], &mut self.starts[..]);
        end += 1;
        let mut inside = 0;
        for byte in text {
            let folded = FOLDED[usize::from(*byte)];
            let letter = usize::from(folded != b' ');
            starts[count] = end;
            to[end] = folded;
            count += letter & !inside;
            end += letter | inside;
            inside = letter;
        }
        self.text.truncate(end + inside - 1);
        self.starts.truncate(count);
    }

    fn word(&mut self, word: &str) {
        let mut before = FIRST_CJK;
        for character in word.chars() {
            if character >= FIRST_CJK || before >= FIRST_CJK {
                self.begin();
            }
            before = character;
            if character >= FIRST_CJK {
                self.push(character);
            } else {
                character.to_lowercase().for_each(|lower| self.push(lower));
            }
        }
    }

    fn push(&mut self, character: char) {
        self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn begin(&mut self) {
        self.text.push(b' ');
        self.starts.push(self.text.len());
    }
}

/// Whether a character is part of a word; the ideographs first, since looking them up takes long.
fn is_letter(character: char) -> bool {
    matches!(character, '\u{4e00}'..='\u{9fff}') || character.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ToolCall;

    fn shingles(message: Message) -> Vec<String> {
        let text = |shingle: &[u8]| String::from_utf8(shingle.to_vec()).unwrap();
        Words::of(&Conversation::new(vec![message])).shingles().map(text).collect()
    }

    #[test]
    fn case_and_punctuation_do_not_count() {
        assert_eq!(shingles(Message::user("Rain, in PARIS: ÉTÉ?")), ["rain in paris", "in paris été"]);
        assert_eq!(
            shingles(Message::user("Ünder_ONE, naïve深x")),
            ["ünder one naïve", "one naïve 深", "naïve 深 x"]
        );
        assert_eq!(shingles(Message::user("--a1--b2 c, (D)")), ["a1 b2 c", "b2 c d"]);
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
