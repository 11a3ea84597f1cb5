//! Which samples of a step share a run: bin packing, the largest first (first fit decreasing).
//!
//! In: samples in sorted order, as lengths and as what neighbours have in common. Out: runs, as positions in that order.
//! Samples with a common prefix are packed as one item as long as they fit in a run together; an item goes where it adds
//! the fewest tokens, among equals to the first run that has room. It does not see ids.

use std::ops::Range;

use super::LayoutOptions;

/// Samples packed at a time: looking for the best place takes time that grows with the square of their number.
const PORTION: usize = 512;

/// Samples in sorted order.
pub(super) struct Sorted {
    /// Tokens of each.
    pub(super) lengths: Vec<usize>,
    /// Tokens that each shares with the one before it.
    pub(super) common: Vec<usize>,
}

/// A run in the making.
struct Bin {
    /// Positions, ascending.
    members: Vec<usize>,
    tokens: usize,
}

impl Sorted {
    /// The positions of each run, ascending. No sample is longer than a run.
    pub(super) fn pack(&self, options: &LayoutOptions) -> Vec<Vec<usize>> {
        let all = 0..self.lengths.len();
        let portions = all.clone().step_by(PORTION).map(|start| start..all.end.min(start + PORTION));
        portions.flat_map(|portion| self.pack_portion(portion, options)).collect()
    }

    fn pack_portion(&self, portion: Range<usize>, options: &LayoutOptions) -> Vec<Vec<usize>> {
        let mut items = self.items(portion, options);
        items.sort_by_key(|(positions, tokens)| (std::cmp::Reverse(*tokens), positions.start));
        let mut bins: Vec<Bin> = Vec::new();
        for (positions, tokens) in items {
            let with_item = |bin: &Bin| {
                let at = bin.members.partition_point(|&member| member < positions.start);
                let mut members = bin.members.clone();
                members.splice(at..at, positions.clone());
                Bin { tokens: self.tokens(&members, options), members }
            };
            let places = bins.iter().enumerate().map(|(index, bin)| (index, bin.tokens, with_item(bin)));
            let roomy = places.filter(|(_, _, after)| after.tokens <= options.max_tokens);
            match roomy.min_by_key(|(_, before, after)| after.tokens - before) {
                Some((index, _, after)) => bins[index] = after,
                None => bins.push(Bin { members: positions.collect(), tokens }),
            }
        }
        bins.into_iter().map(|bin| bin.members).collect()
    }

    /// The portion in pieces that each fit in a run, cut where the least is shared.
    fn items(&self, portion: Range<usize>, options: &LayoutOptions) -> Vec<(Range<usize>, usize)> {
        let mut items = Vec::new();
        let mut open = vec![portion];
        while let Some(range) = open.pop() {
            let tokens = self.tokens(&range.clone().collect::<Vec<_>>(), options);
            if range.len() <= 1 || tokens <= options.max_tokens {
                items.push((range, tokens));
                continue;
            }
            let inner = range.start + 1..range.end;
            let least = inner.clone().map(|at| self.common[at]).min().unwrap_or(0);
            let cuts = inner.filter(|&at| self.common[at] < least + options.min_shared_tokens.max(1));
            let mut start = range.start;
            for end in cuts.chain([range.end]) {
                open.push(start..end);
                start = end;
            }
        }
        items
    }

    /// Tokens of a run with these members, as the layout branches them.
    fn tokens(&self, members: &[usize], options: &LayoutOptions) -> usize {
        let mut tokens = 0;
        let mut previous: Option<usize> = None;
        let mut path = Path::default();
        for &member in members {
            let common = previous
                .map_or(0, |previous| self.common[previous + 1..=member].iter().copied().min().unwrap_or(0));
            let branch_at = path.branch_point(common, options.min_shared_tokens);
            path.branch(branch_at, self.lengths[member]);
            tokens += self.lengths[member] - branch_at;
            previous = Some(member);
        }
        tokens
    }
}

/// The segments of the sample added last, as the depths at which they begin; and its length.
#[derive(Debug, Default)]
struct Path {
    starts: Vec<usize>,
    len: usize,
}

impl Path {
    /// The depth at which a sample that has `common` tokens in common with the last one leaves it: within the first
    /// tokens of a segment it leaves at the segment's beginning.
    fn branch_point(&self, common: usize, min_shared_tokens: usize) -> usize {
        if common >= self.len {
            return common;
        }
        match self.starts.iter().rev().find(|&&start| start <= common) {
            Some(&start) if common < start + min_shared_tokens => start,
            _ => common,
        }
    }

    /// Leaves the path at `depth` for a sample of `len` tokens.
    fn branch(&mut self, depth: usize, len: usize) {
        while self.starts.last().is_some_and(|&start| start >= depth) {
            self.starts.pop();
        }
        // A sample that only continues the last one continues its segment.
        let continues = depth == self.len && depth > 0;
        if len > depth && !continues {
            self.starts.push(depth);
        }
        self.len = len;
    }
}
