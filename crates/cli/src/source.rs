//! Records of one data file in order, for the commands that look at them one by one.
//!
//! In: a path and, perhaps, a format. Out: each record with its place, or why it is none. Does not know models.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use toolsmith_chat::check::{Code, Finding};
use toolsmith_chat::data::Conversation;
use toolsmith_prepare::{FileRecords, PipelineOptions, Place, RawRecord, Record, RecordFormat, record};

/// A record with where it stands.
pub(crate) struct Located<T> {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where in it.
    pub(crate) place: Place,
    /// The record.
    pub(crate) value: T,
}

impl<T> Located<T> {
    /// `file:line: record n`, as messages begin.
    pub(crate) fn here(&self) -> impl fmt::Display {
        format!("{}:{}: record {}", self.path.display(), self.place.line, self.place.index)
    }
}

/// The raw records of a file.
pub(crate) fn raw_records(
    path: &Path,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<RawRecord>> + use<>> {
    let records = FileRecords::open(path, PipelineOptions::default().max_record_bytes, &Arc::default())?;
    let path = path.to_path_buf();
    Ok(records.map(move |record| record.with_context(|| format!("{}: cannot be read", path.display()))))
}

/// The records of a file, read.
pub(crate) fn records(
    path: &Path,
    format: Option<RecordFormat>,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Located<Result<Record, Finding>>>> + use<>> {
    let owned = path.to_path_buf();
    Ok(raw_records(path)?.map(move |raw| {
        let raw = raw?;
        let place = raw.place;
        let value = match raw.bytes {
            Ok(bytes) => record::read(&bytes, place, format.as_ref()),
            Err(message) => Err(Finding::new(Code::Unreadable, message)),
        };
        Ok(Located { path: owned.clone(), place, value })
    }))
}

/// The conversations of a file; other records are reasons.
pub(crate) fn conversation(record: Result<Record, Finding>) -> Result<Conversation, Finding> {
    match record? {
        Record::Conversation(conversation) => Ok(conversation),
        other => {
            let found = match other {
                Record::Preference(_) => "a preference",
                Record::InputOutput(_) => "a prompt with its response",
                _ => "a plain text",
            };
            let message = format!("{found}; expected a conversation (messages or conversations)");
            Err(Finding::new(Code::Shape, message))
        }
    }
}
