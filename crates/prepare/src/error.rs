//! What stops preparation altogether. A single bad record is not an error of this kind: it is a [`crate::LocatedFinding`].

use std::io;
use std::path::PathBuf;

/// Preparation could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The operating system refused to read a data file.
    #[error("{}: cannot be read: {source}. Check the path and its permissions", path.display())]
    Read {
        /// The data file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder stands where a file was expected.
    #[error("{}: is a folder; expected a JSON, JSONL or Parquet file. Name the files in it", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The file's content is neither JSON text nor Parquet.
    #[error(
        "{}: holds {found}; expected a JSON array or JSON lines (UTF-8; plain, .gz or .zst), or Parquet. Convert it, or fetch it again",
        path.display()
    )]
    NotRecords {
        /// The data file.
        path: PathBuf,
        /// What its first bytes show.
        found: &'static str,
    },
    /// The file holds nothing.
    #[error("{}: is empty; expected at least one record", path.display())]
    Empty {
        /// The data file.
        path: PathBuf,
    },
    /// There are more conversations than can be compared with each other.
    #[error("the conversations cannot be compared: {detail}")]
    TooMany {
        /// How many there may be.
        detail: String,
    },
    /// A Parquet file cannot be read as records.
    #[error("{}: cannot be read as records: {detail}", path.display())]
    BadParquet {
        /// The Parquet file.
        path: PathBuf,
        /// What is wrong with it, and how to mend it.
        detail: String,
    },
    /// The output cannot be written.
    #[error("{}: cannot be written: {source}. Nothing was left under that name; {hint}", path.display())]
    Write {
        /// The output's final name.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
        /// How to mend it.
        hint: &'static str,
    },
    /// The output's name belongs to something that must not be replaced.
    #[error("{}: exists and is {found}; expected a file name. Choose another output", path.display())]
    OutputInUse {
        /// The output's final name.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A worker thread is gone: a defect of this program.
    #[error(
        "a worker thread stopped unexpectedly. This is a defect of toolsmith: please report it with the data that shows it"
    )]
    WorkerLost,
    /// A prepared file cannot be understood.
    #[error("{}: cannot be read as prepared data: {detail}. Mend it, or make it again from its records with `toolsmith prepare`", path.display())]
    NotPrepared {
        /// The Parquet file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}
