//! Rows to the bytes of a Parquet row group.
//!
//! In: [`Rows`]. Out: their columns, encoded and compressed, for a [`PreparedWriter`](crate::PreparedWriter) to append as
//! they are. Threads encode side by side, so writing a file costs its writer next to nothing. Does not know files.

use std::io;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int32Array, Int64Array, ListArray, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::{Origin, Rows};

/// Values that the encoder takes at once, between two looks at the size of its page.
const VALUES_AT_ONCE: usize = 1 << 14;
/// Bytes of a page before compression: so many stay near the processor until they are compressed.
const PAGE_BYTES: usize = 1 << 18;

/// Encodes rows; cheap to share between threads.
pub struct RowGroupEncoder {
    sources: Vec<String>,
    schema: Arc<Schema>,
    weighted: bool,
    factory: ArrowRowGroupWriterFactory,
}

/// Encoded rows.
#[derive(Debug)]
pub struct RowGroup {
    pub(crate) columns: Vec<ArrowColumnChunk>,
    /// How many rows these are.
    pub rows: usize,
}

impl RowGroupEncoder {
    /// `sources` are the names that the rows' origins refer to. With `weighted`, there is a column `loss_weights` beside
    /// `labels`.
    pub fn new(sources: Vec<String>, weighted: bool) -> Result<Self> {
        let schema = Arc::new(schema(weighted));
        let (_, factory) = begin(&schema, io::sink())?;
        Ok(Self { sources, schema, weighted, factory })
    }

    /// Encodes rows.
    pub fn encode(&self, rows: Rows) -> Result<RowGroup> {
        let count = rows.len();
        let arrays = self.arrays(rows)?;
        let mut columns = Vec::with_capacity(arrays.len());
        let writers = self.factory.create_column_writers(0)?;
        for ((field, array), mut writer) in self.schema.fields().iter().zip(&arrays).zip(writers) {
            for leaf in compute_leaves(field, array)? {
                writer.write(&leaf)?;
            }
            columns.push(writer.close()?);
        }
        Ok(RowGroup { columns, rows: count })
    }

    /// Begins a file that takes row groups of this encoder.
    pub(crate) fn begin<W: io::Write + Send>(&self, file: W) -> Result<SerializedFileWriter<W>> {
        Ok(begin(&self.schema, file)?.0)
    }

    fn arrays(&self, rows: Rows) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = rows.into_columns();
        let starts = std::iter::once(0).chain(columns.ends.iter().copied());
        let lengths: Vec<usize> = columns.ends.iter().zip(starts).map(|(end, start)| end - start).collect();
        let count = columns.labels.len();
        let list = |kind: DataType, values: ArrayRef| -> Result<ArrayRef, ArrowError> {
            let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
            Ok(Arc::new(ListArray::try_new(Arc::new(item(kind)), offsets, values, None)?))
        };
        let integers = |values: Buffer| {
            let values = ScalarBuffer::new(values, 0, count);
            list(DataType::Int32, Arc::new(Int32Array::new(values, None)))
        };
        let number = |value: fn(&Origin) -> usize| -> ArrayRef {
            let values =
                columns.origins.iter().map(|origin| i64::try_from(value(origin)).unwrap_or(i64::MAX));
            Arc::new(values.collect::<Int64Array>())
        };
        let source = |origin: &Origin| self.sources.get(origin.source).map(String::as_str);
        let mut arrays = vec![
            integers(Buffer::from_vec(columns.input_ids))?,
            integers(Buffer::from_vec(columns.labels))?,
            Arc::new(columns.origins.iter().map(source).collect::<StringArray>()) as ArrayRef,
            number(|origin| origin.index),
            number(|origin| origin.line),
        ];
        if self.weighted {
            let weights = columns.weights.unwrap_or_else(|| vec![1.0; count]);
            arrays.push(list(DataType::Float32, Arc::new(Float32Array::from(weights)))?);
        }
        Ok(arrays)
    }
}

fn begin<W: io::Write + Send>(
    schema: &Arc<Schema>,
    file: W,
) -> Result<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory), ParquetError> {
    ArrowWriter::try_new(file, Arc::clone(schema), Some(properties()))?.into_serialized_writer()
}

fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_write_batch_size(VALUES_AT_ONCE)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_created_by(format!("toolsmith {}", env!("CARGO_PKG_VERSION")));
    // Looking up each of millions of ids costs more than compressing them as they are.
    for ids in ["input_ids", "labels", "loss_weights"] {
        let path = ColumnPath::new(vec![ids.to_owned(), "list".to_owned(), "item".to_owned()]);
        properties = properties.set_column_dictionary_enabled(path, false);
    }
    properties.build()
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
