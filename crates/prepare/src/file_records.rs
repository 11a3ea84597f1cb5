//! The raw records of one file, whatever kind of file it is.
//!
//! In: a path. Out: its records as bytes of JSON, one after another, in memory that does not grow with the file. The
//! kind is told by the first bytes: JSON text, compressed or not, or Parquet.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::parquet_records::ParquetRecords;
use crate::{PrepareError, RawRecord, Records, is_parquet, open};

/// Iterates over the records of one file; see [`Records`] for what an `Err` means.
pub struct FileRecords(Kind);

enum Kind {
    Json(Box<Records>),
    Parquet(Box<ParquetRecords>),
}

impl FileRecords {
    /// Opens `path`; adds to `bytes_read` what is taken from disk, and skips and reports records longer than
    /// `max_record_bytes`.
    pub fn open(
        path: &Path,
        max_record_bytes: usize,
        bytes_read: &Arc<AtomicU64>,
    ) -> Result<Self, PrepareError> {
        if is_parquet(path) {
            let records = ParquetRecords::open(path, max_record_bytes, Arc::clone(bytes_read))?;
            return Ok(Self(Kind::Parquet(Box::new(records))));
        }
        let input = open::open_counted(path, bytes_read)?;
        Ok(Self(Kind::Json(Box::new(Records::new(input, max_record_bytes)))))
    }
}

impl Iterator for FileRecords {
    type Item = io::Result<RawRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Json(records) => records.next(),
            Kind::Parquet(records) => records.next(),
        }
    }
}
