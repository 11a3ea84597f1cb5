//! Where the numbers of a run are written: `metrics.jsonl`, and TensorBoard's event file where it is wanted.
//!
//! In: metrics. Out: both files, never apart. It does not know their formats.

use crate::TrainError;
use crate::metrics::{EvalMetrics, MetricsLog, StepMetrics};
use crate::run_folder::RunFolder;
use crate::tensorboard::EventLog;

/// The open files.
pub(crate) struct Log {
    metrics: MetricsLog,
    events: Option<EventLog>,
}

impl Log {
    pub(crate) fn open(folder: &RunFolder, tensorboard: bool, done_steps: u64) -> Result<Self, TrainError> {
        let metrics = MetricsLog::open(&folder.metrics(), done_steps)?;
        let events = tensorboard.then(|| EventLog::open(&folder.events(), done_steps)).transpose()?;
        Ok(Self { metrics, events })
    }

    pub(crate) fn step(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        self.metrics.append(metrics)?;
        self.events.as_mut().map_or(Ok(()), |events| events.step(metrics))
    }

    pub(crate) fn evaluation(&mut self, metrics: &EvalMetrics) -> Result<(), TrainError> {
        self.metrics.append(metrics)?;
        self.events.as_mut().map_or(Ok(()), |events| events.evaluation(metrics))
    }
}
