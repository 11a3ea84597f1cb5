//! Short words that come again, which is most of a text.
//!
//! In: where a word stands in its text, and its ids. Out: the ids, at the next time. A word is compared as one number,
//! and its ids lie beside it, so a known word costs one look into memory. Two words share a cache line, and a third takes
//! the place of the older: what is displaced, the [`WordCache`](super::word_cache::WordCache) still knows.

use std::ops::Range;

use tokenizers::pipeline::PipelineToken;

/// Longest word in bytes; the sixteenth holds the length, which tells `"a"` from `"a\0"`.
const LONGEST: usize = 15;
const MOST_IDS: usize = 3;
/// Two to this power lines of 64 bytes: one megabyte.
const LINES_LOG2: u32 = 14;

/// Ids by short word.
pub(super) struct ShortWords {
    lines: Vec<Line>,
}

/// The word that came last, and the one before.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([Known; 2]);

#[derive(Clone, Copy)]
struct Known {
    word: ShortWord,
    count: u32,
    ids: [PipelineToken; MOST_IDS],
}

/// A word as a number; no word of at least one byte is zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ShortWord(u128);

impl ShortWord {
    /// The word that stands there, if it is short.
    pub(super) fn at(text: &[u8], range: &Range<usize>) -> Option<Self> {
        let length = range.len();
        if length > LONGEST {
            return None;
        }
        // Sixteen bytes at once are cheaper than a copy of just the word, where so many are left.
        let bytes = match text.get(range.start..).and_then(<[u8]>::first_chunk) {
            Some(sixteen) => u128::from_le_bytes(*sixteen),
            None => {
                let mut sixteen = [0; 16];
                sixteen.iter_mut().zip(&text[range.clone()]).for_each(|(to, from)| *to = *from);
                u128::from_le_bytes(sixteen)
            }
        };
        let mask = (1 << (8 * length)) - 1;
        Some(Self(bytes & mask | (length as u128) << (8 * LONGEST)))
    }

    fn line(self) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (low, high) = (self.0 as u64, (self.0 >> 64) as u64);
        let mixed = low.wrapping_mul(ODD) ^ high.rotate_left(29);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(ODD);
        (mixed >> (u64::BITS - LINES_LOG2)) as usize
    }
}

impl Default for ShortWords {
    fn default() -> Self {
        let none = Known { word: ShortWord(0), count: 0, ids: [PipelineToken::from(0); MOST_IDS] };
        Self { lines: vec![Line([none; 2]); 1 << LINES_LOG2] }
    }
}

impl ShortWords {
    /// Appends the ids of a word, if it is known.
    pub(super) fn get(&self, word: ShortWord, tokens: &mut Vec<PipelineToken>) -> bool {
        let Line([newer, older]) = &self.lines[word.line()];
        // Which of the two it is, and how many ids it has, cannot be foreseen: so nothing here branches on it.
        let known = if newer.word == word { newer } else { older };
        if known.word != word {
            return false;
        }
        let end = tokens.len() + known.count as usize;
        tokens.extend_from_slice(&known.ids);
        tokens.truncate(end);
        true
    }

    /// Keeps a word, if its ids are few.
    pub(super) fn put(&mut self, word: ShortWord, tokens: &[PipelineToken]) {
        if tokens.len() > MOST_IDS {
            return;
        }
        let Line([newer, older]) = &mut self.lines[word.line()];
        *older = *newer;
        (newer.word, newer.count) = (word, tokens.len() as u32);
        newer.ids[..tokens.len()].copy_from_slice(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(words: &ShortWords, text: &str, range: Range<usize>) -> Option<Vec<u32>> {
        let mut tokens = Vec::new();
        let word = ShortWord::at(text.as_bytes(), &range)?;
        words.get(word, &mut tokens).then(|| PipelineToken::cast_slice(&tokens).to_vec())
    }

    fn keep(words: &mut ShortWords, word: &str, ids: &[u32]) {
        let tokens: Vec<_> = ids.iter().copied().map(PipelineToken::from).collect();
        words.put(ShortWord::at(word.as_bytes(), &(0..word.len())).unwrap(), &tokens);
    }

    #[test]
    fn a_word_is_known_wherever_it_stands_in_a_text() {
        let mut words = ShortWords::default();
        keep(&mut words, "cat", &[1, 2]);
        assert_eq!(known(&words, "a cat and a dog sat", 2..5), Some(vec![1, 2]));
        assert_eq!(known(&words, "the end: cat", 9..12), Some(vec![1, 2]));
        assert_eq!(known(&words, "a cat and a dog sat", 2..6), None);
        assert_eq!(known(&words, "a cat and a dog sat", 2..4), None);
    }

    #[test]
    fn zeros_and_lengths_count() {
        let mut words = ShortWords::default();
        keep(&mut words, "a", &[1]);
        assert_eq!(known(&words, "a\0", 0..2), None);
        keep(&mut words, "a\0", &[2]);
        assert_eq!(known(&words, "a\0", 0..2), Some(vec![2]));
        assert_eq!(known(&words, "a\0", 0..1), Some(vec![1]));
        assert_eq!(known(&words, "\0", 0..1), None);
    }

    #[test]
    fn only_short_words_of_few_ids_are_kept() {
        let mut words = ShortWords::default();
        let long = "x".repeat(LONGEST + 1);
        assert!(ShortWord::at(long.as_bytes(), &(0..long.len())).is_none());
        keep(&mut words, &long[1..], &[9]);
        assert_eq!(known(&words, &long, 1..LONGEST + 1), Some(vec![9]));
        keep(&mut words, "many", &[1, 2, 3, 4]);
        assert_eq!(known(&words, "many", 0..4), None);
    }

    #[test]
    fn the_word_that_came_last_is_always_known() {
        let mut words = ShortWords::default();
        for number in 0..100_000_u32 {
            let word = number.to_string();
            keep(&mut words, &word, &[number]);
            assert_eq!(known(&words, &word, 0..word.len()), Some(vec![number]));
        }
    }
}
