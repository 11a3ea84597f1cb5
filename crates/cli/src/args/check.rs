//! `check`: what it looks at, and how it reports.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use toolsmith_chat::check::duplicates::Threshold;

use super::records::{FormatArgs, SampleArgs};
use super::values::positive;
use crate::compat::CompatArgs;

/// `check`
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// Data files: JSON arrays or JSON lines (plain, .gz or .zst), or Parquet
    #[arg(required_unless_present = "explain", value_name = "DATA")]
    pub(crate) data: Vec<PathBuf>,
    /// Model folder or Hugging Face id; without it, the rules about token ids are left out
    #[arg(long, value_name = "DIR|ID")]
    pub(crate) model: Option<String>,
    /// Evaluation data: checked too, and compared with DATA
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) eval_data: Vec<PathBuf>,
    /// Say what a rule is about and how to mend what it finds; without a name, all rules
    #[arg(long, value_name = "RULE", num_args = 0..=1, default_missing_value = "")]
    pub(crate) explain: Option<String>,
    /// Write the data again with what can be mended safely, in the openai format
    #[arg(long, value_name = "OUT.jsonl")]
    pub(crate) fix: Option<PathBuf>,
    /// How to report: text, json, sarif or github
    #[arg(long, value_name = "HOW", default_value = "text")]
    pub(crate) output_format: ReportFormat,
    /// The same as --output-format json
    #[arg(long, conflicts_with = "output_format")]
    pub(crate) json: bool,
    /// Places shown of each rule [default: 3; 1000 in JSON and SARIF]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) places: Option<usize>,
    /// From which likeness on two conversations are near-duplicates: 0.5 to 1, or off for exact ones alone
    #[arg(long, value_name = "X", default_value = "0.8", value_parser = likeness)]
    pub(crate) similar: Likeness,
    /// How records are read and rendered.
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// What samples are made of a record.
    #[command(flatten)]
    pub(crate) samples: SampleArgs,
    /// Which trainer is repeated.
    #[command(flatten)]
    pub(crate) compat: CompatArgs,
}

/// How `check` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people: each rule with its first places.
    Text,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, which code hosts and editors read.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
}

/// From where on conversations count as near-duplicates; `None` never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Likeness(pub(crate) Option<Threshold>);

fn likeness(given: &str) -> Result<Likeness, String> {
    if given == "off" {
        return Ok(Likeness(None));
    }
    let number = given.parse().map_err(|_| "expected a number from 0.5 to 1, or off".to_owned())?;
    Threshold::new(number).map(|threshold| Likeness(Some(threshold))).map_err(|error| error.to_string())
}
