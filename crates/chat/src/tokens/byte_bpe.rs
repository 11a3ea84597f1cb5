//! Byte-level BPE.
//!
//! In: a vocabulary and merges; then words. Out: the ids that `tokenizers` and tiktoken give. Nothing is worked out ahead
//! for the whole vocabulary: it is ready in a tenth of the time that the tokenizers crate's own model takes, and words that
//! come again are answered by [`ShortWords`] or a [`WordCache`].
//!
//! Two rules decide what is joined first, and the leftmost of equals. A `tokenizer.json` lists its merges, and the earlier
//! goes first; tiktoken joins whichever two neighbours make the piece of the lowest rank.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use tokenizers::pipeline::PipelineToken;
use tokenizers::utils::byte_level::char_to_byte;

use super::json_file::Merge;
use super::short_words::{ShortWord, ShortWords};
use super::vocabulary::Vocabulary;
use super::word_cache::WordCache;

/// A byte-level BPE model. It reads the pieces' bytes from the [`Vocabulary`] it was made with.
pub(super) struct ByteBpe {
    pieces: Pieces,
    bytes: Box<[u32; 256]>,
    /// Whether every byte has a piece.
    spells_all: bool,
    joins: Joins,
    /// A word that is a piece is not cut, whether or not joining would arrive there.
    whole_words: bool,
    /// All joins by the ids of both: made once enough text has come to be worth it.
    by_ids: OnceLock<HashMap<u64, Join>>,
}

/// After so many joins sought by a thread, making [`ByteBpe::by_ids`] costs less than going on without.
const WORTH_A_TABLE: usize = 1_000_000;

/// Which neighbours are joined, of those whose union is a piece.
enum Joins {
    /// Those listed, the first listed first.
    Listed(Splits),
    /// All, that of the lowest id first.
    Union,
}

/// The merges by the piece they make and the length of its left part, which together tell both parts.
struct Splits {
    /// `splits[starts[id]..starts[id + 1]]` are those of a piece.
    starts: Vec<u32>,
    splits: Vec<Split>,
}

#[derive(Clone, Copy, Default)]
struct Split {
    left: u32,
    rank: u32,
}

impl Splits {
    /// `merges` are the id made and its split, in the order of their ranks.
    fn new(merges: &[(u32, Split)], ids: usize) -> Self {
        let mut starts = vec![0; ids + 1];
        for (id, _) in merges {
            starts[*id as usize + 1] += 1;
        }
        for id in 0..ids {
            starts[id + 1] += starts[id];
        }
        let mut free = starts.clone();
        let mut splits = vec![Split::default(); merges.len()];
        for (id, split) in merges {
            let place = &mut free[*id as usize];
            splits[*place as usize] = *split;
            *place += 1;
        }
        Self { starts, splits }
    }

    fn of(&self, id: u32) -> &[Split] {
        let [start, end] = [id as usize, id as usize + 1].map(|at| self.starts[at] as usize);
        &self.splits[start..end]
    }

    fn rank(&self, id: u32, left: usize) -> Option<u32> {
        // Of a merge listed twice the last counts, as in the reference.
        self.of(id).iter().rev().find(|split| split.left as usize == left).map(|split| split.rank)
    }
}

/// Ids by the bytes they spell.
struct Pieces {
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Pieces {
    fn new<'a>(pieces: impl Iterator<Item = (&'a str, u32)>, vocabulary: &Vocabulary) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut ids = HashTable::with_capacity(pieces.size_hint().0);
        // A character outside the alphabet stands for no byte: text never reaches such a piece.
        for (_, id) in pieces.filter(|(piece, _)| piece.chars().all(|c| char_to_byte(c).is_some())) {
            let bytes = vocabulary.bytes(id);
            let hash = |id: &u32| hasher.hash_one(vocabulary.bytes(*id));
            let same = |other: &u32| vocabulary.bytes(*other) == bytes;
            *ids.entry(hasher.hash_one(bytes), same, hash).or_insert(id).get_mut() = id;
        }
        Self { ids, hasher }
    }

    fn get(&self, bytes: &[u8], vocabulary: &Vocabulary) -> Option<u32> {
        self.ids.find(self.hasher.hash_one(bytes), |id| vocabulary.bytes(*id) == bytes).copied()
    }
}

