//! Byte-pair encoding as SentencePiece does it.
//!
//! In: normalized text. Out: the parts it is cut into. Of all neighbours whose union is a piece, those with the highest
//! score are joined first, the leftmost of equals; a piece marked as unused serves on the way and is taken apart in the end.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::model_file::PieceKind;
use super::normalizer::SPACE;
use super::pieces::Pieces;

/// Calls `part` with each part of `text`, in order.
pub(super) fn cut<'a>(pieces: &Pieces, text: &'a str, part: &mut impl FnMut(&'a str)) {
    let mut work = Work::default();
    if !pieces.words_apart {
        work.cut(pieces, text, part);
        return;
    }
    // No piece reaches from one word into the next: word by word is the same, and the queue stays short.
    let mut start = 0;
    let mut last = SPACE;
    for (at, c) in text.char_indices() {
        if c == SPACE && last != SPACE {
            work.cut(pieces, &text[start..at], part);
            start = at;
        }
        last = c;
    }
    work.cut(pieces, &text[start..], part);
}

#[derive(Default)]
struct Work {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Pair>,
    /// What was joined into an unused piece: its length, by where it starts and ends, to where it was joined.
    unused: HashMap<(usize, usize), usize>,
}

/// A stretch of the text; empty once it was joined to the one before.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    end: usize,
    before: Option<usize>,
    after: Option<usize>,
    fixed: bool,
}

/// Two neighbours whose union is a piece.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    length: usize,
}

impl Work {
    fn cut<'a>(&mut self, pieces: &Pieces, text: &'a str, part: &mut impl FnMut(&'a str)) {
        if text.is_empty() {
            return;
        }
        if text.len() <= pieces.longest && self.is_one_piece(pieces, text) {
            part(text);
            return;
        }
        self.symbols.clear();
        self.queue.clear();
        self.unused.clear();
        self.split(pieces, text);
        for right in 1..self.symbols.len() {
            self.offer(pieces, text, right - 1, right);
        }
        while let Some(pair) = self.queue.pop() {
            self.join(pieces, text, &pair);
        }
        let mut next = Some(0);
        while let Some(at) = next {
            let Symbol { start, end, after, .. } = self.symbols[at];
            self.put(pieces, text, (start, end), part);
            next = after;
        }
    }

    /// One character is never cut.
    fn is_one_piece(&self, pieces: &Pieces, text: &str) -> bool {
        let one = text.chars().nth(1).is_none();
        one && pieces.get(text).is_some_and(|known| known.kind != PieceKind::Unused)
    }

    fn split(&mut self, pieces: &Pieces, text: &str) {
        let mut start = 0;
        while let Some(c) = text[start..].chars().next() {
            let fixed = pieces.fixed(&text[start..]);
            let end = start + fixed.unwrap_or(c.len_utf8());
            let at = self.symbols.len();
            let after = (end < text.len()).then_some(at + 1);
            self.symbols.push(Symbol {
                start,
                end,
                before: at.checked_sub(1),
                after,
                fixed: fixed.is_some(),
            });
            start = end;
        }
    }

    fn offer(&mut self, pieces: &Pieces, text: &str, left: usize, right: usize) {
        let (from, to) = (self.symbols[left], self.symbols[right]);
        let length = to.end - from.start;
        if from.fixed || to.fixed || length > pieces.longest {
            return;
        }
        if let Some(known) = pieces.get(&text[from.start..to.end]) {
            if known.kind == PieceKind::Unused {
                self.unused.insert((from.start, to.end), from.end);
            }
            self.queue.push(Pair { score: known.score, left, right, length });
        }
    }

    fn join(&mut self, pieces: &Pieces, text: &str, pair: &Pair) {
        let (left, right) = (self.symbols[pair.left], self.symbols[pair.right]);
        let gone = |symbol: &Symbol| symbol.start == symbol.end;
        // Either side may have been joined elsewhere since.
        if gone(&left) || gone(&right) || right.end - left.start != pair.length || left.end != right.start {
            return;
        }
        self.symbols[pair.left].end = right.end;
        self.symbols[pair.left].after = right.after;
        self.symbols[pair.right].start = right.end;
        if let Some(after) = right.after {
            self.symbols[after].before = Some(pair.left);
            self.offer(pieces, text, pair.left, after);
        }
        if let Some(before) = left.before {
            self.offer(pieces, text, before, pair.left);
        }
    }

    fn put<'a>(&self, pieces: &Pieces, text: &'a str, span: (usize, usize), part: &mut impl FnMut(&'a str)) {
        let mut open = vec![span];
        while let Some((start, end)) = open.pop() {
            let unused = pieces.get(&text[start..end]).is_some_and(|known| known.kind == PieceKind::Unused);
            match self.unused.get(&(start, end)).filter(|_| unused) {
                Some(cut) => open.extend([(*cut, end), (start, *cut)]),
                None => part(&text[start..end]),
            }
        }
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        let scores = self.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal);
        scores.then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}
