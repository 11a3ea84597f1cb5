//! How many packs the samples would fill, when several share one.
//!
//! In: how long each sample is. Out: the packs that the best-fit rule needs, longest sample first, as trainers pack. Only
//! the number of samples of each length is kept, so memory does not grow with the data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Samples by their length in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths(BTreeMap<usize, usize>);

/// What packing would give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackingPlan {
    /// Most tokens in a pack.
    pub max_length: usize,
    /// Packs needed.
    pub packs: usize,
    /// The share of their room that is filled, from 0 to 1.
    pub fill: f64,
}

impl Lengths {
    pub(crate) fn add(&mut self, length: usize) {
        *self.0.entry(length).or_default() += 1;
    }

    /// The plan for packs of this length, or of the longest sample's. None where there is no sample.
    pub(crate) fn plan(&self, max_length: Option<usize>) -> Option<PackingPlan> {
        let longest = *self.0.keys().next_back().filter(|longest| **longest > 0)?;
        let max_length = max_length.map_or(longest, |given| given.max(longest));
        // How many packs have so much room left.
        let mut room: BTreeMap<usize, usize> = BTreeMap::new();
        let (mut packs, mut tokens) = (0, 0);
        for (&length, &count) in self.0.iter().rev().filter(|(length, _)| **length > 0) {
            let mut waiting = count;
            tokens += length * count;
            while waiting > 0 {
                // The pack that fits best, each taking as many of these samples as it can; or a new one.
                let (left, open) = match room.range(length..).next() {
                    Some((&left, &open)) => (left, open),
                    None => (max_length, waiting.div_ceil(max_length / length)),
                };
                match room.remove(&left) {
                    Some(_) => {}
                    None => packs += open,
                }
                let each = left / length;
                let full = open.min(waiting / each);
                *room.entry(left - each * length).or_default() += full;
                waiting -= full * each;
                let mut untouched = open - full;
                if untouched > 0 && waiting > 0 {
                    *room.entry(left - waiting * length).or_default() += 1;
                    waiting = 0;
                    untouched -= 1;
                }
                if untouched > 0 {
                    *room.entry(left).or_default() += untouched;
                }
            }
        }
        room.remove(&0);
        Some(PackingPlan { max_length, packs, fill: tokens as f64 / (packs * max_length) as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lengths: &[usize], max_length: Option<usize>) -> Option<PackingPlan> {
        let mut all = Lengths::default();
        lengths.iter().for_each(|length| all.add(*length));
        all.plan(max_length)
    }

    /// The rule as it is said: longest first, each into the fullest pack that has room for it.
    fn one_by_one(lengths: &[usize], max_length: usize) -> usize {
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let mut packs: Vec<usize> = Vec::new();
        for length in sorted {
            match packs.iter_mut().filter(|room| **room >= length).min() {
                Some(room) => *room -= length,
                None => packs.push(max_length - length),
            }
        }
        packs.len()
    }

    #[test]
    fn small_sets_by_hand() {
        assert_eq!(plan(&[], None), None);
        assert_eq!(plan(&[0, 0], None), None);
        assert_eq!(plan(&[4, 6, 5, 5], Some(10)), Some(PackingPlan { max_length: 10, packs: 2, fill: 1.0 }));
        assert_eq!(plan(&[6, 6, 1], Some(10)), Some(PackingPlan { max_length: 10, packs: 2, fill: 0.65 }));
        assert_eq!(plan(&[3; 7], None), Some(PackingPlan { max_length: 3, packs: 7, fill: 1.0 }));
    }

    #[test]
    fn counting_lengths_gives_what_packing_one_by_one_gives() {
        let mut state = 7_u64;
        for round in 0..300_usize {
            let count = 1 + round % 90;
            let lengths: Vec<usize> = (0..count)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    1 + (state >> 33) as usize % (1 + round % 40)
                })
                .collect();
            let max_length = 40 + round % 7;
            let packs = plan(&lengths, Some(max_length)).expect("a plan").packs;
            assert_eq!(packs, one_by_one(&lengths, max_length), "{lengths:?} into {max_length}");
        }
    }
}
