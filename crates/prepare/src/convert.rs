//! Files of raw data sets to files of records.
//!
//! In: paths and which raw format they are in. Out: a JSON Lines file that appears under its name only when it is
//! whole, and counts of what became of the records. Does not print.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use toolsmith_chat::check::{Code, Finding};
use toolsmith_chat::data::convert::{RawFormat, convert};
use toolsmith_chat::json::to_python;

use crate::parquet_file::{create_beside, persist, write_error};
use crate::{FileRecords, LocatedFinding, MAX_LISTED, PipelineOptions, PrepareError, record};

/// What a conversion did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conversion {
    /// Raw records read.
    pub read: usize,
    /// Records written.
    pub written: usize,
    /// What was dropped: whole records, or parts that would have become one.
    pub dropped: usize,
    /// The first of what was dropped, with its reason.
    pub drops: Vec<LocatedFinding>,
}

impl Conversion {
    fn drop(&mut self, source: &str, place: crate::Place, finding: Finding) {
        self.dropped += 1;
        if self.drops.len() < MAX_LISTED {
            let (line, index) = (place.line, place.index);
            self.drops.push(LocatedFinding { source: source.to_owned(), line, index, finding });
        }
    }
}

/// Converts `sources` into the file `output`, one record a line; without a single one, nothing is written.
///
/// `progress` hears how many bytes were read.
pub fn convert_files(
    sources: &[PathBuf],
    format: RawFormat,
    output: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Conversion, PrepareError> {
    let file = create_beside(output, ".jsonl.part")?;
    let mut writer = BufWriter::new(file);
    let mut conversion = Conversion::default();
    let bytes_read = Arc::new(AtomicU64::new(0));
    for path in sources {
        let source = path.display().to_string();
        let max_record_bytes = PipelineOptions::default().max_record_bytes;
        for raw in FileRecords::open(path, max_record_bytes, &bytes_read)? {
            let raw = raw.map_err(|source| PrepareError::Read { path: path.clone(), source })?;
            conversion.read += 1;
            let json = raw.bytes.map_err(|message| Finding::new(Code::Unreadable, message));
            match json.and_then(|bytes| record::parse(&bytes, raw.place)) {
                Err(finding) => conversion.drop(&source, raw.place, finding),
                Ok(json) => {
                    let converted = convert(json, format);
                    for record in converted.records {
                        let mut line = to_python(&record);
                        line.push('\n');
                        writer.write_all(line.as_bytes()).map_err(|error| write_error(output, error))?;
                        conversion.written += 1;
                    }
                    for error in converted.dropped {
                        conversion.drop(&source, raw.place, Finding::new(error.code(), error.to_string()));
                    }
                }
            }
            progress(bytes_read.load(Ordering::Relaxed));
        }
    }
    if conversion.written > 0 {
        let file = writer.into_inner().map_err(|error| write_error(output, error.into_error()))?;
        persist(file, output)?;
    }
    Ok(conversion)
}
