//! A file that appears only when it is whole.
//!
//! In: a path, then bytes. Out: the file under that name, or nothing there. Does not know what is in it.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::PrepareError;
use crate::parquet_file::{create_beside, persist, write_error};

/// A file under a temporary name beside its own, which it gets in [`WholeFile::finish`]. Dropped before, it is gone.
pub struct WholeFile {
    writer: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl WholeFile {
    /// Begins a file that is to be `path`; tells at once where that cannot be.
    pub fn create(path: &Path) -> Result<Self, PrepareError> {
        Ok(Self { writer: BufWriter::new(create_beside(path, ".tmp")?), path: path.to_path_buf() })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PrepareError> {
        self.writer.write_all(bytes).map_err(|error| write_error(&self.path, error))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), PrepareError> {
        let file = self.writer.into_inner().map_err(|error| write_error(&self.path, error.into_error()))?;
        persist(file, &self.path)
    }
}
