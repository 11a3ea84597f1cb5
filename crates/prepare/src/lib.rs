//! Files of conversations to rows of token ids, ready to train on.
//!
//! In: JSON and JSONL files (plain or gzipped) in any of the source formats. Out: one Parquet file of `input_ids` and
//! `labels` with each row's origin, and a summary of what was read, refused and written. Order never depends on the
//! number of threads. Knows `toolsmith-chat`; knows nothing of models, training or the terminal.

mod error;
mod open;
mod split;

pub use error::PrepareError;
pub use open::{Framing, Input, open};
pub use split::{Place, RawRecord, Records};
