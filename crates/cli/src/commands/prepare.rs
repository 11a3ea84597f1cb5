//! `prepare`: data files to one Parquet file of token ids and labels, and what became of each record.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use serde::Serialize;
use toolsmith_chat::check::Code;
use toolsmith_prepare::{
    Answers, LocatedFinding, MAX_LISTED, Outcome, Outputs, PipelineOptions, PrepareOptions, Progress,
    SampleMaker, Selection, Summary, content_key, prepare_to_parquet, remove_leftovers, up_to_date,
};

use crate::args::{PrepareArgs, SetArgs};
use crate::datasets;
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::terminal::{self, Styles, painted};

/// Exit code when records were found that must not be trained on.
pub(crate) const FOUND_ERRORS: u8 = 3;

/// Refusals printed for people; `--json` lists more.
const SHOWN: usize = 20;

/// A summary with the time it took, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    output: Option<String>,
    files: Vec<String>,
    /// Whether the files were there already.
    up_to_date: bool,
    #[serde(flatten)]
    summary: &'a Summary,
    seconds: f64,
    tokens_per_second: f64,
}

/// Runs the command.
pub(crate) fn run(
    args: &PrepareArgs,
    threads: Option<usize>,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (data, formats): (Vec<_>, Vec<_>) =
        datasets::find(&args.data, &args.format)?.into_iter().map(|file| (file.path, file.format)).unzip();
    let folder = ModelFolder::open(&args.model, Need::Tokenizer)?;
    let tokenizer = folder.tokenizer()?;
    let compat = args.compat.mode_of_file(&data, args.format.template.as_ref(), &folder, &tokenizer)?;
    let named = args.format.template.as_ref();
    let mut samples = args.samples.options(None);
    if compat.is_none() {
        samples.answers = Answers::of_first_record(&data, &formats);
    }
    let maker = folder.sample_maker(&tokenizer, compat, named, samples)?;
    let template = maker.template.clone();
    let repeated = maker.compat.as_ref().map(|mode| ("compat", mode.compat.to_string()));
    let options = PrepareOptions {
        skip_bad: args.skip_bad,
        pipeline: pipeline_options(threads),
        selection: selection(&args.sets, &data)?,
        formats,
    };
    let outputs = outputs(args);
    let mut facts = vec![("tokenizer", folder.tokenizer_fingerprint())];
    facts.extend(repeated);
    facts.extend(template.map(|template| ("template", template.to_string())));

    for leftover in remove_leftovers(&args.output) {
        terminal::say(format_args!("removed {}: a run that was killed left it behind", leftover.display()));
    }
    let begun = Instant::now();
    let bar = terminal::byte_bar(total_bytes(&data));
    bar.set_message("comparing");
    let circumstances = circumstances(&facts, &folder, &maker, &options, &outputs);
    let key = content_key(&data, &circumstances, &mut |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let key = key?;
    let there = if args.force { None } else { up_to_date(&outputs, &key) };
    let is_there = there.is_some();
    let outcome = match there {
        Some((written, summary)) => Outcome::Done(written, summary),
        None => {
            let bar = terminal::byte_bar(total_bytes(&data));
            bar.set_message("preparing");
            let mut progress = |progress: Progress| bar.set_position(progress.bytes_read);
            let outcome = prepare_to_parquet(&data, &maker, &options, &outputs, &facts, &key, &mut progress);
            bar.finish_and_clear();
            outcome?
        }
    };
    let seconds = begun.elapsed().as_secs_f64();

    let (summary, written) = match outcome {
        Outcome::Done(written, summary) => (summary, Some(written)),
        Outcome::Refused(summary) => (summary, None),
    };
    let names = |files: &[PathBuf]| files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
    let report = Report {
        output: written.as_ref().map(|_| args.output.display().to_string()),
        files: written.as_ref().map(|written| names(&written.files)).unwrap_or_default(),
        up_to_date: is_there,
        summary: &summary,
        seconds,
        tokens_per_second: summary.tokens as f64 / seconds.max(1e-9),
    };
    if args.json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else {
        let speed_of = (!is_there).then_some(seconds);
        out.write_all(describe(&summary, speed_of, styles).as_bytes())?;
        let said = if is_there { "up to date:" } else { "written:" };
        match report.files.as_slice() {
            [] => {}
            [.., last] if report.files.len() > SHOWN => {
                let count = grouped(report.files.len());
                writeln!(out, "{} {count} files, the last {last}", painted(styles.good, said))?;
            }
            files => {
                for file in files {
                    writeln!(out, "{} {file}", painted(styles.good, said))?;
                }
            }
        }
        if is_there {
            writeln!(out, "nothing was done: data, model and options are the same. --force prepares again")?;
        }
    }
    out.flush()?;
    let Some(written) = written else {
        let text = refused_text(&summary, "nothing was written");
        terminal::say(format_args!("{} {text}", painted(styles.bad, "error:")));
        return Ok(ExitCode::from(FOUND_ERRORS));
    };
    for old in names(&written.removed) {
        terminal::say(format_args!(
            "removed {old}: it was part of what an earlier run wrote under this name"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The files to write.
fn outputs(args: &PrepareArgs) -> Outputs {
    let beside = || match args.output.extension() {
        Some(extension) => args.output.with_extension(format!("validation.{}", extension.to_string_lossy())),
        None => args.output.with_added_extension("validation"),
    };
    let given = || args.sets.validation_output.clone();
    Outputs {
        train: args.output.clone(),
        validation: args.sets.validation.map(|_| given().unwrap_or_else(beside)),
        shard_rows: args.sets.shard_rows,
    }
}

/// How often each file's records are taken, and which are kept apart.
fn selection(args: &SetArgs, data: &[PathBuf]) -> anyhow::Result<Selection> {
    let mut weights = vec![1.0; data.len()];
    for (file, weight) in &args.weights {
        let mut found = false;
        for (path, of_path) in data.iter().zip(&mut weights) {
            if path == file {
                (*of_path, found) = (*weight, true);
            }
        }
        if !found {
            let names: Vec<_> = data.iter().map(|path| path.display().to_string()).collect();
            bail!(
                "--weight {}={weight}: names none of the data files; expected one of: {}",
                file.display(),
                names.join(", ")
            );
        }
    }
    Ok(Selection { validation_share: args.validation.unwrap_or(0.0), weights })
}

/// Everything but the data that decides what is written.
fn circumstances(
    facts: &[(&'static str, String)],
    folder: &ModelFolder,
    maker: &SampleMaker<'_>,
    options: &PrepareOptions,
    outputs: &Outputs,
) -> Vec<(&'static str, String)> {
    let mut all = facts.to_vec();
    all.extend([
        ("model", folder.settings()),
        ("samples", format!("{:?}", maker.options)),
        ("mode", format!("{:?}", maker.compat)),
        ("formats", format!("{:?}", options.formats)),
        ("selection", format!("{:?} {}", options.selection, options.skip_bad)),
        ("files", format!("{outputs:?}")),
    ]);
    all
}

/// Why nothing came of a preparation, and what to do.
pub(crate) fn refused_text(summary: &Summary, consequence: &str) -> String {
    if summary.refused == 0 {
        return format!("the data holds no records, so {consequence}");
    }
    let (refused, all) = (summary.refused, summary.conversations);
    let bad = match (refused, all) {
        (1, 1) => "the only record is bad".to_owned(),
        _ if refused == all => format!("all {} records are bad", grouped(all)),
        (1, _) => format!("1 of {} records is bad", grouped(all)),
        _ => format!("{} of {} records are bad", grouped(refused), grouped(all)),
    };
    let skip = if refused == all { "" } else { ", or drop what is bad with --skip-bad" };
    format!("{bad}, so {consequence}. Mend the data{skip}")
}

/// The summary for people: counts, then what was refused and what was warned about.
pub(crate) fn describe(summary: &Summary, seconds: Option<f64>, styles: &Styles) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: usize, remark: String| {
        let remark = if remark.is_empty() { remark } else { format!("   {remark}") };
        let name = format!("{name:<14}");
        let _infallible = writeln!(text, "{}{:>13}{}", painted(styles.heading, name), grouped(value), remark);
    };
    row("conversations", summary.conversations, String::new());
    row("refused", summary.refused, by_code(&summary.refused_by_code));
    if summary.left_out > 0 {
        row("left out", summary.left_out, "by their file's weight, unread".to_owned());
    }
    if summary.samples > 0 {
        let apart = (summary.validation_samples > 0)
            .then(|| format!("{} of them kept apart for validation", grouped(summary.validation_samples)));
        let pairs = (summary.pairs > 0).then(|| format!("pairs: {}", grouped(summary.pairs)));
        let remarks: Vec<String> = pairs.into_iter().chain(apart).collect();
        row("samples", summary.samples, remarks.join("; "));
        let speed = seconds.map(|seconds| {
            format!("{} a second", grouped((summary.tokens as f64 / seconds.max(1e-9)) as usize))
        });
        row("tokens", summary.tokens, speed.unwrap_or_default());
        let share = |tokens: usize| 100.0 * tokens as f64 / summary.tokens.max(1) as f64;
        let trained = format!("{:.1}% of all", share(summary.trained_tokens));
        row("trained tokens", summary.trained_tokens, trained);
        row("longest", summary.longest, "tokens in a sample".to_owned());
        let repeated = summary.repeated_prefix_tokens;
        if repeated > 0 {
            let shared = format!("{:.1}% of all: begins as an earlier sample does", share(repeated));
            row("shared prefix", repeated, shared);
        }
    }
    if let Some(plan) = &summary.packing {
        let (most, full) = (grouped(plan.max_length), 100.0 * plan.fill);
        row("packing", plan.packs, format!("packs of {most} tokens would hold it, {full:.1}% full"));
    }
    if summary.compared > 0 {
        let differ = summary.warnings_by_code.get(Code::TemplateDiffers.as_str()).copied().unwrap_or(0);
        let found = format!("with the model's own chat template; {} differ", grouped(differ));
        row("compared", summary.compared, found);
    }
    if !summary.warnings_by_code.is_empty() {
        row("warnings", summary.warnings_by_code.values().sum(), by_code(&summary.warnings_by_code));
    }
    if summary.sources.iter().any(|source| source.weight != 1.0) {
        let _infallible = writeln!(text, "\n{}", painted(styles.heading, "mixed:"));
        for source in &summary.sources {
            let [records, left_out, samples] =
                [source.conversations, source.left_out, source.samples].map(grouped);
            let (name, weight) = (&source.source, source.weight);
            let _infallible = writeln!(
                text,
                "  {name} x {weight}: {records} records, {left_out} left out, {samples} samples"
            );
        }
    }
    list(&mut text, "refused", &summary.refusals, summary.refused_by_code.values().sum(), styles);
    list(&mut text, "warnings", &summary.warnings, summary.warnings_by_code.values().sum(), styles);
    text
}

fn by_code(counts: &BTreeMap<String, usize>) -> String {
    let counts: Vec<String> =
        counts.iter().map(|(code, count)| format!("{code} {}", grouped(*count))).collect();
    counts.join(", ")
}

fn list(text: &mut String, title: &str, refusals: &[LocatedFinding], total: usize, styles: &Styles) {
    if refusals.is_empty() {
        return;
    }
    let _infallible = writeln!(text, "\n{}", painted(styles.heading, format!("{title}:")));
    for refusal in refusals.iter().take(SHOWN) {
        let _infallible = writeln!(text, "  {refusal}");
    }
    if total > SHOWN {
        let _infallible =
            writeln!(text, "  … and {} more; --json lists up to {MAX_LISTED}", grouped(total - SHOWN));
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The pipeline with as many threads as the user wants.
pub(crate) fn pipeline_options(threads: Option<usize>) -> PipelineOptions {
    let default = PipelineOptions::default();
    PipelineOptions { threads: threads.unwrap_or(default.threads), ..default }
}

/// The size of all sources on disk, for progress.
pub(crate) fn total_bytes(sources: &[PathBuf]) -> u64 {
    sources.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
