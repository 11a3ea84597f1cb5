//! Options of the commands that read records: their shape, and what samples are made of them.

use std::path::PathBuf;

use clap::Args;
use toolsmith_chat::batch::Truncation;
use toolsmith_chat::check::Code;
use toolsmith_chat::data::TrainOn;
use toolsmith_chat::template::TemplateName;
use toolsmith_chat::tokens::PartWeights;
use toolsmith_prepare::{Answers, RecordFormat, SampleOptions};

use super::values::{named, positive};
use crate::compat;

/// Where records come from and how they are read.
#[derive(Debug, Clone, Args)]
pub(crate) struct FormatArgs {
    /// Shape of the records: openai, glm4, sharegpt, chatglm3, alpaca, anthropic, glaive-v2, hermes, input-output, text or
    /// preference; docs/data-formats.md shows each [default: recognised, record by record]
    #[arg(long, value_name = "NAME")]
    pub(crate) format: Option<RecordFormat>,
    /// LLaMA-Factory's dataset_info.json; DATA then names data sets in it, not files
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    pub(crate) dataset_info: Option<PathBuf>,
    /// Chat template, such as qwen2.5 (an unknown name lists them), or jinja for the model's own [default: recognised from
    /// the model's files]
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<compat::TemplateName>,
}

impl FormatArgs {
    /// The template named, which must be one of toolsmith's own.
    pub(crate) fn template(&self) -> anyhow::Result<Option<TemplateName>> {
        self.template.as_ref().map(compat::TemplateName::ours).transpose()
    }
}

/// What samples are made of a record.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SampleArgs {
    /// Longest sample in tokens [default: no limit]
    #[arg(long, value_name = "TOKENS", value_parser = positive)]
    max_length: Option<usize>,
    /// What becomes of a longer one: structured (old turns, then unused tools, then the middle of tool results are left
    /// out, each counted and named), right (cut blindly at the end) or refuse
    #[arg(long, value_name = "HOW", default_value = "structured", value_parser = named(&Truncation::ALL, Truncation::as_str))]
    truncate: Truncation,
    /// Which answers are trained: all, last (what follows the last question) or none-but-marked (train: true)
    #[arg(long, value_name = "WHICH", default_value = "all", value_parser = named(&TrainOn::ALL, TrainOn::as_str))]
    train_on: TrainOn,
    /// Leave a rule out, so that what it finds is neither told nor refused where a sample can be made all the same; can be
    /// given several times (`toolsmith check --explain` lists the rules)
    #[arg(long, value_name = "RULE")]
    pub(crate) ignore: Vec<Code>,
    /// What parts of an answer count in the loss, as name=2,argument_key=1,argument_value=1.5,prose=0.5
    #[arg(long, value_name = "PART=X,…", value_parser = loss_weights)]
    loss_weights: Option<PartWeights>,
}

impl SampleArgs {
    /// The choices, for records of this shape.
    pub(crate) fn options(&self, format: Option<RecordFormat>) -> SampleOptions {
        SampleOptions {
            format,
            max_length: self.max_length,
            truncation: self.truncate,
            train_on: self.train_on,
            part_weights: self.loss_weights,
            ignored: self.ignore.clone(),
            answers: Answers::default(),
        }
    }
}

fn loss_weights(given: &str) -> Result<PartWeights, String> {
    const EXPECTED: &str = "expected PART=NUMBER, the parts being name, argument_key, argument_value and prose, the number 0 or above";
    let mut weights = PartWeights::default();
    for pair in given.split(',') {
        let (part, number) = pair.split_once('=').ok_or(EXPECTED)?;
        let number: f32 = number.trim().parse().map_err(|_| format!("{pair}: {EXPECTED}"))?;
        if !(number.is_finite() && number >= 0.0) {
            return Err(format!("{pair}: {EXPECTED}"));
        }
        match part.trim() {
            "name" => weights.name = number,
            "argument_key" => weights.argument_key = number,
            "argument_value" => weights.argument_value = number,
            "prose" => weights.prose = number,
            _ => return Err(format!("{pair}: {EXPECTED}")),
        }
    }
    Ok(weights)
}
