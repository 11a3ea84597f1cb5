//! The order in which an epoch takes its samples, and which of them meet in a step.
//!
//! In: the samples, the size of a step, a seed. Out: indices. Nothing but the seed and the step decides, so a resumed run
//! needs no other memory of where it was. It does not know what becomes of a step's samples.
//!
//! A prefix that several samples of a step share is computed once, so it pays to let them meet. They meet in groups: the
//! samples are the leaves of a tree of common prefixes; in each epoch the branches of every node are shuffled, and
//! samples that then stand beside each other are cut into groups of at most `prefix_group`. Groups are shuffled like
//! single samples and dealt to the steps, whole where there is room. Every sample is taken once an epoch, at any place in
//! it; what is no longer independent is which samples share its step. Where nothing is shared but
//! what all samples begin with, or with `prefix_group` 1, the order is a plain shuffle.

use std::collections::VecDeque;

use toolsmith_kernels::CounterRng;

use crate::Sample;

/// Common beginnings are told apart in steps of so many tokens; shorter ones are not worth meeting for.
const MIN_SHARED_TOKENS: usize = 16;

/// The samples of an epoch in their order, and which of them a step takes.
#[derive(Debug)]
pub(crate) struct DataOrder {
    samples: usize,
    batch_size: usize,
    prefix_group: usize,
    seed: u64,
    prefixes: PrefixTree,
    /// The epoch that `order` is of.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl DataOrder {
    pub(crate) fn new(samples: &[&Sample], batch_size: usize, prefix_group: usize, seed: u64) -> Self {
        // A step that takes everything needs no more room than there are samples.
        let batch_size = batch_size.min(samples.len().max(1));
        let prefixes = if prefix_group > 1 { PrefixTree::new(samples) } else { PrefixTree::default() };
        Self {
            samples: samples.len(),
            batch_size,
            prefix_group: prefix_group.min(batch_size),
            seed,
            prefixes,
            epoch: None,
            order: Vec::new(),
        }
    }

    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.samples.div_ceil(self.batch_size) as u64
    }

    /// The samples of step `step` (from 1). The last step of an epoch takes what is left.
    pub(crate) fn batch(&mut self, step: u64) -> &[usize] {
        let epoch = (step - 1) / self.steps_per_epoch();
        if self.epoch != Some(epoch) {
            let mut random = Shuffle { random: CounterRng::new(self.seed).stream(epoch), draws: 0 };
            self.order = if self.prefixes.branches() {
                let groups = self.prefixes.groups(self.prefix_group, &mut random);
                deal(groups, self.batch_size, &mut random)
            } else {
                shuffled(self.samples, &mut random)
            };
            self.epoch = Some(epoch);
        }
        let start = ((step - 1) % self.steps_per_epoch()) as usize * self.batch_size;
        &self.order[start..self.samples.min(start + self.batch_size)]
    }
}

/// A source of orders (Fisher and Yates).
struct Shuffle {
    random: CounterRng,
    draws: u64,
}

impl Shuffle {
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.draws += 1;
            items.swap(last, (self.random.bits(self.draws) % (last as u64 + 1)) as usize);
        }
    }
}

fn shuffled(count: usize, random: &mut Shuffle) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    random.shuffle(&mut order);
    order
}

/// The samples sorted by their ids, and what neighbours have in common.
#[derive(Debug, Default)]
struct PrefixTree {
    sorted: Vec<usize>,
    /// Tokens that each of `sorted` shares with the one before it, in whole [`MIN_SHARED_TOKENS`].
    common: Vec<usize>,
}

/// A common prefix whose samples are being collected.
struct Node {
    depth: usize,
    /// Samples of each branch that are in no group yet.
    branches: Vec<Vec<usize>>,
}

impl PrefixTree {
    fn new(samples: &[&Sample]) -> Self {
        let ids = |index: usize| samples[index].tokens().needed_ids();
        let mut sorted: Vec<usize> = (0..samples.len()).collect();
        sorted.sort_by_key(|&index| (ids(index), index));
        let shared = |pair: &[usize]| {
            let same = ids(pair[0]).iter().zip(ids(pair[1])).take_while(|(a, b)| a == b).count();
            same / MIN_SHARED_TOKENS * MIN_SHARED_TOKENS
        };
        let common = std::iter::once(0).chain(sorted.windows(2).map(shared)).collect();
        Self { sorted, common }
    }

