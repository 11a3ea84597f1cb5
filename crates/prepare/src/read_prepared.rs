//! Prepared data read back: Parquet with `input_ids`, `labels` and each row's origin.
//!
//! In: a file that `prepare` or another tool wrote. Out: [`Rows`] and what the file says about itself. Does not know how
//! rows are made or used.

use std::fs::File;
use std::io;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::row_group::PAIR_PREFIXES;
use crate::{Origin, PrepareError, Rows, damage};

const READ_BATCH_ROWS: usize = 1024;

/// Prepared data read back.
#[derive(Debug)]
pub struct Prepared {
    /// The samples; their origins' `source` refers to `sources`.
    pub rows: Rows,
    /// Whether these are pairs: the chosen and the rejected answer by turns.
    pub pairs: bool,
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

/// Whether the file is Parquet that holds token ids and labels, of samples or of pairs, as opposed to records that are still to be prepared.
pub fn is_prepared(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(builder) = damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file)) else { return false };
    holds(builder.schema(), "") || is_of_pairs(builder.schema())
}

/// Whether there are columns of token ids and labels whose names begin so.
fn holds(schema: &Schema, prefix: &str) -> bool {
    ["input_ids", "labels"].iter().all(|name| schema.column_with_name(&format!("{prefix}{name}")).is_some())
}

fn is_of_pairs(schema: &Schema) -> bool {
    !holds(schema, "") && PAIR_PREFIXES.iter().all(|prefix| holds(schema, prefix))
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

/// Reads prepared data: `input_ids` and `labels` (of pairs: with `chosen_` and `rejected_` before these names), and origins
/// where the file has them.
///
/// Lists of 32- or 64-bit integers are understood, so that files made by other tools can be trained on too.
pub fn read_prepared(path: &Path) -> Result<Prepared, PrepareError> {
    let broken = |detail: String| PrepareError::NotPrepared { path: path.to_path_buf(), detail };
    let file = File::open(path).map_err(|source| PrepareError::Read { path: path.to_path_buf(), source })?;
    let damaged = |error: ParquetError| broken(error.to_string());
    let builder = damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(damaged)?;
    let facts = facts(builder.metadata());
    let pairs = is_of_pairs(builder.schema());
    let prefixes = if pairs { &PAIR_PREFIXES[..] } else { &[""] };
    let mut reader = damage::read(|| builder.with_batch_size(READ_BATCH_ROWS).build()).map_err(damaged)?;
    let mut rows = Rows::default();
    let mut sources = Vec::new();
    while let Some(batch) = damage::read(|| Ok(reader.next().transpose()?)).map_err(damaged)? {
        append_batch(&batch, prefixes, &mut rows, &mut sources).map_err(broken)?;
    }
    Ok(Prepared { rows, pairs, sources, facts })
}

fn append_batch(
    batch: &RecordBatch,
    prefixes: &[&str],
    rows: &mut Rows,
    sources: &mut Vec<String>,
) -> Result<(), String> {
    let samples: Vec<_> =
        prefixes.iter().map(|prefix| SampleColumns::of(batch, prefix)).collect::<Result<_, _>>()?;
    let names = batch.column_by_name("source").and_then(|array| array.as_string_opt::<i32>());
    let number = |name: &str, row: usize| {
        let array = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
        usize::try_from(array.value(row)).ok()
    };
    for row in 0..batch.num_rows() {
        let position = rows.len() / prefixes.len();
        let name = names.map_or("", |names| names.value(row));
        let source = sources.iter().rposition(|known| known == name).unwrap_or_else(|| {
            sources.push(name.to_owned());
            sources.len() - 1
        });
        let index = number("index", row).unwrap_or(position);
        let origin = Origin { source, index, line: number("line", row).unwrap_or(0) };
        for columns in &samples {
            let (ids, labels, weights) =
                columns.values(row).map_err(|found| format!("row {position}: {found}"))?;
            rows.push_weighted(&ids, &labels, weights.as_deref(), origin);
        }
    }
    Ok(())
}

/// The columns of one sample of each row.
struct SampleColumns<'a> {
    prefix: &'a str,
    input_ids: &'a ArrayRef,
    labels: &'a ArrayRef,
    weights: Option<&'a ArrayRef>,
}

