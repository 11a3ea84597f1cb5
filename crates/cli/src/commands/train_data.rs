//! What a run is trained on: data files, raw or prepared, to samples that fit the model.
//!
//! In: names of files, and how records become samples. Out: the samples in the order of the files, or what stands against
//! training on them. Does not know how a run goes.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toolsmith_chat::batch;
use toolsmith_prepare::{
    Answers, Outcome, PrepareOptions, Prepared, Row, Rows, SampleMaker, is_prepared, leaves_ids_out,
    prepare_in_memory, read_prepared,
};
use toolsmith_train::Sample;

use super::prepare::{describe, refused_text, total_bytes};
use crate::datasets;
use crate::model_folder::ModelFolder;
use crate::terminal::{self, Styles, painted};

/// What was read for a run; or that it must not begin, for reasons that are told already.
pub(super) enum Loaded {
    Samples(Vec<Sample>),
    Refused,
}

/// The samples of files, raw or prepared, in the order in which the files are named.
pub(super) fn load_samples(
    files: &[String],
    what: &str,
    maker: &SampleMaker<'_>,
    options: &PrepareOptions,
    folder: &ModelFolder,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<Loaded> {
    let mut samples = Vec::new();
    for name in &datasets::expand(files)? {
        let path = PathBuf::from(name);
        if is_prepared(&path) {
            let prepared = read_prepared(&path)?;
            check_facts(&prepared.facts, &path, folder)?;
            tell_oddities(&prepared, &path, styles);
            if let Some(limit) = maker.options.max_length {
                check_lengths(&prepared, limit, &path)?;
            }
            append(&mut samples, &prepared.rows, prepared.pairs, &prepared.sources)?;
            continue;
        }
        if leaves_ids_out(&path) {
            let text = "input_ids without labels are left out; the records beside them are read";
            terminal::say(format_args!("{} {name}: {text}", painted(styles.warning, "warning:")));
        }
        let bar = terminal::byte_bar(total_bytes(std::slice::from_ref(&path)));
        bar.set_message(format!("reading {what}"));
        let outcome = prepare_in_memory(std::slice::from_ref(&path), maker, options, &mut |progress| {
            bar.set_position(progress.bytes_read);
        });
        bar.finish_and_clear();
        match outcome? {
            Outcome::Done(rows, summary) => {
                writeln!(out, "{} {name}", painted(styles.heading, format!("{what}:")))?;
                writeln!(out, "{}", describe(&summary, None, styles))?;
                let pairs = maker.options.answers == Answers::Pairs;
                append(&mut samples, &rows, pairs, std::slice::from_ref(name))?;
            }
            Outcome::Refused(summary) => {
                write!(out, "{}", describe(&summary, None, styles))?;
                out.flush()?;
                let text = refused_text(&summary, "training did not begin");
                terminal::say(format_args!("{} {name}: {text}", painted(styles.bad, "error:")));
                return Ok(Loaded::Refused);
            }
        }
    }
    Ok(Loaded::Samples(samples))
}

fn append(samples: &mut Vec<Sample>, rows: &Rows, pairs: bool, sources: &[String]) -> anyhow::Result<()> {
    if pairs {
        let answer = |row: &Row<'_>| {
            let tokens = batch::Sample::new(row.input_ids.to_vec(), row.labels.to_vec());
            tokens.with_context(|| name(row, sources))
        };
        for (chosen, rejected) in rows.pairs() {
            samples.push(Sample::pair(name(&chosen, sources), answer(&chosen)?, answer(&rejected)?)?);
        }
        return Ok(());
    }
    for row in rows.iter() {
        let sample = Sample::new(name(&row, sources), row.input_ids.to_vec(), row.labels.to_vec())?;
        samples.push(match row.weights {
            Some(weights) => sample.with_weights(weights.to_vec())?,
            None => sample,
        });
    }
    Ok(())
}

/// How messages call a row: by the file and line of its record, or of itself.
fn name(row: &Row<'_>, sources: &[String]) -> String {
    let source = sources.get(row.origin.source).map_or("", String::as_str);
    format!("{source}:{}", row.origin.line)
}

/// What may be meant in data of other tools, or a mistake, and is trained as it stands.
fn tell_oddities(prepared: &Prepared, path: &Path, styles: &Styles) {
    let warn = |text: String| {
        terminal::say(format_args!("{} {}: {text}", painted(styles.warning, "warning:"), path.display()));
    };
    if prepared.unlabelled {
        warn(
            "has no labels, completion_mask or assistant_masks, so every token is trained, prompts too"
                .to_owned(),
        );
    }
    // A reference that is repeated may want it so.
    if prepared.facts.iter().any(|(fact, _)| fact == "compat") {
        return;
    }
    let count: usize = prepared.rows.iter().map(|row| row.relabelled().count()).sum();
    let first = prepared.rows.iter().find_map(|row| Some((row, row.relabelled().next()?)));
    if let Some((row, at)) = first {
        warn(format!(
            "labels that are neither -100 nor the id at their place: {count}, which are trained as they stand (the first: \
             {}, labels[{at}] is {}, input_ids[{at}] is {})",
            name(&row, &prepared.sources),
            row.labels[at],
            row.input_ids[at]
        ));
    }
}

/// Data prepared with another tokenizer trains nonsense without a word; so it is refused.
fn check_facts(facts: &[(String, String)], path: &Path, folder: &ModelFolder) -> anyhow::Result<()> {
    let found = facts.iter().find(|(name, _)| name == "tokenizer").map(|(_, value)| value);
    if found.is_some_and(|found| *found != folder.tokenizer_fingerprint()) {
        bail!(
            "{}: was prepared with another tokenizer than that of {}. Prepare it again with --model {}",
            path.display(),
            folder.path.display(),
            folder.given
        );
    }
    Ok(())
}

fn check_lengths(prepared: &Prepared, limit: usize, path: &Path) -> anyhow::Result<()> {
    let mut long = prepared.rows.iter().filter(|row| row.input_ids.len() > limit);
    if let Some(first) = long.next() {
        bail!(
            "{}: {} samples are longer than max_length {limit} (the first: {}). Raise it, or prepare their records with --max-length {limit} --skip-bad",
            path.display(),
            long.count() + 1,
            name(&first, &prepared.sources)
        );
    }
    Ok(())
}

pub(super) fn check_ids<'a>(
    samples: impl Iterator<Item = &'a Sample>,
    vocab_size: usize,
    model: &Path,
) -> anyhow::Result<()> {
    for sample in samples {
        let ids = sample.answers().flat_map(|answer| answer.input_ids()).copied();
        let labels = sample.answers().flat_map(|answer| answer.labels());
        let labels = labels.filter_map(|&label| u32::try_from(label).ok());
        if let Some(id) = ids.chain(labels).find(|&id| id as usize >= vocab_size) {
            bail!(
                "{}: holds token id {id}, but the model {} has {vocab_size} tokens (vocab_size). Was it prepared for another model?",
                sample.name(),
                model.display()
            );
        }
    }
    Ok(())
}
