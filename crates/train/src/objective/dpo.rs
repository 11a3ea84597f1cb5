//! Direct Preference Optimization (Rafailov et al., <https://arxiv.org/abs/2305.18290>), with label smoothing (cDPO,
//! Mitchell 2023), and IPO (Azar et al., <https://arxiv.org/abs/2310.12036>).
//!
//! In: what the model says of both answers, now and before the first step. Out: the pair's loss and token weights.
//! Names, defaults and formulas are those of TRL's `DPOTrainer`.

use super::{Answer, Answers, PairLoss};

/// Which loss is made of the margin between the answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DpoLoss {
    /// `-log sigmoid(beta * margin)`; the margin is one of sums over tokens.
    #[default]
    Sigmoid,
    /// `(margin - 1 / (2 * beta))^2`; the margin is one of means over tokens.
    Ipo,
}

impl DpoLoss {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Ipo => "ipo",
        }
    }
}

/// DPO's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpoOptions {
    /// How dear it is to leave the starting model; above 0.
    pub beta: f64,
    /// Part of the pairs that are believed to be labelled the wrong way round, from 0 up to 0.5; of `Sigmoid` alone.
    pub label_smoothing: f64,
    /// Which loss.
    pub loss_type: DpoLoss,
}

impl Default for DpoOptions {
    fn default() -> Self {
        Self { beta: 0.1, label_smoothing: 0.0, loss_type: DpoLoss::default() }
    }
}

pub(super) fn pair_loss(options: &DpoOptions, policy: &Answers, reference: &Answers) -> PairLoss {
    let DpoOptions { beta, label_smoothing, loss_type } = *options;
    // How much more likely an answer is than before the first step, and what one token's share in that is.
    let gain = |now: &Answer, before: &Answer| match loss_type {
        DpoLoss::Sigmoid => (now.logprob - before.logprob, 1.0),
        DpoLoss::Ipo => (now.mean() - before.mean(), 1.0 / now.tokens as f64),
    };
    let (chosen, chosen_share) = gain(&policy.chosen, &reference.chosen);
    let (rejected, rejected_share) = gain(&policy.rejected, &reference.rejected);
    let margin = chosen - rejected;
    let (loss, slope) = match loss_type {
        DpoLoss::Sigmoid => {
            let (right, wrong) = (1.0 - label_smoothing, label_smoothing);
            let z = beta * margin;
            let loss = right * softplus(-z) + wrong * softplus(z);
            (loss, beta * (wrong * sigmoid(z) - right * sigmoid(-z)))
        }
        DpoLoss::Ipo => {
            let gap = margin - 1.0 / (2.0 * beta);
            (gap * gap, 2.0 * gap)
        }
    };
    PairLoss {
        loss,
        chosen_weight: -slope * chosen_share,
        rejected_weight: slope * rejected_share,
        chosen_reward: beta * chosen,
        rejected_reward: beta * rejected,
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + e^x)`, which is `-ln sigmoid(-x)`, without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