impl<'a> SampleColumns<'a> {
    fn of(batch: &'a RecordBatch, prefix: &'a str) -> Result<Self, String> {
        let column = |name: &str| {
            let name = format!("{prefix}{name}");
            let schema = batch.schema();
            let columns = schema.fields().iter().map(|field| field.name()).collect::<Vec<_>>();
            batch
                .column_by_name(&name)
                .ok_or_else(|| format!("no column {name:?} among its columns {columns:?}"))
        };
        let weights = batch.column_by_name("loss_weights").filter(|_| prefix.is_empty());
        Ok(Self { prefix, input_ids: column("input_ids")?, labels: column("labels")?, weights })
    }

    /// One row's ids, labels and weights, which fit each other.
    #[allow(clippy::type_complexity, reason = "three columns of one row, taken apart at once")]
    fn values(&self, row: usize) -> Result<(Vec<u32>, Vec<i32>, Option<Vec<f32>>), String> {
        let prefix = self.prefix;
        let ids = list_values(self.input_ids, row).map_err(|found| format!("{prefix}input_ids: {found}"))?;
        let labels = list_values(self.labels, row).map_err(|found| format!("{prefix}labels: {found}"))?;
        if ids.len() != labels.len() {
            let (ids, labels) = (ids.len(), labels.len());
            return Err(format!("{ids} {prefix}input_ids but {labels} {prefix}labels"));
        }
        let unsigned = |&id: &i32| u32::try_from(id).map_err(|_| id);
        let ids = ids.iter().map(unsigned).collect::<Result<Vec<u32>, i32>>();
        let ids = ids.map_err(|id| format!("{prefix}input_ids holds {id}; a token id is never negative"))?;
        let weights = self.weights.map(|column| weight_values(column, row)).transpose();
        let weights = weights.map_err(|found| format!("loss_weights: {found}"))?;
        if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != ids.len()) {
            return Err(format!("{} input_ids but {} loss_weights", ids.len(), weights.len()));
        }
        Ok((ids, labels, weights))
    }
}

/// One row of a column of lists, without nulls.
fn list(column: &ArrayRef, row: usize, expected: &str) -> Result<ArrayRef, String> {
    if column.is_null(row) {
        return Err(format!("null; expected a list of {expected}"));
    }
    let values = match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value(row),
        DataType::LargeList(_) => column.as_list::<i64>().value(row),
        other => return Err(format!("a column of {other}; expected lists of {expected}")),
    };
    if values.null_count() > 0 {
        return Err(format!("null inside the list; expected {expected}"));
    }
    Ok(values)
}

fn weight_values(column: &ArrayRef, row: usize) -> Result<Vec<f32>, String> {
    let values = list(column, row, "numbers")?;
    match values.data_type() {
        DataType::Float32 => Ok(values.as_primitive::<Float32Type>().values().to_vec()),
        DataType::Float64 => {
            Ok(values.as_primitive::<Float64Type>().values().iter().map(|&weight| weight as f32).collect())
        }
        other => Err(format!("a list of {other}; expected numbers of 32 or 64 bits")),
    }
}

fn list_values(column: &ArrayRef, row: usize) -> Result<Vec<i32>, String> {
    let values = list(column, row, "integers")?;
    match values.data_type() {
        DataType::Int32 => Ok(values.as_primitive::<Int32Type>().values().to_vec()),
        DataType::Int64 => {
            let values = values.as_primitive::<Int64Type>().values().iter();
            let fits = |&value: &i64| i32::try_from(value).map_err(|_| format!("{value} is no token id"));
            values.map(fits).collect()
        }
        other => Err(format!("a list of {other}; expected integers of 32 or 64 bits")),
    }
}
