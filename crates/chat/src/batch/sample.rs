//! One sample as it enters a batch: ids and labels, checked once.
//!
//! In: ids and labels. Out: a [`Sample`] whose labels fit its ids. It does not know where they came from.

use thiserror::Error;

/// The label of a position that is not trained (Hugging Face's and PyTorch's convention).
pub const IGNORE_INDEX: i32 = -100;

/// Why samples could not be laid out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// `labels` must have one entry for each id.
    #[error(
        "{input_ids} input_ids but {labels} labels; write one label for each id, {IGNORE_INDEX} where it is not trained"
    )]
    LengthMismatch {
        /// Number of ids.
        input_ids: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A label is neither a token id nor the ignore index.
    #[error(
        "labels[{position}] is {label}; expected a token id, or {IGNORE_INDEX} for a position that is not trained"
    )]
    BadLabel {
        /// Where it stands.
        position: usize,
        /// What was found.
        label: i32,
    },
    /// `weights` must have one number for each id, finite and not negative.
    #[error(
        "the loss weights do not fit {input_ids} input_ids: {found}; write one number for each id, 0 or above, and not all of them 0"
    )]
    BadWeights {
        /// Number of ids.
        input_ids: usize,
        /// What was found.
        found: String,
    },
    /// A sample is longer than a run may be.
    #[error(
        "it needs {tokens} tokens, but a run holds at most {max_tokens}; raise max_tokens_per_run, or drop or shorten the sample"
    )]
    TooLong {
        /// Index of the sample in the step.
        sample: usize,
        /// Tokens it needs.
        tokens: usize,
        /// The limit.
        max_tokens: usize,
    },
}

/// The ids and labels of one sample; `labels[i]` is what position `i - 1` should predict, or [`IGNORE_INDEX`].
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    input_ids: Vec<u32>,
    labels: Vec<i32>,
    weights: Option<Vec<f32>>,
}

impl Sample {
    /// Checks that there is one label for each id and that every label means something.
    ///
    /// # Errors
    /// Another number of labels than of ids; a label that is neither an id nor [`IGNORE_INDEX`].
    pub fn new(input_ids: Vec<u32>, labels: Vec<i32>) -> Result<Self, BatchError> {
        if input_ids.len() != labels.len() {
            return Err(BatchError::LengthMismatch { input_ids: input_ids.len(), labels: labels.len() });
        }
        match labels.iter().position(|&label| label < 0 && label != IGNORE_INDEX) {
            Some(position) => Err(BatchError::BadLabel { position, label: labels[position] }),
            None => Ok(Self { input_ids, labels, weights: None }),
        }
    }

    /// The same sample, its predictions counting in the loss by these weights (1 where nothing is said).
    ///
    /// # Errors
    /// Another number of weights than of ids; one that is negative or not finite; all predictions weighing nothing.
    pub fn with_weights(self, weights: Vec<f32>) -> Result<Self, BatchError> {
        let input_ids = self.input_ids.len();
        let bad = |found: String| Err(BatchError::BadWeights { input_ids, found });
        if weights.len() != input_ids {
            return bad(format!("there are {}", weights.len()));
        }
        if let Some(position) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return bad(format!("weights[{position}] is {}", weights[position]));
        }
        let weighed = Self { weights: Some(weights), ..self };
        if weighed.trained_tokens() > 0 && weighed.targets().all(|(.., weight)| weight == 0.0) {
            return bad("all predictions weigh 0".to_owned());
        }
        Ok(weighed)
    }

    /// All ids.
    pub fn input_ids(&self) -> &[u32] {
        &self.input_ids
    }

    /// All labels.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// The ids a step has to compute: those up to the row of the last supervised prediction.
    pub fn needed_ids(&self) -> &[u32] {
        let rows = self.labels.iter().rposition(|&label| label != IGNORE_INDEX).unwrap_or(0);
        &self.input_ids[..rows]
    }

    /// The weights, one for each id; `None` where all predictions weigh the same.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// The supervised predictions as `(position that predicts, token to predict, weight)`. The label of the first
    /// position is left out: nothing stands before it.
    pub fn targets(&self) -> impl Iterator<Item = (usize, u32, f32)> + '_ {
        let shifted = self.labels.get(1..).unwrap_or_default();
        let weight = |position: usize| self.weights.as_ref().map_or(1.0, |weights| weights[position + 1]);
        shifted.iter().enumerate().filter_map(move |(position, &label)| {
            Some((position, u32::try_from(label).ok()?, weight(position)))
        })
    }

    /// Number of supervised predictions.
    pub fn trained_tokens(&self) -> usize {
        self.targets().count()
    }
}
