//! The loop's own values, and which of them a resumed run must share with the run it continues.
//!
//! In: nothing. Out: plain values. It does not know the configuration file they may come from.

use serde_json::{Map, Value, json};

use crate::objective::Objective;
use crate::optimizer::AdamWOptions;
use crate::schedule::{ScheduleKind, ScheduleOptions, Warmup};

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Passes over the data; a part of one is rounded up to whole steps.
    Epochs(f64),
    /// Optimizer steps.
    Steps(u64),
}

/// The loop's own values.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOptions {
    /// What is minimised.
    pub objective: Objective,
    /// Height and shape of the learning rate.
    pub schedule: ScheduleOptions,
    /// How long.
    pub length: Length,
    /// Samples (or pairs) of one optimizer step.
    pub batch_size: usize,
    /// Most tokens computed at once; a step that needs more is divided, with the same gradients.
    pub max_tokens_per_run: usize,
    /// Whether a prefix that several samples of a step share is computed once.
    pub share_prefixes: bool,
    /// AdamW's values.
    pub optimizer: AdamWOptions,
    /// Longest gradient (2-norm over all trained weights); longer ones are scaled down to it. 0: no limit.
    pub max_grad_norm: f64,
    /// Decides the order of the data. (The model got its own at its making.)
    pub seed: u64,
    /// Steps between two lines of `metrics.jsonl`.
    pub logging_steps: u64,
    /// Steps between two checkpoints.
    pub save_steps: u64,
    /// How many checkpoints are kept; all of them where absent.
    pub save_total_limit: Option<usize>,
    /// Steps between two measurements of the evaluation loss; only at the end where absent.
    pub eval_steps: Option<u64>,
}

impl Default for RunOptions {
    /// The defaults of docs/training.md, for LoRA.
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            schedule: ScheduleOptions {
                learning_rate: 2e-4,
                kind: ScheduleKind::Cosine,
                warmup: Warmup::Ratio(0.0),
            },
            length: Length::Epochs(3.0),
            batch_size: 16,
            max_tokens_per_run: 4096,
            share_prefixes: true,
            optimizer: AdamWOptions::default(),
            max_grad_norm: 1.0,
            seed: 42,
            logging_steps: 1,
            save_steps: 500,
            save_total_limit: None,
            eval_steps: None,
        }
    }
}

impl RunOptions {
    /// The steps of a whole run.
    pub fn total_steps(&self, steps_per_epoch: u64) -> u64 {
        match self.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => (epochs * steps_per_epoch as f64).ceil().max(1.0) as u64,
        }
    }

    /// Everything that changes the resulting bytes, by the names of the configuration.
    pub(crate) fn deciding(&self) -> Map<String, Value> {
        let Self { schedule, optimizer, .. } = self;
        let warmup = match schedule.warmup {
            Warmup::Steps(steps) => ("warmup_steps", json!(steps)),
            Warmup::Ratio(ratio) => ("warmup_ratio", json!(ratio)),
        };
        let length = match self.length {
            Length::Steps(steps) => ("max_steps", json!(steps)),
            Length::Epochs(epochs) => ("num_train_epochs", json!(epochs)),
        };
        let entries = [
            ("learning_rate", json!(schedule.learning_rate)),
            ("lr_scheduler_type", json!(format!("{:?}", schedule.kind).to_lowercase())),
            warmup,
            length,
            ("batch_size", json!(self.batch_size)),
            ("max_tokens_per_run", json!(self.max_tokens_per_run)),
            ("share_prefixes", json!(self.share_prefixes)),
            ("weight_decay", json!(optimizer.weight_decay)),
            ("adam_beta1", json!(optimizer.beta1)),
            ("adam_beta2", json!(optimizer.beta2)),
            ("adam_epsilon", json!(optimizer.epsilon)),
            ("max_grad_norm", json!(self.max_grad_norm)),
            ("seed", json!(self.seed)),
        ];
        let objective = self.objective.settings().map(|settings| ("objective", settings));
        entries.into_iter().chain(objective).map(|(key, value)| (key.to_owned(), value)).collect()
    }
}
