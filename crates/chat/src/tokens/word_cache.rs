//! Words that come again.
//!
//! In: words and their ids. Out: the ids, at the next time. Words and ids lie close together, so that those of a whole
//! dataset stay near the processor; when they fill the room, the cache starts over.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use tokenizers::pipeline::PipelineToken;

/// Ids by word.
#[derive(Default)]
pub(super) struct WordCache {
    entries: HashTable<Entry>,
    words: Vec<u8>,
    ids: Vec<PipelineToken>,
    hasher: DefaultHashBuilder,
}

struct Entry {
    word: u32,
    ids: u32,
    length: u16,
    count: u16,
}

/// Longer words (bytes) are not kept: they seldom come again.
const LONGEST: usize = 256;
/// How many bytes of words are kept: about 500,000 words.
const ROOM: usize = 1 << 22;

impl Entry {
    fn word<'a>(&self, words: &'a [u8]) -> &'a [u8] {
        &words[self.word as usize..][..usize::from(self.length)]
    }
}

impl WordCache {
    /// Appends the ids of a word, if it is known.
    pub(super) fn get(&self, word: &[u8], tokens: &mut Vec<PipelineToken>) -> bool {
        let same = |entry: &Entry| entry.word(&self.words) == word;
        let Some(entry) = self.entries.find(self.hasher.hash_one(word), same) else { return false };
        let ids = &self.ids[entry.ids as usize..][..usize::from(entry.count)];
        match ids {
            [id] => tokens.push(*id),
            ids => tokens.extend_from_slice(ids),
        }
        true
    }

    /// Keeps a word that is not known.
    pub(super) fn put(&mut self, word: &[u8], tokens: &[PipelineToken]) {
        // A word has no more ids than bytes.
        if word.len() > LONGEST || tokens.len() > word.len() {
            return;
        }
        if self.words.len() + word.len() > ROOM {
            self.entries.clear();
            self.words.clear();
            self.ids.clear();
        }
        let entry = Entry {
            word: self.words.len() as u32,
            ids: self.ids.len() as u32,
            length: word.len() as u16,
            count: tokens.len() as u16,
        };
        self.words.extend_from_slice(word);
        self.ids.extend_from_slice(tokens);
        let hash = |entry: &Entry| self.hasher.hash_one(entry.word(&self.words));
        self.entries.insert_unique(self.hasher.hash_one(word), entry, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(cache: &WordCache, word: &str) -> Option<Vec<u32>> {
        let mut tokens = Vec::new();
        cache.get(word.as_bytes(), &mut tokens).then(|| PipelineToken::cast_slice(&tokens).to_vec())
    }

    fn keep(cache: &mut WordCache, word: &str, ids: &[u32]) {
        let tokens: Vec<_> = ids.iter().copied().map(PipelineToken::from).collect();
        cache.put(word.as_bytes(), &tokens);
    }

    #[test]
    fn a_word_is_known_by_all_its_bytes() {
        let mut cache = WordCache::default();
        assert_eq!(known(&cache, "a"), None);
        keep(&mut cache, "a", &[7]);
        keep(&mut cache, "a\0", &[7, 8]);
        assert_eq!(known(&cache, "a"), Some(vec![7]));
        assert_eq!(known(&cache, "a\0"), Some(vec![7, 8]));
        assert_eq!(known(&cache, "a\0\0"), None);
        assert_eq!(known(&cache, ""), None);
    }

    #[test]
    fn long_words_are_not_kept() {
        let mut cache = WordCache::default();
        keep(&mut cache, &"x".repeat(LONGEST), &[1]);
        keep(&mut cache, &"x".repeat(LONGEST + 1), &[1]);
        assert_eq!(known(&cache, &"x".repeat(LONGEST)), Some(vec![1]));
        assert_eq!(known(&cache, &"x".repeat(LONGEST + 1)), None);
    }

    #[test]
    fn memory_is_bounded_and_the_last_words_are_known() {
        let mut cache = WordCache::default();
        let word = |number: u32| format!("{number:0200}");
        let count = 3 * ROOM as u32 / 200;
        for number in 0..count {
            keep(&mut cache, &word(number), &[number, number]);
        }
        assert!(cache.words.len() <= ROOM && cache.words.capacity() <= 2 * ROOM);
        let found =
            (0..count).filter(|number| known(&cache, &word(*number)) == Some(vec![*number; 2])).count();
        assert_eq!(found, cache.entries.len());
        assert_eq!(known(&cache, &word(count - 1)), Some(vec![count - 1; 2]));
    }
}
