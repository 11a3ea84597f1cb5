//! The rows of a Parquet file as raw records.
//!
//! In: a Parquet file whose columns are the keys of records. Out: each row as the bytes of a JSON object. One batch of
//! rows is held at a time, sized by what a row takes on average, so memory does not grow with the file.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{Array, RecordBatch, StructArray};
use arrow_schema::Schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::arrow_json::{is_readable, push_value};
use crate::read_prepared::holds_prepared;
use crate::{Place, PrepareError, RawRecord, damage};

/// Rows of one batch at most, and bytes that a batch should take.
const BATCH_ROWS: u64 = 1024;
const BATCH_BYTES: u64 = 4 << 20;

pub(crate) struct ParquetRecords {
    reader: ParquetRecordBatchReader,
    batch: StructArray,
    /// The next row of `batch`.
    row: usize,
    index: usize,
    done: bool,
    max_record_bytes: usize,
    rows: u64,
    file_bytes: u64,
    bytes_read: Arc<AtomicU64>,
}

impl ParquetRecords {
    pub(crate) fn open(
        path: &Path,
        max_record_bytes: usize,
        bytes_read: Arc<AtomicU64>,
    ) -> Result<Self, PrepareError> {
        let read_error = |source: io::Error| PrepareError::Read { path: path.to_path_buf(), source };
        let broken = |detail: String| PrepareError::BadParquet { path: path.to_path_buf(), detail };
        let file = File::open(path).map_err(read_error)?;
        let file_bytes = file.metadata().map_err(read_error)?.len();
        let damaged =
            |error: parquet::errors::ParquetError| broken(format!("{error}. Fetch or write the file again"));
        let builder = damage::read(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(damaged)?;
        if holds_prepared(builder.schema()) {
            return Err(broken("it holds prepared data (token ids). Train on it as it is".to_owned()));
        }
        let columns = readable_columns(builder.schema()).map_err(broken)?;
        let metadata = builder.metadata();
        let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        if rows == 0 {
            return Err(PrepareError::Empty { path: path.to_path_buf() });
        }
        let unpacked =
            metadata.row_groups().iter().map(|group| group.total_byte_size()).fold(0, i64::saturating_add);
        let row_bytes = (u64::try_from(unpacked).unwrap_or(0) / rows).max(1);
        let batch_rows = (BATCH_BYTES / row_bytes).clamp(1, BATCH_ROWS);
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let builder = builder.with_projection(mask).with_batch_size(usize::try_from(batch_rows).unwrap_or(1));
        let reader = damage::read(|| builder.build()).map_err(damaged)?;
        let batch = StructArray::from(RecordBatch::new_empty(Arc::new(Schema::empty())));
        Ok(Self {
            reader,
            batch,
            row: 0,
            index: 0,
            done: false,
            max_record_bytes,
            rows,
            file_bytes,
            bytes_read,
        })
    }

    /// Takes the next batch; false at the end.
    fn advance(&mut self) -> Result<bool, String> {
        let batch = damage::read(|| Ok(self.reader.next().transpose()?)).map_err(|error| {
            format!("the Parquet data breaks here ({error}); nothing after this row can be read. Fetch or write the file again")
        })?;
        let Some(batch) = batch else { return Ok(false) };
        // What was read of the file is not told, so the share of its rows stands for it.
        let share =
            |rows: u64| (u128::from(self.file_bytes) * u128::from(rows) / u128::from(self.rows)) as u64;
        let before = self.index as u64;
        let bytes = share(before + batch.num_rows() as u64) - share(before);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        self.batch = StructArray::from(batch);
        self.row = 0;
        Ok(true)
    }
}

/// The columns that records can have; those of other types (times, say) mean nothing to any format and are left out,
/// but inside a value they would change what it says.
fn readable_columns(schema: &Schema) -> Result<Vec<usize>, String> {
    let mut columns = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        match is_readable(field.data_type()) {
            Ok(()) => columns.push(index),
            Err(found) if field.data_type().is_nested() => {
                return Err(format!(
                    "column {:?} holds {found}, which JSON cannot say. Drop the column, or write it as text",
                    field.name()
                ));
            }
            Err(_) => {}
        }
    }
    Ok(columns)
}

impl Iterator for ParquetRecords {
    type Item = io::Result<RawRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        // A row has no line; its number stands for it.
        let place = Place { index: self.index, line: self.index + 1, column: 1 };
        while self.row == self.batch.len() {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => {
                    self.done = true;
                    return None;
                }
                Err(message) => {
                    self.done = true;
                    return Some(Ok(RawRecord { place, bytes: Err(message) }));
                }
            }
        }
        let mut bytes = Vec::new();
        let written = push_value(&mut bytes, &self.batch, self.row);
        self.row += 1;
        self.index += 1;
        let bytes = match written {
            Err(message) => Err(message),
            Ok(()) if bytes.len() > self.max_record_bytes => Err(format!(
                "the record is {} bytes long; at most {} are read. Split it",
                bytes.len(),
                self.max_record_bytes
            )),
            Ok(()) => Ok(bytes),
        };
        Some(Ok(RawRecord { place, bytes }))
    }
}

#[cfg(test)]
#[path = "parquet_records_tests.rs"]
mod tests;
