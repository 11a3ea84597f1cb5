//! Samples, and the order in which an epoch takes them.
//!
//! In: ids and labels. Out: checked samples, shuffled indices, a fingerprint. It does not know files or tokenizers.

use toolsmith_chat::batch;
use toolsmith_kernels::CounterRng;

use crate::TrainError;

/// One training sample: as many labels as ids, each a token id or -100.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    name: String,
    tokens: batch::Sample,
}

impl Sample {
    /// A sample; `name` is how messages call it, such as `train.jsonl:41`.
    ///
    /// # Errors
    /// Labels that do not fit the ids.
    pub fn new(name: impl Into<String>, input_ids: Vec<u32>, labels: Vec<i32>) -> Result<Self, TrainError> {
        let name = name.into();
        match batch::Sample::new(input_ids, labels) {
            Ok(tokens) => Ok(Self { name, tokens }),
            Err(source) => Err(TrainError::Sample { name, source }),
        }
    }

    /// The same sample, its predictions counting in the loss by these weights, one for each id.
    ///
    /// # Errors
    /// Weights that do not fit the ids.
    pub fn with_weights(self, weights: Vec<f32>) -> Result<Self, TrainError> {
        let Self { name, tokens } = self;
        match tokens.with_weights(weights) {
            Ok(tokens) => Ok(Self { name, tokens }),
            Err(source) => Err(TrainError::Sample { name, source }),
        }
    }

    /// How messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ids and labels.
    pub fn tokens(&self) -> &batch::Sample {
        &self.tokens
    }
}

/// The samples of an epoch in their order (Fisher and Yates), and which of them a step takes. Nothing but the seed
/// and the step decides, so a resumed run needs no other memory of where it was.
#[derive(Debug)]
pub(crate) struct DataOrder {
    samples: usize,
    batch_size: usize,
    seed: u64,
    /// The epoch that `order` is of.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl DataOrder {
    pub(crate) fn new(samples: usize, batch_size: usize, seed: u64) -> Self {
        Self { samples, batch_size, seed, epoch: None, order: Vec::new() }
    }

    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.samples.div_ceil(self.batch_size) as u64
    }

    /// The samples of step `step` (from 1). The last step of an epoch takes what is left.
    pub(crate) fn batch(&mut self, step: u64) -> &[usize] {
        let epoch = (step - 1) / self.steps_per_epoch();
        if self.epoch != Some(epoch) {
            self.order = shuffled(self.samples, CounterRng::new(self.seed).stream(epoch));
            self.epoch = Some(epoch);
        }
        let start = ((step - 1) % self.steps_per_epoch()) as usize * self.batch_size;
        &self.order[start..self.samples.min(start + self.batch_size)]
    }
}

fn shuffled(count: usize, random: CounterRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let chosen = random.bits(last as u64) % (last as u64 + 1);
        order.swap(last, chosen as usize);
    }
    order
}

/// A number that changes when any id, any label, any weight or the order of the samples changes (FNV-1a, 64 bits).
pub(crate) fn fingerprint(samples: &[Sample]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |word: u32| hash = (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3);
    for sample in samples {
        let tokens = sample.tokens();
        mix(tokens.input_ids().len() as u32);
        tokens.input_ids().iter().for_each(|&id| mix(id));
        tokens.labels().iter().for_each(|&label| mix(label.cast_unsigned()));
        tokens.weights().into_iter().flatten().for_each(|&weight| mix(weight.to_bits()));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_every_sample_once_and_the_next_in_another_order() {
        let mut order = DataOrder::new(23, 5, 7);
        let mut epoch = |first: u64| -> Vec<usize> {
            (first..first + 5).flat_map(|step| order.batch(step).to_vec()).collect()
        };
        let (one, two) = (epoch(1), epoch(6));
        for epoch in [&one, &two] {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..23).collect::<Vec<_>>());
        }
        assert_ne!(one, two);
        assert_eq!(order.batch(5).len(), 3);
    }

    #[test]
    fn a_step_takes_the_same_samples_without_the_steps_before_it() {
        let mut whole = DataOrder::new(23, 5, 7);
        let taken: Vec<Vec<usize>> = (1..=12).map(|step| whole.batch(step).to_vec()).collect();
        assert_eq!(DataOrder::new(23, 5, 7).batch(12), taken[11]);
        assert_ne!(DataOrder::new(23, 5, 8).batch(12), taken[11]);
    }

    #[test]
    fn the_fingerprint_sees_ids_labels_and_order() {
        let a = Sample::new("a", vec![1, 2], vec![-100, 2]).unwrap();
        let b = Sample::new("b", vec![1, 2], vec![-100, -100]).unwrap();
        let renamed = Sample::new("c", vec![1, 2], vec![-100, 2]).unwrap();
        assert_eq!(fingerprint(std::slice::from_ref(&a)), fingerprint(&[renamed]));
        assert_ne!(fingerprint(std::slice::from_ref(&a)), fingerprint(std::slice::from_ref(&b)));
        assert_ne!(fingerprint(&[a.clone(), b.clone()]), fingerprint(&[b, a]));
    }
}