impl ByteBpe {
    /// The model of a `tokenizer.json`; that format allows that a byte has no piece (SmolLM2's has none for eight).
    ///
    /// # Errors
    /// A merge that makes no piece.
    pub(super) fn from_merges<'a>(
        pieces: impl Iterator<Item = (&'a str, u32)>,
        merges: &[Merge<'_>],
        whole_words: bool,
        vocabulary: &Vocabulary,
    ) -> Result<Self, String> {
        let pieces = Pieces::new(pieces, vocabulary);
        let bytes = single_bytes(&pieces, vocabulary);
        let mut listed = Vec::with_capacity(merges.len());
        let mut made = Vec::new();
        // Parts with characters outside the alphabet never meet in a text.
        for (rank, (left, right)) in (0..).zip(merges) {
            made.clear();
            let mut spell = |part: &str| {
                let spelled = part.chars().all(|c| char_to_byte(c).map(|byte| made.push(byte)).is_some());
                spelled.then_some(made.len() as u32)
            };
            let (Some(middle), Some(_)) = (spell(left), spell(right)) else { continue };
            let id = pieces.get(&made, vocabulary).ok_or_else(|| {
                format!("the merge of {left:?} and {right:?} makes no piece of its vocabulary")
            })?;
            listed.push((id, Split { left: middle, rank }));
        }
        let joins = Joins::Listed(Splits::new(&listed, vocabulary.size()));
        let spells_all = !bytes.contains(&NO_PIECE);
        Ok(Self { pieces, bytes, spells_all, joins, whole_words, by_ids: OnceLock::new() })
    }

    /// The model of a tiktoken file, whose ids are ranks; none if a byte has no piece.
    pub(super) fn from_ranks<'a>(
        pieces: impl Iterator<Item = (&'a str, u32)>,
        vocabulary: &Vocabulary,
    ) -> Option<Self> {
        let pieces = Pieces::new(pieces, vocabulary);
        let bytes = single_bytes(&pieces, vocabulary);
        let spells_all = !bytes.contains(&NO_PIECE);
        if !spells_all {
            return None;
        }
        Some(Self {
            pieces,
            bytes,
            spells_all,
            joins: Joins::Union,
            whole_words: true,
            by_ids: OnceLock::new(),
        })
    }

    /// The byte of `text` that no piece spells, if `tokens` are the text's and one stands for none.
    pub(super) fn unspelled(&self, text: &[u8], tokens: &[PipelineToken]) -> Option<u8> {
        if self.spells_all || tokens.iter().all(|token| token.id() != NO_PIECE) {
            return None;
        }
        text.iter().copied().find(|byte| self.bytes[usize::from(*byte)] == NO_PIECE)
    }

    /// Appends the ids of the word that stands there in a text.
    #[inline]
    pub(super) fn encode_word(
        &self,
        text: &[u8],
        range: Range<usize>,
        vocabulary: &Vocabulary,
        work: &mut Work,
        tokens: &mut Vec<PipelineToken>,
    ) {
        let short = ShortWord::at(text, &range);
        if short.is_some_and(|word| work.short_words.get(word, tokens)) {
            return;
        }
        let start = tokens.len();
        self.encode_new(&text[range], vocabulary, work, tokens);
        if let Some(word) = short {
            work.short_words.put(word, &tokens[start..]);
        }
    }

    /// Appends the ids of a word that is long or has not come for a while.
    fn encode_new(
        &self,
        word: &[u8],
        vocabulary: &Vocabulary,
        work: &mut Work,
        tokens: &mut Vec<PipelineToken>,
    ) {
        if work.words.get(word, tokens) {
            return;
        }
        let start = tokens.len();
        match self.pieces.get(word, vocabulary).filter(|_| self.whole_words) {
            Some(id) => tokens.push(id.into()),
            None => self.join_all(word, vocabulary, work, tokens),
        }
        work.words.put(word, &tokens[start..]);
    }

    fn join_all(
        &self,
        word: &[u8],
        vocabulary: &Vocabulary,
        work: &mut Work,
        tokens: &mut Vec<PipelineToken>,
    ) {
        work.symbols.clear();
        work.symbols.extend(word.iter().enumerate().map(|(at, byte)| Symbol {
            id: self.bytes[usize::from(*byte)],
            end: at + 1,
            before: at.wrapping_sub(1),
        }));
        work.queue.clear();
        work.joins_sought += word.len();
        if work.joins_sought > WORTH_A_TABLE {
            self.by_ids.get_or_init(|| self.table(vocabulary));
        }
        for right in 1..word.len() {
            self.offer(word, vocabulary, work, right - 1, right);
        }
        // A symbol stands at the place of its first byte; the next one's is where it ends.
        while let Some(Reverse(Pair { left, middle, end, id, .. })) = work.queue.pop() {
            let symbols = &mut work.symbols;
            if symbols[left].end != middle || symbols[middle].end != end {
                continue;
            }
            symbols[left].id = id;
            symbols[left].end = end;
            symbols[middle].end = GONE;
            let before = symbols[left].before;
            if end < word.len() {
                symbols[end].before = left;
                self.offer(word, vocabulary, work, left, end);
            }
            if left > 0 {
                self.offer(word, vocabulary, work, before, left);
            }
        }
        let mut at = 0;
        while let Some(symbol) = work.symbols.get(at) {
            tokens.push(symbol.id.into());
            at = symbol.end;
        }
    }

    /// Queues two neighbours, if they can be joined.
    fn offer(&self, word: &[u8], vocabulary: &Vocabulary, work: &mut Work, left: usize, right: usize) {
        let (from, to) = (work.symbols[left], work.symbols[right]);
        let join = match self.by_ids.get() {
            Some(joins) => joins.get(&both(from.id, to.id)).copied(),
            None => self.join(&word[left..to.end], right - left, vocabulary),
        };
        if let Some(Join { rank, id }) = join {
            work.queue.push(Reverse(Pair { rank, left, middle: right, end: to.end, id }));
        }
    }

    /// What becomes of two neighbours, `left` bytes and the rest.
    fn join(&self, both: &[u8], left: usize, vocabulary: &Vocabulary) -> Option<Join> {
        let id = self.pieces.get(both, vocabulary)?;
        let rank = match &self.joins {
            Joins::Listed(splits) => splits.rank(id, left)?,
            Joins::Union => id,
        };
        Some(Join { rank, id })
    }

    fn table(&self, vocabulary: &Vocabulary) -> HashMap<u64, Join> {
        let mut table = HashMap::new();
        for id in &self.pieces.ids {
            let made = vocabulary.bytes(*id);
            let mut add = |left: usize, rank: u32| {
                let Some((first, second)) = made.split_at_checked(left) else { return };
                let parts = (self.pieces.get(first, vocabulary), self.pieces.get(second, vocabulary));
                if let (Some(first), Some(second)) = parts {
                    table.insert(both(first, second), Join { rank, id: *id });
                }
            };
            match &self.joins {
                Joins::Listed(splits) => {
                    splits.of(*id).iter().for_each(|split| add(split.left as usize, split.rank));
                }
                Joins::Union => (1..made.len()).for_each(|left| add(left, *id)),
            }
        }
        table
    }
}

/// Two neighbours become one.
#[derive(Clone, Copy)]
struct Join {
    rank: u32,
    id: u32,
}

fn both(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Stands for the piece of a byte that has none.
const NO_PIECE: u32 = u32::MAX;

fn single_bytes(pieces: &Pieces, vocabulary: &Vocabulary) -> Box<[u32; 256]> {
    let mut bytes = Box::new([NO_PIECE; 256]);
    for (byte, id) in (0..=255_u8).zip(bytes.iter_mut()) {
        *id = pieces.get(&[byte], vocabulary).unwrap_or(NO_PIECE);
    }
    bytes
}

/// What encoding a word needs room for, and what has come before.
#[derive(Default)]
pub(super) struct Work {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Pair>>,
    short_words: ShortWords,
    words: WordCache,
    joins_sought: usize,
}

/// The end of a symbol that was joined to the one before.
const GONE: usize = usize::MAX;

#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    end: usize,
    /// Where the symbol before begins; of the first, nothing.
    before: usize,
}

/// Two neighbours that can be joined, in the order in which pairs are.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    rank: u32,
    left: usize,
    middle: usize,
    end: usize,
    id: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::vocabulary::{Alphabet, Spelling};
    use tokenizers::utils::byte_level::BYTES_CHAR_LOOKUP;