    /// What all samples begin with.
    fn trunk(&self) -> usize {
        self.common.iter().skip(1).copied().min().unwrap_or(0)
    }

    /// Whether some samples share more than all of them do.
    fn branches(&self) -> bool {
        let trunk = self.trunk();
        self.common.iter().any(|&common| common > trunk)
    }

    /// All samples, those with a common prefix in groups of at most `size`.
    fn groups(&self, size: usize, random: &mut Shuffle) -> Vec<Vec<usize>> {
        let mut groups = Vec::new();
        let trunk = self.trunk();
        let mut open = vec![Node { depth: trunk, branches: Vec::new() }];
        for (at, &sample) in self.sorted.iter().enumerate() {
            let common = if at == 0 { trunk } else { self.common[at] };
            fold(&mut open, common, &mut |node| node.close(size, random, &mut groups));
            let next = self.common.get(at + 1).copied().unwrap_or(trunk);
            if open.last().is_some_and(|node| next > node.depth) {
                open.push(Node { depth: next, branches: Vec::new() });
            }
            add(&mut open, vec![sample]);
        }
        fold(&mut open, trunk, &mut |node| node.close(size, random, &mut groups));
        // What shares nothing but the trunk stays apart.
        groups.extend(open.into_iter().flat_map(|root| root.branches));
        groups
    }
}

/// Closes the open prefixes that are longer than `depth`; what each leaves goes to the longest prefix above it.
fn fold(open: &mut Vec<Node>, depth: usize, close: &mut impl FnMut(Node) -> Vec<usize>) {
    while let Some(node) = open.pop_if(|node| node.depth > depth) {
        let rest = close(node);
        if open.last().is_some_and(|parent| parent.depth < depth) {
            open.push(Node { depth, branches: Vec::new() });
        }
        add(open, rest);
    }
}

/// Hands a branch to the longest open prefix.
fn add(open: &mut [Node], branch: Vec<usize>) {
    if let Some(node) = open.last_mut().filter(|_| !branch.is_empty()) {
        node.branches.push(branch);
    }
}

impl Node {
    /// Cuts the samples into groups and returns the last ones, too few for a group of their own.
    fn close(mut self, size: usize, random: &mut Shuffle, groups: &mut Vec<Vec<usize>>) -> Vec<usize> {
        random.shuffle(&mut self.branches);
        let mut samples = self.branches.concat();
        let rest = samples.split_off(samples.len() / size * size);
        groups.extend(samples.chunks(size).map(<[usize]>::to_vec));
        rest
    }
}

