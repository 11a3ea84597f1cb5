//! `generate`, `chat` and `eval`: a model that answers.

use std::path::PathBuf;

use clap::Args;
use toolsmith_chat::template::TemplateName;

use super::records::FormatArgs;
use super::values::{above_zero, at_least_zero, positive, probability};

/// Which model answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Model folder or Hugging Face id
    #[arg(long, value_name = "DIR|ID", required_unless_present = "adapter", default_value = "")]
    pub(crate) model: String,
    /// Adapter folder (PEFT layout); without --model, the base it names is used
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
}

/// How it answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct SamplingArgs {
    /// Most tokens of one answer
    #[arg(long, value_name = "TOKENS", default_value = "512", value_parser = positive)]
    pub(crate) max_new_tokens: usize,
    /// 0 always takes the likeliest token; 1 draws as the model says
    #[arg(long, value_name = "T", default_value = "0", value_parser = at_least_zero)]
    pub(crate) temperature: f32,
    /// Draw among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value = "1", value_parser = probability)]
    pub(crate) top_p: f32,
    /// Draw among this many likeliest tokens; 0 for all
    #[arg(long, value_name = "K", default_value = "0")]
    pub(crate) top_k: usize,
    /// Above 1, tokens that already occurred become less likely
    #[arg(long, value_name = "X", default_value = "1", value_parser = above_zero)]
    pub(crate) repetition_penalty: f32,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value = "42")]
    pub(crate) seed: u64,
}

/// `generate`
#[derive(Debug, Clone, Args)]
pub(crate) struct GenerateArgs {
    /// Which model answers.
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The text to continue
    #[arg(long, value_name = "TEXT", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) prompt: Option<String>,
    /// File with the text to continue
    #[arg(long, value_name = "F")]
    pub(crate) file: Option<PathBuf>,
    /// How it answers.
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// `chat`
#[derive(Debug, Clone, Args)]
pub(crate) struct ChatArgs {
    /// Which model answers.
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Chat template, such as qwen2.5 (an unknown name lists them), or jinja for the model's own [default: recognised from
    /// the model's files]
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<TemplateName>,
    /// JSON file with the tools to offer, as in OpenAI's API
    #[arg(long, value_name = "FILE")]
    pub(crate) tools: Option<PathBuf>,
    /// System message
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// How it answers.
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// `eval`
#[derive(Debug, Clone, Args)]
pub(crate) struct EvalArgs {
    /// Data file with the reference conversations
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    /// Which model answers.
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// How records are read and rendered.
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Score only the first N conversations
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) limit: Option<usize>,
    /// Answers generated together
    #[arg(long, value_name = "N", default_value = "16", value_parser = positive)]
    pub(crate) batch_size: usize,
    /// Write each turn's reference and answer to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Option<PathBuf>,
    /// Drop, count and name bad records instead of stopping with exit code 3
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// Print the scores as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// How it answers.
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}
