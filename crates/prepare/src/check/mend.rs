//! Writing the data again with what can be mended safely.
//!
//! In: the sources, once more. Out: one JSON Lines file in the `openai` format that appears under its name only when it
//! is whole, and counts of what was done. Records that are no conversations, and those that cannot be mended, are
//! passed on as they are.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use toolsmith_chat::Json;
use toolsmith_chat::check::duplicates::Fingerprint;
use toolsmith_chat::check::{Code, Finding, Schemas, fix};
use toolsmith_chat::data::{Conversation, openai, read_any};
use toolsmith_chat::json::to_python;

use crate::parquet_file::{create_beside, persist, write_error};
use crate::pipeline::{self, Chunk};
use crate::{LocatedFinding, MAX_LISTED, PipelineOptions, PrepareError, Record, RecordFormat, record};

/// What mending did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// Records read.
    pub read: usize,
    /// Records written.
    pub written: usize,
    /// Records in which something was mended.
    pub mended: usize,
    /// How many records each rule was mended in; `duplicate` counts those left out.
    pub by_code: BTreeMap<String, usize>,
    /// Records left out because nothing could be read from them.
    pub left_out: usize,
    /// The first of those.
    pub left_out_places: Vec<LocatedFinding>,
}

struct MendedChunk {
    records: Vec<Result<Line, Box<LocatedFinding>>>,
}

struct Line {
    text: String,
    fingerprint: Option<Fingerprint>,
    codes: Vec<Code>,
}

/// Mends `sources` into the file `output`. A conversation that is the same as an earlier one is left out.
///
/// `progress` hears how many bytes were read.
pub fn mend_files(
    sources: &[PathBuf],
    formats: &[Option<RecordFormat>],
    schemas: &Schemas,
    options: &PipelineOptions,
    output: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Mended, PrepareError> {
    let mut writer = BufWriter::new(create_beside(output, ".jsonl.part")?);
    let mut done = Mended::default();
    let mut seen: HashSet<u64> = HashSet::new();
    let work = |chunk| mend_chunk(chunk, sources, formats, schemas);
    pipeline::map_chunks(sources, options, &work, &mut |chunk, bytes_read| {
        for record in chunk.records {
            done.read += 1;
            match record {
                Err(left_out) => {
                    done.left_out += 1;
                    if done.left_out_places.len() < MAX_LISTED {
                        done.left_out_places.push(*left_out);
                    }
                }
                Ok(line) => {
                    let again = line.fingerprint.is_some_and(|fingerprint| !seen.insert(fingerprint.exact()));
                    let codes = if again { vec![Code::Duplicate] } else { line.codes };
                    done.mended += usize::from(!codes.is_empty());
                    for code in codes {
                        *done.by_code.entry(code.as_str().to_owned()).or_default() += 1;
                    }
                    if !again {
                        writeln!(writer, "{}", line.text).map_err(|error| write_error(output, error))?;
                        done.written += 1;
                    }
                }
            }
        }
        progress(bytes_read);
        Ok(())
    })?;
    let file = writer.into_inner().map_err(|error| write_error(output, error.into_error()))?;
    persist(file, output)?;
    Ok(done)
}

fn mend_chunk(
    chunk: Chunk,
    sources: &[PathBuf],
    formats: &[Option<RecordFormat>],
    schemas: &Schemas,
) -> MendedChunk {
    let format = formats.get(chunk.source).and_then(Option::as_ref);
    let records = chunk.records.into_iter().map(|raw| {
        let json = match raw.bytes {
            Ok(bytes) => record::parse(&bytes, raw.place),
            Err(message) => Err(Finding::new(Code::Unreadable, message)),
        };
        json.map(|json| mend_record(json, format, schemas)).map_err(|finding| {
            let source = sources.get(chunk.source).map(|path| path.display().to_string()).unwrap_or_default();
            Box::new(LocatedFinding { source, line: raw.place.line, index: raw.place.index, finding })
        })
    });
    MendedChunk { records: records.collect() }
}

fn mend_record(mut json: Json, format: Option<&RecordFormat>, schemas: &Schemas) -> Line {
    let mut codes = fix::mend_record(&mut json);
    let as_it_is = to_python(&json);
    let Ok(Record::Conversation(mut conversation)) = read_any(json, format) else {
        return Line { text: as_it_is, fingerprint: None, codes };
    };
    codes.extend(fix::mend(&mut conversation, schemas));
    codes.sort_unstable();
    codes.dedup();
    let fingerprint = Some(Fingerprint::of(&conversation));
    // Tools that are one text have no place in the openai format.
    let text =
        if has_undivided(&conversation) { as_it_is } else { to_python(&openai::to_record(&conversation)) };
    Line { text, fingerprint, codes }
}

fn has_undivided(conversation: &Conversation) -> bool {
    conversation.tools().iter().any(|tool| tool.is_undivided())
}
