//! `preview`: samples as the trainer sees them, in colours or token by token.
//!
//! Without colours the marks carry the meaning: trained text stands between ⟦ and ⟧.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use toolsmith_chat::check::{Checker, Code, Finding};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_chat::tokens::view::{self, Span, Style};
use toolsmith_prepare::{IGNORE_INDEX, SampleMaker};

use super::prepare::grouped;
use crate::args::PreviewArgs;
use crate::datasets::{self, DataFile};
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::source;
use crate::terminal::{Styles, painted};

/// Runs the command.
pub(crate) fn run(args: &PreviewArgs, styles: &Styles, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let DataFile { path, format } = datasets::find_one(&args.data, &args.format)?;
    let folder = ModelFolder::open(&args.model, Need::Tokenizer)?;
    let tokenizer = folder.tokenizer()?;
    let compat = args.compat.mode_of_file(
        std::slice::from_ref(&path),
        args.format.template.as_ref(),
        &folder,
        &tokenizer,
    )?;
    let template = match &compat {
        Some(_) => folder.native_template(&tokenizer),
        None => folder.find_template(args.format.template()?, &tokenizer)?,
    };
    let maker = SampleMaker {
        checker: Checker::new(template.clone(), Some(&tokenizer)),
        template,
        own_template: None,
        eos: folder.eos_id(&tokenizer),
        options: args.samples.options(format),
        compat,
        tokenizer: &tokenizer,
    };
    if !args.sanity {
        writeln!(out, "{}\n", legend(styles))?;
    }
    let mut shown = 0;
    for raw in source::raw_records(&path)? {
        if shown == args.count {
            break;
        }
        let raw = raw?;
        let title = format!("{}:{}: record {}", path.display(), raw.place.line, raw.place.index);
        let made = match raw.bytes {
            Ok(bytes) => maker.samples(&bytes, raw.place),
            Err(message) => Err(vec![Finding::new(Code::Unreadable, message)]),
        };
        match made {
            Err(findings) => {
                writeln!(out, "{}", painted(styles.heading, &title))?;
                for finding in findings {
                    writeln!(out, "{} {}", painted(styles.bad, "refused:"), finding)?;
                }
                writeln!(out)?;
                shown += 1;
            }
            Ok(accepted) => {
                for sample in accepted.samples {
                    let trained = sample.labels.iter().filter(|&&label| label != IGNORE_INDEX).count();
                    let counts =
                        format!("{} tokens, {} trained", grouped(sample.input_ids.len()), grouped(trained));
                    writeln!(out, "{} {}", painted(styles.heading, &title), painted(styles.dim, counts))?;
                    let text = if args.sanity {
                        sanity(&tokenizer, &sample.input_ids, &sample.labels, styles)
                    } else {
                        coloured(&view::spans(&tokenizer, &sample.input_ids, &sample.labels), styles)
                    };
                    out.write_all(text.as_bytes())?;
                    writeln!(out)?;
                    shown += 1;
                }
                for warning in accepted.warnings {
                    writeln!(out, "{} {}\n", painted(styles.dim, "warning:"), warning)?;
                }
            }
        }
    }
    if shown == 0 {
        writeln!(out, "{}: holds no records", args.data.display())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
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

/// The line without characters that would steer the terminal.
fn harmless(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
