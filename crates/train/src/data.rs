//! Samples, checked once.
//!
//! In: ids and labels. Out: checked samples, a fingerprint. It does not know files or tokenizers.

use toolsmith_chat::batch;

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
    fn the_fingerprint_sees_ids_labels_and_order() {
        let a = Sample::new("a", vec![1, 2], vec![-100, 2]).unwrap();
        let b = Sample::new("b", vec![1, 2], vec![-100, -100]).unwrap();
        let renamed = Sample::new("c", vec![1, 2], vec![-100, 2]).unwrap();
        assert_eq!(fingerprint(std::slice::from_ref(&a)), fingerprint(&[renamed]));
        assert_ne!(fingerprint(std::slice::from_ref(&a)), fingerprint(std::slice::from_ref(&b)));
        assert_ne!(fingerprint(&[a.clone(), b.clone()]), fingerprint(&[b, a]));
    }
}
