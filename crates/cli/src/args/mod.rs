//! The command line: names, help texts and defaults of every option, and nothing that acts on them.
//!
//! In: words. Out: plain structs, one a command. Limits carry the names that the references use. Commands of a kind
//! stand in one file.

mod answer;
mod check;
mod look;
mod prepare;
mod records;
mod train;
mod values;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use answer::{ChatArgs, EvalArgs, GenerateArgs, ModelArgs, SamplingArgs};
pub(crate) use check::{CheckArgs, ReportFormat};
pub(crate) use look::{ParseArgs, PreviewArgs, RenderArgs, Split};
pub(crate) use prepare::{ConvertArgs, PrepareArgs, SetArgs};
pub(crate) use records::{FormatArgs, SampleArgs};
pub(crate) use train::{DemoArgs, MergeArgs, TrainArgs};
pub(crate) use values::positive;

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
