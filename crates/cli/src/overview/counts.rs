//! How often each number occurs: the distributions of a data set.
//!
//! In: numbers, one by one. Out: quantiles, which are exact, and bins of round widths. Does not know what is counted.

use std::collections::BTreeMap;

use serde::Serialize;

/// How often each number was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    by_value: BTreeMap<usize, usize>,
    total: usize,
}

/// Neighbouring numbers counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Bin {
    /// The smallest of them.
    pub(crate) low: usize,
    /// The largest of them; `None` where everything above belongs here too.
    pub(crate) high: Option<usize>,
    /// How often they were seen.
    pub(crate) count: usize,
}

/// The middle and the end of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Quantiles {
    /// Half of the numbers are not above it.
    pub(crate) median: usize,
    /// 95 of 100 numbers are not above it.
    pub(crate) p95: usize,
    /// The largest.
    pub(crate) largest: usize,
}

impl Counts {
    /// Counts a number.
    pub(crate) fn add(&mut self, value: usize) {
        *self.by_value.entry(value).or_default() += 1;
        self.total += 1;
    }

    /// How many numbers were counted.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Middle and end; all zero where nothing was counted.
    pub(crate) fn quantiles(&self) -> Quantiles {
        Quantiles {
            median: self.quantile(50),
            p95: self.quantile(95),
            largest: self.by_value.last_key_value().map_or(0, |(value, _)| *value),
        }
    }

    /// The smallest number that so many of 100 are not above.
    fn quantile(&self, percent: usize) -> usize {
        let wanted = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (value, count) in &self.by_value {
            seen += count;
            if seen >= wanted {
                return *value;
            }
        }
        0
    }

    /// At most `most` bins of one round width from zero on. A few far numbers do not squeeze the rest: what is far above
    /// the 99th of 100 falls into the last bin.
    pub(crate) fn bins(&self, most: usize) -> Vec<Bin> {
        let largest = self.quantiles().largest;
        let reach = Some(self.quantile(99)).filter(|most_reach| largest > 2 * most_reach).unwrap_or(largest);
        let width = round_width(reach, most);
        let closed = (reach / width + 1).min(most);
        let mut bins: Vec<Bin> = (0..closed)
            .map(|index| Bin { low: index * width, high: Some((index + 1) * width - 1), count: 0 })
            .collect();
        self.fill(&mut bins);
        let beyond = self.total - bins.iter().map(|bin| bin.count).sum::<usize>();
        if beyond > 0 {
            bins.push(Bin { low: closed * width, high: None, count: beyond });
        }
        bins
    }

    /// Bins for shares in percent: none at all by itself, then so many percent each up to 100.
    pub(crate) fn share_bins(&self, width: usize) -> Vec<Bin> {
        let mut bins = vec![Bin { low: 0, high: Some(0), count: 0 }];
        bins.extend((0..100 / width).map(|index| Bin {
            low: index * width + 1,
            high: Some((index + 1) * width),
            count: 0,
        }));
        self.fill(&mut bins);
        bins
    }

    fn fill(&self, bins: &mut [Bin]) {
        for bin in bins {
            let high = bin.high.unwrap_or(usize::MAX);
            bin.count = self.by_value.range(bin.low..=high).map(|(_, count)| count).sum();
        }
    }
}

/// The smallest of 1, 2, 5, 10, 20, … of which `most` reach as far.
fn round_width(reach: usize, most: usize) -> usize {
    let mut unit = 1;
    loop {
        for width in [unit, 2 * unit, 5 * unit] {
            if reach / width < most {
                return width;
            }
        }
        unit *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: impl IntoIterator<Item = usize>) -> Counts {
        let mut counts = Counts::default();
        values.into_iter().for_each(|value| counts.add(value));
        counts
    }

    #[test]
    fn quantiles_are_numbers_that_were_seen() {
        let found = counts(1..=100).quantiles();
        assert_eq!(found, Quantiles { median: 50, p95: 95, largest: 100 });
        assert_eq!(counts([7]).quantiles(), Quantiles { median: 7, p95: 7, largest: 7 });
        assert_eq!(counts([]).quantiles(), Quantiles { median: 0, p95: 0, largest: 0 });
    }

    #[test]
    fn bins_have_round_widths_and_lose_nothing() {
        let bins = counts((0..1000).chain([1_000_000])).bins(10);
        assert_eq!(bins[0], Bin { low: 0, high: Some(99), count: 100 });
        assert_eq!(bins.len(), 11);
        assert_eq!(bins[10], Bin { low: 1000, high: None, count: 1 });
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<usize>(), 1001);
        assert_eq!(counts([0, 0, 3]).bins(10).iter().map(|bin| bin.count).collect::<Vec<_>>(), [2, 0, 0, 1]);
        assert_eq!(counts([]).bins(10), [Bin { low: 0, high: Some(0), count: 0 }]);
        assert_eq!(round_width(usize::MAX / 10, 10) % 10, 0);
    }

    #[test]
    fn nothing_trained_is_a_bin_of_its_own() {
        let bins = counts([0, 1, 5, 6, 100]).share_bins(5);
        assert_eq!(bins.len(), 21);
        assert_eq!(bins[..3].iter().map(|bin| bin.count).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(bins[20], Bin { low: 96, high: Some(100), count: 1 });
    }
}
