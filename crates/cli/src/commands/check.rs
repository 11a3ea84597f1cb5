//! `check`: what goes wrong silently in training data, by name, place and how to mend it.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use toolsmith_chat::batch::Truncation;
use toolsmith_chat::check::{Checker, Code};
use toolsmith_chat::template::{ChatTemplate, TemplateName};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::{
    Answers, CheckOptions, CheckReport, FileRecords, Inspector, Mended, PipelineOptions, PrepareError,
    Progress, check_files, mend_files,
};

use super::prepare::{FOUND_ERRORS, pipeline_options, total_bytes};
use crate::args::{CheckArgs, ReportFormat};
use crate::check_report::{Checked, github, json, sarif, text};
use crate::datasets;
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::terminal::{self, Styles, painted};

/// Places shown of each rule, to people and to programs.
const SHOWN: usize = 3;
const LISTED: usize = 1000;

/// Runs the command.
pub(crate) fn run(
    args: &CheckArgs,
    threads: Option<usize>,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if let Some(rule) = &args.explain {
        return explain(rule, styles, out);
    }
    let folder = args.model.as_deref().map(|model| ModelFolder::open(model, Need::Tokenizer)).transpose()?;
    let tokenizer = folder.as_ref().map(ModelFolder::tokenizer).transpose()?;
    let mut options = options(args, threads)?;
    // Mended data must not lack a file.
    let unreadable = if args.fix.is_some() { Vec::new() } else { set_unreadable_aside(&mut options)? };
    let inspector = inspector(args, &options, folder.as_ref(), tokenizer.as_ref())?;

    let bar = terminal::byte_bar(total_bytes(&options.sources));
    bar.set_message("checking");
    let begun = Instant::now();
    let mut progress = |progress: Progress| bar.set_position(progress.bytes_read);
    let report = check_files(&inspector, &options, &mut progress);
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let report = report?;
    let mended = args.fix.as_deref().map(|output| mend(output, &inspector, &options)).transpose()?;

    let checked = Checked {
        report: &report,
        mended: mended.as_ref().zip(args.fix.as_deref()),
        sources: &options.sources,
        with_model: args.model.is_some(),
        seconds,
    };
    match report_format(args) {
        ReportFormat::Text => out.write_all(text::report(&checked, styles).as_bytes())?,
        ReportFormat::Json => json::write(&checked, out)?,
        ReportFormat::Sarif => sarif::write(&checked, out)?,
        ReportFormat::Github => github::write(&checked, out)?,
    }
    out.flush()?;
    for error in &unreadable {
        terminal::say(format_args!("{} {error}", painted(styles.bad, "error:")));
    }
    Ok(if unreadable.is_empty() { exit_code(&report) } else { ExitCode::FAILURE })
}

/// Takes files that hold no records at all out of the sources, so that the others are reported all the same. A missing
/// file, or none that can be read, is an error at once.
fn set_unreadable_aside(options: &mut CheckOptions) -> Result<Vec<PrepareError>, PrepareError> {
    let (mut kept, mut data, mut unreadable) = (Vec::new(), 0, Vec::new());
    for (index, (path, format)) in options.sources.iter().zip(&options.formats).enumerate() {
        match FileRecords::open(path, options.pipeline.max_record_bytes, &Arc::default()) {
            Ok(_) => {
                kept.push((path.clone(), format.clone()));
                data += usize::from(index < options.data);
            }
            Err(error) if path.exists() => unreadable.push(error),
            Err(error) => return Err(error),
        }
    }
    if data == 0 && !unreadable.is_empty() {
        return Err(unreadable.swap_remove(0));
    }
    (options.sources, options.formats) = kept.into_iter().unzip();
    options.data = data;
    Ok(unreadable)
}

fn exit_code(report: &CheckReport) -> ExitCode {
    if report.conversations == 0 {
        terminal::say("error: the data holds no records. Check the files");
        return ExitCode::from(FOUND_ERRORS);
    }
    match report.errors {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FOUND_ERRORS),
    }
}

fn explain(rule: &str, styles: &Styles, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let told = match rule {
        "" => text::all_rules(),
        rule => text::explained(rule.parse::<Code>().map_err(anyhow::Error::msg)?, styles),
    };
    out.write_all(told.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn report_format(args: &CheckArgs) -> ReportFormat {
    if args.json { ReportFormat::Json } else { args.output_format }
}

fn options(args: &CheckArgs, threads: Option<usize>) -> anyhow::Result<CheckOptions> {
    let mut files = datasets::find(&args.data, &args.format)?;
    let data = files.len();
    files.extend(datasets::find(&args.eval_data, &args.format)?);
    let (sources, formats) = files.into_iter().map(|file| (file.path, file.format)).unzip();
    let places = match report_format(args) {
        ReportFormat::Text | ReportFormat::Github => SHOWN,
        ReportFormat::Json | ReportFormat::Sarif => LISTED,
    };
    Ok(CheckOptions {
        sources,
        formats,
        data,
        places: args.places.unwrap_or(places),
        ignored: args.samples.ignore.clone(),
        similarity: args.similar.0,
        pipeline: pipeline_options(threads),
    })
}

fn inspector<'a>(
    args: &CheckArgs,
    options: &CheckOptions,
    folder: Option<&ModelFolder>,
    tokenizer: Option<&'a ChatTokenizer>,
) -> anyhow::Result<Inspector<'a>> {
    let (Some(folder), Some(tokenizer)) = (folder, tokenizer) else {
        let template = match args.format.template()? {
            Some(TemplateName::Native(template)) => Some(ChatTemplate::Native(template)),
            Some(TemplateName::Jinja) => {
                anyhow::bail!("--template jinja is the model's own template: name the model by --model")
            }
            None => None,
        };
        return Ok(Inspector::Structure(Checker::new(template.clone(), None), template));
    };
    let named = args.format.template.as_ref();
    let compat = args.compat.mode_of_file(&options.sources, named, folder, tokenizer)?;
    let mut samples = args.samples.options(None);
    samples.answers = Answers::of_first_record(&options.sources, &options.formats);
    if samples.max_length.is_none() && compat.is_none() {
        samples.max_length = folder.most_positions();
        samples.truncation = Truncation::Refuse;
    }
    Ok(Inspector::Model(Box::new(folder.sample_maker(tokenizer, compat, named, samples)?)))
}

/// Writes the mended data.
fn mend(output: &Path, inspector: &Inspector<'_>, options: &CheckOptions) -> anyhow::Result<Mended> {
    let data = options.sources.get(..options.data).unwrap_or_default();
    let bar = terminal::byte_bar(total_bytes(data));
    bar.set_message("mending");
    let pipeline: &PipelineOptions = &options.pipeline;
    let schemas = inspector.checker().schemas();
    let mended =
        mend_files(data, &options.formats, schemas, pipeline, output, &mut |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    Ok(mended?)
}
