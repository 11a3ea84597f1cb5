//! Samples, and the order in which an epoch takes them.
//!
//! In: ids and labels. Out: checked samples, shuffled indices, a fingerprint. It does not know files or tokenizers.

use toolsmith_chat::batch;
use toolsmith_kernels::CounterRng;

use crate::TrainError;

/// One training sample: as many labels as ids, each a token id or -100. Or a pair: two of these, that answer one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    name: String,
    /// Of a pair, those with the answer to prefer.
    tokens: batch::Sample,
    /// Those with the answer to avoid.
    rejected: Option<batch::Sample>,
}

impl Sample {
    /// A sample; `name` is how messages call it, such as `train.jsonl:41`.
    ///
    /// # Errors
    /// Labels that do not fit the ids.
    pub fn new(name: impl Into<String>, input_ids: Vec<u32>, labels: Vec<i32>) -> Result<Self, TrainError> {
        let name = name.into();
        match batch::Sample::new(input_ids, labels) {
            Ok(tokens) => Ok(Self { name, tokens, rejected: None }),
            Err(source) => Err(TrainError::Sample { name, source }),
        }
    }

    /// A pair of answers to one prompt: what stands before the first trained token is the same in both.
    ///
    /// # Errors
    /// An answer without a trained token, answers to different prompts, or twice the same one.
    pub fn pair(
        name: impl Into<String>,
        chosen: batch::Sample,
        rejected: batch::Sample,
    ) -> Result<Self, TrainError> {
        let name = name.into();
        let prompt = |sample: &batch::Sample| {
            let trained = sample.targets().next().map(|(before, ..)| before + 1);
            trained.map(|end| sample.input_ids()[..end].to_vec())
        };
        let found = match (prompt(&chosen), prompt(&rejected)) {
            (None, _) => "the chosen answer trains no token",
            (_, None) => "the rejected answer trains no token",
            (Some(one), Some(other)) if one != other => {
                "what stands before the answers differs, so they answer different prompts"
            }
            _ if chosen == rejected => "the chosen and the rejected answer are the same tokens",
            _ => return Ok(Self { name, tokens: chosen, rejected: Some(rejected) }),
        };
        Err(TrainError::Pair { name, found })
    }

    /// The same sample, its predictions counting in the loss by these weights, one for each id.
    ///
    /// # Errors
    /// Weights that do not fit the ids.
    pub fn with_weights(self, weights: Vec<f32>) -> Result<Self, TrainError> {
        let Self { name, tokens, rejected } = self;
        match tokens.with_weights(weights) {
            Ok(tokens) => Ok(Self { name, tokens, rejected }),
            Err(source) => Err(TrainError::Sample { name, source }),
        }
    }

    /// How messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ids and labels; of a pair, those with the chosen answer.
    pub fn tokens(&self) -> &batch::Sample {
        &self.tokens
    }

    /// Whether it is a pair.
    pub fn is_pair(&self) -> bool {
        self.rejected.is_some()
    }

    /// Its ids and labels; of a pair, those with the chosen answer and those with the rejected one.
    pub fn answers(&self) -> impl Iterator<Item = &batch::Sample> {
        std::iter::once(&self.tokens).chain(&self.rejected)
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
    for tokens in samples.iter().flat_map(Sample::answers) {
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
    fn a_pair_answers_one_prompt_in_two_ways() {
        let sample = |ids: &[u32], from: usize| {
            let labels = (0..).zip(ids).map(|(at, &id)| if at < from { -100 } else { id.cast_signed() });
            batch::Sample::new(ids.to_vec(), labels.collect()).unwrap()
        };
        let found = |chosen: &[u32], rejected: &[u32], from| {
            let pair = Sample::pair("p.jsonl:3", sample(chosen, 2), sample(rejected, from));
            pair.map(|pair| pair.answers().count()).map_err(|error| error.to_string())
        };
        assert_eq!(found(&[1, 2, 3], &[1, 2, 4, 5], 2), Ok(2));
        for (rejected, from, said) in [
            (&[1, 9, 4][..], 2, "different prompts"),
            (&[1, 2, 4, 5], 3, "different prompts"),
            (&[1, 2, 3], 2, "the same tokens"),
            (&[1, 2, 4], 3, "the rejected answer trains no token"),
        ] {
            let error = found(&[1, 2, 3], rejected, from).unwrap_err();
            assert!(error.starts_with("p.jsonl:3: ") && error.contains(said), "{error}");
        }
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
