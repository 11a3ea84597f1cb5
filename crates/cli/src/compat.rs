//! `--compat`: words of the command line to the reference trainer that is repeated.
//!
//! In: arguments and a model's folder. Out: a [`Mode`], whose quirks are told on standard error, once. Also the names that
//! `--template` takes: toolsmith's own, and LLaMA-Factory's in its mode.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;
use toolsmith_chat::compat::llama_factory::{self, ToolFormat};
use toolsmith_chat::compat::{ArrowSchema, Compat, Limits, Mode};
use toolsmith_chat::template;
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::record;

use crate::args::positive;
use crate::model_folder::ModelFolder;
use crate::{source, terminal};

/// Whose samples are repeated, and with which limits.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Repeating an earlier trainer")]
pub(crate) struct CompatArgs {
    /// Make the ids and labels of another trainer, bit for bit: glm4-official, glm4-official-combine, chatglm3-2023 or
    /// llama-factory. What that does is told on standard error; docs/compatibility.md has it all
    #[arg(long, value_name = "NAME")]
    pub(crate) compat: Option<Compat>,
    /// GLM-4: tokens of the prompt [default: 512]
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "compat")]
    pub(crate) max_input_length: Option<usize>,
    /// GLM-4: tokens of the answer [default: 512]
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "compat")]
    pub(crate) max_output_length: Option<usize>,
    /// ChatGLM3, multi-turn: tokens of a sample [default: 1024]
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "compat")]
    pub(crate) max_seq_length: Option<usize>,
    /// ChatGLM3, input-output: tokens of the prompt [default: 1024]
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "compat")]
    pub(crate) max_source_length: Option<usize>,
    /// ChatGLM3, input-output: tokens of the answer [default: 128]
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "compat")]
    pub(crate) max_target_length: Option<usize>,
    /// LLaMA-Factory: tokens of a sample [default: 2048]
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "compat")]
    pub(crate) cutoff_len: Option<usize>,
    /// LLaMA-Factory: train the last turn only
    #[arg(long, requires = "compat")]
    pub(crate) mask_history: bool,
    /// LLaMA-Factory: train the prompts, too
    #[arg(long, requires = "compat")]
    pub(crate) train_on_prompt: bool,
    /// LLaMA-Factory: write tools and calls in this way instead of the template's
    #[arg(long, value_name = "NAME", requires = "compat")]
    pub(crate) tool_format: Option<ToolFormat>,
    /// LLaMA-Factory: the day that the llama3 template names [default: 26 Jul 2024]
    #[arg(long, value_name = "DAY", requires = "compat")]
    pub(crate) date: Option<String>,
    /// GLM-4: fill in nulls as the datasets library does, by the columns of all records of the file
    #[arg(long, requires = "compat")]
    pub(crate) arrow: bool,
    /// GLM-4: keep the keys of messages whose value is null, as transformers up to 5.6 does
    #[arg(long, requires = "compat")]
    pub(crate) keep_null_keys: bool,
}

impl CompatArgs {
    /// The reference to repeat, if one is named; its quirks are told.
    pub(crate) fn mode_of_file(
        &self,
        files: &[PathBuf],
        template: Option<&TemplateName>,
        folder: &ModelFolder,
        tokenizer: &ChatTokenizer,
    ) -> anyhow::Result<Option<Mode>> {
        let Some(compat) = self.compat else { return Ok(None) };
        for name in self.unused(compat) {
            terminal::say(format_args!("{name} does nothing with --compat {compat}"));
        }
        let limits = Limits {
            max_input_length: self.max_input_length,
            max_output_length: self.max_output_length,
            max_seq_length: self.max_seq_length,
            max_source_length: self.max_source_length,
            max_target_length: self.max_target_length,
            cutoff_len: self.cutoff_len,
            mask_history: self.mask_history,
            train_on_prompt: self.train_on_prompt,
        };
        let mut mode = mode(compat, limits, template, folder, tokenizer)?;
        mode.keep_null_keys = self.keep_null_keys;
        mode.llama_factory.tool_format = self.tool_format;
        if let Some(date) = &self.date {
            mode.llama_factory.date.clone_from(date);
        }
        if self.arrow {
            mode.arrow = Some(columns(files)?);
        }
        Ok(Some(mode))
    }

