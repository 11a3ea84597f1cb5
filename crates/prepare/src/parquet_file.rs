//! Prepared data on disk: Parquet with `input_ids`, `labels` and each row's origin.
//!
//! In: [`Rows`]. Out: a file that appears under its final name only when it is whole, readable by Hugging Face
//! `datasets`, pyarrow and [`read_prepared`]. Does not know how rows are made.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Float32Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::NamedTempFile;

use crate::{Origin, PrepareError, Rows, damage};

/// Rows of one row group at most; bounds the writer's memory.
const ROW_GROUP_ROWS: usize = 4096;
const READ_BATCH_ROWS: usize = 1024;

/// Writes prepared data; dropped before [`finish`](Self::finish), it leaves nothing behind.
pub struct PreparedWriter {
    path: PathBuf,
    sources: Vec<String>,
    schema: Arc<Schema>,
    weighted: bool,
    writer: ArrowWriter<BufWriter<NamedTempFile>>,
}

impl PreparedWriter {
    /// Begins a file that will be called `path`; it is written under a temporary name beside it.
    ///
    /// `sources` are the names that the rows' origins refer to; `facts` go into the file's metadata, each under its
    /// name with `toolsmith.` before it. With `weighted`, the file has a column `loss_weights` beside `labels`.
    pub fn create(
        path: &Path,
        sources: Vec<String>,
        facts: &[(&str, String)],
        weighted: bool,
    ) -> Result<Self, PrepareError> {
        let file = create_beside(path, ".parquet.part")?;
        let schema = Arc::new(schema(weighted));
        let facts =
            facts.iter().map(|(name, value)| KeyValue::new(format!("toolsmith.{name}"), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_created_by(format!("toolsmith {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(facts.collect()))
            .build();
        let writer = ArrowWriter::try_new(BufWriter::new(file), Arc::clone(&schema), Some(properties))
            .map_err(|error| parquet_write_error(path, error))?;
        Ok(Self { path: path.to_path_buf(), sources, schema, weighted, writer })
    }

    /// Appends rows.
    pub fn write(&mut self, rows: Rows) -> Result<(), PrepareError> {
        if rows.is_empty() {
            return Ok(());
        }
        let batch = self.batch(rows).map_err(|error| parquet_write_error(&self.path, error.into()))?;
        self.writer.write(&batch).map_err(|error| parquet_write_error(&self.path, error))
    }

    /// Ends the file, makes sure that it is on the disk, and gives it its final name.
    pub fn finish(self) -> Result<(), PrepareError> {
        let path = self.path;
        let buffer = self.writer.into_inner().map_err(|error| parquet_write_error(&path, error))?;
        let file = buffer.into_inner().map_err(|error| write_error(&path, error.into_error()))?;
        persist(file, &path)
    }

    fn batch(&self, rows: Rows) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let columns = rows.into_columns();
        let starts = std::iter::once(0).chain(columns.ends.iter().copied());
        let lengths: Vec<usize> = columns.ends.iter().zip(starts).map(|(end, start)| end - start).collect();
        let list = |kind: DataType, values: ArrayRef| -> Result<ArrayRef, arrow_schema::ArrowError> {
            let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
            Ok(Arc::new(ListArray::try_new(Arc::new(item(kind)), offsets, values, None)?))
        };
        let integers = |values: Vec<i32>| list(DataType::Int32, Arc::new(Int32Array::from(values)));
        let number = |value: fn(&Origin) -> usize| -> ArrayRef {
            let values =
                columns.origins.iter().map(|origin| i64::try_from(value(origin)).unwrap_or(i64::MAX));
            Arc::new(values.collect::<Int64Array>())
        };
        let source = |origin: &Origin| self.sources.get(origin.source).map(String::as_str);
        let mut arrays = vec![
            integers(columns.input_ids.into_iter().map(u32::cast_signed).collect())?,
            integers(columns.labels)?,
            Arc::new(columns.origins.iter().map(source).collect::<StringArray>()) as ArrayRef,
            number(|origin| origin.index),
            number(|origin| origin.line),
        ];
        if self.weighted {
            let count = lengths.iter().sum();
            let weights = columns.weights.unwrap_or_else(|| vec![1.0; count]);
            arrays.push(list(DataType::Float32, Arc::new(Float32Array::from(weights)))?);
        }
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

/// A temporary file beside `path`, which is to be its name.
pub(crate) fn create_beside(path: &Path, suffix: &str) -> Result<NamedTempFile, PrepareError> {
    if let Ok(metadata) = path.metadata()
        && !metadata.is_file()
    {
        let found = if metadata.is_dir() { "a folder" } else { "not a regular file" };
        return Err(PrepareError::OutputInUse { path: path.to_path_buf(), found });
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".toolsmith-").suffix(suffix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process's umask still applies; a temporary file would otherwise be readable by its owner alone.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).map_err(|error| write_error(path, error))
}

/// Makes sure that the file is on the disk, and gives it its final name.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<(), PrepareError> {
    file.as_file().sync_all().map_err(|error| write_error(path, error))?;
    file.persist(path).map_err(|error| write_error(path, error.error))?;
    Ok(())
}

fn item(kind: DataType) -> Field {
    Field::new("item", kind, false)
}

fn schema(weighted: bool) -> Schema {
    let list = |kind| DataType::List(Arc::new(item(kind)));
    let mut fields = vec![
        Field::new("input_ids", list(DataType::Int32), false),
        Field::new("labels", list(DataType::Int32), false),
        Field::new("source", DataType::Utf8, false),
        Field::new("index", DataType::Int64, false),
        Field::new("line", DataType::Int64, false),
    ];
    if weighted {
        fields.push(Field::new("loss_weights", list(DataType::Float32), false));
    }
    Schema::new(fields)
}

fn parquet_write_error(path: &Path, error: ParquetError) -> PrepareError {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    };
    write_error(path, source)
}

pub(crate) fn write_error(path: &Path, source: io::Error) -> PrepareError {
    let source = without_path(source);
    let hint = match source.kind() {
        ErrorKind::NotFound => "its folder does not exist: create it",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, or choose another disk"
        }
        _ => "check the disk, or choose another place",
    };
    PrepareError::Write { path: path.to_path_buf(), source, hint }
}

/// The bare reason: temporary files put their own name around it, which the user never chose.
fn without_path(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::Other => error,
        _ if error.raw_os_error().is_some() => error,
        kind @ ErrorKind::NotFound => io::Error::new(kind, "no such folder"),
        kind => io::Error::from(kind),
    }
}

/// Prepared data read back.
#[derive(Debug)]
pub struct Prepared {
    /// The samples; their origins' `source` refers to `sources`.
    pub rows: Rows,
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

/// Whether the file is Parquet that holds token ids and labels, as opposed to records that are still to be prepared.
pub fn is_prepared(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(builder) = damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file)) else { return false };
    ["input_ids", "labels"].iter().all(|name| builder.schema().column_with_name(name).is_some())
}

/// Reads prepared data: `input_ids` and `labels`, and origins where the file has them.
///
/// Lists of 32- or 64-bit integers are understood, so that files made by other tools can be trained on too.
pub fn read_prepared(path: &Path) -> Result<Prepared, PrepareError> {
    let broken = |detail: String| PrepareError::NotPrepared { path: path.to_path_buf(), detail };
    let file = File::open(path).map_err(|source| PrepareError::Read { path: path.to_path_buf(), source })?;
    let damaged = |error: ParquetError| broken(error.to_string());
    let builder = damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(damaged)?;
    let facts = builder.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let facts = facts
        .filter_map(|fact| Some((fact.key.strip_prefix("toolsmith.")?.to_owned(), fact.value.clone()?)))
        .collect();
    let mut reader = damage::read(|| builder.with_batch_size(READ_BATCH_ROWS).build()).map_err(damaged)?;
    let mut rows = Rows::default();
    let mut sources = Vec::new();
    while let Some(batch) = damage::read(|| Ok(reader.next().transpose()?)).map_err(damaged)? {
        append_batch(&batch, &mut rows, &mut sources).map_err(broken)?;
    }
    Ok(Prepared { rows, sources, facts })
}

fn append_batch(batch: &RecordBatch, rows: &mut Rows, sources: &mut Vec<String>) -> Result<(), String> {
    let column = |name: &str| {
        let columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let missing = || format!("no column {name:?} among its columns {columns:?}");
        batch.column_by_name(name).ok_or_else(missing)
    };
    let (input_ids, labels) = (column("input_ids")?, column("labels")?);
    let weights = batch.column_by_name("loss_weights");
    let names = batch.column_by_name("source").and_then(|array| array.as_string_opt::<i32>());
    let number = |name: &str, row: usize| {
        let array = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
        usize::try_from(array.value(row)).ok()
    };
    for row in 0..batch.num_rows() {
        let position = rows.len();
        let ids =
            list_values(input_ids, row).map_err(|found| format!("row {position}: input_ids: {found}"))?;
        let labels = list_values(labels, row).map_err(|found| format!("row {position}: labels: {found}"))?;
        if ids.len() != labels.len() {
            return Err(format!("row {position}: {} input_ids but {} labels", ids.len(), labels.len()));
        }
        let unsigned = |&id: &i32| u32::try_from(id).map_err(|_| id);
        let ids = ids.iter().map(unsigned).collect::<Result<Vec<u32>, i32>>();
        let ids =
            ids.map_err(|id| format!("row {position}: input_ids holds {id}; a token id is never negative"))?;
        let name = names.map_or("", |names| names.value(row));
        let source = sources.iter().rposition(|known| known == name).unwrap_or_else(|| {
            sources.push(name.to_owned());
            sources.len() - 1
        });
        let index = number("index", row).unwrap_or(position);
        let origin = Origin { source, index, line: number("line", row).unwrap_or(0) };
        let weights = weights.map(|column| weight_values(column, row)).transpose();
        let weights = weights.map_err(|found| format!("row {position}: loss_weights: {found}"))?;
        if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != ids.len()) {
            return Err(format!(
                "row {position}: {} input_ids but {} loss_weights",
                ids.len(),
                weights.len()
            ));
        }
        rows.push_weighted(&ids, &labels, weights.as_deref(), origin);
    }
    Ok(())
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

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
