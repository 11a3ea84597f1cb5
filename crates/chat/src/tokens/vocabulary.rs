//! What each id spells, and which ids are control tokens.
//!
//! In: the JSON of a canonical `tokenizer.json`. Out: the bytes of every id in one buffer, the added tokens, and a search
//! for their names in a text. It does not encode.

use std::collections::HashMap;

use super::TokenizerError;
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
    is_added: Vec<Option<u32>>,
    pub(super) byte_level: bool,
}

/// An added token: a control token, `special` or not.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) special: bool,
}

impl Vocabulary {
    pub(super) fn new(tokenizer: &Json) -> Result<Self, TokenizerError> {
        let unusable = |reason: &str| TokenizerError::Unusable { reason: reason.to_owned() };
        let model = tokenizer.get("model").ok_or_else(|| unusable("it has no \"model\""))?;
        let byte_level = model.get("byte_level").and_then(Json::as_bool).unwrap_or(false);
        let byte_fallback = model.get("byte_fallback").and_then(Json::as_bool).unwrap_or(false);

        let mut pieces: Vec<(u32, &str)> = Vec::new();
        match model.get("vocab") {
            Some(Json::Object(vocab)) => {
                pieces.reserve(vocab.len());
                for (piece, id) in vocab {
                    pieces.push((id_of(id).ok_or_else(|| unusable("an id that is no number"))?, piece));
                }
            }
            // Unigram: a list of [piece, score], the id being the place.
            Some(Json::Array(vocab)) => {
                for (id, entry) in vocab.iter().enumerate() {
                    let piece = entry.get(0).and_then(Json::as_str);
                    pieces.push((
                        u32::try_from(id).map_err(|_| unusable("too many pieces"))?,
                        piece.ok_or_else(|| unusable("a vocabulary entry without text"))?,
                    ));
                }
            }
            _ => return Err(unusable("its model has no \"vocab\"")),
        }
        let added = read_added(tokenizer).ok_or_else(|| unusable("an added token without id or content"))?;

        let largest = pieces.iter().map(|(id, _)| *id).chain(added.iter().map(|added| added.id)).max();
        let size = largest.map_or(0, |id| id as usize + 1);
        if size > 1 << 24 {
            return Err(unusable("an id above 16 million"));
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
                Some((piece, false)) => push_piece(&mut bytes, piece, byte_level, byte_fallback),
                None => {}
            }
            offsets.push(u32::try_from(bytes.len()).map_err(|_| unusable("a vocabulary above 4 GB"))?);
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
        Ok(Self { bytes, offsets, known, added, by_name, by_first_byte, is_added, byte_level })
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

    /// The first added token in a text, the longest where several start: its place and id.
    pub(super) fn find_added(&self, text: &str) -> Option<(std::ops::Range<usize>, u32)> {
        text.bytes().enumerate().find_map(|(start, byte)| {
            let candidates = &self.by_first_byte[usize::from(byte)];
            if candidates.is_empty() {
                return None;
            }
            let rest = &text.as_bytes()[start..];
            let found = candidates.iter().map(|place| &self.added[*place]);
            let found = found.into_iter().find(|added| rest.starts_with(added.name.as_bytes()))?;
            Some((start..start + found.name.len(), found.id))
        })
    }
}

fn read_added(tokenizer: &Json) -> Option<Vec<Added>> {
    let Some(Json::Array(entries)) = tokenizer.get("added_tokens") else { return Some(Vec::new()) };
    entries
        .iter()
        .map(|entry| {
            Some(Added {
                id: id_of(entry.get("id")?)?,
                name: entry.get("content")?.as_str()?.to_owned(),
                special: entry.get("special").and_then(Json::as_bool).unwrap_or(false),
            })
        })
        .collect()
}

fn id_of(value: &Json) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// Appends the bytes that a piece of the model's vocabulary stands for in normalized text.
fn push_piece(bytes: &mut Vec<u8>, piece: &str, byte_level: bool, byte_fallback: bool) {
    if byte_level {
        for c in piece.chars() {
            match tokenizers::utils::byte_level::char_to_byte(c) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        return;
    }
    let hex = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')).filter(|hex| hex.len() == 2);
    match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| byte_fallback) {
        Some(byte) => bytes.push(byte),
        None => bytes.extend_from_slice(piece.as_bytes()),
    }
}