    /// The options given that this mode does not read.
    fn unused(&self, compat: Compat) -> impl Iterator<Item = &'static str> {
        let glm4 = matches!(compat, Compat::Glm4Official | Compat::Glm4OfficialCombine);
        let chatglm3 = compat == Compat::ChatGlm3Of2023;
        let llama_factory = compat == Compat::LlamaFactory;
        let given = [
            ("--max-input-length", self.max_input_length.is_some(), glm4),
            ("--max-output-length", self.max_output_length.is_some(), glm4),
            ("--arrow", self.arrow, glm4),
            ("--keep-null-keys", self.keep_null_keys, glm4),
            ("--max-seq-length", self.max_seq_length.is_some(), chatglm3),
            ("--max-source-length", self.max_source_length.is_some(), chatglm3),
            ("--max-target-length", self.max_target_length.is_some(), chatglm3),
            ("--cutoff-len", self.cutoff_len.is_some(), llama_factory),
            ("--mask-history", self.mask_history, llama_factory),
            ("--train-on-prompt", self.train_on_prompt, llama_factory),
            ("--tool-format", self.tool_format.is_some(), llama_factory),
            ("--date", self.date.is_some(), llama_factory),
        ];
        given.into_iter().filter(|(_, given, read)| *given && !*read).map(|(name, ..)| name)
    }
}

/// The mode of this name for a model; its quirks are told.
pub(crate) fn mode(
    compat: Compat,
    limits: Limits,
    template: Option<&TemplateName>,
    folder: &ModelFolder,
    tokenizer: &ChatTokenizer,
) -> anyhow::Result<Mode> {
    let mut mode = Mode { limits, ..Mode::new(compat) };
    if compat == Compat::LlamaFactory {
        mode.llama_factory = llama_factory::Options {
            template: llama_factory_template(template, folder, tokenizer)?,
            bos: folder.bos_id(tokenizer),
            eos: folder.eos_id(tokenizer),
            ..mode.llama_factory
        };
    }
    terminal::say(format_args!("--compat {compat} repeats its reference, not what toolsmith does:"));
    for quirk in compat.quirks() {
        terminal::say(format_args!("  - {quirk}"));
    }
    Ok(mode)
}

/// The columns that Arrow would see in these files.
fn columns(files: &[PathBuf]) -> anyhow::Result<ArrowSchema> {
    let mut schema = ArrowSchema::new();
    for path in files {
        for raw in source::raw_records(path)? {
            let raw = raw?;
            // A broken record is told of when its turn comes.
            if let Ok(Ok(record)) = raw.bytes.map(|bytes| record::parse(&bytes, raw.place)) {
                schema.add(&record).with_context(|| format!("{}:{}", path.display(), raw.place.line))?;
            }
        }
    }
    Ok(schema)
}

fn llama_factory_template(
    named: Option<&TemplateName>,
    folder: &ModelFolder,
    tokenizer: &ChatTokenizer,
) -> anyhow::Result<llama_factory::Template> {
    let names = || llama_factory::Template::ALL.map(llama_factory::Template::as_str).join(", ");
    if let Some(named) = named {
        return named.llama_factory.with_context(|| {
            format!("--template {}: LLaMA-Factory has none of this name here; it has {}", named.name, names())
        });
    }
    llama_factory::Template::recognise(tokenizer.added_tokens()).with_context(|| {
        format!(
            "{}: no template of LLaMA-Factory fits its tokens. Name the one it was trained with: --template {}",
            folder.path.display(),
            names()
        )
    })
}

/// A name that `--template` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateName {
    name: String,
    ours: Option<template::TemplateName>,
    llama_factory: Option<llama_factory::Template>,
}

impl TemplateName {
    /// The template of toolsmith's own that has this name.
    pub(crate) fn ours(&self) -> anyhow::Result<template::TemplateName> {
        match self.ours {
            Some(template) => Ok(template),
            None => bail!(
                "--template {} is LLaMA-Factory's, for --compat llama-factory; without it there are {}",
                self.name,
                template::TemplateName::all().join(", ")
            ),
        }
    }
}

impl FromStr for TemplateName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let ours = name.parse::<template::TemplateName>();
        let llama_factory = name.parse::<llama_factory::Template>();
        match (&ours, &llama_factory) {
            (Err(ours), Err(theirs)) => Err(format!("{ours}; with --compat llama-factory, {theirs}")),
            _ => Ok(Self { name: name.to_owned(), ours: ours.ok(), llama_factory: llama_factory.ok() }),
        }
    }
}
