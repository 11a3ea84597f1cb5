//! Added tokens that a model knows by itself.
//!
//! In: the vocabulary and merges of a `tokenizer.json`, and its added tokens. Out: the same model, unable to make one of
//! them out of text. Where a file holds a token in both places, merges, a whole-word look-up or the unknown token's own
//! name would turn text into it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::json_file::Merge;
use super::vocabulary::{Added, Alphabet, byte_piece};

/// Begins the names of pieces that text must not reach: two characters that Unicode says are none.
const OUT_OF_REACH: &str = "\u{10ffff}\u{10fffe}";

/// Takes the added tokens that are a model's atoms out of `added`: text cannot be spelled without them, so they are text.
pub(super) fn atoms_are_text<'a>(
    added: &mut Vec<Added>,
    pieces: impl Iterator<Item = (&'a str, u32)>,
    alphabet: Alphabet,
) {
    let is_atom = |piece: &str| match alphabet {
        Alphabet::Text { byte_fallback: true } => byte_piece(piece).is_some(),
        Alphabet::ByteLevel | Alphabet::Text { byte_fallback: false } => piece.chars().nth(1).is_none(),
    };
    let ids: HashSet<u32> = added.iter().map(|added| added.id).collect();
    let atoms: HashSet<u32> =
        pieces.filter(|(piece, id)| ids.contains(id) && is_atom(piece)).map(|(_, id)| id).collect();
    added.retain(|added| !atoms.contains(&added.id));
}

/// Takes added tokens out of a BPE vocabulary, with every merge that makes or uses one. The unknown token stays, under
/// another name, which is returned.
pub(super) fn unlearn_bpe(
    vocab: &mut Vec<(Cow<'_, str>, u32)>,
    merges: &mut Vec<Merge<'_>>,
    added: &[Added],
    unknown: Option<&str>,
) -> Option<String> {
    let ids: HashSet<u32> = added.iter().map(|added| added.id).collect();
    let names: HashSet<&str> = added.iter().map(|added| added.name.as_str()).collect();
    let gone: HashSet<String> = vocab
        .iter()
        .filter(|(piece, id)| ids.contains(id) || names.contains(piece.as_ref()))
        .map(|(piece, _)| piece.clone().into_owned())
        .collect();
    if gone.is_empty() {
        return unknown.map(str::to_owned);
    }
    let mut made = String::new();
    merges.retain(|(left, right)| {
        made.clear();
        made.push_str(left);
        made.push_str(right);
        ![left.as_ref(), right.as_ref(), made.as_str()].iter().any(|piece| gone.contains(*piece))
    });
    let mut renamed = unknown.map(str::to_owned);
    vocab.retain_mut(|(piece, _)| {
        if !gone.contains(piece.as_ref()) {
            return true;
        }
        if unknown == Some(piece.as_ref()) {
            *piece = Cow::Borrowed(OUT_OF_REACH);
            renamed = Some(OUT_OF_REACH.to_owned());
            return true;
        }
        false
    });
    renamed
}

/// Renames added tokens in a Unigram vocabulary, where the place is the id and nothing can be taken out.
pub(super) fn unlearn_unigram(vocab: &mut [(String, f64)], added: &[Added]) {
    for added in added {
        if let Some((piece, _)) = vocab.get_mut(added.id as usize) {
            *piece = format!("{OUT_OF_REACH}{}", added.id);
        }
    }
}
