//! Fingerprints in sorted order, so that like ones are neighbours.
//!
//! In: fingerprints. Out: one [`Key`] of 8 bytes for each, sorted by content or by one band of the sketches, and then by
//! the content's hash, so that the order of the input has no say. It does not know what is looked for.

use super::sketch::{BANDS, SPARE_KEY_BITS};
use super::{DuplicatesError, Fingerprint};

/// With how many neighbours on either side a sketch is compared in each band.
const NEIGHBOURS: usize = 8;

/// 32 bits to sort by, then the index of the fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    fn new(bits: u32, index: usize) -> Self {
        Self(u64::from(bits) << 32 | index as u64)
    }

    fn bits(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn index(self) -> u32 {
        self.0 as u32
    }

    fn shares_band(self, bits: u32) -> bool {
        (self.bits() ^ bits) >> SPARE_KEY_BITS == 0
    }
}

/// Sorted keys of a list of fingerprints. The memory is used again by each order.
pub(super) struct Keys<'a> {
    fingerprints: &'a [Fingerprint],
    sorted: Vec<Key>,
    /// Where keys tie, hashes are compared from another bit on in each band: very many equal sketches have other
    /// neighbours each time.
    tie_bit: u32,
}

impl<'a> Keys<'a> {
    /// Refuses more fingerprints than an index of 32 bits can tell apart.
    pub(super) fn new(fingerprints: &'a [Fingerprint]) -> Result<Self, DuplicatesError> {
        if u32::try_from(fingerprints.len()).is_err() {
            return Err(DuplicatesError::TooMany { found: fingerprints.len() });
        }
        Ok(Self { fingerprints, sorted: Vec::with_capacity(fingerprints.len()), tie_bit: 0 })
    }

    /// Sorts by content and gives the runs of same ones, each in the order of the input.
    pub(super) fn by_content(&mut self) -> impl Iterator<Item = &[Key]> {
        self.tie_bit = 0;
        self.sort(|fingerprint| Some((fingerprint.exact >> 32) as u32), |_| true);
        self.sorted.chunk_by(|a, b| self.exact(*a) == self.exact(*b))
    }

    /// Sorts what has a sketch, and is to be kept, by this band.
    pub(super) fn sort_by_band(&mut self, band: u32, keep: impl Fn(u32) -> bool) {
        self.tie_bit = 64 / BANDS * band;
        self.sort(|Fingerprint { sketch, .. }| (!sketch.is_empty()).then(|| sketch.band_key(band)), keep);
    }

    /// Each of the keys, with its neighbours before it in the band.
    pub(super) fn with_neighbours(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = u32>)> {
        self.sorted.iter().enumerate().map(|(at, key)| (key.index(), self.neighbours_before(at, key.bits())))
    }

    /// The keys that come next to a fingerprint in this band, on either side.
    pub(super) fn neighbours_of(&self, fingerprint: &Fingerprint, band: u32) -> impl Iterator<Item = u32> {
        let bits = fingerprint.sketch.band_key(band);
        let tie = |exact: u64| exact.rotate_left(self.tie_bit);
        let place = (bits, tie(fingerprint.exact));
        let at = self.sorted.partition_point(|key| (key.bits(), tie(self.exact(*key))) < place);
        let after = self.sorted.iter().skip(at).take(NEIGHBOURS);
        let after = after.take_while(move |key| key.shares_band(bits)).map(|key| key.index());
        self.neighbours_before(at, bits).chain(after)
    }

    /// The first of the fingerprints with this content; the keys are sorted by content.
    pub(super) fn first_same(&self, exact: u64) -> Option<u32> {
        let at = self.sorted.partition_point(|key| self.exact(*key) < exact);
        self.sorted.get(at).filter(|key| self.exact(**key) == exact).map(|key| key.index())
    }

    fn neighbours_before(&self, at: usize, bits: u32) -> impl Iterator<Item = u32> {
        let before = self.sorted.iter().take(at).rev().take(NEIGHBOURS);
        before.take_while(move |key| key.shares_band(bits)).map(|key| key.index())
    }

    fn sort(&mut self, bits: impl Fn(&Fingerprint) -> Option<u32>, keep: impl Fn(u32) -> bool) {
        let key = |(index, fingerprint)| Some(Key::new(bits(fingerprint)?, index));
        self.sorted.clear();
        self.sorted
            .extend(self.fingerprints.iter().enumerate().filter_map(key).filter(|key| keep(key.index())));
        // Integers first, since that is fast; looking at the fingerprints only where the integers tie.
        self.sorted.sort_unstable();
        let (fingerprints, tie_bit) = (self.fingerprints, self.tie_bit);
        for tied in self.sorted.chunk_by_mut(|a, b| a.bits() == b.bits()) {
            if tied.len() > 1 {
                tied.sort_unstable_by_key(|key| (exact(fingerprints, *key).rotate_left(tie_bit), *key));
            }
        }
    }

    fn exact(&self, key: Key) -> u64 {
        exact(self.fingerprints, key)
    }
}

fn exact(fingerprints: &[Fingerprint], key: Key) -> u64 {
    fingerprints[key.index() as usize].exact
}
