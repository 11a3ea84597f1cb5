//! The pieces of a SentencePiece model that text can become.
//!
//! In: the pieces of the model file. Out: a [`Pieces`]: by their text, those that text may become, with scores. Control
//! pieces are not among them, and neither are user-defined ones, which are control tokens here as they are in Hugging
//! Face's conversion; but those that are white space only are text.

use std::collections::{HashMap, HashSet};

use super::model_file::{Piece, PieceKind};
use super::normalizer::SPACE;

/// Longest piece (bytes). Time grows with it, and real ones stay far below.
const LONGEST: usize = 1024;

/// What the greatest score is at least, which decides between user-defined white space and other cuts. A fit, not a fact:
/// with it, the ids of two models are those of sentencepiece 0.2.3, texts of 200,000 characters included; 0.09 fitted
/// shorter texts as well.
const LEAST_GREATEST_SCORE: f32 = 0.1;

#[derive(Debug)]
pub(super) struct Pieces {
    by_text: HashMap<Box<str>, Known>,
    /// Longest piece in `by_text` (bytes).
    pub(super) longest: usize,
    /// Longest white space that is always a piece of its own (bytes).
    longest_fixed: usize,
    pub(super) unknown: u32,
    /// The ids of the bytes, where what is unknown is spelled in bytes.
    pub(super) bytes: Option<Box<[u32; 256]>>,
    /// Scores of the normal pieces: least and greatest.
    pub(super) scores: (f32, f32),
    /// Whether `▁` stands only at the beginning of pieces, so that none reaches from one word into the next.
    pub(super) words_apart: bool,
}

/// A piece that text can become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) id: u32,
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

/// Whether a piece is a control token: text cannot become it.
pub(super) fn is_control(piece: &Piece<'_>) -> bool {
    match piece.kind {
        PieceKind::Control | PieceKind::Unknown => true,
        PieceKind::UserDefined => !piece.text.chars().all(|c| c == SPACE || c.is_whitespace()),
        PieceKind::Normal | PieceKind::Unused | PieceKind::Byte => false,
    }
}

impl Pieces {
    /// `control` are ids that text must not become, whatever the file says of them.
    pub(super) fn new(
        pieces: &[Piece<'_>],
        byte_fallback: bool,
        control: &HashSet<u32>,
    ) -> Result<Self, String> {
        let mut by_text: HashMap<Box<str>, Known> = HashMap::with_capacity(pieces.len());
        let mut seen: HashMap<&str, u32> = HashMap::with_capacity(pieces.len());
        let mut unknown = None;
        let mut bytes = Box::new([None; 256]);
        let mut scores: Option<(f32, f32)> = None;
        for (id, piece) in (0..).zip(pieces) {
            if let Some(first) = seen.insert(piece.text, id) {
                return Err(format!("the pieces {first} and {id} are both {:?}", piece.text));
            }
            match piece.kind {
                PieceKind::Unknown => {
                    if let Some(first) = unknown.replace(id) {
                        return Err(format!("the pieces {first} and {id} are both the unknown one"));
                    }
                }
                PieceKind::Byte => {
                    let byte = crate::tokens::vocabulary::byte_piece(piece.text);
                    let byte = byte.ok_or_else(|| {
                        format!(
                            "piece {id}, {:?}, is of the type byte; expected a text such as <0x0A>",
                            piece.text
                        )
                    })?;
                    bytes[usize::from(byte)] = Some(id);
                }
                PieceKind::Normal => {
                    let (least, greatest) = scores.unwrap_or((piece.score, LEAST_GREATEST_SCORE));
                    scores = Some((least.min(piece.score), greatest.max(piece.score)));
                }
                PieceKind::Control | PieceKind::UserDefined | PieceKind::Unused => {}
            }
            let is_text =
                matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused);
            if !is_text || is_control(piece) || control.contains(&id) {
                continue;
            }
            if piece.text.len() > LONGEST {
                return Err(format!("piece {id} has {} bytes; at most {LONGEST} are read", piece.text.len()));
            }
            by_text.insert(piece.text.into(), Known { id, score: piece.score, kind: piece.kind });
        }
        let bytes = if byte_fallback {
            let mut ids = Box::new([0; 256]);
            for (byte, id) in bytes.iter().enumerate() {
                ids[byte] = id.ok_or_else(|| format!("it has no piece for the byte 0x{byte:02X}"))?;
            }
            Some(ids)
        } else {
            None
        };
        let lengths = |fixed: bool| {
            let texts = by_text.iter();
            let texts = texts.filter(move |(_, known)| !fixed || known.kind == PieceKind::UserDefined);
            texts.map(|(text, _)| text.len()).max().unwrap_or(0)
        };
        let reaches_on =
            |text: &str| text.trim_start_matches(SPACE).contains(SPACE) && text.chars().any(|c| c != SPACE);
        Ok(Self {
            longest: lengths(false),
            longest_fixed: lengths(true),
            unknown: unknown.ok_or("none of its pieces is the unknown one")?,
            bytes,
            scores: scores.unwrap_or((0.0, 0.0)),
            words_apart: !by_text.keys().any(|text| reaches_on(text)),
            by_text,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.by_text.iter().map(|(text, known)| (text.as_ref(), known))
    }

    pub(super) fn get(&self, text: &str) -> Option<&Known> {
        self.by_text.get(text)
    }

    /// How long the white space is that stands as a piece of its own at the beginning of `text`.
    pub(super) fn fixed(&self, text: &str) -> Option<usize> {
        if self.longest_fixed == 0 || !text.starts_with(|c: char| c == SPACE || c.is_whitespace()) {
            return None;
        }
        let ends = (1..=self.longest_fixed.min(text.len())).rev().filter(|end| text.is_char_boundary(*end));
        ends.into_iter()
            .find(|end| self.get(&text[..*end]).is_some_and(|known| known.kind == PieceKind::UserDefined))
    }

    /// Appends what no piece spells: as bytes, or as the unknown piece, once for a run of it.
    pub(super) fn push_unknown(&self, text: &str, ids: &mut impl FnMut(u32), after_unknown: bool) {
        match &self.bytes {
            Some(bytes) => text.bytes().for_each(|byte| ids(bytes[usize::from(byte)])),
            None if after_unknown => {}
            None => ids(self.unknown),
        }
    }
}
