//! The tokens of one pass and what is asked of them.
//!
//! In: ids, positions, a [`TokenTree`], targets. Out: the same, checked. Not known: where they came from, padding
//! (there is none).

use toolsmith_kernels::TokenTree;

use crate::ModelError;

/// One supervised prediction: the log-probability of `token` after row `row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Row of the batch whose output predicts.
    pub row: u32,
    /// Token that should come next.
    pub token: u32,
}

/// A flat run of tokens without padding. A row may have several targets (where branches begin) or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenBatch {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// Position of each token in its sample.
    pub position_ids: Vec<u32>,
    /// Who attends to whom.
    pub tree: TokenTree,
    /// What is asked, in any order; answers come in this order.
    pub targets: Vec<Target>,
}

impl TokenBatch {
    /// Independent samples one after another, positions from 0 in each, targets as given.
    #[must_use]
    pub fn packed(samples: &[Vec<u32>], targets: Vec<Target>) -> Self {
        let lengths: Vec<usize> = samples.iter().map(Vec::len).collect();
        Self {
            input_ids: samples.concat(),
            position_ids: lengths.iter().flat_map(|&len| 0..len as u32).collect(),
            tree: TokenTree::packed(&lengths),
            targets,
        }
    }

    pub(crate) fn check(&self, vocab_size: usize) -> Result<(), ModelError> {
        let tokens = self.input_ids.len();
        if self.position_ids.len() != tokens || self.tree.token_count() != tokens {
            return Err(ModelError::Batch(format!(
                "{tokens} input_ids, {} position_ids and a tree of {} tokens; all three must agree",
                self.position_ids.len(),
                self.tree.token_count()
            )));
        }
        let outside = |id: &u32| *id as usize >= vocab_size;
        if let Some((row, id)) = self.input_ids.iter().enumerate().find(|(_, id)| outside(id)) {
            return Err(ModelError::Batch(format!(
                "input_ids[{row}] is {id}, but the model has {vocab_size} tokens; was the data prepared for another model?"
            )));
        }
        for (index, target) in self.targets.iter().enumerate() {
            if target.row as usize >= tokens || outside(&target.token) {
                return Err(ModelError::Batch(format!(
                    "targets[{index}] asks for token {} after row {}, but there are {vocab_size} tokens and {tokens} rows",
                    target.token, target.row
                )));
            }
        }
        Ok(())
    }
}

/// How much each target counts: the loss is `sum(weight * -logprob)`.
pub enum TokenWeights<'a> {
    /// Known before the pass; the head then runs once, forward and backward together.
    Fixed(&'a [f32]),
    /// An objective that needs the log-probabilities first: given them, it returns `d loss / d (-logprob)` of each target.
    FromLogprobs(&'a (dyn Fn(&[f32]) -> Vec<f32> + Sync)),
}
