//! Pairs to the model's batches, and what an objective makes of them.
//!
//! In: pairs. Out: runs in each of which both answers of a pair lie, so that their common prompt is computed once and
//! their log-probabilities are known together; sums of losses, gradients in the model. It does not know formulas or files.

use toolsmith_chat::batch::{self, BatchError, LayoutOptions, TokenRun};
use toolsmith_kernels::Device;
use toolsmith_model::{TokenBatch, TokenWeights, TrainableModel};

use crate::objective::{Answer, Answers, Objective, PairLoss, PairSums};
use crate::runs::{layout_options, token_batch};
use crate::{RunOptions, Sample, TrainError};

/// Some pairs in one run of tokens.
pub(crate) struct PairRun {
    /// Which pairs, as indices into those that were laid out.
    pub(crate) pairs: Vec<usize>,
    pub(crate) batch: TokenBatch,
    /// The answer that each target belongs to: `2 * i` is the chosen one of `pairs[i]`, `2 * i + 1` the rejected one.
    answer_of: Vec<usize>,
}

/// Divides pairs among runs: in the order of their tokens, so that those with a common prompt meet, each run as full as
/// it gets.
pub(crate) fn group(pairs: &[&Sample], options: &RunOptions) -> Result<Vec<Vec<usize>>, TrainError> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    if options.share_prefixes {
        order.sort_by_key(|&index| (pairs[index].tokens().input_ids(), index));
    }
    let max_tokens = options.max_tokens_per_run;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in order {
        if let Some(open) = groups.last_mut() {
            open.push(index);
            if one_run(pairs, open, options)?.input_ids.len() <= max_tokens {
                continue;
            }
            open.pop();
        }
        check_length(pairs[index], options)?;
        groups.push(vec![index]);
    }
    Ok(groups)
}

/// Refuses a pair that fits in no run.
pub(crate) fn check_length(pair: &Sample, options: &RunOptions) -> Result<(), TrainError> {
    let (tokens, max_tokens) = (one_run(&[pair], &[0], options)?.input_ids.len(), options.max_tokens_per_run);
    if tokens <= max_tokens {
        return Ok(());
    }
    let source = BatchError::TooLong { sample: 0, tokens, max_tokens };
    Err(TrainError::Sample { name: pair.name().to_owned(), source })
}

/// These pairs in one run, however long it is.
fn one_run(pairs: &[&Sample], group: &[usize], options: &RunOptions) -> Result<TokenRun, TrainError> {
    let layout = LayoutOptions { max_tokens: usize::MAX, ..layout_options(options) };
    let answers: Vec<&batch::Sample> = group.iter().flat_map(|&index| pairs[index].answers()).collect();
    let name = || group.first().map_or("", |&index| pairs[index].name()).to_owned();
    let runs = batch::lay_out(&answers, &layout);
    let mut runs = runs.map_err(|source| TrainError::Sample { name: name(), source })?;
    Ok(runs.pop().unwrap_or_default())
}

/// Lays out one of the groups of [`group`].
pub(crate) fn lay_out_group(
    pairs: &[&Sample],
    group: Vec<usize>,
    options: &RunOptions,
) -> Result<PairRun, TrainError> {
    let run = one_run(pairs, &group, options)?;
    let answer_of = run.targets.iter().map(|target| target.sample).collect();
    Ok(PairRun { pairs: group, batch: token_batch(run)?, answer_of })
}

/// Lays out all pairs.
pub(crate) fn lay_out(pairs: &[&Sample], options: &RunOptions) -> Result<Vec<PairRun>, TrainError> {
    let groups = group(pairs, options)?.into_iter();
    groups.map(|group| lay_out_group(pairs, group, options)).collect()
}

impl PairRun {
    /// What these log-probabilities of the run's targets say of each of its pairs.
    pub(crate) fn answers(&self, logprobs: &[f32]) -> Vec<Answers> {
        let mut found = vec![Answers::default(); self.pairs.len()];
        for (&answer, &logprob) in self.answer_of.iter().zip(logprobs) {
            let Answers { chosen, rejected } = &mut found[answer / 2];
            let Answer { logprob: sum, tokens } = if answer % 2 == 0 { chosen } else { rejected };
            *sum += f64::from(logprob);
            *tokens += 1;
        }
        found
    }
}

/// An objective with what it compares to.
pub(crate) struct Comparison<'a> {
    pub(crate) objective: Objective,
    /// What the starting model said of each of the pairs that were laid out; empty where the objective needs none.
    pub(crate) reference: Vec<&'a Answers>,
}

impl Comparison<'_> {
    fn losses(&self, run: &PairRun, logprobs: &[f32]) -> Vec<PairLoss> {
        let none = Answers::default();
        let pairs = run.pairs.iter().zip(run.answers(logprobs));
        let reference = |index: usize| self.reference.get(index).copied().unwrap_or(&none);
        pairs.map(|(&index, policy)| self.objective.pair_loss(&policy, reference(index))).collect()
    }

    /// Adds the gradients of the mean loss over all pairs of these runs.
    pub(crate) fn forward_backward<D: Device>(
        &self,
        model: &mut TrainableModel<D>,
        runs: &[PairRun],
    ) -> Result<PairSums, TrainError> {
        let pairs: usize = runs.iter().map(|run| run.pairs.len()).sum();
        let mut sums = PairSums::default();
        for run in runs {
            let weights = |logprobs: &[f32]| {
                let losses = self.losses(run, logprobs);
                let weight = |&answer: &usize| {
                    let PairLoss { chosen_weight, rejected_weight, .. } = losses[answer / 2];
                    let weight = if answer % 2 == 0 { chosen_weight } else { rejected_weight };
                    (weight / pairs as f64) as f32
                };
                run.answer_of.iter().map(weight).collect()
            };
            let logprobs = model.forward_backward(&run.batch, TokenWeights::FromLogprobs(&weights))?;
            self.losses(run, &logprobs).iter().for_each(|pair| sums.add(pair));
        }
        Ok(sums)
    }

    /// Losses and rewards without gradients.
    pub(crate) fn measure<D: Device>(
        &self,
        model: &mut TrainableModel<D>,
        runs: &[PairRun],
    ) -> Result<PairSums, TrainError> {
        let mut sums = PairSums::default();
        for run in runs {
            let logprobs = model.logprobs(&run.batch)?;
            self.losses(run, &logprobs).iter().for_each(|pair| sums.add(pair));
        }
        Ok(sums)
    }
}
