//! What SentencePiece does to text before it cuts it.
//!
//! In: text. Out: the text that the pieces spell: characters mapped, spaces made few where the model wants that, a space put
//! before it, every space written as `▁`.

use super::character_map::CharacterMap;
use super::model_file::Rules;

/// How a space is written.
pub(super) const SPACE: char = '\u{2581}';

#[derive(Debug)]
pub(super) struct Normalizer {
    map: Option<CharacterMap>,
    dummy_prefix: bool,
    space_behind: bool,
    remove_extra_spaces: bool,
    space: char,
}

impl Normalizer {
    pub(super) fn new(rules: &Rules<'_>) -> Result<Self, String> {
        Ok(Self {
            map: if rules.map.is_empty() { None } else { Some(CharacterMap::parse(rules.map)?) },
            dummy_prefix: rules.dummy_prefix,
            space_behind: rules.space_behind,
            remove_extra_spaces: rules.remove_extra_spaces,
            space: if rules.escape_spaces { SPACE } else { ' ' },
        })
    }

    /// Whether text that comes back from pieces begins with a space that was not there.
    pub(super) fn leading_space(&self) -> bool {
        self.dummy_prefix || self.remove_extra_spaces
    }

    pub(super) fn normalize(&self, text: &str) -> String {
        let mut normalized = String::with_capacity(text.len() + text.len() / 4 + 3);
        let mut rest = text;
        if self.remove_extra_spaces {
            while let Some((length, " ")) = self.step(rest) {
                rest = &rest[length..];
            }
        }
        if rest.is_empty() {
            return normalized;
        }
        if self.dummy_prefix && !self.space_behind {
            normalized.push(self.space);
        }
        let mut after_space = self.remove_extra_spaces;
        while let Some((length, mapped)) = self.step(rest) {
            let mapped = if after_space { mapped.trim_start_matches(' ') } else { mapped };
            for c in mapped.chars() {
                normalized.push(if c == ' ' { self.space } else { c });
            }
            if let Some(last) = mapped.bytes().last() {
                after_space = self.remove_extra_spaces && last == b' ';
            }
            rest = &rest[length..];
        }
        if self.remove_extra_spaces {
            let kept = normalized.trim_end_matches(self.space).len();
            normalized.truncate(kept);
        }
        if self.dummy_prefix && self.space_behind {
            normalized.push(self.space);
        }
        normalized
    }

    /// What the beginning of a text becomes, and how long that beginning is; `None` at the end.
    fn step<'a>(&'a self, text: &'a str) -> Option<(usize, &'a str)> {
        let first = text.chars().next()?;
        Some(match self.map.as_ref().and_then(|map| map.longest(text)) {
            Some((length, mapped)) => (length, mapped),
            None => (first.len_utf8(), &text[..first.len_utf8()]),
        })
    }
}
