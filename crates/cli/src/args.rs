//! The command line: names, help texts and defaults of every option, and nothing that acts on them.
//!
//! In: words. Out: plain structs, one a command. Limits carry the names that the references use.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use toolsmith_chat::batch::Truncation;
use toolsmith_chat::check::Code;
use toolsmith_chat::check::duplicates::Threshold;
use toolsmith_chat::data::TrainOn;
use toolsmith_chat::data::convert::RawFormat;
use toolsmith_chat::template::TemplateName;
use toolsmith_chat::tokens::PartWeights;
use toolsmith_model::WeightType;
use toolsmith_prepare::{Answers, RecordFormat, SampleOptions};

use crate::compat::{self, CompatArgs};

/// Fine-tune language models to call tools: prepare, look, train, talk, score.
#[derive(Debug, Parser)]
#[command(name = "toolsmith", version, max_term_width = 110, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonArgs {
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
    /// When to print in colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

/// When to print in colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Even into a file or pipe.
    Always,
    /// Not at all.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it all work: a small model learns to call tools it has never seen (no file or network needed)
    Demo(DemoArgs),
    /// Find what goes wrong silently in training data: every known failure by name, place and how to mend it
    Check(CheckArgs),
    /// Turn conversations into token ids and labels: a Parquet file to train on
    Prepare(PrepareArgs),
    /// Print conversations as the model reads them: JSON lines of text, input_ids and labels
    Render(RenderArgs),
    /// Read tool calls out of generated text: JSON lines {"text": …} on standard input
    Parse(ParseArgs),
    /// Turn a raw data set into records: ToolAlpaca or AdvertiseGen to JSON lines
    Convert(ConvertArgs),
    /// Look at samples token by token: trained, untrained and control tokens in colours
    Preview(PreviewArgs),
    /// Train a model as a YAML file says: full, LoRA or P-Tuning v2
    Train(TrainArgs),
    /// Add an adapter into its model's weights: a plain model folder
    Merge(MergeArgs),
    /// Continue a text, without any chat template
    Generate(GenerateArgs),
    /// Talk to a model; its tool calls are shown and you type their results
    Chat(ChatArgs),
    /// Let a model answer at each assistant turn and score the calls it makes
    Eval(EvalArgs),
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

/// A parser of one of these names.
fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |given: &str| {
        all.iter().copied().find(|one| name(*one) == given).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
            format!("expected one of: {}", names.join(", "))
        })
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

/// For which part of a run samples are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Split {
    /// To train on.
    Train,
    /// To measure with: prompts, and what should be generated.
    Eval,
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

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "expected a whole number above 0".to_owned())
}

fn number(text: &str, expected: &str, holds: impl Fn(f32) -> bool) -> Result<f32, String> {
    text.parse().ok().filter(|&number: &f32| holds(number)).ok_or_else(|| format!("expected {expected}"))
}

fn at_least_zero(text: &str) -> Result<f32, String> {
    number(text, "a number, 0 or above", |x| x >= 0.0 && x.is_finite())
}

fn above_zero(text: &str) -> Result<f32, String> {
    number(text, "a number above 0", |x| x > 0.0 && x.is_finite())
}

fn probability(text: &str) -> Result<f32, String> {
    number(text, "a number above 0, at most 1", |x| x > 0.0 && x <= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["toolsmith", "generate"], words].concat());
        let rest = ["--model", "m", "--prompt", "x"];
        assert!(parse(&rest).is_ok());
        for wrong in
            [["--top-p", "1.5"], ["--temperature", "-1"], ["--max-new-tokens", "0"], ["--top-p", "nan"]]
        {
            assert!(parse(&[&rest[..], &wrong].concat()).is_err(), "{wrong:?} was taken");
        }
    }
}
