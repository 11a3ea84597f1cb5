//! What each id spells, and which ids are control tokens.
//!
//! In: a model's pieces and the added tokens. Out: the bytes of every id in one buffer, the added tokens, and a search
//! for their names in a text. It does not encode.

use hashbrown::HashMap;
use memchr::{memchr, memchr2, memchr3};

use crate::json::Json;

/// The ids of a tokenizer.
#[derive(Debug)]
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    /// `bytes[offsets[id]..offsets[id + 1]]` is what the id spells.
    offsets: Vec<u32>,
    known: Vec<bool>,
    added: Vec<Added>,
    by_name: HashMap<String, usize>,
    /// Places in `added` by the first byte of the name, longest name first.
    by_first_byte: Vec<Vec<usize>>,
    /// With which bytes names begin.
    first_bytes: Vec<u8>,
    is_added: Vec<Option<u32>>,
    pub(super) spelling: Spelling,
}

/// How a model's own pieces are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelling {
    pub(super) alphabet: Alphabet,
    /// Text begins with a space that was not there (`▁` before the first word), which decoding takes away.
    pub(super) leading_space: bool,
}

/// What the characters of a piece stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Each character for a byte (GPT-2's table).
    ByteLevel,
    /// For themselves, but `▁` for a space; with `byte_fallback`, `<0x0A>` for a byte.
    Text { byte_fallback: bool },
}

/// An added token: a control token, `special` or not.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) special: bool,
    /// White space before it belongs to it.
    pub(super) lstrip: bool,
    /// White space behind it belongs to it.
    pub(super) rstrip: bool,
    /// It is none where a letter or digit touches it.
    pub(super) single_word: bool,
}

impl Added {
    /// A special token, as most control tokens are.
    pub(super) fn special(id: u32, name: &str) -> Self {
        Self { id, name: name.to_owned(), special: true, lstrip: false, rstrip: false, single_word: false }
    }

    /// One entry of `added_tokens`, or of `added_tokens_decoder`, where the id is the key.
    pub(super) fn read(id: Option<u32>, entry: &Json) -> Option<Self> {
        let flag = |name: &str| entry.get(name).and_then(Json::as_bool).unwrap_or(false);
        Some(Self {
            id: id.or_else(|| id_of(entry.get("id")?))?,
            name: entry.get("content")?.as_str()?.to_owned(),
            special: flag("special"),
            lstrip: flag("lstrip"),
            rstrip: flag("rstrip"),
            single_word: flag("single_word"),
        })
    }
}

impl Vocabulary {
    /// `pieces` are the model's own, with their ids.
    pub(super) fn new<'a>(
        pieces: impl Iterator<Item = (u32, &'a str)> + Clone,
        added: Vec<Added>,
        spelling: Spelling,
    ) -> Result<Self, String> {
        let largest = pieces.clone().map(|(id, _)| id).chain(added.iter().map(|added| added.id)).max();
        let size = largest.map_or(0, |id| id as usize + 1);
        if size > 1 << 24 {
            return Err("an id above 16 million".to_owned());
        }
        let mut spelled: Vec<Option<(&str, bool)>> = vec![None; size];
        for (id, piece) in pieces {
            spelled[id as usize] = Some((piece, false));
        }
        for added in &added {
            spelled[added.id as usize] = Some((&added.name, true));
        }
        let mut bytes = Vec::with_capacity(size * 7);
        let mut offsets = Vec::with_capacity(size + 1);
        offsets.push(0);
        for entry in &spelled {
            match entry {
                Some((name, true)) => bytes.extend_from_slice(name.as_bytes()),
                Some((piece, false)) => push_piece(&mut bytes, piece, spelling.alphabet),
                None => {}
            }
            offsets.push(u32::try_from(bytes.len()).map_err(|_| "a vocabulary above 4 GB")?);
        }
        let known = spelled.iter().map(Option::is_some).collect();

        let mut is_added = vec![None; size];
        let mut by_name = HashMap::with_capacity(added.len());
        let mut by_first_byte: Vec<Vec<usize>> = vec![Vec::new(); 256];
        for (place, added) in added.iter().enumerate() {
            is_added[added.id as usize] = u32::try_from(place).ok();
            by_name.insert(added.name.clone(), place);
            if let Some(first) = added.name.bytes().next() {
                by_first_byte[usize::from(first)].push(place);
            }
        }
        for places in &mut by_first_byte {
            places.sort_by_key(|place| std::cmp::Reverse(added[*place].name.len()));
        }
        let first_bytes = (0..=255_u8).filter(|byte| !by_first_byte[usize::from(*byte)].is_empty()).collect();
        Ok(Self { bytes, offsets, known, added, by_name, by_first_byte, first_bytes, is_added, spelling })
    }