    /// All bytes, then these pieces.
    fn pieces(longer: &[&str]) -> Vec<(String, u32)> {
        let bytes = BYTES_CHAR_LOOKUP.iter().map(char::to_string);
        bytes.chain(longer.iter().map(ToString::to_string)).zip(0..).collect()
    }

    fn vocabulary(pieces: &[(String, u32)]) -> Vocabulary {
        let spelling = Spelling { alphabet: Alphabet::ByteLevel, leading_space: false };
        let pieces = pieces.iter().map(|(piece, id)| (*id, piece.as_str()));
        Vocabulary::new(pieces, Vec::new(), spelling).unwrap()
    }

    fn listed(longer: &[&str], merges: &[(&str, &str)], whole_words: bool) -> (ByteBpe, Vocabulary) {
        let pieces = pieces(longer);
        let vocabulary = vocabulary(&pieces);
        let merges: Vec<Merge<'_>> =
            merges.iter().map(|(left, right)| ((*left).into(), (*right).into())).collect();
        let borrowed = pieces.iter().map(|(piece, id)| (piece.as_str(), *id));
        let model = ByteBpe::from_merges(borrowed, &merges, whole_words, &vocabulary).unwrap();
        (model, vocabulary)
    }

    fn spelled((model, vocabulary): &(ByteBpe, Vocabulary), word: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        model.encode_word(word.as_bytes(), 0..word.len(), vocabulary, &mut Work::default(), &mut tokens);
        let text = |token: &PipelineToken| String::from_utf8_lossy(vocabulary.bytes(token.id())).into_owned();
        tokens.iter().map(text).collect()
    }

