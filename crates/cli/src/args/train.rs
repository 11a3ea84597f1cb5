//! `train`, `merge` and `demo`: what makes models.

use std::path::PathBuf;

use clap::Args;
use toolsmith_model::WeightType;

use super::answer::ModelArgs;
use super::values::named;

/// `train`
#[derive(Debug, Clone, Args)]
pub(crate) struct TrainArgs {
    /// YAML file with the run's values; docs/training.md lists them
    #[arg(value_name = "CONFIG.yaml")]
    pub(crate) config: PathBuf,
    /// Values that replace the file's, such as learning_rate=1e-4 or lora.r=16
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Go on from the last checkpoint in output_dir
    #[arg(long)]
    pub(crate) resume: bool,
    /// Train even where memory does not seem to suffice
    #[arg(long)]
    pub(crate) force: bool,
    /// Drop, count and name bad records instead of stopping with exit code 3; the same as skip_bad=true
    #[arg(long)]
    pub(crate) skip_bad: bool,
}

/// `merge`
#[derive(Debug, Clone, Args)]
pub(crate) struct MergeArgs {
    /// The adapter, and the base if it is not the one that the adapter names.
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The model folder to write; it appears only when it is whole
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Number type of the weights [default: the base's]
    #[arg(long, value_name = "TYPE", value_parser = named(&WeightType::ALL, WeightType::torch_name))]
    pub(crate) dtype: Option<WeightType>,
}

/// `demo`
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Seed of the generated data and its split
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,
    /// Folder for everything that is read and made; must not exist yet [default: runs/demo, or the next free number]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print scores and times as one JSON object at the end, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}
