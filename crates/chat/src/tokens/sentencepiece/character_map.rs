//! SentencePiece's compiled map of characters (Unicode normalization and more).
//!
//! In: the `precompiled_charsmap` of a model file. Out: a [`CharacterMap`] that finds the longest text at the beginning of
//! another that is to be replaced. The format: the size of a double-array trie (4 bytes, little endian), the trie
//! (32-bit units, as the darts-clone library lays them out), and the replacements, each ended by a zero byte.

/// Longest text (bytes) that is looked up; a damaged trie could have any. Unicode's longest is 30.
const LONGEST: usize = 128;

#[derive(Debug)]
pub(super) struct CharacterMap {
    units: Vec<u32>,
    replacements: String,
}

impl CharacterMap {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let broken = |what: &str| format!("its map of characters {what}");
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| broken("breaks off"))?;
        let size = u32::from_le_bytes(*size) as usize;
        if size > rest.len() || !size.is_multiple_of(4) || size == 0 {
            return Err(broken(&format!("says it has {size} bytes of trie; there are {}", rest.len())));
        }
        let (trie, replacements) = rest.split_at(size);
        let units = trie.chunks_exact(4).map(|unit| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(unit);
            u32::from_le_bytes(bytes)
        });
        let replacements =
            std::str::from_utf8(replacements).map_err(|_| broken("replaces by text that is not UTF-8"))?;
        Ok(Self { units: units.collect(), replacements: replacements.to_owned() })
    }

    /// The longest beginning of `text` that is replaced: its length, and what by.
    pub(super) fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut found = None;
        let mut at = offset(*self.units.first()?);
        for (index, byte) in text.bytes().take(LONGEST).enumerate() {
            at ^= usize::from(byte);
            let Some(unit) = self.units.get(at) else { break };
            if unit & 0x8000_00ff != u32::from(byte) {
                break;
            }
            at ^= offset(*unit);
            if unit >> 8 & 1 == 1
                && text.is_char_boundary(index + 1)
                && let Some(leaf) = self.units.get(at)
                && let Some(rest) = self.replacements.get((leaf & 0x7fff_ffff) as usize..)
            {
                found = Some((index + 1, rest.split('\0').next().unwrap_or_default()));
            }
        }
        found
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}
