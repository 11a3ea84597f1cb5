//! Training: the configuration, the objective, the optimizer, the schedule, the loop, its checkpoints and metrics.
//!
//! In: a model to train, samples as token ids and labels, and options. Out: a run folder with trained weights,
//! checkpoints and `metrics.jsonl`. The same seed gives the same bytes, and a resumed run ends in the bytes of an
//! uninterrupted one.
//!
//! It does not know text, chat templates or data files: its caller reads those and hands over [`Sample`]s. It prints
//! nothing: what happens goes to an [`Observer`].

mod checkpoint;
pub mod config;
mod data;
mod error;
mod events;
mod metrics;
mod objective;
mod optimizer;
mod pairs;
mod preference;
mod reference;
mod run_folder;
mod runs;
mod schedule;
mod settings;
mod trainer;

pub use config::{ConfigIssues, TrainConfig};
pub use data::Sample;
pub use error::TrainError;
pub use events::{Event, Observer, Outcome};
pub use metrics::{EvalMetrics, StepMetrics};
pub use objective::{DpoLoss, DpoOptions, Objective, OrpoOptions, Rewards};
pub use optimizer::AdamWOptions;
pub use schedule::{ScheduleKind, ScheduleOptions, Warmup};
pub use settings::{Length, RunOptions};
pub use trainer::{TrainJob, Trainer};
