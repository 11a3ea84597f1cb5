//! Prepared data on disk: Parquet with `input_ids`, `labels` and each row's origin.
//!
//! In: row groups. Out: a file that gets its final name only when it is whole, readable by Hugging Face `datasets`, pyarrow
//! and [`read_prepared`](crate::read_prepared()). Does not know how rows are made or encoded.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use tempfile::NamedTempFile;

use crate::row_group::{RowGroup, RowGroupEncoder};
use crate::{PrepareError, Rows};

/// How the names of temporary files begin, and how those of prepared data end.
pub(crate) const TEMPORARY: (&str, &str) = (".toolsmith-", ".parquet.part");

/// Writes prepared data; dropped before [`finish`](Self::finish), it leaves nothing behind.
pub struct PreparedWriter {
    path: PathBuf,
    rows: usize,
    file: NamedTempFile,
    writer: SerializedFileWriter<File>,
}

impl PreparedWriter {
    /// Begins a file for row groups of this encoder under a temporary name beside `path`.
    pub fn create(path: &Path, encoder: &RowGroupEncoder) -> Result<Self, PrepareError> {
        let file = create_beside(path, TEMPORARY.1)?;
        // So that another run can tell it from one that a killed run left behind. Where there are no locks, none can.
        let _no_locks_here = file.as_file().try_lock();
        let handle = file.as_file().try_clone().map_err(|error| write_error(path, error))?;
        let writer = encoder.begin(handle).map_err(|error| parquet_write_error(path, error))?;
        Ok(Self { path: path.to_path_buf(), rows: 0, file, writer })
    }

    /// Appends encoded rows.
    pub fn append(&mut self, group: RowGroup) -> Result<(), PrepareError> {
        if group.rows == 0 {
            return Ok(());
        }
        self.rows += group.rows;
        let append = || {
            let mut writer = self.writer.next_row_group()?;
            for column in group.columns {
                column.append_to_row_group(&mut writer)?;
            }
            writer.close()
        };
        append().map_err(|error| parquet_write_error(&self.path, error))?;
        Ok(())
    }

    /// Encodes rows and appends them.
    pub fn write(&mut self, rows: Rows, encoder: &RowGroupEncoder) -> Result<(), PrepareError> {
        let group = encoder.encode(rows).map_err(|error| parquet_write_error(&self.path, error))?;
        self.append(group)
    }

    pub(crate) fn error(&self, error: ParquetError) -> PrepareError {
        parquet_write_error(&self.path, error)
    }

    /// How many rows it has taken.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Ends the file and makes sure that it is on the disk; it still lacks its name. `facts` go into its metadata, each
    /// under its name with `toolsmith.` before it.
    pub fn finish(mut self, facts: &[(&str, String)]) -> Result<Nameless, PrepareError> {
        for (name, value) in facts {
            let fact = KeyValue::new(format!("toolsmith.{name}"), value.clone());
            self.writer.append_key_value_metadata(fact);
        }
        let Self { path, file, mut writer, .. } = self;
        writer.finish().map_err(|error| parquet_write_error(&path, error))?;
        file.as_file().sync_all().map_err(|error| write_error(&path, error))?;
        Ok(Nameless(file))
    }
}

/// A file that is whole and on the disk, but still under its temporary name; dropped, it is gone.
#[derive(Debug)]
pub struct Nameless(NamedTempFile);

impl Nameless {
    /// Gives it this name in the folder where it is, in place of what had it.
    pub fn name(self, path: &Path) -> Result<(), PrepareError> {
        self.0.persist(path).map_err(|error| write_error(path, error.error))?;
        Ok(())
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
    builder.prefix(TEMPORARY.0).suffix(suffix);
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

pub(crate) fn parquet_write_error(path: &Path, error: ParquetError) -> PrepareError {
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

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
