//! `demo`: the whole way on embedded assets, through the same functions that the other commands use.
//!
//! In: a seed and a folder. Out: a model that has learned to call tools, its scores before and after, and a run folder
//! with everything that was read and made. Needs no file, flag or network.

mod assets;
mod report;
mod show;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value as Json;
use toolsmith_chat::data::{Conversation, Message, Role, ToolSpec};
use toolsmith_chat::tokens::view;
use toolsmith_eval::Scores;
use toolsmith_prepare::read_prepared;
use toolsmith_synth::{DemoSizes, demo_dataset};

use crate::args::{
    DemoArgs, FormatArgs, ModelArgs, PrepareArgs, SampleArgs, SamplingArgs, SetArgs, TrainArgs,
};
use crate::assistant::Assistant;
use crate::commands::chat::{message_of, pending_call};
use crate::commands::eval::{Evaluation, Reference, evaluate, read_references};
use crate::commands::{prepare, preview, train};
use crate::compat::CompatArgs;
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::terminal::{self, Styles, painted};

/// Conversations to tune on and to score on.
const SIZES: DemoSizes = DemoSizes { train: 2600, eval: 160 };

/// Turns that answer together.
const BATCH_SIZE: usize = 16;

/// The most tokens of an answer; the longest reference answer has about half as many.
const MAX_NEW_TOKENS: usize = 220;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    base: &'a Scores,
    tuned: &'a Scores,
    seconds: Seconds,
    seed: u64,
    folder: String,
}

/// How long each part took.
#[derive(Debug, Default, Serialize)]
struct Seconds {
    prepare: f64,
    eval_base: f64,
    train: f64,
    eval_tuned: f64,
    total: f64,
}

