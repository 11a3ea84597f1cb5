//! `prepare` and `convert`: data files to other data files.

use std::path::PathBuf;

use clap::Args;
use toolsmith_chat::data::convert::RawFormat;

use super::records::{FormatArgs, SampleArgs};
use super::values::positive;
use crate::compat::CompatArgs;

/// `prepare`
#[derive(Debug, Clone, Args)]
pub(crate) struct PrepareArgs {
    /// Data files: JSON arrays or JSON lines (plain, .gz or .zst), or Parquet
    #[arg(required = true, value_name = "DATA")]
    pub(crate) data: Vec<PathBuf>,
    /// Model folder or Hugging Face id; its tokenizer and chat template are used
    #[arg(long, value_name = "DIR|ID")]
    pub(crate) model: String,
    /// The Parquet file to write; it appears only when it is whole
    #[arg(short, long, value_name = "OUT.parquet")]
    pub(crate) output: PathBuf,
    /// How records are read and rendered.
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// What samples are made of a record.
    #[command(flatten)]
    pub(crate) samples: SampleArgs,
    /// Which records go where.
    #[command(flatten)]
    pub(crate) sets: SetArgs,
    /// Drop, count and name bad records instead of stopping with exit code 3
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// Prepare even if the output is there and was made of the very same data, model and options
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Which trainer is repeated.
    #[command(flatten)]
    pub(crate) compat: CompatArgs,
}

/// Which records `prepare` takes, and into which files they go.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SetArgs {
    /// Write shards of at most so many samples, OUT-00000-of-00003.parquet and so on
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) shard_rows: Option<usize>,
    /// Keep this share of the records apart to measure with, in OUT.validation.parquet; which ones follows from their
    /// bytes, so equal records are never on both sides
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) validation: Option<f64>,
    /// The file for what is kept apart
    #[arg(long, value_name = "FILE", requires = "validation")]
    pub(crate) validation_output: Option<PathBuf>,
    /// Take each record of this file so often: 0.5 takes half of them, 2 each twice, 1.5 each once and half of them twice
    #[arg(long = "weight", value_name = "FILE=W", value_parser = weight)]
    pub(crate) weights: Vec<(PathBuf, f64)>,
}

fn share(given: &str) -> Result<f64, String> {
    let number = given.parse().ok().filter(|share| 0.0 < *share && *share < 1.0);
    number.ok_or_else(|| "expected a number between 0 and 1, such as 0.02".to_owned())
}

fn weight(given: &str) -> Result<(PathBuf, f64), String> {
    let (file, number) = given.rsplit_once('=').unwrap_or((given, ""));
    let number = number.parse().ok().filter(|weight| (0.0..=1000.0).contains(weight));
    let number = number.ok_or("expected FILE=NUMBER, the number from 0 to 1000, such as train.jsonl=0.5")?;
    Ok((PathBuf::from(file), number))
}

/// `convert`
#[derive(Debug, Clone, Args)]
pub(crate) struct ConvertArgs {
    /// What the data is: toolalpaca or advertisegen
    #[arg(value_name = "RAW")]
    pub(crate) raw: RawFormat,
    /// Data files as they were published
    #[arg(required = true, value_name = "IN")]
    pub(crate) data: Vec<PathBuf>,
    /// The JSON Lines file to write; it appears only when it is whole
    #[arg(short, long, value_name = "OUT.jsonl")]
    pub(crate) output: PathBuf,
    /// Print the counts as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
