//! Which conversations a page holds when it cannot hold all.
//!
//! In: what is known of every record, the most conversations wanted. Out: their indices in input order, and how many were
//! taken for which reason. The same data gives the same choice; chance comes from each record's index alone.

use super::collect::RecordFacts;

/// Bytes that a held conversation may take on average, and that a page of few may take; some are far longer.
const BYTES_EACH: usize = 10_000;
const BYTES_OF_FEW: usize = 4_000_000;

/// The most tokens of a conversation's samples, and bytes of its text, that a page shows.
pub(crate) const MAX_TOKENS: usize = 50_000;
/// See [`MAX_TOKENS`].
pub(crate) const MAX_TEXT: usize = 400_000;

/// What a page holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Indices of the records, in input order.
    pub(crate) records: Vec<usize>,
    /// Why they are there; empty where all are.
    pub(crate) reasons: Vec<(&'static str, usize)>,
}

/// Chooses at most `limit` records.
pub(crate) fn choose(records: &[RecordFacts], limit: usize) -> Chosen {
    let mut choice = Choice {
        records,
        taken: vec![false; records.len()],
        left: limit,
        bytes_left: limit.saturating_mul(BYTES_EACH).max(BYTES_OF_FEW),
        reasons: Vec::new(),
    };
    let needed = records.iter().map(page_bytes).fold(0, usize::saturating_add);
    if records.len() <= limit && needed <= choice.bytes_left {
        return Chosen { records: (0..records.len()).collect(), reasons: Vec::new() };
    }
    // Chance decides within each reason, so that not all come from the beginning.
    let mut scattered: Vec<usize> = (0..records.len()).collect();
    scattered.sort_by_key(|&index| (scatter(index as u64), index));
    let some = limit.div_ceil(20);
    choice.take("with findings", limit.div_ceil(2), in_turns(&scattered, &|index| &records[index].codes));
    choice.take(
        "without a trained token",
        some,
        scattered.iter().copied().filter(|&i| is_untrained(&records[i])),
    );
    let mut longest = scattered.clone();
    longest.sort_by_key(|&index| std::cmp::Reverse(longest_sample(&records[index])));
    choice.take("the longest", some, longest.into_iter());
    choice.take("for their tools", limit.div_ceil(8), in_turns(&scattered, &|index| &records[index].called));
    choice.take_all("drawn from all others", limit, scattered.into_iter());
    let taken = choice.taken.iter().enumerate().filter(|(_, taken)| **taken);
    Chosen { records: taken.map(|(index, _)| index).collect(), reasons: choice.reasons }
}

/// Whether a sample of it teaches nothing.
pub(crate) fn is_untrained(record: &RecordFacts) -> bool {
    record.samples.iter().any(|sample| sample.trained == 0)
}

struct Choice<'a> {
    records: &'a [RecordFacts],
    taken: Vec<bool>,
    left: usize,
    bytes_left: usize,
    reasons: Vec<(&'static str, usize)>,
}

impl Choice<'_> {
    /// Takes so many of the candidates, and leaves half of the room to what comes after.
    fn take(&mut self, reason: &'static str, share: usize, candidates: impl Iterator<Item = usize>) {
        let kept = self.bytes_left / 2;
        self.bytes_left -= kept;
        self.take_all(reason, share, candidates);
        self.bytes_left += kept;
    }

    fn take_all(&mut self, reason: &'static str, share: usize, candidates: impl Iterator<Item = usize>) {
        let mut count = 0;
        for index in candidates {
            if count == share || self.left == 0 {
                break;
            }
            let bytes = page_bytes(&self.records[index]);
            if self.taken[index] || bytes > self.bytes_left {
                continue;
            }
            self.taken[index] = true;
            self.left -= 1;
            self.bytes_left -= bytes;
            count += 1;
        }
        if count > 0 {
            self.reasons.push((reason, count));
        }
    }
}

/// The first record of each key (a rule, a tool), then the second of each, and so on: rare ones are not crowded out.
fn in_turns<'a>(
    scattered: &[usize],
    keys: &dyn Fn(usize) -> &'a [usize],
) -> impl Iterator<Item = usize> + use<> {
    let mut seen: Vec<usize> = Vec::new();
    let mut turns = Vec::new();
    for &index in scattered {
        for &key in keys(index) {
            if seen.len() <= key {
                seen.resize(key + 1, 0);
            }
            turns.push((seen[key], turns.len(), index));
            seen[key] += 1;
        }
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, _, index)| index)
}

fn longest_sample(record: &RecordFacts) -> usize {
    record.samples.iter().map(|sample| sample.tokens).max().unwrap_or(0)
}

/// About what a record takes in the page: an id with its comma is six bytes.
fn page_bytes(record: &RecordFacts) -> usize {
    let tokens: usize = record.samples.iter().map(|sample| sample.tokens).sum();
    300 + 6 * tokens.min(MAX_TOKENS) + record.bytes.min(MAX_TEXT)
}

/// SplitMix64: neighbouring numbers to far ones, each to its own.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use toolsmith_prepare::Place;

    use super::super::collect::SampleSize;
    use super::*;

    fn record(index: usize) -> RecordFacts {
        RecordFacts {
            file: 0,
            place: Place { index, line: index + 1, column: 1 },
            bytes: 500,
            refused: false,
            samples: vec![SampleSize { tokens: 100, trained: 10 }],
            codes: Vec::new(),
            called: Vec::new(),
            calls: None,
        }
    }

    fn records(count: usize) -> Vec<RecordFacts> {
        (0..count).map(record).collect()
    }

    #[test]
    fn what_fits_is_held_whole() {
        let all = choose(&records(20), 20);
        assert_eq!(all.records, (0..20).collect::<Vec<_>>());
        assert!(all.reasons.is_empty());
    }

    #[test]
    fn the_rare_and_the_long_are_held_and_the_rest_is_drawn() {
        let mut all = records(10_000);
        (0..5000).for_each(|index| all[index].codes = vec![0]);
        all[7777].codes = vec![1];
        all[8888].samples[0].tokens = 3000;
        all[9999].called = vec![4];
        all[4321].samples[0].trained = 0;
        let chosen = choose(&all, 100);
        assert_eq!(chosen.records.len(), 100);
        assert!([7777, 8888, 9999, 4321].iter().all(|index| chosen.records.contains(index)), "{chosen:?}");
        assert_eq!(chosen.reasons.iter().map(|(_, count)| count).sum::<usize>(), 100);
        assert_eq!(chosen.reasons[0], ("with findings", 50));
        assert_eq!(chosen, choose(&all, 100));
        assert!(chosen.records.is_sorted());
    }

    #[test]
    fn huge_records_do_not_make_a_huge_page() {
        let mut all = records(1000);
        for record in &mut all {
            record.bytes = usize::MAX;
            record.samples[0].tokens = usize::MAX / 2000;
        }
        let chosen = choose(&all, 100);
        let bytes: usize = chosen.records.iter().map(|&index| page_bytes(&all[index])).sum();
        assert!(!chosen.records.is_empty() && bytes <= BYTES_OF_FEW, "{chosen:?}");
        // Small ones are not crowded out by them.
        (0..900).for_each(|index| all[index] = record(index));
        assert_eq!(choose(&all, 100).records.len(), 100);
    }
}
