//! Objectives as token weights.
//!
//! In: how many targets a step has. Out: what each target's `-logprob` counts in the loss. An objective that needs the
//! log-probabilities themselves (DPO) hands the model a function of them instead
//! ([`toolsmith_model::TokenWeights::FromLogprobs`]). It knows neither models nor data.

/// Supervised fine-tuning and pre-training: the mean over all supervised tokens of the step, however the step is
/// divided into runs.
pub(crate) fn token_mean(step_targets: usize) -> f32 {
    1.0 / step_targets as f32
}
