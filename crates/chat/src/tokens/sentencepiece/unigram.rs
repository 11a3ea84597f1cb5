//! Unigram segmentation as SentencePiece does it: the cut whose pieces have the greatest sum of scores.
//!
//! In: normalized text. Out: its parts with their ids, `None` for one that no piece spells. Scores are 32-bit floats and
//! their sums 64-bit ones, as in the reference, since rounding decides between cuts that are nearly equal.

use super::model_file::PieceKind;
use super::pieces::{Known, Pieces};
use super::trie::Trie;

/// How much worse than the worst piece a character without a piece is.
const UNKNOWN_PENALTY: f32 = 10.0;

#[derive(Debug)]
pub(super) struct Unigram {
    trie: Trie<Known>,
    unknown_score: f32,
    greatest_score: f32,
}

/// The best cut of the text up to some place: its last part.
#[derive(Clone, Copy)]
struct Best {
    start: usize,
    sum: f64,
    id: Option<u32>,
    reached: bool,
}

impl Unigram {
    pub(super) fn new(pieces: &Pieces) -> Self {
        let (least, greatest) = pieces.scores;
        let entries = pieces.iter().map(|(text, known)| (text.as_bytes(), *known));
        Self {
            trie: Trie::new(entries.filter(|(_, known)| known.kind != PieceKind::Unused).collect()),
            unknown_score: least - UNKNOWN_PENALTY,
            greatest_score: greatest,
        }
    }

    /// Calls `part` with each part of `text`, in order.
    pub(super) fn cut<'a>(&self, text: &'a str, part: &mut impl FnMut(&'a str, Option<u32>)) {
        let none = Best { start: 0, sum: 0.0, id: None, reached: false };
        let mut best = vec![none; text.len() + 1];
        for (start, c) in text.char_indices() {
            let so_far = best[start].sum;
            let mut has_one = false;
            let mut offer = |length: usize, score: f32, id: Option<u32>| {
                let end = &mut best[start + length];
                let sum = so_far + f64::from(score);
                if !end.reached || sum > end.sum {
                    *end = Best { start, sum, id, reached: true };
                }
            };
            self.trie.prefixes(&text.as_bytes()[start..], |length, known| {
                has_one |= length == c.len_utf8();
                offer(length, self.score(length, &known), Some(known.id));
            });
            if !has_one {
                offer(c.len_utf8(), self.unknown_score, None);
            }
        }
        let mut parts = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let Best { start, id, .. } = best[end];
            parts.push((&text[start..end], id));
            end = start;
        }
        parts.into_iter().rev().for_each(|(text, id)| part(text, id));
    }

    fn score(&self, length: usize, known: &Known) -> f32 {
        match known.kind {
            // So that it is always taken.
            PieceKind::UserDefined => length as f32 * self.greatest_score - 0.1,
            _ => known.score,
        }
    }
}
