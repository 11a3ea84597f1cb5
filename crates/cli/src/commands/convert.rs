//! `convert`: raw data sets to records, as the scripts of the field write them, and what was dropped on the way.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use toolsmith_prepare::{Conversion, convert_files};

use super::prepare::{FOUND_ERRORS, grouped, total_bytes};
use crate::args::ConvertArgs;
use crate::terminal::{self, Styles, painted};

/// Drops printed for people; `--json` lists more.
const SHOWN: usize = 20;

/// The counts, as `--json` prints them.
#[derive(Debug, Serialize)]
struct Report<'a> {
    output: Option<String>,
    #[serde(flatten)]
    conversion: &'a Conversion,
}

/// Runs the command.
pub(crate) fn run(args: &ConvertArgs, styles: &Styles, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let bar = terminal::byte_bar(total_bytes(&args.data));
    bar.set_message("converting");
    let outcome = convert_files(&args.data, args.raw, &args.output, &mut |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let conversion = outcome?;
    let written = conversion.written > 0;
    let output = written.then(|| args.output.display().to_string());
    if args.json {
        serde_json::to_writer(&mut *out, &Report { output, conversion: &conversion })?;
        out.write_all(b"\n")?;
    } else {
        describe(&conversion, styles, out)?;
        if let Some(output) = output {
            writeln!(out, "{} {output}", painted(styles.good, "written:"))?;
        }
    }
    out.flush()?;
    if written {
        return Ok(ExitCode::SUCCESS);
    }
    terminal::say(format_args!(
        "{} nothing could be converted, so nothing was written. Is this raw {} data?",
        painted(styles.bad, "error:"),
        args.raw
    ));
    Ok(ExitCode::from(FOUND_ERRORS))
}

fn describe(conversion: &Conversion, styles: &Styles, out: &mut dyn Write) -> std::io::Result<()> {
    let counts =
        [("read", conversion.read), ("written", conversion.written), ("dropped", conversion.dropped)];
    for (name, count) in counts {
        writeln!(out, "{}{:>13}", painted(styles.heading, format!("{name:<14}")), grouped(count))?;
    }
    if conversion.dropped > 0 {
        writeln!(out, "\n{}", painted(styles.heading, "dropped:"))?;
    }
    for drop in conversion.drops.iter().take(SHOWN) {
        writeln!(out, "  {drop}")?;
    }
    if conversion.dropped > SHOWN {
        writeln!(out, "  … and {} more; --json lists more", grouped(conversion.dropped - SHOWN))?;
    }
    Ok(())
}
