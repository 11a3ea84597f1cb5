//! Supervised fine-tuning and pre-training: the mean over all supervised tokens of a step.
//!
//! In: the tokens' own weights. Out: what each target's `-logprob` counts in the loss. It knows neither models nor data.

/// The mean over all supervised tokens of the step, each counted by its weight, however the step is divided into runs.
pub(crate) fn weighted_mean(weights: &[f32], step_weight: f64) -> Vec<f32> {
    let scale = (1.0 / step_weight) as f32;
    weights.iter().map(|weight| weight * scale).collect()
}

/// What these predictions add to the loss before it is divided by the weight of the step.
pub(crate) fn weighted_sum(logprobs: &[f32], weights: &[f32]) -> f64 {
    let terms = logprobs.iter().zip(weights);
    -terms.map(|(&logprob, &weight)| f64::from(logprob) * f64::from(weight)).sum::<f64>()
}
