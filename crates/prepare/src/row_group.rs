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

/// What a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A sample: `input_ids` and `labels`.
    Samples,
    /// A sample, and `loss_weights` beside its labels.
    Weighted,
    /// A pair: `chosen_input_ids` and `chosen_labels`, `rejected_input_ids` and `rejected_labels`.
    Pairs,
}

impl RowKind {
    /// What stands before the names of the columns of each sample in a row.
    fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Samples | Self::Weighted => &[""],
            Self::Pairs => &PAIR_PREFIXES,
        }
    }
}

/// What stands before the names of the columns of the two samples of a pair.
pub(crate) const PAIR_PREFIXES: [&str; 2] = ["chosen_", "rejected_"];

/// Encodes rows; cheap to share between threads.
pub struct RowGroupEncoder {
    sources: Vec<String>,
    schema: Arc<Schema>,
    kind: RowKind,
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
    /// `sources` are the names that the rows' origins refer to.
    pub fn new(sources: Vec<String>, kind: RowKind) -> Result<Self> {
        let schema = Arc::new(schema(kind));
        let (_, factory) = begin(&schema, io::sink())?;
        Ok(Self { sources, schema, kind, factory })
    }

    /// How many samples so many rows of a file hold.
    pub(crate) fn samples_in(&self, rows: usize) -> usize {
        rows.saturating_mul(self.kind.prefixes().len())
    }

    /// Encodes rows; of pairs, the chosen and the rejected answers by turns.
    pub fn encode(&self, rows: Rows) -> Result<RowGroup> {
        let count = rows.len() / self.kind.prefixes().len();
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
        let samples = match self.kind {
            RowKind::Samples | RowKind::Weighted => vec![rows],
            RowKind::Pairs => rows.apart().into(),
        };
        let mut arrays = Vec::new();
        let mut origins = Vec::new();
        let mut weights = Vec::new();
        for rows in samples {
            let columns = rows.into_columns();
            let starts = std::iter::once(0).chain(columns.ends.iter().copied());
            let lengths: Vec<usize> =
                columns.ends.iter().zip(starts).map(|(end, start)| end - start).collect();
            let count = columns.labels.len();
            let list = |kind: DataType, values: ArrayRef| -> Result<ArrayRef, ArrowError> {
                let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
                Ok(Arc::new(ListArray::try_new(Arc::new(item(kind)), offsets, values, None)?))
            };
            let integers = |values: Buffer| {
                let values = ScalarBuffer::new(values, 0, count);
                list(DataType::Int32, Arc::new(Int32Array::new(values, None)))
            };
            arrays.push(integers(Buffer::from_vec(columns.input_ids))?);
            arrays.push(integers(Buffer::from_vec(columns.labels))?);
            if self.kind == RowKind::Weighted {
                let values = columns.weights.unwrap_or_else(|| vec![1.0; count]);
                weights.push(list(DataType::Float32, Arc::new(Float32Array::from(values)))?);
            }
            origins = columns.origins;
        }
        arrays.extend(self.origins(&origins));
        arrays.extend(weights);
        Ok(arrays)
    }

    fn origins(&self, origins: &[Origin]) -> [ArrayRef; 3] {
        let number = |value: fn(&Origin) -> usize| -> ArrayRef {
            let values = origins.iter().map(|origin| i64::try_from(value(origin)).unwrap_or(i64::MAX));
            Arc::new(values.collect::<Int64Array>())
        };
        let source = |origin: &Origin| self.sources.get(origin.source).map(String::as_str);
        [
            Arc::new(origins.iter().map(source).collect::<StringArray>()),
            number(|origin| origin.index),
            number(|origin| origin.line),
        ]
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
    for prefix in RowKind::Samples.prefixes().iter().chain(&PAIR_PREFIXES) {
        for ids in ["input_ids", "labels", "loss_weights"] {
            let path = ColumnPath::new(vec![format!("{prefix}{ids}"), "list".to_owned(), "item".to_owned()]);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    properties.build()
}

fn item(kind: DataType) -> Field {
    Field::new("item", kind, false)
}

fn schema(kind: RowKind) -> Schema {
    let list = |kind| DataType::List(Arc::new(item(kind)));
    let mut fields = Vec::new();
    for prefix in kind.prefixes() {
        for ids in ["input_ids", "labels"] {
            fields.push(Field::new(format!("{prefix}{ids}"), list(DataType::Int32), false));
        }
    }
    fields.extend([
        Field::new("source", DataType::Utf8, false),
        Field::new("index", DataType::Int64, false),
        Field::new("line", DataType::Int64, false),
    ]);
    if kind == RowKind::Weighted {
        fields.push(Field::new("loss_weights", list(DataType::Float32), false));
    }
    Schema::new(fields)
}
