//! The conversations of a list that are like an earlier one.
//!
//! In: fingerprints in the order of the data. Out: for each one that has a like one before it, that one, and the group
//! both belong to. It does not know what the fingerprints were made from.

use serde::Serialize;

use super::keys::Keys;
use super::sketch::{BANDS, equal_bins_at};
use super::{DuplicatesError, Fingerprint, Likeness, Threshold};

/// A conversation that has a like one before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Duplicate {
    /// Which conversation, counted from 0.
    pub index: usize,
    /// The first one that is the same; otherwise the earlier one found most alike.
    pub earlier: usize,
    /// The first of the group: of all that hang together by likeness, step by step.
    pub group: usize,
    /// How like the earlier one it is.
    #[serde(flatten)]
    pub likeness: Likeness,
}

/// What [`find_duplicates`] found.
#[derive(Debug, Clone)]
pub struct Duplicates<'a> {
    fingerprints: &'a [Fingerprint],
    /// For each conversation, the earlier one it is like, or itself.
    earlier: Vec<u32>,
    /// For each conversation, the first of its group; while searching, one nearer to the first.
    groups: Vec<u32>,
}

/// Finds the conversations that are the same as an earlier one or, from the threshold on, alike. Without a threshold
/// only the same ones are looked for.
///
/// The groups do not depend on the order of the conversations.
pub fn find_duplicates(
    fingerprints: &[Fingerprint],
    threshold: Option<Threshold>,
) -> Result<Duplicates<'_>, DuplicatesError> {
    let mut keys = Keys::new(fingerprints)?;
    let itself: Vec<u32> = (0..).take(fingerprints.len()).collect();
    let mut found = Duplicates { fingerprints, earlier: itself.clone(), groups: itself };
    let enough = threshold.map(|threshold| equal_bins_at(threshold.similarity()));
    for same in keys.by_content() {
        for later in same.iter().skip(1) {
            found.earlier[later.index() as usize] = same[0].index();
            found.join(same[0].index(), later.index());
        }
    }
    if let Some(enough) = enough {
        for band in 0..BANDS {
            keys.sort_by_band(band, |index| !found.is_copy(index));
            for (index, neighbours) in keys.with_neighbours() {
                for neighbour in neighbours {
                    found.compare(index.min(neighbour), index.max(neighbour), enough);
                }
            }
        }
    }
    found.finish(enough);
    Ok(found)
}

impl Duplicates<'_> {
    /// The duplicates, in the order of the data.
    pub fn iter(&self) -> impl Iterator<Item = Duplicate> {
        (0..self.earlier.len()).filter_map(|index| self.get(index))
    }

    /// What this conversation is a duplicate of, if it is one.
    pub fn get(&self, index: usize) -> Option<Duplicate> {
        let earlier = *self.earlier.get(index)? as usize;
        let likeness = self.fingerprints.get(index)?.likeness(self.fingerprints.get(earlier)?)?;
        let group = self.group(index)?;
        (earlier != index).then_some(Duplicate { index, earlier, group, likeness })
    }

    /// The first conversation of the group that this one belongs to: itself where it is like no other.
    pub fn group(&self, index: usize) -> Option<usize> {
        self.groups.get(index).map(|first| *first as usize)
    }

    fn is_copy(&self, index: u32) -> bool {
        let earlier = self.earlier[index as usize];
        earlier != index && self.fingerprint(earlier).exact == self.fingerprint(index).exact
    }

    fn compare(&mut self, first: u32, later: u32, enough: u32) {
        let equal_bins = self.equal_bins(first, later);
        if equal_bins < enough {
            return;
        }
        self.join(first, later);
        let known = self.earlier[later as usize];
        let known_bins = if known == later { 0 } else { self.equal_bins(known, later) };
        if equal_bins > known_bins || equal_bins == known_bins && first < known {
            self.earlier[later as usize] = first;
        }
    }

    /// Points each at the first of its group, and compares with that what was compared with later ones alone.
    fn finish(&mut self, enough: Option<u32>) {
        for index in 0..self.groups.len() {
            // The parent comes before it and points at the first already.
            let first = self.groups[self.groups[index] as usize];
            self.groups[index] = first;
            let alone = self.earlier[index] as usize == index && first as usize != index;
            if alone && enough.is_some_and(|enough| self.equal_bins(first, index as u32) >= enough) {
                self.earlier[index] = first;
            }
        }
    }

    fn equal_bins(&self, a: u32, b: u32) -> u32 {
        self.fingerprint(a).sketch.equal_bins(&self.fingerprint(b).sketch)
    }

    fn fingerprint(&self, index: u32) -> &Fingerprint {
        &self.fingerprints[index as usize]
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first_of_group(a), self.first_of_group(b));
        self.groups[a.max(b) as usize] = a.min(b);
    }

    /// The first of the group; what lies on the way is halved.
    fn first_of_group(&mut self, mut index: u32) -> u32 {
        while self.groups[index as usize] != index {
            let grandparent = self.groups[self.groups[index as usize] as usize];
            self.groups[index as usize] = grandparent;
            index = grandparent;
        }
        index
    }
}
