//! The whole of `check`: sources in, a report of everything that is wrong with them out.
//!
//! In: paths, an [`Inspector`], options. Out: a [`CheckReport`]. Each record goes through the very code that makes
//! samples of it for training; then the conversations are compared with each other. Writes nothing, except what
//! [`mend_files`] is asked for. Does not print.

mod inspector;
mod mend;
mod report;
mod whole;

use std::path::PathBuf;

use toolsmith_chat::check::duplicates::{Fingerprint, Threshold};
use toolsmith_chat::check::{Code, DatasetFacts, Finding};

pub use inspector::Inspector;
pub use mend::{Mended, mend_files};
pub use report::{CheckReport, RuleFindings};

use crate::pipeline::{self, Chunk};
use crate::{LocatedFinding, PipelineOptions, Place, PrepareError, Progress, RecordFormat};
use inspector::Seen;
use whole::Whole;

/// What is checked, and how.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Files of the data, then files of the evaluation data.
    pub sources: Vec<PathBuf>,
    /// The format of each; told by the records where absent.
    pub formats: Vec<Option<RecordFormat>>,
    /// How many of the sources, the first ones, are the data; the others are compared with it.
    pub data: usize,
    /// Places that are kept of each rule.
    pub places: usize,
    /// Rules that are not told.
    pub ignored: Vec<Code>,
    /// From which similarity on conversations count as near-duplicates; `None` looks for the same ones alone.
    pub similarity: Option<Threshold>,
    /// How the pipeline runs.
    pub pipeline: PipelineOptions,
}

/// What a chunk came to.
struct Inspected {
    source: usize,
    records: usize,
    found: Vec<(Place, Vec<Finding>)>,
    conversations: Vec<(Place, Fingerprint)>,
    facts: DatasetFacts,
    samples: Vec<Seen>,
}

/// Checks every record, then all of them together.
pub fn check_files(
    inspector: &Inspector<'_>,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, PrepareError> {
    let mut report = CheckReport::new(options.places, options.ignored.clone());
    let mut whole = Whole::default();
    let work = |chunk| inspect(chunk, inspector, options);
    pipeline::map_chunks(&options.sources, &options.pipeline, &work, &mut |inspected, bytes_read| {
        let source = options.sources[inspected.source].display().to_string();
        report.conversations += inspected.records;
        for seen in inspected.samples {
            report.count(seen);
        }
        for (place, findings) in inspected.found {
            report.record(&source, place, findings);
        }
        let is_data = inspected.source < options.data;
        whole.add(inspected.source, inspected.conversations, is_data.then_some(inspected.facts));
        let (conversations, samples) = (report.conversations, report.samples);
        progress(Progress { bytes_read, conversations, samples });
        Ok(())
    })?;
    whole.findings(options, &mut report)?;
    report.finish();
    Ok(report)
}

fn inspect(chunk: Chunk, inspector: &Inspector<'_>, options: &CheckOptions) -> Inspected {
    let mut inspected = Inspected {
        source: chunk.source,
        records: chunk.records.len(),
        found: Vec::new(),
        conversations: Vec::new(),
        facts: DatasetFacts::default(),
        samples: Vec::new(),
    };
    let format = options.formats.get(chunk.source).and_then(Option::as_ref);
    for record in chunk.records {
        let place = record.place;
        let findings = match record.bytes {
            Err(message) => vec![Finding::new(Code::Unreadable, message)],
            Ok(bytes) => inspector.inspect(
                &bytes,
                place,
                format,
                &mut |conversation| {
                    inspected.facts.count(conversation);
                    inspected.conversations.push((place, Fingerprint::of(conversation)));
                },
                &mut inspected.samples,
            ),
        };
        if !findings.is_empty() {
            inspected.found.push((place, findings));
        }
    }
    inspected
}

/// Where a finding about the whole of the data stands.
fn nowhere(finding: Finding) -> LocatedFinding {
    LocatedFinding { source: String::new(), line: 0, index: 0, finding }
}
