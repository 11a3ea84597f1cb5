//! The whole of `prepare`: sources in, a Parquet file or rows in memory out, with a summary.
//!
//! In: paths, a [`SampleMaker`], options. Out: an [`Outcome`]. A file is only written when nothing was refused or the
//! caller asked to skip what is bad. Does not print.

use std::path::{Path, PathBuf};

use crate::pipeline;
use crate::{
    PipelineOptions, Place, PrepareError, PreparedWriter, Progress, RecordFormat, Rows, SampleMaker, Summary,
};

/// How preparation deals with bad records, and how it runs.
#[derive(Clone, Debug, Default)]
pub struct PrepareOptions {
    /// Drop and count bad records; without it, one bad record means that nothing is written.
    pub skip_bad: bool,
    /// How the pipeline runs.
    pub pipeline: PipelineOptions,
    /// The format of each source; the maker's, where there is none for it.
    pub formats: Vec<Option<RecordFormat>>,
}

impl PrepareOptions {
    fn format_of(&self, source: usize) -> Option<&RecordFormat> {
        self.formats.get(source)?.as_ref()
    }
}

/// How preparation ended.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It is done.
    Done(T, Summary),
    /// Bad records were found and nothing was written; the summary names them.
    Refused(Summary),
}

/// Prepares `sources` into the Parquet file `output`; `facts` go into its metadata.
pub fn prepare_to_parquet(
    sources: &[PathBuf],
    maker: &SampleMaker<'_>,
    options: &PrepareOptions,
    output: &Path,
    facts: &[(&str, String)],
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome<()>, PrepareError> {
    let names = sources.iter().map(|source| source.display().to_string()).collect();
    let mut writer = PreparedWriter::create(output, names, facts, maker.options.part_weights.is_some())?;
    let work = |source: usize, bytes: &[u8], place: Place| {
        maker.samples_of(bytes, place, options.format_of(source).or(maker.options.format.as_ref()))
    };
    let summary = pipeline::run(sources, &options.pipeline, &work, progress, &mut |rows, summary| {
        if wanted(summary, options) { writer.write(rows) } else { Ok(()) }
    })?;
    if !wanted(&summary, options) || summary.samples == 0 {
        return Ok(Outcome::Refused(summary));
    }
    writer.finish()?;
    Ok(Outcome::Done((), summary))
}

/// Prepares `sources` into memory.
pub fn prepare_in_memory(
    sources: &[PathBuf],
    maker: &SampleMaker<'_>,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome<Rows>, PrepareError> {
    let mut all = Rows::default();
    let work = |source: usize, bytes: &[u8], place: Place| {
        maker.samples_of(bytes, place, options.format_of(source).or(maker.options.format.as_ref()))
    };
    let summary = pipeline::run(sources, &options.pipeline, &work, progress, &mut |rows, summary| {
        if wanted(summary, options) {
            all.append(rows);
        }
        Ok(())
    })?;
    if !wanted(&summary, options) || summary.samples == 0 {
        return Ok(Outcome::Refused(summary));
    }
    Ok(Outcome::Done(all, summary))
}

/// Whether what is being made will be used: once a record is refused, the rest is only read for its mistakes.
fn wanted(summary: &Summary, options: &PrepareOptions) -> bool {
    options.skip_bad || summary.refused == 0
}
