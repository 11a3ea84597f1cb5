//! Files of conversations to rows of token ids, ready to train on.
//!
//! In: JSON and JSONL files (plain, gzipped or Zstandard) and Parquet files in any of the source formats. Out: one
//! Parquet file of `input_ids` and `labels` with each row's origin, and a summary of what was read, refused and
//! written. Order never depends on the number of threads. Knows `toolsmith-chat`; knows nothing of models, training or
//! the terminal.

mod arrow_json;
mod compat;
mod convert;
mod damage;
mod error;
mod file_records;
mod open;
mod parquet_file;
mod parquet_records;
mod pipeline;
mod prepare;
pub mod record;
mod rows;
mod sample;
mod split;
mod summary;
mod whole_file;

pub use convert::{Conversion, convert_files};
pub use error::PrepareError;
pub use file_records::FileRecords;
pub use open::{Framing, Input, open};
pub use parquet_file::{Prepared, PreparedWriter, is_parquet, is_prepared, read_prepared};
pub use pipeline::{Accepted, Chunk, PipelineOptions, Progress, Sample, Work, map_chunks, run};
pub use prepare::{Outcome, PrepareOptions, prepare_in_memory, prepare_to_parquet};
pub use record::{Record, RecordFormat};
pub use rows::{IGNORE_INDEX, Origin, Row, Rows};
pub use sample::{SampleMaker, SampleOptions, TEMPLATE_DIFFERS};
pub use split::{Place, RawRecord, Records};
pub use summary::{MAX_LISTED, Reason, Refusal, Summary};
pub use whole_file::WholeFile;
