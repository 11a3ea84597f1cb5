//! The configuration of a training run: a YAML file and `key=value` words over it, read into values that are right.
//!
//! In: text. Out: a [`TrainConfig`], or [`ConfigIssues`]: everything that is wrong, at once, each with its line. Names
//! are those of Hugging Face's `TrainingArguments` and PEFT's `LoraConfig` where those have one; docs/training.md
//! lists all keys with units and defaults. It opens no file and does not know whether a path exists.

mod adapter;
mod document;
mod group;
mod issue;
mod keys;
mod method;
mod objective_keys;

use std::path::PathBuf;

use toolsmith_chat::batch::Truncation;
use toolsmith_chat::check::Code;
use toolsmith_chat::compat::{Compat, Limits};
use toolsmith_chat::data::TrainOn;
use toolsmith_chat::tokens::PartWeights;
use toolsmith_model::{TrainMethod, WeightType};

pub use adapter::StartingAdapter;
pub use issue::{ConfigIssues, Issue, Place};
pub use keys::KEYS;

use crate::RunOptions;

/// What a run trains, on what, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Folder or Hugging Face id of the model to start from.
    pub model: String,
    /// Whether the model's weights are drawn at random instead of read: pre-training.
    pub from_scratch: bool,
    /// Files to train on, raw or prepared.
    pub data: Vec<String>,
    /// Files whose loss is measured and never trained on.
    pub eval_data: Vec<String>,
    /// Format of raw data; recognised where absent.
    pub format: Option<String>,
    /// Chat template; the model's own where absent.
    pub template: Option<String>,
    /// Longest sample, in tokens.
    pub max_length: Option<usize>,
    /// What becomes of longer ones.
    pub truncate: Truncation,
    /// Which answers are trained.
    pub train_on: TrainOn,
    /// What the parts of an answer count in the loss; `None` where all count the same.
    pub loss_weights: Option<PartWeights>,
    /// The earlier trainer whose samples are made, instead of toolsmith's own.
    pub compat: Option<Compat>,
    /// That trainer's limits.
    pub limits: Limits,
    /// Whether bad samples are dropped and counted; without it, one bad sample stops the run before it starts.
    pub skip_bad: bool,
    /// Rules of `check` whose findings are neither told nor refused.
    pub ignore: Vec<Code>,
    /// Folder of the run.
    pub output_dir: PathBuf,
    /// Which weights are trained.
    pub method: TrainMethod,
    /// The adapter that training goes on from; a new one where absent.
    pub adapter: Option<StartingAdapter>,
    /// Type in which a fully trained model is saved at the end.
    pub save_dtype: WeightType,
    /// The loop's own values.
    pub run: RunOptions,
}

impl TrainConfig {
    /// Reads a configuration. `file` is its name for messages; `overrides` are `key=value` words, later ones winning.
    ///
    /// # Errors
    /// Everything that is wrong with file and words together.
    pub fn from_yaml(file: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigIssues> {
        let mut issues = Vec::new();
        let mut entries = match document::read(text) {
            Ok(entries) => entries,
            Err(issue) => return Err(ConfigIssues { file: file.to_owned(), issues: vec![issue] }),
        };
        for word in overrides {
            if let Err(issue) = document::override_with(&mut entries, word) {
                issues.push(issue);
            }
        }
        let config = keys::read(entries, &mut issues);
        if issues.is_empty() {
            return Ok(config);
        }
        issues.sort_by(|a, b| a.place.cmp(&b.place));
        Err(ConfigIssues { file: file.to_owned(), issues })
    }
}
