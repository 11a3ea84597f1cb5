//! Training: the configuration, the objective, the optimizer, the schedule, the loop, its checkpoints and metrics.
//!
//! In: a model to train, samples as token ids and labels, and options. Out: a run folder with trained weights,
//! checkpoints, `metrics.jsonl` and TensorBoard's event file. The same seed gives the same bytes, and a resumed run ends in the bytes of an
//! uninterrupted one.
//!
//! It does not know text, chat templates or data files: its caller reads those and hands over [`Sample`]s. It prints
//! nothing: what happens goes to an [`Observer`].

mod checkpoint;
pub mod config;
mod data;
mod early_stopping;
mod error;
mod events;
mod failed_step;
mod log;
mod memory;
mod method;
mod metrics;
mod objective;
mod optimizer;
mod order;
mod pairs;
mod preference;
mod reference;
mod run_folder;
mod runs;
mod schedule;
mod settings;
mod tensorboard;
mod trainer;

pub use config::{ConfigIssues, TrainConfig};
pub use data::Sample;
pub use early_stopping::EarlyStopping;
pub use error::TrainError;
pub use events::{Event, Observer, Outcome};
pub use memory::{MemoryEstimate, amount, estimate_memory};
pub use metrics::{EvalMetrics, StepMetrics};
pub use objective::{DpoLoss, DpoOptions, Objective, OrpoOptions, Rewards};
pub use optimizer::{AdamWOptions, MomentType};
pub use run_folder::{refuse_a_run, require_a_run};
pub use schedule::{ScheduleKind, ScheduleOptions, Warmup};
pub use settings::{Length, RunOptions};
pub use trainer::{TrainJob, Trainer};