/// Deals groups to steps in a random order: to each the first that fit, cut only where none does.
fn deal(mut groups: Vec<Vec<usize>>, batch_size: usize, random: &mut Shuffle) -> Vec<usize> {
    random.shuffle(&mut groups);
    let samples: usize = groups.iter().map(Vec::len).sum();
    let mut by_size: Vec<VecDeque<(usize, Vec<usize>)>> = vec![VecDeque::new(); batch_size + 1];
    for (rank, group) in groups.into_iter().enumerate() {
        by_size[group.len()].push_back((rank, group));
    }
    let mut order = Vec::with_capacity(samples);
    while order.len() < samples {
        let room = batch_size - order.len() % batch_size;
        let first = |sizes: std::ops::RangeInclusive<usize>| {
            sizes.filter(|&size| !by_size[size].is_empty()).min_by_key(|&size| by_size[size][0].0)
        };
        let Some(size) = first(1..=room).or_else(|| first(room + 1..=batch_size)) else { break };
        if let Some((rank, mut group)) = by_size[size].pop_front() {
            let rest = group.split_off(size.min(room));
            order.extend(group);
            if !rest.is_empty() {
                by_size[rest.len()].push_front((rank, rest));
            }
        }
    }
    // Late steps got what fitted nowhere before; the last one may be short and stays the last.
    let whole = samples / batch_size * batch_size;
    let mut steps: Vec<&[usize]> = order[..whole].chunks(batch_size).collect();
    random.shuffle(&mut steps);
    [steps.concat(), order[whole..].to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `groups` prefixes of 32 tokens, each with `each` endings of 4 tokens behind it.
    fn samples(groups: u32, each: u32) -> Vec<Sample> {
        let sample = |group: u32, ending: u32| {
            let ids: Vec<u32> = (0..32).map(|_| group).chain([900, ending, 901, ending]).collect();
            let labels = ids.iter().map(|&id| id as i32).collect();
            Sample::new("s", ids, labels).unwrap()
        };
        (0..each).flat_map(|ending| (0..groups).map(move |group| sample(group, ending))).collect()
    }

    fn group_of(samples: &[Sample], index: usize) -> u32 {
        samples[index].tokens().input_ids()[0]
    }

    #[test]
    fn an_epoch_takes_every_sample_once_and_the_next_in_another_order() {
        for (data, prefix_group) in
            [(samples(23, 1), 8), (samples(4, 7), 4), (samples(3, 9), 1), (samples(1, 23), 5)]
        {
            let mut order = DataOrder::new(&data.iter().collect::<Vec<_>>(), 5, prefix_group, 7);
            let steps = order.steps_per_epoch();
            let mut epoch = |first: u64| -> Vec<usize> {
                (first..first + steps).flat_map(|step| order.batch(step).to_vec()).collect()
            };
            let (one, two) = (epoch(1), epoch(1 + steps));
            for epoch in [&one, &two] {
                let mut sorted = epoch.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..data.len()).collect::<Vec<_>>());
            }
            assert_ne!(one, two);
        }
    }

    #[test]
    fn a_step_takes_the_same_samples_without_the_steps_before_it() {
        for prefix_group in [1, 4] {
            let data = samples(5, 5);
            let mut whole = DataOrder::new(&data.iter().collect::<Vec<_>>(), 5, prefix_group, 7);
            let taken: Vec<Vec<usize>> = (1..=12).map(|step| whole.batch(step).to_vec()).collect();
            assert_eq!(
                DataOrder::new(&data.iter().collect::<Vec<_>>(), 5, prefix_group, 7).batch(12),
                taken[11]
            );
            assert_ne!(
                DataOrder::new(&data.iter().collect::<Vec<_>>(), 5, prefix_group, 8).batch(12),
                taken[11]
            );
        }
    }

    #[test]
    fn samples_with_a_common_prefix_meet_in_groups() {
        let data = samples(20, 8);
        let mut order = DataOrder::new(&data.iter().collect::<Vec<_>>(), 16, 4, 1);
        for step in 1..=10 {
            let mut groups: Vec<u32> =
                order.batch(step).iter().map(|&index| group_of(&data, index)).collect();
            groups.sort_unstable();
            let runs: Vec<usize> = groups.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
            assert!(runs.iter().all(|len| len % 4 == 0), "step {step}: {runs:?}");
        }
        // And not always the same ones.
        let company = |order: &mut DataOrder, epoch: u64| -> Vec<usize> {
            let mut steps = (1..=10).map(|step| order.batch(epoch * 10 + step).to_vec());
            let mut company = steps.find(|batch| batch.contains(&0)).unwrap();
            company.sort_unstable();
            company
        };
        assert_ne!(company(&mut order, 0), company(&mut order, 1));
    }

    #[test]
    fn where_nothing_is_shared_the_order_is_a_plain_shuffle() {
        let data = samples(1, 40);
        let batches = |prefix_group| {
            let mut order = DataOrder::new(&data.iter().collect::<Vec<_>>(), 8, prefix_group, 3);
            (1..=5).map(|step| order.batch(step).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(batches(1), batches(8));
    }

    #[test]
    fn every_place_in_an_epoch_is_as_likely_as_any_other() {
        let data = samples(6, 8);
        let mut order = DataOrder::new(&data.iter().collect::<Vec<_>>(), 8, 4, 11);
        let mut seen = vec![[0_u32; 6]; data.len()];
        for step in 1..=6 * 2000 {
            for &index in order.batch(step) {
                seen[index][((step - 1) % 6) as usize] += 1;
            }
        }
        // 2,000 epochs: 333 of each, with a standard deviation of 17.
        for counts in seen {
            assert!(counts.iter().all(|&count| (240..430).contains(&count)), "{counts:?}");
        }
    }
}
