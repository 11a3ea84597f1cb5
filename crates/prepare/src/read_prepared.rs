//! Prepared data read back: Parquet with `input_ids`, mostly `labels`, and perhaps each row's origin.
//!
//! In: a file that `prepare` or another tool wrote. Out: [`Rows`] and what the file says about itself. Does not know how
//! rows are made or used.

use std::fs::File;
use std::io;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::Schema;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::row_group::PAIR_PREFIXES;
use crate::sample_columns::{MASKS, SampleColumns};
use crate::{Origin, PrepareError, Rows, damage};

const READ_BATCH_ROWS: usize = 1024;

/// Columns of records: beside them, `input_ids` without labels are left over from something else.
const RECORD_COLUMNS: [&str; 8] =
    ["messages", "conversations", "prompt", "instruction", "text", "chosen", "rejected", "chat"];

/// Masks that say nothing about which tokens are trained.
const OTHER_MASKS: [&str; 2] = ["attention_mask", "special_tokens_mask"];

/// Prepared data read back.
#[derive(Debug)]
pub struct Prepared {
    /// The samples; their origins' `source` refers to `sources`.
    pub rows: Rows,
    /// Whether these are pairs: the chosen and the rejected answer by turns.
    pub pairs: bool,
    /// Whether the file says nothing about which tokens are trained, so that all are.
    pub unlabelled: bool,
    /// The files they were made from.
    pub sources: Vec<String>,
    /// What was written about how they were made, by name without `toolsmith.`.
    pub facts: Vec<(String, String)>,
}

/// Whether the file begins as Parquet does.
pub fn is_parquet(path: &Path) -> bool {
    let mut head = [0u8; 4];
    File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut head)).is_ok()
        && &head == b"PAR1"
}

/// Whether the file is Parquet that holds token ids, of samples or of pairs, as opposed to records that are still to be
/// prepared.
pub fn is_prepared(path: &Path) -> bool {
    schema_is(path, holds_prepared)
}

/// Whether the file is Parquet of records that have token ids beside them, which are not read.
pub fn leaves_ids_out(path: &Path) -> bool {
    schema_is(path, |schema| has(schema, "input_ids") && !holds_prepared(schema))
}

fn schema_is(path: &Path, holds: fn(&Schema) -> bool) -> bool {
    let Ok(file) = File::open(path) else { return false };
    damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file))
        .is_ok_and(|builder| holds(builder.schema()))
}

/// Whether these are the columns of prepared data.
pub(crate) fn holds_prepared(schema: &Schema) -> bool {
    is_of_samples(schema) || is_of_pairs(schema)
}

fn has(schema: &Schema, name: &str) -> bool {
    schema.column_with_name(name).is_some()
}

fn is_of_samples(schema: &Schema) -> bool {
    let is_of_records = || RECORD_COLUMNS.iter().any(|name| has(schema, name));
    has(schema, "input_ids") && (is_labelled(schema) || !is_of_records())
}

/// Whether there are columns that say which tokens of `input_ids` are trained.
fn is_labelled(schema: &Schema) -> bool {
    has(schema, "labels") || MASKS.iter().any(|mask| has(schema, mask))
}

/// A column that may say which tokens are trained, in a way that is not read.
fn unknown_mask(schema: &Schema) -> Option<&String> {
    let names = schema.fields().iter().map(|field| field.name());
    names.into_iter().find(|name| name.contains("mask") && !OTHER_MASKS.contains(&name.as_str()))
}

fn is_of_pairs(schema: &Schema) -> bool {
    let is_whole =
        |prefix: &&str| ["input_ids", "labels"].iter().all(|name| has(schema, &format!("{prefix}{name}")));
    !is_of_samples(schema) && PAIR_PREFIXES.iter().all(is_whole)
}

/// What a Parquet file says about how it was made, by name without `toolsmith.`; `None` where it cannot be read.
pub(crate) fn facts_of(path: &Path) -> Option<Vec<(String, String)>> {
    let file = File::open(path).ok()?;
    let builder = damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file)).ok()?;
    Some(facts(builder.metadata()))
}

