//! Objectives as token weights.
//!
//! In: log-probabilities of supervised tokens. Out: a loss, and what each token's `-logprob` counts in it. An objective
//! over pairs sees of an answer what [`Answer`] holds and nothing else, so its file is its formula. It knows neither
//! models nor data.

mod dpo;
mod orpo;
mod sft;

use serde::Serialize;
use serde_json::{Value, json};

pub use dpo::{DpoLoss, DpoOptions};
pub use orpo::OrpoOptions;
pub(crate) use sft::{weighted_mean, weighted_sum};

/// What is minimised.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Objective {
    /// The mean of `-logprob` over all supervised tokens.
    #[default]
    Sft,
    /// Direct Preference Optimization, over pairs.
    Dpo(DpoOptions),
    /// Odds Ratio Preference Optimization, over pairs.
    Orpo(OrpoOptions),
}

impl Objective {
    /// Its name in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sft => "sft",
            Self::Dpo(_) => "dpo",
            Self::Orpo(_) => "orpo",
        }
    }

    /// Whether it is trained on pairs of a chosen and a rejected answer.
    pub fn compares_answers(&self) -> bool {
        !matches!(self, Self::Sft)
    }

    /// Whether it has to know what the model said before the first step.
    pub(crate) fn needs_reference(&self) -> bool {
        matches!(self, Self::Dpo(_))
    }

    /// What decides its result, by the names of the configuration; `None` for plain fine-tuning.
    pub(crate) fn settings(&self) -> Option<Value> {
        match self {
            Self::Sft => None,
            Self::Dpo(DpoOptions { beta, label_smoothing, loss_type }) => Some(json!({"dpo": {
                "beta": beta, "label_smoothing": label_smoothing, "loss_type": loss_type.as_str()
            }})),
            Self::Orpo(OrpoOptions { beta }) => Some(json!({"orpo": {"beta": beta}})),
        }
    }

    /// The loss of one pair, by what the model says now and what it said before the first step.
    pub(crate) fn pair_loss(&self, policy: &Answers, reference: &Answers) -> PairLoss {
        match self {
            Self::Sft => PairLoss::default(),
            Self::Dpo(options) => dpo::pair_loss(options, policy, reference),
            Self::Orpo(options) => orpo::pair_loss(options, policy),
        }
    }
}

/// What a model says of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Answer {
    /// Sum of the log-probabilities of its supervised tokens (nats).
    pub(crate) logprob: f64,
    /// Number of these tokens, at least 1.
    pub(crate) tokens: usize,
}

impl Answer {
    /// Log-probability of a token on the average.
    pub(crate) fn mean(&self) -> f64 {
        self.logprob / self.tokens as f64
    }
}

/// What a model says of the two answers of a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Answers {
    pub(crate) chosen: Answer,
    pub(crate) rejected: Answer,
}

/// The loss of one pair and its slopes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PairLoss {
    pub(crate) loss: f64,
    /// What each token's `-logprob` counts in the loss: `d loss / d (-logprob)`, alike for all tokens of the chosen answer.
    pub(crate) chosen_weight: f64,
    /// The same for those of the rejected answer; below 0 where it is pushed away.
    pub(crate) rejected_weight: f64,
    pub(crate) chosen_reward: f64,
    pub(crate) rejected_reward: f64,
}

/// Means over the pairs of a step or an evaluation, under TRL's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rewards {
    /// Reward of the chosen answers: `beta` times how much more likely they are than before the first step (ORPO: `beta`
    /// times the log-probability of a token on the average).
    #[serde(rename = "rewards/chosen")]
    pub chosen: f64,
    /// The same of the rejected answers.
    #[serde(rename = "rewards/rejected")]
    pub rejected: f64,
    /// Part of the pairs whose chosen answer has the higher reward (0 to 1).
    #[serde(rename = "rewards/accuracies")]
    pub accuracies: f64,
    /// `chosen` less `rejected`.
    #[serde(rename = "rewards/margins")]
    pub margins: f64,
}

impl Rewards {
    /// Each by its name.
    pub(crate) fn named(&self) -> [(&'static str, f64); 4] {
        [
            ("rewards/chosen", self.chosen),
            ("rewards/rejected", self.rejected),
            ("rewards/accuracies", self.accuracies),
            ("rewards/margins", self.margins),
        ]
    }
}

/// Sums over pairs, on their way to means.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PairSums {
    pairs: usize,
    loss: f64,
    chosen: f64,
    rejected: f64,
    right: usize,
}

impl PairSums {
    pub(crate) fn add(&mut self, pair: &PairLoss) {
        self.pairs += 1;
        self.loss += pair.loss;
        self.chosen += pair.chosen_reward;
        self.rejected += pair.rejected_reward;
        self.right += usize::from(pair.chosen_reward > pair.rejected_reward);
    }

    /// The mean loss and the mean rewards.
    pub(crate) fn means(&self) -> (f64, Rewards) {
        let mean = |sum: f64| sum / self.pairs as f64;
        let rewards = Rewards {
            chosen: mean(self.chosen),
            rejected: mean(self.rejected),
            accuracies: mean(self.right as f64),
            margins: mean(self.chosen - self.rejected),
        };
        (mean(self.loss), rewards)
    }
}

#[cfg(test)]
mod tests;
