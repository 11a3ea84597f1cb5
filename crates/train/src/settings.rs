//! The loop's own values, and which of them a resumed run must share with the run it continues.
//!
//! In: nothing. Out: plain values. It does not know the configuration file they may come from.

use serde_json::{Map, Value, json};
use toolsmith_kernels::Precision;
use toolsmith_model::{Activations, Quantization};

use crate::early_stopping::EarlyStopping;
use crate::objective::Objective;
use crate::optimizer::{AdamWOptions, MomentType};
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
    /// Whether blocks run forward again before they run backward: less memory, a third more arithmetic, the same result.
    pub recompute: bool,
    /// How the frozen linear layers of the job's decoder are kept.
    pub quantization: Quantization,
    /// What the job's device computes products in.
    pub compute_dtype: Precision,
    /// Most samples with a common prefix that meet in a step by design; 1: only by chance.
    pub prefix_group: usize,
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
    /// When the run ends before its last step; never where absent.
    pub early_stopping: Option<EarlyStopping>,
    /// Whether the weights at the end are those with the lowest evaluation loss.
    pub load_best_model_at_end: bool,
    /// Whether an event file for TensorBoard is written.
    pub tensorboard: bool,
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
            recompute: false,
            quantization: Quantization::None,
            compute_dtype: Precision::F32,
            prefix_group: 8,
            optimizer: AdamWOptions::default(),
            max_grad_norm: 1.0,
            seed: 42,
            logging_steps: 1,
            save_steps: 500,
            save_total_limit: None,
            eval_steps: None,
            early_stopping: None,
            load_best_model_at_end: false,
            tensorboard: true,
        }
    }
}

impl RunOptions {
    /// What passes keep.
    pub(crate) fn activations(&self) -> Activations {
        if self.recompute { Activations::Recompute } else { Activations::Keep }
    }

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
            ("prefix_group", json!(self.prefix_group)),
            ("weight_decay", json!(optimizer.weight_decay)),
            ("adam_beta1", json!(optimizer.beta1)),
            ("adam_beta2", json!(optimizer.beta2)),
            ("adam_epsilon", json!(optimizer.epsilon)),
            ("max_grad_norm", json!(self.max_grad_norm)),
            ("seed", json!(self.seed)),
        ];
        let mut deciding: Map<String, Value> =
            entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut add = |key: &str, value: Value| deciding.insert(key.to_owned(), value);
        if let Some(settings) = self.objective.settings() {
            add("objective", settings);
        }
        if optimizer.moments == MomentType::EightBit {
            add("optimizer", json!("adamw_8bit"));
        }
        if let Some(format) = self.quantization.format() {
            add("quantization", json!(format.name()));
        }
        if self.compute_dtype == Precision::Bf16 {
            add("compute_dtype", json!("bfloat16"));
        }
        if let Some(EarlyStopping { patience, threshold }) = self.early_stopping {
            add("early_stopping_patience", json!(patience));
            add("early_stopping_threshold", json!(threshold));
        }
        if self.seeks_best() {
            add("load_best_model_at_end", json!(self.load_best_model_at_end));
            add("eval_steps", json!(self.eval_steps));
        }
        deciding
    }

    /// Samples meet for their common prefix only where it is then shared.
    pub(crate) fn prefix_group(&self) -> usize {
        if self.share_prefixes { self.prefix_group } else { 1 }
    }

    /// Whether evaluations decide how the run ends.
    pub(crate) fn seeks_best(&self) -> bool {
        self.early_stopping.is_some() || self.load_best_model_at_end
    }
}