fn facts(metadata: &ParquetMetaData) -> Vec<(String, String)> {
    let all = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    all.filter_map(|fact| Some((fact.key.strip_prefix("toolsmith.")?.to_owned(), fact.value.clone()?)))
        .collect()
}

/// Reads prepared data: `input_ids` and `labels` (of pairs: with `chosen_` and `rejected_` before these names), and origins;
/// where the file has none, the rows themselves, counted from 1 like lines.
///
/// Files of other tools can be trained on, too: lists of any kind, integers of any width, and the columns with which TRL
/// and axolotl say what is trained. A row that would be trained otherwise than it was meant is an error.
pub fn read_prepared(path: &Path) -> Result<Prepared, PrepareError> {
    let broken = |detail: String| PrepareError::NotPrepared { path: path.to_path_buf(), detail };
    let file = File::open(path).map_err(|source| PrepareError::Read { path: path.to_path_buf(), source })?;
    let damaged = |error: ParquetError| broken(error.to_string());
    let builder = damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(damaged)?;
    let facts = facts(builder.metadata());
    let pairs = is_of_pairs(builder.schema());
    let unlabelled = !pairs && !is_labelled(builder.schema());
    if unlabelled && let Some(mask) = unknown_mask(builder.schema()) {
        return Err(broken(format!(
            "column {mask:?} is a mask that is not known, and nothing else says which tokens are trained. Call it {}, 1 where \
             trained, or drop it",
            MASKS[0]
        )));
    }
    let prefixes = if pairs { &PAIR_PREFIXES[..] } else { &[""] };
    let mut reader = damage::read(|| builder.with_batch_size(READ_BATCH_ROWS).build()).map_err(damaged)?;
    let mut rows = Rows::default();
    let mut sources = Vec::new();
    let name = path.display().to_string();
    while let Some(batch) = damage::read(|| Ok(reader.next().transpose()?)).map_err(damaged)? {
        append_batch(&batch, prefixes, &name, &mut rows, &mut sources).map_err(broken)?;
    }
    Ok(Prepared { rows, pairs, unlabelled, sources, facts })
}

/// Reads the rows of a batch of the file `path`.
fn append_batch(
    batch: &RecordBatch,
    prefixes: &[&str],
    path: &str,
    rows: &mut Rows,
    sources: &mut Vec<String>,
) -> Result<(), String> {
    let samples: Vec<_> =
        prefixes.iter().map(|prefix| SampleColumns::of(batch, prefix)).collect::<Result<_, _>>()?;
    let origins = Origins::of(batch);
    for row in 0..batch.num_rows() {
        let position = rows.len() / prefixes.len();
        let (name, index, line) = origins.of_row(row, path, position);
        let source = sources.iter().rposition(|known| known == name).unwrap_or_else(|| {
            sources.push(name.to_owned());
            sources.len() - 1
        });
        for columns in &samples {
            let sample = columns.sample(row).map_err(|found| format!("row {}: {found}", position + 1))?;
            let origin = Origin { source, index, line };
            rows.push_weighted(&sample.input_ids, &sample.labels, sample.weights.as_deref(), origin);
        }
    }
    Ok(())
}

/// Where the rows of a batch come from.
enum Origins<'a> {
    /// From records, as `prepare` notes it.
    Records { source: &'a StringArray, index: &'a Int64Array, line: &'a Int64Array },
    /// The file does not say, so that the row itself is named.
    Rows,
}

impl<'a> Origins<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        let numbers = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let names = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
        match (names("source"), numbers("index"), numbers("line")) {
            (Some(source), Some(index), Some(line)) => Self::Records { source, index, line },
            _ => Self::Rows,
        }
    }

    /// The file, index and line of a row of the batch, which is at this position of its file.
    fn of_row(&self, row: usize, path: &'a str, position: usize) -> (&'a str, usize, usize) {
        let number = |array: &Int64Array| usize::try_from(array.value(row)).ok();
        match self {
            Self::Records { source, index, line } => {
                let source = if source.is_null(row) { path } else { source.value(row) };
                (source, number(index).unwrap_or(position), number(line).unwrap_or(0))
            }
            Self::Rows => (path, position, position + 1),
        }
    }
}

#[cfg(test)]
#[path = "read_prepared_tests.rs"]
mod tests;
