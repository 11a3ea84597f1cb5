//! `train`: a run as its YAML file says, with progress, from data files to a folder that can be served.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{Decoder, DecoderConfig};
use toolsmith_prepare::{Answers, PrepareOptions, SampleOptions};
use toolsmith_train::{
    ConfigIssues, Outcome, Sample, TrainConfig, TrainJob, Trainer, refuse_a_run, require_a_run,
};

use super::prepare::{FOUND_ERRORS, pipeline_options};
use super::preview;
use super::train_data::{Loaded, check_ids, load_samples};
use crate::args::TrainArgs;
use crate::compat::{self, TemplateName};
use crate::hub::Need;
use crate::memory::{Fit, Planned};
use crate::model_folder::ModelFolder;
use crate::starting_adapter;
use crate::terminal::{self, Styles, painted};
use crate::train_progress::TrainProgress;

/// Exit code of a wrong configuration.
const USAGE: u8 = 2;

/// Runs the command.
pub(crate) fn run(
    args: &TrainArgs,
    threads: Option<usize>,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut config = match read_config(args)? {
        Ok(config) => config,
        Err(issues) => return Ok(wrong_config(&issues, styles)),
    };
    if args.resume {
        require_a_run(&config.output_dir)?
    } else {
        refuse_a_run(&config.output_dir)?
    }
    let template_name = named::<TemplateName>(config.template.as_deref())?;
    let folder =
        ModelFolder::open(&config.model, if config.from_scratch { Need::Tokenizer } else { Need::Weights })?;
    if let Err(issues) = starting_adapter::take(&mut config, &args.config.display().to_string(), &folder)? {
        return Ok(wrong_config(&issues, styles));
    }
    let tokenizer = folder.tokenizer()?;
    let compat = config
        .compat
        .map(|compat| compat::mode(compat, config.limits, template_name.as_ref(), &folder, &tokenizer))
        .transpose()?;
    let pairs = config.run.objective.compares_answers();
    let sample_options = SampleOptions {
        format: named(config.format.as_deref())?,
        // Two answers to one prompt lie in one run.
        max_length: Some(
            config.max_length.unwrap_or(config.run.max_tokens_per_run / if pairs { 2 } else { 1 }),
        ),
        truncation: config.truncate,
        train_on: config.train_on,
        part_weights: config.loss_weights,
        ignored: config.ignore.clone(),
        answers: if pairs { Answers::Pairs } else { Answers::Single },
    };
    let maker = folder.sample_maker(&tokenizer, compat, template_name.as_ref(), sample_options)?;
    let template = maker.template.clone();
    let options = PrepareOptions {
        skip_bad: config.skip_bad,
        pipeline: pipeline_options(threads),
        ..PrepareOptions::default()
    };
    let load = |files: &[String], what: &str, out: &mut dyn Write| {
        load_samples(files, what, &maker, &options, &folder, styles, out)
    };
    let Loaded::Samples(samples) = load(&config.data, "data", out)? else {
        return Ok(ExitCode::from(FOUND_ERRORS));
    };
    let Loaded::Samples(eval_samples) = load(&config.eval_data, "eval_data", out)? else {
        return Ok(ExitCode::from(FOUND_ERRORS));
    };
    show_first(&samples, &tokenizer, styles, out)?;

    let shape = DecoderConfig::read(&folder.weights).with_context(|| folder.path.display().to_string())?;
    check_ids(samples.iter().chain(&eval_samples), shape.vocab_size, &folder.path)?;
    let model = |quantization, device| match config.from_scratch {
        true => Decoder::zeros(shape.clone(), quantization, device),
        false => Decoder::measured(&folder.weights, quantization, device),
    };
    let planned = Planned { model: &model, config: &config, samples: &samples, eval_samples: &eval_samples };
    match planned.check()? {
        Fit::Fits(line) => terminal::say(line),
        Fit::TooLarge(text) if args.force => {
            terminal::say(format_args!("{} {text}", painted(styles.warning, "warning:")));
        }
        Fit::TooLarge(text) => {
            terminal::say(format_args!("{} {text}", painted(styles.bad, "error:")));
            return Ok(ExitCode::from(USAGE));
        }
    }
    let decoder = load_decoder(&folder, &config)?;
    let job = TrainJob {
        decoder,
        method: config.method.clone(),
        adapter: config.adapter.as_ref().map(|adapter| adapter.path.clone()),
        samples,
        eval_samples,
        options: config.run.clone(),
        output_dir: config.output_dir.clone(),
        base_model_name_or_path: folder.base_name(),
        save_dtype: config.save_dtype,
    };
    let mut trainer = if args.resume { Trainer::resume(job)? } else { Trainer::start(job)? };
    let stop = stop_on_interrupt()?;
    let mut progress =
        TrainProgress::new(&folder, template.as_ref(), &tokenizer, std::io::stderr().is_terminal());
    let outcome = trainer.train(&mut progress, &stop);
    progress.close();
    match outcome? {
        Outcome::Finished { weights, eval_loss, steps, best_step } => {
            if steps < trainer.total_steps() {
                writeln!(out, "stopped early after step {steps}: the evaluation loss no longer improves")?;
            }
            if let Some(summary) = progress.summary() {
                writeln!(out, "{summary}")?;
            }
            if let Some(loss) = eval_loss {
                let best = best_step.map_or_else(String::new, |step| format!(" (the best, of step {step})"));
                writeln!(out, "eval loss {loss:.4}{best}")?;
            }
            writeln!(out, "{} {}", painted(styles.good, "trained:"), weights.display())?;
            writeln!(out, "{}", next_commands(&folder, &config, &weights))?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Stopped { step, checkpoint } => {
            terminal::say(format_args!(
                "stopped after step {step}; saved {}. Go on with: toolsmith train {} --resume",
                checkpoint.display(),
                std::iter::once(args.config.display().to_string())
                    .chain(args.overrides.iter().map(|word| shell_word(word)))
                    .collect::<Vec<_>>()
                    .join(" ")
            ));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn wrong_config(issues: &ConfigIssues, styles: &Styles) -> ExitCode {
    let count = match issues.issues.len() {
        1 => "the configuration has a mistake".to_owned(),
        more => format!("the configuration has {more} mistakes"),
    };
    terminal::say(format_args!("{} {count}:\n{issues}", painted(styles.bad, "error:")));
    ExitCode::from(USAGE)
}

fn read_config(args: &TrainArgs) -> anyhow::Result<Result<TrainConfig, ConfigIssues>> {
    let name = args.config.display().to_string();
    let text = std::fs::read_to_string(&args.config).with_context(|| {
        format!("{name}: cannot be read; expected a YAML file (see recipes/ for ready ones)")
    })?;
    let mut overrides = args.overrides.clone();
    overrides.extend(args.skip_bad.then(|| "skip_bad=true".to_owned()));
    Ok(TrainConfig::from_yaml(&name, &text, &overrides))
}

fn named<T: FromStr>(name: Option<&str>) -> anyhow::Result<Option<T>>
where
    T::Err: std::fmt::Display,
{
    name.map(|name| name.parse::<T>().map_err(|error| anyhow::anyhow!("{error}"))).transpose()
}

fn show_first(
    samples: &[Sample],
    tokenizer: &ChatTokenizer,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if let Some(first) = samples.first() {
        let what = if first.is_pair() { ["first chosen", "first rejected"] } else { ["first sample", ""] };
        for (what, answer) in what.into_iter().zip(first.answers()) {
            let title = format!("{what} ({}): token, id -> label", first.name());
            writeln!(out, "{}", painted(styles.heading, title))?;
            writeln!(out, "{}", preview::sanity(tokenizer, answer.input_ids(), answer.labels(), styles))?;
        }
        out.flush()?;
    }
    Ok(())
}

fn load_decoder(folder: &ModelFolder, config: &TrainConfig) -> anyhow::Result<Decoder<CpuDevice>> {
    let device = CpuDevice::new().with_precision(config.run.compute_dtype)?;
    if config.from_scratch {
        return Ok(Decoder::random(DecoderConfig::read(&folder.weights)?, config.run.seed, device));
    }
    Ok(Decoder::load_quantized(&folder.weights, config.run.quantization, device)?)
}

/// A flag that Ctrl-C sets; a second Ctrl-C leaves at once.
fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        terminal::say(format_args!(
            "\nstopping: this step is finished and saved first (Ctrl-C again leaves at once)"
        ));
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// A word as a shell takes it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "=._-/:,+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn next_commands(folder: &ModelFolder, config: &TrainConfig, weights: &Path) -> String {
    let weights = weights.display();
    let model = if config.method.is_whole() {
        format!("--model {weights}")
    } else {
        format!("--model {} --adapter {weights}", folder.given)
    };
    format!("try it:  toolsmith chat {model}\nscore it: toolsmith eval DATA {model}")
}
