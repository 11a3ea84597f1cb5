//! Samples, checked once.
//!
//! In: ids and labels. Out: checked samples, a fingerprint. It does not know files or tokenizers.

use toolsmith_chat::batch;

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

/// A number that changes when any id, any label, any weight or the order of the samples changes.
pub(crate) fn fingerprint(samples: &[Sample]) -> u64 {
    fnv1a(samples.iter().flat_map(Sample::answers).flat_map(|tokens| {
        let ids = tokens.input_ids();
        let labels = tokens.labels().iter().map(|label| label.cast_unsigned());
        let weights = tokens.weights().into_iter().flatten().map(|weight| weight.to_bits());
        std::iter::once(ids.len() as u32).chain(ids.iter().copied()).chain(labels).chain(weights)
    }))
}

/// FNV-1a over words (64 bits).
pub(crate) fn fnv1a(words: impl Iterator<Item = u32>) -> u64 {
    let mix = |hash: u64, word: u32| (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3);
    words.fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

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
