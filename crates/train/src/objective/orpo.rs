//! Odds Ratio Preference Optimization (Hong et al., <https://arxiv.org/abs/2403.07691>): fine-tuning on the chosen
//! answer, and a penalty where its odds are not far above the rejected one's. It needs no reference.
//!
//! In: what the model says of both answers. Out: the pair's loss and token weights. Names and defaults are those of
//! TRL's `ORPOTrainer`. As in the paper, the fine-tuning part is the mean over the tokens of the chosen answer, pair by
//! pair; TRL takes it over prompt and answer, and over all tokens of a batch.

use super::{Answers, PairLoss};

/// ORPO's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrpoOptions {
    /// What the odds ratio counts beside fine-tuning (the paper's lambda); above 0.
    pub beta: f64,
}

impl Default for OrpoOptions {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

/// With `p = e^mean` of an answer and `q = 1 - p`, the penalty is `-ln sigmoid(ln(p/q) - ln(p'/q'))`, which is
/// `ln d - ln(p q')` for `d = p q' + p' q`. In logarithms this stays exact where an answer is almost certain.
pub(super) fn pair_loss(options: &OrpoOptions, policy: &Answers) -> PairLoss {
    let beta = options.beta;
    let (chosen, rejected) = (policy.chosen.mean(), policy.rejected.mean());
    let (chosen_not, rejected_not) = (ln_complement(chosen), ln_complement(rejected));
    let (preferred, avoided) = (chosen + rejected_not, rejected + chosen_not);
    let both = ln_add(preferred, avoided);
    let chosen_slope = -1.0 - beta * (rejected - both).exp();
    let rejected_slope = beta * (avoided - both - rejected_not).exp();
    PairLoss {
        loss: -chosen + beta * (both - preferred),
        chosen_weight: -chosen_slope / policy.chosen.tokens as f64,
        rejected_weight: -rejected_slope / policy.rejected.tokens as f64,
        chosen_reward: beta * chosen,
        rejected_reward: beta * rejected,
    }
}

/// `ln(1 - e^x)` for `x` up to 0.
fn ln_complement(x: f64) -> f64 {
    (-x.exp_m1()).ln()
}

/// `ln(e^a + e^b)`; one of them may be minus infinity.
fn ln_add(a: f64, b: f64) -> f64 {
    a.max(b) + (a.min(b) - a.max(b)).exp().ln_1p()
}
