//! Samples to the model's batches.
//!
//! In: samples. Out: [`TokenBatch`]es laid out by [`toolsmith_chat::batch`], and the mean loss over their tokens. It does
//! not know pairs.

use toolsmith_chat::batch::{self, LayoutOptions, TokenRun};
use toolsmith_kernels::{Device, Segment, TokenTree};
use toolsmith_model::{ModelError, Target, TokenBatch, TokenWeights, TrainableModel};

use crate::preference::Computed;
use crate::{RunOptions, Sample, TrainError, objective};

/// The batches of some samples, and how many supervised tokens they have together.
pub(crate) struct Runs {
    pub(crate) batches: Vec<TokenBatch>,
    /// How much each target of each batch counts in the loss.
    pub(crate) weights: Vec<Vec<f32>>,
    pub(crate) targets: usize,
    /// The sum of all weights.
    pub(crate) weight: f64,
}

impl Runs {
    /// The largest run of all.
    pub(crate) fn extent(&self) -> [usize; 3] {
        extent(self.batches.iter())
    }

    /// Adds the gradients of the mean loss over all supervised tokens.
    pub(crate) fn forward_backward<D: Device>(
        &self,
        model: &mut TrainableModel<D>,
    ) -> Result<Computed, TrainError> {
        let mut sum = 0.0;
        for (batch, weights) in self.batches.iter().zip(&self.weights) {
            let scaled = objective::weighted_mean(weights, self.weight);
            let logprobs = model.forward_backward(batch, TokenWeights::Fixed(&scaled))?;
            sum += objective::weighted_sum(&logprobs, weights);
        }
        Ok(self.computed(sum))
    }

    /// The mean loss without gradients; `None` where nothing is supervised.
    pub(crate) fn measure<D: Device>(
        &self,
        model: &mut TrainableModel<D>,
    ) -> Result<Option<Computed>, TrainError> {
        if self.targets == 0 {
            return Ok(None);
        }
        let mut sum = 0.0;
        for (batch, weights) in self.batches.iter().zip(&self.weights) {
            sum += objective::weighted_sum(&model.logprobs(batch)?, weights);
        }
        Ok(Some(self.computed(sum)))
    }

    fn computed(&self, sum: f64) -> Computed {
        Computed {
            loss: sum / self.weight,
            rewards: None,
            trained_tokens: self.targets,
            computed_tokens: self.batches.iter().map(|batch| batch.input_ids.len()).sum(),
            runs: self.batches.len(),
        }
    }
}

pub(crate) fn lay_out(samples: &[&Sample], options: &RunOptions) -> Result<Runs, TrainError> {
    let layout = layout_options(options);
    let tokens: Vec<&batch::Sample> = samples.iter().map(|sample| sample.tokens()).collect();
    let runs = batch::lay_out(&tokens, &layout).map_err(|source| {
        let name = match source {
            batch::BatchError::TooLong { sample, .. } => samples[sample].name(),
            _ => "this step",
        };
        TrainError::Sample { name: name.to_owned(), source }
    })?;
    let targets = runs.iter().map(|run| run.targets.len()).sum();
    let weights: Vec<Vec<f32>> =
        runs.iter().map(|run| run.targets.iter().map(|target| target.weight).collect()).collect();
    let weight = weights.iter().flatten().map(|&weight| f64::from(weight)).sum();
    let batches = runs.into_iter().map(token_batch).collect::<Result<_, _>>()?;
    Ok(Runs { batches, weights, targets, weight })
}

pub(crate) fn layout_options(options: &RunOptions) -> LayoutOptions {
    LayoutOptions { share_prefixes: options.share_prefixes, ..LayoutOptions::new(options.max_tokens_per_run) }
}

/// Tokens, supervised rows and positions, each the most that any of these runs has.
pub(crate) fn extent<'a>(batches: impl Iterator<Item = &'a TokenBatch>) -> [usize; 3] {
    let mut most = [0; 3];
    for batch in batches {
        let rows = batch.targets.chunk_by(|a, b| a.row == b.row).count();
        let positions = batch.position_ids.iter().max().map_or(0, |&last| last as usize + 1);
        let extent = [batch.input_ids.len(), rows, positions];
        most.iter_mut().zip(extent).for_each(|(most, extent)| *most = extent.max(*most));
    }
    most
}

/// Refuses a sample that fits in no run. (Of pairs, [`crate::pairs::check_length`] does.)
pub(crate) fn check_length(sample: &Sample, options: &RunOptions) -> Result<(), TrainError> {
    let (tokens, max_tokens) = (sample.tokens().needed_ids().len(), options.max_tokens_per_run);
    if tokens <= max_tokens {
        return Ok(());
    }
    let source = batch::BatchError::TooLong { sample: 0, tokens, max_tokens };
    Err(TrainError::Sample { name: sample.name().to_owned(), source })
}

pub(crate) fn token_batch(run: TokenRun) -> Result<TokenBatch, TrainError> {
    let segment = |&batch::Segment { start, len, parent }: &batch::Segment| Segment { start, len, parent };
    let tree = TokenTree::new(run.segments.iter().map(segment).collect())
        .map_err(|error| ModelError::Batch(error.to_string()))?;
    Ok(TokenBatch {
        input_ids: run.input_ids,
        position_ids: run.position_ids,
        tree,
        targets: run.targets.iter().map(|target| Target { row: target.row, token: target.token }).collect(),
    })
}
