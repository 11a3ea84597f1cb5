//! Samples to the model's batches.
//!
//! In: samples. Out: [`TokenBatch`]es laid out by [`toolsmith_chat::batch`]. It does not know losses or weights.

use toolsmith_chat::batch::{self, LayoutOptions, TokenRun};
use toolsmith_kernels::{Segment, TokenTree};
use toolsmith_model::{ModelError, Target, TokenBatch};

use crate::{RunOptions, Sample, TrainError};

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
    /// The largest run of all: tokens, supervised rows, positions, each the most that any run has.
    pub(crate) fn extent(&self) -> [usize; 3] {
        let mut most = [0; 3];
        for batch in &self.batches {
            let rows = batch.targets.chunk_by(|a, b| a.row == b.row).count();
            let positions = batch.position_ids.iter().max().map_or(0, |&last| last as usize + 1);
            let extent = [batch.input_ids.len(), rows, positions];
            most.iter_mut().zip(extent).for_each(|(most, extent)| *most = extent.max(*most));
        }
        most
    }

    pub(crate) fn computed_tokens(&self) -> usize {
        self.batches.iter().map(|batch| batch.input_ids.len()).sum()
    }
}

pub(crate) fn lay_out(samples: &[&Sample], options: &RunOptions) -> Result<Runs, TrainError> {
    let layout = LayoutOptions {
        share_prefixes: options.share_prefixes,
        ..LayoutOptions::new(options.max_tokens_per_run)
    };
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

/// Refuses a sample that fits in no run.
pub(crate) fn check_length(sample: &Sample, options: &RunOptions) -> Result<(), TrainError> {
    let (tokens, max_tokens) = (sample.tokens().needed_ids().len(), options.max_tokens_per_run);
    if tokens <= max_tokens {
        return Ok(());
    }
    let source = batch::BatchError::TooLong { sample: 0, tokens, max_tokens };
    Err(TrainError::Sample { name: sample.name().to_owned(), source })
}

fn token_batch(run: TokenRun) -> Result<TokenBatch, TrainError> {
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
