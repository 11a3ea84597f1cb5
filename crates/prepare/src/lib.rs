//! Files of conversations to rows of token ids, ready to train on.
//!
//! In: JSON and JSONL files (plain, gzipped or Zstandard) and Parquet files in any of the source formats. Out: Parquet
//! files of `input_ids` and `labels` with each row's origin, and a summary of what was read, refused and
//! written. Order never depends on the number of threads. Knows `toolsmith-chat`; knows nothing of models, training or
//! the terminal.

mod arrow_json;
mod check;
mod chunk;
mod compat;
mod content_key;
mod convert;
mod damage;
mod error;
mod file_records;
mod list_column;
mod open;
mod outputs;
mod packing;
mod pair;
mod parquet_file;
mod parquet_records;
mod pipeline;
mod prefixes;
mod prepare;
mod read_prepared;
pub mod record;
mod row_group;
mod rows;
mod sample;
mod sample_columns;
mod selection;
mod shards;
mod split;
mod summary;
mod value_scanner;
mod whole_file;

pub use check::{CheckOptions, CheckReport, Inspector, Mended, RuleFindings, check_files, mend_files};
pub use chunk::Sides;
pub use content_key::content_key;
pub use convert::{Conversion, convert_files};
pub use error::PrepareError;
pub use file_records::FileRecords;
pub use open::{Framing, Input, open};
pub use outputs::remove_leftovers;
pub use packing::PackingPlan;
pub use pair::Answers;
pub use parquet_file::{Nameless, PreparedWriter};
pub use pipeline::{Accepted, Chunk, Pipeline, PipelineOptions, Progress, Sample, Work, map_chunks};
pub use prepare::{
    Outcome, Outputs, PrepareOptions, Written, prepare_in_memory, prepare_to_parquet, up_to_date,
};
pub use read_prepared::{Prepared, is_parquet, is_prepared, leaves_ids_out, read_prepared};
pub use record::{Record, RecordFormat};
pub use row_group::{RowGroup, RowGroupEncoder, RowKind};
pub use rows::{IGNORE_INDEX, Origin, Row, Rows};
pub use sample::{SampleMaker, SampleOptions};
pub use selection::Selection;
pub use shards::{Shard, shard_of, shards_of};
pub use split::{Place, RawRecord, Records};
pub use summary::{LocatedFinding, MAX_LISTED, SourceCounts, Summary, SummaryBuilder};
pub use whole_file::WholeFile;