/// Where everything of a run lies.
struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Runs the command.
pub(crate) fn run(
    args: &DemoArgs,
    threads: Option<usize>,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut seconds = Seconds::default();
    let mut quiet = io::sink();
    let talk: &mut dyn Write = if args.json { &mut quiet } else { &mut *out };
    let heading = |talk: &mut dyn Write, text: &str| {
        writeln!(talk, "\n{}", painted(styles.heading, text)).and_then(|()| talk.flush())
    };

    let folder = RunFolder { root: new_folder(args.output.as_deref())? };
    assets::unpack(&folder.path("base"))?;
    write_data(&folder, args.seed)?;
    let base = ModelFolder::open(&folder.text("base"), Need::Weights)?;
    let tokenizer = base.tokenizer()?;

    heading(talk, "1. Data: conversations in which an assistant calls tools")?;
    writeln!(
        talk,
        "{} to train on, {} to score on; the tools of the two share no name, parameter or description (seed {})\n",
        SIZES.train, SIZES.eval, args.seed
    )?;
    talk.flush()?;
    let timer = Instant::now();
    let prepared = prepare::run(&prepare_args(&folder), threads, styles, &mut *talk)?;
    if prepared != ExitCode::SUCCESS {
        return Ok(prepared);
    }
    seconds.prepare = timer.elapsed().as_secs_f64();

    heading(talk, "2. One sample, as the model reads it")?;
    writeln!(talk, "{}\n", preview::legend(styles))?;
    let rows = read_prepared(&folder.path("train.parquet"))?.rows;
    let samples: Vec<_> = rows.iter().take(2).collect();
    if let Some(first) = samples.first() {
        talk.write_all(
            preview::coloured(&view::spans(&tokenizer, first.input_ids, first.labels), styles).as_bytes(),
        )?;
    }

    heading(talk, "3. The base model, before training")?;
    let sampling = sampling(args.seed);
    let before = Assistant::load(&model_args(&folder, None), None)?;
    let (references, refused) = read_references(&folder.path("eval.jsonl"), None, before.template()?)?;
    if let Some(reason) = refused.first() {
        bail!("the generated data is wrong: {reason}");
    }
    let timer = Instant::now();
    let base_scores = score(&before, &references, &sampling)?;
    seconds.eval_base = timer.elapsed().as_secs_f64();
    writeln!(talk, "{}", show::one_line(&base_scores.scores))?;
    drop(before);

    heading(talk, "4. Training with LoRA")?;
    let timer = Instant::now();
    let trained = train::run(&train_args(&folder)?, threads, styles, &mut io::sink())?;
    if trained != ExitCode::SUCCESS {
        return Ok(trained);
    }
    seconds.train = timer.elapsed().as_secs_f64();
    let adapter = folder.path("tuned/adapter");
    let losses = read_losses(&folder.path("tuned/metrics.jsonl"))?;
    writeln!(talk, "{}", show::training(&losses, seconds.train))?;

    heading(talk, "5. The tuned model, on tools it has never seen")?;
    let after = Assistant::load(&model_args(&folder, Some(&adapter)), None)?;
    let timer = Instant::now();
    let tuned_scores = score(&after, &references, &sampling)?;
    seconds.eval_tuned = timer.elapsed().as_secs_f64();
    writeln!(talk, "{}", show::one_line(&tuned_scores.scores))?;

    heading(talk, "6. Before and after")?;
    talk.write_all(show::table(&base_scores.scores, &tuned_scores.scores, styles).as_bytes())?;

    heading(talk, "7. One conversation played out")?;
    if let Some(reference) = to_play(&references, &tuned_scores) {
        play_out(&after, reference, &sampling, styles, talk)?;
        write_tools(&folder.path("tools.json"), reference)?;
    }

    seconds.total = begun.elapsed().as_secs_f64();
    let gathered = show::Gathered {
        seed: args.seed,
        seconds: seconds.total,
        tokenizer: &tokenizer,
        samples: &samples,
        references: &references,
        base: &base_scores,
        tuned: &tuned_scores,
        losses: &losses,
    };
    let page = report::render(&show::report(&gathered))?;
    write(&folder.path("report.html"), page.as_bytes())?;

    let outcome = Outcome {
        base: &base_scores.scores,
        tuned: &tuned_scores.scores,
        seconds,
        seed: args.seed,
        folder: folder.root.display().to_string(),
    };
    let json = serde_json::to_string(&outcome)?;
    write(&folder.path("demo.json"), format!("{json}\n").as_bytes())?;
    if args.json {
        writeln!(out, "{json}")?;
    } else {
        out.write_all(show::next(&folder.root, outcome.seconds.total, styles).as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The folder that was asked for, which must not exist yet; else the first free one of `runs/demo`, `runs/demo-2`, ….
fn new_folder(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match asked {
        Some(path) if path.exists() => {
            bail!(
                "{}: exists already. Name a folder that does not: the demo overwrites nothing",
                path.display()
            )
        }
        Some(path) => path.to_path_buf(),
        None => {
            let first = PathBuf::from("runs/demo");
            let numbered = (2..).map(|number| PathBuf::from(format!("runs/demo-{number}")));
            std::iter::once(first)
                .chain(numbered)
                .find(|path| !path.exists())
                .context("no free folder below runs/")?
        }
    };
    fs::create_dir_all(&path)
        .with_context(|| format!("{}: cannot be made. Name another with --output", path.display()))?;
    Ok(path)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("{}: cannot be written", path.display()))
}

fn write_data(folder: &RunFolder, seed: u64) -> anyhow::Result<()> {
    let data = demo_dataset(seed, SIZES);
    for (name, records) in [("train.jsonl", &data.train), ("eval.jsonl", &data.eval)] {
        let mut text = String::new();
        for record in records {
            text.push_str(&serde_json::to_string(record)?);
            text.push('\n');
        }
        write(&folder.path(name), text.as_bytes())?;
    }
    Ok(())
}

fn prepare_args(folder: &RunFolder) -> PrepareArgs {
    PrepareArgs {
        data: vec![folder.path("train.jsonl")],
        model: folder.text("base"),
        output: folder.path("train.parquet"),
        format: FormatArgs { format: None, dataset_info: None, template: None },
        samples: SampleArgs::default(),
        sets: SetArgs::default(),
        force: false,
        compat: CompatArgs::default(),
        skip_bad: false,
        json: false,
    }
}

fn model_args(folder: &RunFolder, adapter: Option<&Path>) -> ModelArgs {
    ModelArgs { model: folder.text("base"), adapter: adapter.map(Path::to_path_buf) }
}

/// The recipe with this run's paths, left in the run folder so that it can be run again by hand.
fn train_args(folder: &RunFolder) -> anyhow::Result<TrainArgs> {
    let paths = [("model", "base"), ("data", "train.parquet"), ("output_dir", "tuned")];
    let recipe: Vec<String> = assets::RECIPE
        .lines()
        .map(|line| match paths.iter().find(|(key, _)| line.starts_with(&format!("{key}:"))) {
            Some((key, name)) => format!("{key}: {}", Json::from(folder.text(name))),
            None => line.to_owned(),
        })
        .collect();
    let config = folder.path("train.yaml");
    write(&config, (recipe.join("\n") + "\n").as_bytes())?;
    Ok(TrainArgs { config, overrides: Vec::new(), resume: false, force: false, skip_bad: false })
}

/// Greedy answers: the likeliest token at each place.
fn sampling(seed: u64) -> SamplingArgs {
    SamplingArgs {
        max_new_tokens: MAX_NEW_TOKENS,
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        repetition_penalty: 1.0,
        seed,
    }
}

fn score(
    assistant: &Assistant,
    references: &[Reference],
    sampling: &SamplingArgs,
) -> anyhow::Result<Evaluation> {
    let turns: usize = references.iter().map(|reference| answers(&reference.conversation)).sum();
    let bar = terminal::count_bar(turns as u64, "turns");
    bar.set_message("answering");
    let evaluation =
        evaluate(assistant, references, sampling, BATCH_SIZE, &mut |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    evaluation
}

fn answers(conversation: &Conversation) -> usize {
    conversation.messages.iter().filter(|message| message.role == Role::Assistant).count()
}

/// The loss of each step.
fn read_losses(path: &Path) -> anyhow::Result<Vec<(u64, f32)>> {
    let text = fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut losses = Vec::new();
    for line in text.lines() {
        let metrics: Json = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        if let (Some(step), Some(loss)) = (metrics["step"].as_u64(), metrics["loss"].as_f64()) {
            losses.push((step, loss as f32));
        }
    }
    Ok(losses)
}

/// A held-out conversation with results: the first that the tuned model got right, else the first.
fn to_play<'a>(references: &'a [Reference], tuned: &Evaluation) -> Option<&'a Reference> {
    let right =
        |index| tuned.turns.iter().filter(|turn| turn.index == index).all(|turn| turn.score.exactly_right);
    let with_results = || {
        references.iter().filter(|reference| {
            reference.conversation.messages.iter().any(|message| message.role == Role::Tool)
        })
    };
    with_results().find(|reference| right(reference.index)).or_else(|| with_results().next())
}

/// The tools of a conversation, for `chat --tools`.
fn write_tools(path: &Path, reference: &Reference) -> anyhow::Result<()> {
    let tools: Vec<&Json> = reference.conversation.tools().iter().map(ToolSpec::definition).collect();
    write(path, (serde_json::to_string_pretty(&tools)? + "\n").as_bytes())
}

/// Plays a conversation with the tuned model speaking; questions and results are the reference's own.
fn play_out(
    assistant: &Assistant,
    reference: &Reference,
    sampling: &SamplingArgs,
    styles: &Styles,
    talk: &mut dyn Write,
) -> anyhow::Result<()> {
    let said = &reference.conversation.messages;
    let mut conversation = Conversation { tools: reference.conversation.tools.clone(), messages: Vec::new() };
    writeln!(talk, "{}", show::offered(&conversation, styles))?;
    for message in said {
        match message.role {
            Role::System => conversation.messages.push(message.clone()),
            Role::User => {
                writeln!(talk, "{} {}", painted(styles.heading, "user     "), message.text())?;
                conversation.messages.push(message.clone());
            }
            Role::Tool => {
                // A result belongs to a call; where the model made none, there is nothing to go on with.
                let Some(call) = pending_call(&conversation) else { break };
                writeln!(talk, "{} {}", painted(styles.dim, "result   "), message.text())?;
                conversation.messages.push(Message::tool_result(call.id, message.text()));
            }
            Role::Assistant => {
                let answer = assistant.answer_all(std::slice::from_ref(&conversation), sampling)?.remove(0);
                writeln!(talk, "{}", show::spoken(&answer.turn, styles))?;
                conversation.messages.push(message_of(answer, conversation.messages.len()));
            }
        }
    }
    Ok(())
}
