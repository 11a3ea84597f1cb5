//! `preview`: samples as the trainer sees them, in colours or token by token.
//!
//! Without colours the marks carry the meaning: trained text stands between ⟦ and ⟧.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use toolsmith_chat::check::{Code, Finding, Level};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_chat::tokens::view::{self, Span, Style};
use toolsmith_prepare::{Answers, IGNORE_INDEX, RawRecord, RecordFormat, SampleMaker, SampleOptions};

use super::prepare::grouped;
use super::preview_dataset;
use crate::args::PreviewArgs;
use crate::datasets;
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::source;
use crate::terminal::{Styles, harmless, painted};

/// Samples shown unless the user says otherwise.
const SHOWN: usize = 3;

/// Runs the command.
pub(crate) fn run(
    args: &PreviewArgs,
    threads: Option<usize>,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (files, formats): (Vec<_>, Vec<_>) =
        datasets::find(&args.data, &args.format)?.into_iter().map(|file| (file.path, file.format)).unzip();
    let folder = ModelFolder::open(&args.model, Need::Tokenizer)?;
    let tokenizer = folder.tokenizer()?;
    let compat = args.compat.mode_of_file(&files, args.format.template.as_ref(), &folder, &tokenizer)?;
    let named = args.format.template.as_ref();
    let samples = SampleOptions { answers: Answers::Any, ..args.samples.options(None) };
    let mut maker = folder.sample_maker(&tokenizer, compat, named, samples)?;
    let whole = args.overview || args.html.is_some();
    if !whole {
        maker.own_template = None;
    }
    if whole {
        preview_dataset::run(args, &files, &formats, &maker, threads, styles, out)?;
    } else {
        show_first(args, files.iter().zip(&formats), &maker, styles, out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the first samples.
fn show_first<'a>(
    args: &PreviewArgs,
    files: impl Iterator<Item = (&'a PathBuf, &'a Option<RecordFormat>)>,
    maker: &SampleMaker<'_>,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if !args.sanity {
        writeln!(out, "{}\n", legend(styles))?;
    }
    let wanted = args.count.unwrap_or(SHOWN);
    let mut shown = 0;
    for (path, format) in files {
        for raw in source::raw_records(path)? {
            if shown >= wanted {
                return Ok(());
            }
            let raw = raw?;
            let title = format!("{}:{}: record {}", path.display(), raw.place.line, raw.place.index);
            shown += show(&raw, &title, format.as_ref(), maker, args.sanity, styles, out)?;
        }
    }
    if shown == 0 {
        writeln!(out, "{}: holds no records", names(&args.data))?;
    }
    Ok(())
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Prints a record's samples, or why it has none; returns how many things were shown.
fn show(
    raw: &RawRecord,
    title: &str,
    format: Option<&RecordFormat>,
    maker: &SampleMaker<'_>,
    sanity_view: bool,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<usize> {
    let made = match &raw.bytes {
        Ok(bytes) => maker.samples_of(bytes, raw.place, format),
        Err(message) => Err(vec![Finding::new(Code::Unreadable, message)]),
    };
    let accepted = match made {
        Ok(accepted) => accepted,
        Err(findings) => {
            writeln!(out, "{}", painted(styles.heading, title))?;
            for finding in findings {
                let (style, word) = match finding.level {
                    Level::Error => (styles.bad, "refused:"),
                    Level::Warning => (styles.warning, "warning:"),
                };
                writeln!(out, "{} {finding}", painted(style, word))?;
            }
            writeln!(out)?;
            return Ok(1);
        }
    };
    for (index, sample) in accepted.samples.iter().enumerate() {
        let trained = sample.labels.iter().filter(|&&label| label != IGNORE_INDEX).count();
        let side = if accepted.is_pair { ["chosen: ", "rejected: "][index % 2] } else { "" };
        let counts =
            format!("{side}{} tokens, {} trained", grouped(sample.input_ids.len()), grouped(trained));
        writeln!(out, "{} {}", painted(styles.heading, title), painted(styles.dim, counts))?;
        let text = if sanity_view {
            sanity(maker.tokenizer, &sample.input_ids, &sample.labels, styles)
        } else {
            coloured(&view::spans(maker.tokenizer, &sample.input_ids, &sample.labels), styles)
        };
        out.write_all(text.as_bytes())?;
        writeln!(out)?;
    }
    for warning in accepted.warnings {
        writeln!(out, "{} {}\n", painted(styles.warning, "warning:"), warning)?;
    }
    Ok(accepted.samples.len())
}

/// What the colours (or marks) mean.
pub(crate) fn legend(styles: &Styles) -> String {
    if !styles.colours {
        return "⟦trained⟧ untrained <|control|>".to_owned();
    }
    format!(
        "{} {} {} {}",
        painted(styles.trained, "trained"),
        painted(styles.untrained, "untrained"),
        painted(styles.control, "control"),
        painted(styles.control.underline(), "control, trained")
    )
}

/// A sample as running text: trained, untrained and control tokens told apart.
pub(crate) fn coloured(spans: &[Span], styles: &Styles) -> String {
    let mut text = String::new();
    let mut inside = false;
    for span in spans {
        if !styles.colours {
            if span.trained != inside {
                text.push(if span.trained { '⟦' } else { '⟧' });
                inside = span.trained;
            }
            text.push_str(&span.text);
            continue;
        }
        let style = match span.style {
            Style::Control if span.trained => styles.control.underline(),
            Style::Control => styles.control,
            Style::Trained => styles.trained,
            Style::Untrained => styles.untrained,
        };
        // Each line by itself, so that pagers and terminals never carry a style over a line's end.
        for (index, line) in span.text.split('\n').enumerate() {
            if index > 0 {
                text.push('\n');
            }
            if !line.is_empty() {
                let _infallible = write!(text, "{}", painted(style, harmless(line)));
            }
        }
    }
    if inside {
        text.push('⟧');
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// One token a line: its text quoted, its id, its label.
pub(crate) fn sanity(
    tokenizer: &ChatTokenizer,
    input_ids: &[u32],
    labels: &[i32],
    styles: &Styles,
) -> String {
    let mut text = String::new();
    for token in view::tokens(tokenizer, input_ids, labels) {
        let style = match token.style {
            Style::Control => styles.control,
            Style::Trained => styles.trained,
            Style::Untrained => styles.untrained,
        };
        let quoted = format!("{:?}", token.text);
        let pad = " ".repeat(24usize.saturating_sub(quoted.chars().count()));
        let _infallible =
            writeln!(text, "{}{pad} {:>7} -> {:>7}", painted(style, quoted), token.id, token.label);
    }
    text
}
