//! Ids to text as they come.
//!
//! In: ids, one at a time. Out: text, cut only between characters. What comes out in sum is what decoding all ids at once
//! gives. Ids that the tokenizer does not have (padded vocabularies have such) spell nothing, as in Hugging Face's.

use super::ChatTokenizer;
use super::vocabulary::{Alphabet, Spelling};

/// Decodes ids as they come.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a ChatTokenizer,
    /// Bytes of a character that is not complete.
    pending: Vec<u8>,
    /// Whether a text begins here, after nothing or a control token, so that a leading `▁` may write no space.
    at_start: bool,
}

impl<'a> DecodeStream<'a> {
    pub(super) fn new(tokenizer: &'a ChatTokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), at_start: true }
    }

    /// Takes one id; returns the characters that are complete by now, often none.
    pub fn push(&mut self, id: u32) -> String {
        let vocabulary = self.tokenizer.vocabulary();
        let bytes = vocabulary.bytes(id);
        let Spelling { alphabet, leading_space } = vocabulary.spelling;
        if vocabulary.added_by_id(id).is_some() {
            self.pending.extend_from_slice(bytes);
            self.at_start = true;
            return self.take_complete();
        }
        match (alphabet, bytes) {
            (Alphabet::ByteLevel, _) | (_, [_]) => self.pending.extend_from_slice(bytes),
            (Alphabet::Text { .. }, _) => {
                // A space is written as U+2581, and one stands before each text.
                let piece = String::from_utf8_lossy(bytes).replace('\u{2581}', " ");
                let begins = self.at_start && leading_space;
                let piece = if begins { piece.strip_prefix(' ').unwrap_or(&piece) } else { &piece };
                self.pending.extend_from_slice(piece.as_bytes());
            }
        }
        self.at_start &= bytes.is_empty();
        self.take_complete()
    }

    /// Says that no more ids come; returns what is left, replaced where it is no UTF-8.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }

    fn take_complete(&mut self) -> String {
        let mut text = String::new();
        let mut start = 0;
        loop {
            match std::str::from_utf8(&self.pending[start..]) {
                Ok(valid) => {
                    text.push_str(valid);
                    start = self.pending.len();
                    break;
                }
                Err(error) => {
                    let valid = start + error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.pending[start..valid]));
                    start = valid;
                    match error.error_len() {
                        // More bytes may complete the character.
                        None => break,
                        Some(length) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            start += length;
                        }
                    }
                }
            }
        }
        self.pending.drain(..start);
        text
    }
}
