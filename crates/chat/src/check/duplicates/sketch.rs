//! A few bytes that say how much two conversations have in common.
//!
//! In: the shingles of a conversation. Out: a [`Sketch`], whose bins are equal to another's with a probability that
//! grows with the Jaccard similarity of the two sets (shared shingles over all shingles of both).
//!
//! The method is one-permutation MinHash (Li, Owen and Zhang, NeurIPS 2012) of which four bits a bin are kept (b-bit
//! minwise hashing, Li and König, WWW 2010); what is in no bin is borrowed from another (optimal densification,
//! Shrivastava, ICML 2017), which keeps the estimate unbiased for short conversations.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::words::Words;

/// Bins of a sketch, four bits each.
pub(super) const BINS: u32 = 80;
const BINS_A_WORD: usize = 16;
const EMPTY: u32 = u32::MAX;

/// A bin whose shingles differ is equal all the same once in so many times.
const VALUES: f32 = 16.0;

/// A conversation of fewer words has no sketch: among so few, two that share most share a phrase, not a content.
pub(super) const MIN_WORDS: usize = 20;

/// Bins of one band, and the bits by which they are told apart.
const BAND_BINS: u32 = 5;
/// How many bands a sketch has.
pub(super) const BANDS: u32 = BINS / BAND_BINS;
/// Bits of a band's key that neither of two neighbours needs to share.
pub(super) const SPARE_KEY_BITS: u32 = 32 - 4 * BAND_BINS;

/// All zeros where the conversation is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sketch([u64; 5]);

impl Sketch {
    pub(super) fn of(words: &Words) -> Self {
        if words.len() < MIN_WORDS {
            return Self::default();
        }
        let mut minima = [EMPTY; BINS as usize];
        for shingle in words.shingles() {
            let hash = xxh3_64(shingle);
            let minimum = &mut minima[bin_of(hash)];
            *minimum = (*minimum).min(hash as u32);
        }
        let mut sketch = Self::default();
        for (bins, word) in (0..).step_by(BINS_A_WORD).zip(&mut sketch.0) {
            for bin in (bins..bins + BINS_A_WORD).rev() {
                *word = *word << 4 | u64::from(filled(&minima, bin) & 0xf);
            }
        }
        sketch
    }

    /// Whether there is nothing to compare.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many bins are equal.
    pub(super) fn equal_bins(&self, other: &Self) -> u32 {
        let different = |(a, b): (&u64, &u64)| {
            let bits = a ^ b;
            let bits = bits | bits >> 2;
            ((bits | bits >> 1) & 0x1111_1111_1111_1111).count_ones()
        };
        BINS - self.0.iter().zip(&other.0).map(different).sum::<u32>()
    }

    /// The bins of a band, and some of those after it, in which sketches of one sorted order are neighbours.
    pub(super) fn band_key(&self, band: u32) -> u32 {
        let first_bit = 4 * BAND_BINS * band;
        let word = |index: u32| self.0.get(index as usize % self.0.len()).copied().unwrap_or_default();
        let (index, shift) = (first_bit / 64, first_bit % 64);
        let bits = u128::from(word(index)) | u128::from(word(index + 1)) << 64;
        // The band itself goes to the top.
        ((bits >> shift) as u32).rotate_left(SPARE_KEY_BITS)
    }
}

/// The similarity of two conversations with so many equal bins.
pub(super) fn similarity(equal_bins: u32) -> f32 {
    let share = equal_bins as f32 / BINS as f32;
    ((share * VALUES - 1.0) / (VALUES - 1.0)).max(0.0)
}

/// How many equal bins stand for at least this similarity.
pub(super) fn equal_bins_at(similarity: f32) -> u32 {
    (((similarity * (VALUES - 1.0) + 1.0) / VALUES) * BINS as f32).ceil() as u32
}

/// The bin of a hash, by its upper half.
fn bin_of(hash: u64) -> usize {
    (((hash >> 32) * u64::from(BINS)) >> 32) as usize
}

/// The minimum in a bin; where it is empty, that of the first full bin in an order that is the same for every sketch.
fn filled(minima: &[u32; BINS as usize], bin: usize) -> u32 {
    let others = (0u64..).map(|attempt| bin_of(xxh3_64_with_seed(&attempt.to_le_bytes(), bin as u64)));
    std::iter::once(bin).chain(others).map(|bin| minima[bin]).find(|minimum| *minimum != EMPTY).unwrap_or(0)
}
