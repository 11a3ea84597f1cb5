//! `preview`, `render` and `parse`: what a model reads and writes, to look at.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use toolsmith_chat::template::TemplateName;

use super::records::{FormatArgs, SampleArgs};
use super::values::positive;
use crate::compat::CompatArgs;

/// `preview`
#[derive(Debug, Clone, Args)]
pub(crate) struct PreviewArgs {
    /// Data files: JSON arrays or JSON lines (plain, .gz or .zst), or Parquet
    #[arg(required = true, value_name = "DATA")]
    pub(crate) data: Vec<PathBuf>,
    /// Model folder or Hugging Face id
    #[arg(long, value_name = "DIR|ID")]
    pub(crate) model: String,
    /// How records are read and rendered.
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// What samples are made of a record.
    #[command(flatten)]
    pub(crate) samples: SampleArgs,
    /// How many samples to show [default: 3]; with --html, how many conversations the page holds at most [default: 2000]
    #[arg(short = 'n', long, value_name = "N", value_parser = positive)]
    pub(crate) count: Option<usize>,
    /// One token a line: its text, id and label
    #[arg(long)]
    pub(crate) sanity: bool,
    /// Read all data instead of the first samples: counts, lengths, trained shares, calls, tools
    #[arg(long, conflicts_with = "sanity")]
    pub(crate) overview: bool,
    /// Write a page over all data that any browser opens: charts, filters, each conversation as chat and as tokens
    #[arg(long, value_name = "OUT.html", conflicts_with = "sanity")]
    pub(crate) html: Option<PathBuf>,
    /// Which trainer is repeated.
    #[command(flatten)]
    pub(crate) compat: CompatArgs,
}

/// `render`
#[derive(Debug, Clone, Args)]
pub(crate) struct RenderArgs {
    /// Data file: a JSON array or JSON lines (plain, .gz or .zst), or Parquet
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    /// Model folder or Hugging Face id; without it, --template gives the text alone
    #[arg(long, value_name = "DIR|ID", required_unless_present = "template")]
    pub(crate) model: Option<String>,
    /// How records are read and rendered.
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// End with what stands before an answer, so that the model answers next
    #[arg(long, conflicts_with_all = ["for_training", "compat"])]
    pub(crate) add_generation_prompt: bool,
    /// Append the last answer's stop token where the template writes none, as prepare and train do
    #[arg(long)]
    pub(crate) for_training: bool,
    /// With --compat glm4-official…: the samples of the trainer's evaluation, with output_ids
    #[arg(long, value_name = "SPLIT", default_value = "train", requires = "compat")]
    pub(crate) split: Split,
    /// Render for answers without thoughts, in families that leave the choice (Qwen3, GLM-4.5)
    #[arg(long)]
    pub(crate) no_thinking: bool,
    /// Compare each text with what the model's own chat template prints; differences are shown and counted
    #[arg(long, requires = "model", conflicts_with = "compat")]
    pub(crate) verify: bool,
    /// Which trainer is repeated.
    #[command(flatten)]
    pub(crate) compat: CompatArgs,
}

/// For which part of a run samples are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Split {
    /// To train on.
    Train,
    /// To measure with: prompts, and what should be generated.
    Eval,
}

/// `parse`
#[derive(Debug, Clone, Args)]
pub(crate) struct ParseArgs {
    /// Chat template the text was generated with, such as qwen2.5 (an unknown name lists them), or jinja for that of
    /// --model
    #[arg(long, value_name = "NAME", required_unless_present = "model")]
    pub(crate) template: Option<TemplateName>,
    /// Model folder or Hugging Face id; its own chat template tells how calls are written
    #[arg(long, value_name = "DIR|ID")]
    pub(crate) model: Option<String>,
    /// JSON file with the tools that were offered; a call must then name one of them
    #[arg(long, value_name = "FILE")]
    pub(crate) tools: Option<PathBuf>,
}
