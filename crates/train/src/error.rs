//! What can go wrong in training: one enum for the crate. Each message says where, what was found, what was expected,
//! and how to mend it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toolsmith_chat::batch::BatchError;
use toolsmith_model::ModelError;

use crate::ConfigIssues;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration is wrong; all that is wrong with it.
    #[error(transparent)]
    Config(#[from] ConfigIssues),
    /// A sample whose ids and labels do not fit, or that is too long.
    #[error("{name}: {source}")]
    Sample {
        /// The sample's name.
        name: String,
        /// What is wrong.
        source: BatchError,
    },
    /// A pair that cannot be compared.
    #[error(
        "{name}: {found}; a pair needs two different answers to the same prompt, each with a trained token"
    )]
    Pair {
        /// The pair's name.
        name: String,
        /// What is wrong.
        found: &'static str,
    },
    /// Pairs where samples are trained, or samples where pairs are.
    #[error("{name}: is {found}, but objective: {objective} {expected}")]
    WrongData {
        /// The sample's name.
        name: String,
        /// What it is.
        found: &'static str,
        /// The objective.
        objective: &'static str,
        /// What that trains on, and what to change.
        expected: &'static str,
    },
    /// The log-probabilities of the starting model are not there any more.
    #[error(
        "{}: {detail}. Only the model before its first step can give them: start a new run in another output_dir",
        path.display()
    )]
    Reference {
        /// Their file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Nothing to train on.
    #[error(
        "none of the {samples} samples trains a token (every label is -100), so there is nothing to learn; \
         look at one with `preview`, and check that assistant messages are not marked as not trained"
    )]
    NothingTrained {
        /// How many samples there are.
        samples: usize,
    },
    /// Nothing to measure, but the run wants to know which weights are the best.
    #[error(
        "early stopping and the best checkpoint need an evaluation loss, but none of the {samples} evaluation samples \
         has a trained token; set eval_data, or drop early_stopping_patience and load_best_model_at_end"
    )]
    NothingEvaluated {
        /// How many evaluation samples there are.
        samples: usize,
    },
    /// The run folder already holds a run.
    #[error(
        "{}: already holds a run ({found}); resume it with --resume, choose another output_dir, or delete the folder",
        path.display()
    )]
    RunExists {
        /// The folder.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// Nothing to resume.
    #[error("{}: holds no run to resume; start one without --resume, or check output_dir", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// The run to resume was started with other values.
    #[error(
        "{}: cannot be resumed, because the run was started with other values: {differences}; \
         resume it with the same ones, or start a new run in another output_dir",
        path.display()
    )]
    RunDiffers {
        /// The checkpoint's folder.
        path: PathBuf,
        /// Which, then and now.
        differences: String,
    },
    /// A checkpoint that cannot be used.
    #[error("{}: {detail}; delete this checkpoint to resume from the one before it", path.display())]
    Checkpoint {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The loss or the gradient is no number any more.
    #[error(
        "step {step}: the {what} is {value}; the samples of this step ({samples}) are saved in {}. \
         Usually the learning rate ({learning_rate:e}) is too high: start a new run (another output_dir) \
         with a lower one, or a longer warm-up; --resume would take the same step again. If it is the first step that \
         fails, look at the model's weights and at the samples' loss_weights",
        saved.display()
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss, or the gradient of which tensor.
        what: String,
        /// Its value: NaN or infinite.
        value: f64,
        /// The names of the step's samples.
        samples: String,
        /// The step's learning rate.
        learning_rate: f64,
        /// Where the samples of the step are saved.
        saved: PathBuf,
    },
    /// The model refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file or folder of the run.
    #[error("{}: cannot {action}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl TrainError {
    pub(crate) fn file<'p>(path: &'p Path, action: &'static str) -> impl FnOnce(io::Error) -> Self + use<'p> {
        move |source| Self::File { path: path.to_owned(), action, source }
    }

    pub(crate) fn checkpoint(path: &Path, detail: impl ToString) -> Self {
        Self::Checkpoint { path: path.to_owned(), detail: detail.to_string() }
    }
}