    #[test]
    fn the_earlier_merge_goes_first_and_the_leftmost_of_equals() {
        let model =
            listed(&["ab", "bc", "abc", "aa"], &[("b", "c"), ("a", "b"), ("a", "a"), ("ab", "c")], false);
        assert_eq!(spelled(&model, "abc"), ["a", "bc"]);
        assert_eq!(spelled(&model, "abab"), ["ab", "ab"]);
        assert_eq!(spelled(&model, "aaaaa"), ["aa", "aa", "a"]);
        assert_eq!(spelled(&model, "é"), ["\u{fffd}", "\u{fffd}"]);
    }

    #[test]
    fn whole_words_are_not_cut_where_the_file_says_so() {
        let merges = [("b", "c"), ("a", "b"), ("ab", "c")];
        assert_eq!(spelled(&listed(&["ab", "bc", "abc"], &merges, true), "abc"), ["abc"]);
        assert_eq!(spelled(&listed(&["ab", "bc", "abc"], &merges, false), "abc"), ["a", "bc"]);
    }

    #[test]
    fn a_merge_that_makes_no_piece_is_an_error_and_one_outside_the_alphabet_nothing() {
        let pieces = pieces(&["ab"]);
        let vocabulary = vocabulary(&pieces);
        let build = |left: &'static str, right: &'static str| {
            let borrowed = pieces.iter().map(|(piece, id)| (piece.as_str(), *id));
            ByteBpe::from_merges(borrowed, &[(left.into(), right.into())], false, &vocabulary)
        };
        assert!(build("b", "a").err().unwrap().contains("makes no piece"));
        let model = (build("中a", "b").unwrap(), vocabulary);
        assert_eq!(spelled(&model, "ab"), ["a", "b"]);
    }

    #[test]
    fn a_byte_without_a_piece_is_told_where_a_text_has_it() {
        let mut pieces = pieces(&["ab"]);
        pieces.retain(|(_, id)| *id != 0xf1);
        let vocabulary = vocabulary(&pieces);
        let borrowed = pieces.iter().map(|(piece, id)| (piece.as_str(), *id));
        let merges: [Merge<'_>; 1] = [("a".into(), "b".into())];
        let model = ByteBpe::from_merges(borrowed, &merges, false, &vocabulary).unwrap();
        let unspelled = |text: &str| {
            let mut tokens = Vec::new();
            let word = text.as_bytes();
            model.encode_word(word, 0..word.len(), &vocabulary, &mut Work::default(), &mut tokens);
            model.unspelled(word, &tokens)
        };
        assert_eq!((unspelled("abé"), unspelled("a\u{40000}b")), (None, Some(0xf1)));
    }

    #[test]
    fn the_table_says_what_looking_for_each_join_says() {
        let longer = ["ab", "bc", "abc", "aa", "aab", "caa", "bcaa"];
        let merges = [
            ("b", "c"),
            ("a", "a"),
            ("aa", "b"),
            ("c", "aa"),
            ("b", "caa"),
            ("bc", "aa"),
            ("a", "b"),
            ("a", "bc"),
        ];
        let by_merges = || listed(&longer, &merges, false);
        let by_union = || {
            let pieces = pieces(&longer);
            let vocabulary = vocabulary(&pieces);
            let borrowed = pieces.iter().map(|(piece, id)| (piece.as_str(), *id));
            (ByteBpe::from_ranks(borrowed, &vocabulary).unwrap(), vocabulary)
        };
        for (without, with) in [(by_merges(), by_merges()), (by_union(), by_union())] {
            with.0.by_ids.get_or_init(|| with.0.table(&with.1));
            for number in 0..3_usize.pow(7) {
                let word: String =
                    (0..7).map(|place| ['a', 'b', 'c'][number / 3_usize.pow(place) % 3]).collect();
                assert_eq!(spelled(&without, &word), spelled(&with, &word), "{word}");
            }
        }
    }
}
