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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toolsmith_kernels::ReferenceDevice;
    use toolsmith_model::{Decoder, DecoderConfig, TrainMethod};

    use super::*;
    use crate::{DpoLoss, DpoOptions, OrpoOptions};

    /// Three pairs over one prompt of 18 tokens; the second's prompt goes on.
    fn pairs() -> Vec<Sample> {
        let prompt: Vec<u32> = (0..18).map(|i| i * 3 % 11).collect();
        let answer = |more: &[u32], own: &[u32]| {
            let ids = [&prompt, more, own].concat();
            let labels = (0..)
                .zip(&ids)
                .map(|(at, &id)| if at < ids.len() - own.len() { -100 } else { id.cast_signed() });
            let labels = labels.collect();
            batch::Sample::new(ids, labels).unwrap()
        };
        let pair = |name: &str, more: &[u32], chosen: &[u32], rejected: &[u32]| {
            Sample::pair(name, answer(more, chosen), answer(more, rejected)).unwrap()
        };
        vec![
            pair("a", &[], &[1, 2, 3], &[4]),
            pair("b", &[9, 9], &[5, 6], &[7, 8, 1]),
            pair("c", &[], &[1, 2], &[10, 3]),
        ]
    }

    #[test]
    fn pairs_stay_whole_however_small_the_runs() {
        let pairs = pairs();
        let pairs: Vec<&Sample> = pairs.iter().collect();
        let grouped = |max_tokens_per_run| {
            group(&pairs, &RunOptions { max_tokens_per_run, ..RunOptions::default() }).unwrap()
        };
        assert_eq!(grouped(100), [[2, 0, 1]]);
        assert_eq!(grouped(25), [[2, 0].as_slice(), &[1]]);
        let runs = lay_out(&pairs, &RunOptions { max_tokens_per_run: 25, ..RunOptions::default() }).unwrap();
        for run in runs {
            let found = run.answers(&vec![-1.0; run.batch.targets.len()]);
            for (&index, Answers { chosen, rejected }) in run.pairs.iter().zip(found) {
                let expected: Vec<usize> =
                    pairs[index].answers().map(batch::Sample::trained_tokens).collect();
                assert_eq!([chosen.tokens, rejected.tokens], expected[..]);
                assert_eq!([chosen.mean(), rejected.mean()], [-1.0, -1.0]);
            }
        }
    }

    #[test]
    fn gradients_of_a_model_are_the_slopes_of_the_loss() {
        let config = json!({
            "model_type": "qwen2", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-3, "initializer_range": 0.5,
            "tie_word_embeddings": true,
        });
        let ipo = DpoOptions { loss_type: DpoLoss::Ipo, ..DpoOptions::default() };
        let (dpo, orpo) = (Objective::Dpo(DpoOptions::default()), Objective::Orpo(OrpoOptions::default()));
        for objective in [dpo, Objective::Dpo(ipo), orpo] {
            let decoder =
                Decoder::random(DecoderConfig::from_json(&config).unwrap(), 3, ReferenceDevice::new());
            let mut model = TrainableModel::new(decoder, TrainMethod::Full, 4).unwrap();
            let pairs = pairs();
            let options = RunOptions { max_tokens_per_run: 25, ..RunOptions::default() };
            let runs = lay_out(&pairs.iter().collect::<Vec<_>>(), &options).unwrap();
            let before = Answers {
                chosen: Answer { logprob: -6.0, tokens: 3 },
                rejected: Answer { logprob: -5.0, tokens: 2 },
            };
            let comparison = Comparison { objective, reference: vec![&before; 3] };
            let (loss, _) = comparison.forward_backward(&mut model, &runs).unwrap().means();
            let measured = comparison.measure(&mut model, &runs).unwrap().means().0;
            assert!((loss - measured).abs() < 1e-6, "{loss} is not {measured}");
            let gradients: Vec<Vec<f64>> =
                model.parameters_mut().into_iter().map(|parameter| parameter.grad.values.clone()).collect();
            // Log-probabilities come as f32, so the step is long and the comparison coarse.
            const STEP: f64 = 1e-3;
            for (which, gradient) in gradients.iter().enumerate() {
                let scale = gradient.iter().fold(0.1_f64, |most, value| most.max(value.abs()));
                for at in (0..gradient.len()).step_by(5) {
                    let mut moved = |by: f64| {
                        model.parameters_mut()[which].value.values[at] += by;
                        let loss = comparison.measure(&mut model, &runs).unwrap().means().0;
                        model.parameters_mut()[which].value.values[at] -= by;
                        loss
                    };
                    let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                    let found = gradient[at];
                    assert!(
                        (found - expected).abs() <= 1e-2 * scale,
                        "{objective:?}: tensor {which}[{at}]: {found} is not {expected}"
                    );
                }
            }
        }
    }
}
