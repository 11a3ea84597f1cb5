//! A file that appears only when it is whole.
//!
//! In: a path and what to write. Out: the file under that name, or nothing there. Does not know what is in it.

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::PrepareError;
use crate::parquet_file::{create_beside, persist, write_error};

/// Writes a file under a temporary name beside `path` and gives it that name in the end.
pub fn write_whole(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), PrepareError> {
    let mut writer = BufWriter::new(create_beside(path, ".tmp")?);
    write(&mut writer).map_err(|error| write_error(path, error))?;
    let file = writer.into_inner().map_err(|error| write_error(path, error.into_error()))?;
    persist(file, path)
}