    /// One more than the largest id.
    pub(super) fn size(&self) -> usize {
        self.known.len()
    }

    /// What an id spells; nothing for an id that the tokenizer does not have.
    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let at = id as usize;
        match (self.offsets.get(at), self.offsets.get(at + 1)) {
            (Some(start), Some(end)) => &self.bytes[*start as usize..*end as usize],
            _ => &[],
        }
    }

    pub(super) fn knows(&self, id: u32) -> bool {
        self.known.get(id as usize).copied().unwrap_or(false)
    }

    pub(super) fn added(&self) -> &[Added] {
        &self.added
    }

    pub(super) fn added_by_id(&self, id: u32) -> Option<&Added> {
        let place = (*self.is_added.get(id as usize)?)?;
        self.added.get(place as usize)
    }

    pub(super) fn added_by_name(&self, name: &str) -> Option<&Added> {
        self.by_name.get(name).map(|place| &self.added[*place])
    }

    /// The first added token in `text[from..]`, the longest where several start: its place in `text`, and itself.
    pub(super) fn find_added(&self, text: &str, from: usize) -> Option<(std::ops::Range<usize>, &Added)> {
        let bytes = text.as_bytes();
        let mut at = from;
        while let Some(skipped) = bytes.get(at..).and_then(|rest| self.may_begin(rest)) {
            let start = at + skipped;
            let stands = |added: &&Added| {
                bytes[start..].starts_with(added.name.as_bytes())
                    && !(added.single_word && touches_a_word(text, start, start + added.name.len()))
            };
            let candidates = &self.by_first_byte[usize::from(bytes[start])];
            if let Some(found) = candidates.iter().map(|place| &self.added[*place]).find(stands) {
                return Some((start..start + found.name.len(), found));
            }
            at = start + 1;
        }
        None
    }

    /// Where the first byte stands that a name begins with.
    fn may_begin(&self, bytes: &[u8]) -> Option<usize> {
        match *self.first_bytes {
            [] => None,
            [a] => memchr(a, bytes),
            [a, b] => memchr2(a, b, bytes),
            [a, b, c] => memchr3(a, b, c, bytes),
            _ => bytes.iter().position(|byte| !self.by_first_byte[usize::from(*byte)].is_empty()),
        }
    }
}

fn touches_a_word(text: &str, start: usize, end: usize) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    text[..start].chars().next_back().is_some_and(in_word) || text[end..].chars().next().is_some_and(in_word)
}

pub(super) fn id_of(value: &Json) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// Appends the bytes that a piece of the model's vocabulary stands for in normalized text.
fn push_piece(bytes: &mut Vec<u8>, piece: &str, alphabet: Alphabet) {
    match alphabet {
        Alphabet::ByteLevel => {
            for c in piece.chars() {
                match tokenizers::utils::byte_level::char_to_byte(c) {
                    Some(byte) => bytes.push(byte),
                    None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        Alphabet::Text { byte_fallback } => match byte_piece(piece).filter(|_| byte_fallback) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(piece.as_bytes()),
        },
    }
}

/// The byte that a piece such as `<0x0A>` names.
pub(super) fn byte_piece(piece: &str) -> Option<u8> {
    let hex = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let written = hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    written.then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}
