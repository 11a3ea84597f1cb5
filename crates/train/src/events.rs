//! What a run tells while it goes on, and how it ended.
//!
//! In: nothing. Out: types only; who listens decides whether anything is printed.

use std::io;
use std::path::{Path, PathBuf};

use crate::metrics::{EvalMetrics, StepMetrics};

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// What the starting model says of pairs is being measured, once, before the first step.
    MeasuringReference {
        /// Pairs measured so far.
        done: usize,
        /// Pairs in all.
        total: usize,
    },
    /// The loop begins.
    Started {
        /// Steps of the whole run.
        total_steps: u64,
        /// Steps done before, where a checkpoint is continued; otherwise 0.
        done_steps: u64,
        /// Samples that are trained on.
        samples: usize,
        /// Samples left out because none of their tokens is trained.
        untrained_samples: usize,
        /// Numbers that are trained.
        trained_parameters: usize,
    },
    /// A step is done.
    Step(&'a StepMetrics),
    /// The evaluation loss was measured.
    Evaluated(&'a EvalMetrics),
    /// A checkpoint is complete on disk.
    CheckpointSaved {
        /// Steps done.
        step: u64,
        /// Its folder.
        path: &'a Path,
    },
    /// The trained weights are complete on disk.
    WeightsSaved {
        /// Their folder.
        path: &'a Path,
    },
}

/// Who follows a run.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);

    /// Called with each folder of weights before it gets its final name: adds what a server needs beside the weights
    /// (tokenizer, chat template, `generation_config.json`).
    ///
    /// # Errors
    /// What went wrong with a file; it ends the run.
    fn complete_folder(&mut self, folder: &Path) -> io::Result<()> {
        let _ = folder;
        Ok(())
    }
}

/// Follows a run without a word.
impl Observer for () {
    fn event(&mut self, _: Event<'_>) {}
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps are done, or evaluations no longer improve.
    Finished {
        /// Folder of the trained weights.
        weights: PathBuf,
        /// The evaluation loss of these weights, where there are evaluation samples.
        eval_loss: Option<f64>,
        /// Steps done: fewer than the whole run has where it stopped early.
        steps: u64,
        /// The step whose weights these are, where the best were asked for.
        best_step: Option<u64>,
    },
    /// It was asked to stop; `--resume` continues it.
    Stopped {
        /// Steps done.
        step: u64,
        /// The checkpoint that was saved.
        checkpoint: PathBuf,
    },
}
