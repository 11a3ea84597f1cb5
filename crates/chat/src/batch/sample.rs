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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    input_ids: Vec<u32>,
    labels: Vec<i32>,
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
            None => Ok(Self { input_ids, labels }),
        }
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

    /// The supervised predictions as `(position that predicts, token to predict)`. The label of the first position
    /// is left out: nothing stands before it.
    pub fn targets(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let shifted = self.labels.get(1..).unwrap_or_default();
        shifted
            .iter()
            .enumerate()
            .filter_map(|(position, &label)| Some((position, u32::try_from(label).ok()?)))
    }

    /// Number of supervised predictions.
    pub fn trained_tokens(&self) -> usize {
        self.targets().count()
    }
}
