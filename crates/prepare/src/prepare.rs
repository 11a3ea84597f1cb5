//! The whole of `prepare`: sources in, Parquet files or rows in memory out, with a summary.
//!
//! In: paths, a [`SampleMaker`], options. Out: an [`Outcome`]. A file is only written when nothing was refused or the
//! caller asked to skip what is bad. Does not print.

use std::path::{Path, PathBuf};

use crate::chunk::Sides;
use crate::outputs::OutputSet;
use crate::parquet_file::parquet_write_error;
use crate::read_prepared::facts_of;
use crate::shards::shards_of;
use crate::{
    Answers, Pipeline, PipelineOptions, Place, PrepareError, Progress, RecordFormat, RowGroupEncoder,
    RowKind, Rows, SampleMaker, Selection, Summary, SummaryBuilder,
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
    /// Which records are taken.
    pub selection: Selection,
}

impl PrepareOptions {
    fn format_of(&self, source: usize) -> Option<&RecordFormat> {
        self.formats.get(source)?.as_ref()
    }
}

/// The files to write.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// What is trained on.
    pub train: PathBuf,
    /// What is kept apart to measure with, where any is.
    pub validation: Option<PathBuf>,
    /// Most rows of a file (of pairs, a row is one); `None` for one file, whatever its size.
    pub shard_rows: Option<usize>,
}

/// The fact that tells what the output was made of, and the one that tells what came of it.
const KEY: &str = "key";
const SUMMARY: &str = "summary";

/// How preparation ended.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It is done.
    Done(T, Summary),
    /// Bad records were found and nothing was written; the summary names them.
    Refused(Summary),
}

/// The files of prepared data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Those that are there now, in order.
    pub files: Vec<PathBuf>,
    /// Those of an earlier run that had to go, because no new file has their name.
    pub removed: Vec<PathBuf>,
}

/// The files that are there and were made by a preparation with this key, and what it said.
pub fn up_to_date(outputs: &Outputs, key: &str) -> Option<(Written, Summary)> {
    let mut files = whole_set(&outputs.train, outputs.shard_rows)?;
    let summary = facts_of(files.last()?)?.into_iter().find(|(name, _)| name == SUMMARY)?.1;
    if let Some(validation) = &outputs.validation {
        files.extend(whole_set(validation, outputs.shard_rows)?);
    }
    let has_key = |file: &PathBuf| {
        let facts = facts_of(file).unwrap_or_default();
        facts.iter().any(|(name, value)| name == KEY && value == key)
    };
    let summary = serde_json::from_str(&summary).ok()?;
    files.iter().all(has_key).then_some((Written { files, removed: Vec::new() }, summary))
}

/// The files of a data set, if it is whole and alone.
fn whole_set(path: &Path, shard_rows: Option<usize>) -> Option<Vec<PathBuf>> {
    let shards = shards_of(path);
    if shard_rows.is_none() {
        return (shards.is_empty() && path.is_file()).then(|| vec![path.to_path_buf()]);
    }
    let whole =
        shards.iter().enumerate().all(|(at, (_, shard))| (shard.index, shard.count) == (at, shards.len()));
    (whole && !shards.is_empty() && !path.exists())
        .then(|| shards.into_iter().map(|(file, _)| file).collect())
}

/// Prepares `sources` into Parquet files. `facts` go into their metadata, and so do `key`, which tells what they were made
/// of, and the summary.
pub fn prepare_to_parquet(
    sources: &[PathBuf],
    maker: &SampleMaker<'_>,
    options: &PrepareOptions,
    outputs: &Outputs,
    facts: &[(&str, String)],
    key: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome<Written>, PrepareError> {
    let names = sources.iter().map(|source| source.display().to_string()).collect();
    let encode_error = |error| parquet_write_error(&outputs.train, error);
    let kind = match (maker.options.answers, &maker.options.part_weights) {
        (Answers::Pairs, _) => RowKind::Pairs,
        (_, Some(_)) => RowKind::Weighted,
        _ => RowKind::Samples,
    };
    let encoder = RowGroupEncoder::new(names, kind).map_err(encode_error)?;
    let facts: Vec<_> = facts.iter().cloned().chain([(KEY, key.to_owned())]).collect();
    let create = |path: &Path| OutputSet::create(path, outputs.shard_rows, &encoder, &facts);
    let mut train = create(&outputs.train)?;
    let mut validation = outputs.validation.as_deref().map(create).transpose()?;

    let portion = outputs.shard_rows.unwrap_or(usize::MAX);
    let make = |Sides { train, validation }: Sides| {
        let groups: Result<Vec<_>, _> =
            train.split(encoder.samples_in(portion)).into_iter().map(|rows| encoder.encode(rows)).collect();
        Ok((groups.map_err(encode_error)?, validation))
    };
    let mut options = options.clone();
    options.pipeline.chunk_records = options.pipeline.chunk_records.min(portion);
    let summary = run(sources, maker, &options, &make, progress, &mut |(groups, rows)| {
        groups.into_iter().try_for_each(|group| train.append(group))?;
        validation.as_mut().map_or(Ok(()), |validation| validation.write(rows))
    })?;
    let summary = match summary {
        Ok(summary) => summary,
        Err(refused) => return Ok(Outcome::Refused(refused)),
    };
    let text = serde_json::to_string(&summary).unwrap_or_default();
    let mut written = Written::default();
    let sets = [Some(train), validation].into_iter().flatten();
    let finished: Result<Vec<_>, _> = sets.map(|set| set.finish(&[(SUMMARY, text.clone())])).collect();
    for set in finished? {
        written.files.extend(set.name(&mut written.removed)?);
    }
    Ok(Outcome::Done(written, summary))
}

/// Prepares `sources` into memory; what is kept apart to measure with is left out.
pub fn prepare_in_memory(
    sources: &[PathBuf],
    maker: &SampleMaker<'_>,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome<Rows>, PrepareError> {
    let mut all = Rows::default();
    let summary = run(sources, maker, options, &|sides: Sides| Ok(sides.train), progress, &mut |rows| {
        all.append(rows);
        Ok(())
    })?;
    Ok(match summary {
        Ok(summary) => Outcome::Done(all, summary),
        Err(refused) => Outcome::Refused(refused),
    })
}

/// Runs the pipeline; the summary is an error where nothing is to be written. Once a record is refused, the rest is only
/// read for its mistakes.
fn run<T: Send>(
    sources: &[PathBuf],
    maker: &SampleMaker<'_>,
    options: &PrepareOptions,
    make: &(dyn Fn(Sides) -> Result<T, PrepareError> + Sync),
    progress: &mut dyn FnMut(Progress),
    take: &mut dyn FnMut(T) -> Result<(), PrepareError>,
) -> Result<Result<Summary, Summary>, PrepareError> {
    let wanted = |summary: &Summary| options.skip_bad || summary.refused == 0;
    let work = |source: usize, bytes: &[u8], place: Place| {
        maker.samples_of(bytes, place, options.format_of(source).or(maker.options.format.as_ref()))
    };
    let pipeline =
        Pipeline { sources, options: &options.pipeline, selection: &options.selection, work: &work };
    let summary = pipeline.run(make, progress, &mut |made, summary: &SummaryBuilder| {
        if wanted(summary.so_far()) { take(made) } else { Ok(()) }
    })?;
    let summary = summary.finish(maker.options.max_length);
    Ok(if wanted(&summary) && summary.samples > 0 { Ok(summary) } else { Err(summary) })
}
