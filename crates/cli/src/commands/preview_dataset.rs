//! `preview --overview` and `preview --html`: the whole data set instead of its first samples.
//!
//! In: what `preview` was asked, and how samples are made. Out: an overview on the terminal, and a page.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use toolsmith_chat::data::TrainOn;
use toolsmith_prepare::{RecordFormat, SampleMaker, WholeFile};

use super::prepare::{describe, grouped, pipeline_options, total_bytes};
use crate::args::PreviewArgs;
use crate::overview::collect::{Dataset, Overview, collect};
use crate::overview::page::{self, Fact};
use crate::overview::text;
use crate::terminal::{self, Styles, painted};

/// Conversations that a page holds unless the user says otherwise.
const HELD: usize = 2000;

/// Reads everything and shows what was asked for.
pub(super) fn run(
    args: &PreviewArgs,
    files: &[PathBuf],
    formats: &[Option<RecordFormat>],
    maker: &SampleMaker<'_>,
    threads: Option<usize>,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if let Some(path) = args.html.as_deref().filter(|path| files.iter().any(|file| is_same(file, path))) {
        bail!(
            "{}: is a data file; the page would take its place. Name another file after --html",
            path.display()
        );
    }
    // Before all the reading: a wrong name is told at once.
    let page_file = args.html.as_deref().map(WholeFile::create).transpose()?;
    let dataset = Dataset { files, formats, maker, pipeline: pipeline_options(threads) };
    let passes = 1 + u64::from(args.html.is_some());
    let first_pass = total_bytes(files);
    let bar = terminal::byte_bar(passes * first_pass);
    bar.set_message("reading");
    let overview = collect(&dataset, &mut |bytes| bar.set_position(bytes))?;
    if args.overview {
        bar.suspend(|| {
            out.write_all(describe(&overview.summary, None, styles).as_bytes())?;
            out.write_all(text::describe(&overview, styles).as_bytes())?;
            out.flush()
        })?;
    }
    let (Some(path), Some(mut file)) = (&args.html, page_file) else {
        bar.finish_and_clear();
        return Ok(());
    };
    let facts = facts(args, maker, &overview, files);
    let limit = args.count.unwrap_or(HELD);
    let mut progress = |bytes| bar.set_position(first_pass + bytes);
    let page = page::make(&dataset, &overview, &facts, limit, &mut progress)?;
    file.write(page.html.as_bytes())?;
    file.finish()?;
    bar.finish_and_clear();
    writeln!(out, "{}", page.holds)?;
    let size = indicatif::HumanBytes(page.html.len() as u64);
    writeln!(out, "{} {} ({size})", painted(styles.good, "written:"), path.display())?;
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// What the samples were made of, and with what.
fn facts(args: &PreviewArgs, maker: &SampleMaker<'_>, overview: &Overview, files: &[PathBuf]) -> Vec<Fact> {
    let fact = |name, value: String| Fact { name, value, remark: String::new() };
    let records = |(path, records): (&PathBuf, &usize)| Fact {
        name: "file",
        value: path.display().to_string(),
        remark: format!("{} records", grouped(*records)),
    };
    let mut facts: Vec<Fact> = files.iter().zip(&overview.records_by_file).map(records).collect();
    facts.push(fact("model", args.model.clone()));
    if let Some(template) = &maker.template {
        facts.push(fact("chat template", template.to_string()));
    }
    if let Some(mode) = &maker.compat {
        facts.push(fact("repeats", mode.compat.to_string()));
    }
    let options = &maker.options;
    if let Some(length) = options.max_length {
        let how = options.truncation;
        facts.push(fact("longest sample", format!("{} tokens, else {}", grouped(length), how.as_str())));
    }
    if options.train_on != TrainOn::default() {
        facts.push(fact("trained answers", options.train_on.as_str().to_owned()));
    }
    facts.push(fact("made by", concat!("toolsmith ", env!("CARGO_PKG_VERSION")).to_owned()));
    facts
}
