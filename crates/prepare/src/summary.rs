//! What preparation did: counts, and every record it refused with the reason.
//!
//! In: results in input order. Out: numbers and a list for people and for `--json`. Does not print and has no clock.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toolsmith_chat::check::{Finding, Level};

use crate::chunk::{Finished, Sides};
use crate::packing::{Lengths, PackingPlan};
use crate::prefixes::{SeenBlocks, leading_blocks};
use crate::{Place, Selection};

/// Refusals that are kept word for word; beyond it they are only counted.
pub const MAX_LISTED: usize = 1000;

/// A finding with the record it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatedFinding {
    /// The file, as the user named it.
    pub source: String,
    /// Line of the record's first byte, from 1.
    pub line: usize,
    /// Index of the record in its file, from 0.
    pub index: usize,
    /// The rule and what it found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl fmt::Display for LocatedFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: record {}: {}", self.source, self.line, self.index, self.finding)
    }
}

/// Counts over one preparation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Records found in the sources, refused ones included.
    pub conversations: usize,
    /// Records that gave no sample because something is wrong with them.
    pub refused: usize,
    /// How many records each rule refused; one record can break several.
    pub refused_by_code: BTreeMap<String, usize>,
    /// The first refusals, in input order.
    pub refusals: Vec<LocatedFinding>,
    /// How often each rule warned about a record that was kept.
    pub warnings_by_code: BTreeMap<String, usize>,
    /// The first warnings, in input order.
    pub warnings: Vec<LocatedFinding>,
    /// Records on which the native rendering was compared with what the model's own template prints; where they
    /// differ, `template-differs` warns.
    pub compared: usize,
    /// What each source gave.
    pub sources: Vec<SourceCounts>,
    /// Records that the mixing weights left out, unread.
    pub left_out: usize,
    /// Samples made, two of a pair.
    pub samples: usize,
    /// Pairs of a chosen and a rejected answer among them.
    pub pairs: usize,
    /// How many of the samples are kept apart to measure with.
    pub validation_samples: usize,
    /// Tokens in all samples.
    pub tokens: usize,
    /// Tokens whose label is trained.
    pub trained_tokens: usize,
    /// Tokens in the longest sample.
    pub longest: usize,
    /// Untrained tokens at the beginning of samples to train on with which an earlier one began too, in blocks of 16: a
    /// shared system text with its tools. Of very varied data the count may be too low.
    pub repeated_prefix_tokens: usize,
    /// What packing the samples to train on would give.
    pub packing: Option<PackingPlan>,
}

impl Summary {
    /// Notes a record that gave no sample, with the errors in it; `conversations` is counted by the caller.
    pub fn refuse(&mut self, source: &str, place: Place, findings: Vec<Finding>) {
        self.refused += 1;
        let errors = findings.into_iter().filter(|finding| finding.level == Level::Error).collect();
        note(&mut self.refused_by_code, &mut self.refusals, source, place, errors);
    }

    /// Notes what is odd about a record that was kept.
    pub fn warn(&mut self, source: &str, place: Place, findings: Vec<Finding>) {
        note(&mut self.warnings_by_code, &mut self.warnings, source, place, findings);
    }
}

/// What one source gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// The file, as the user named it.
    pub source: String,
    /// How often each of its records is taken.
    pub weight: f64,
    /// Records in it.
    pub conversations: usize,
    /// Records that the weight left out.
    pub left_out: usize,
    /// Samples made of the others.
    pub samples: usize,
}

/// Counts as chunks come in.
#[derive(Default)]
pub struct SummaryBuilder {
    summary: Summary,
    lengths: Lengths,
    seen: SeenBlocks,
}

impl SummaryBuilder {
    pub(crate) fn new(sources: &[PathBuf], selection: &Selection) -> Self {
        let counts = |(index, source): (usize, &PathBuf)| SourceCounts {
            source: source.display().to_string(),
            weight: selection.weight(index),
            ..SourceCounts::default()
        };
        let summary =
            Summary { sources: sources.iter().enumerate().map(counts).collect(), ..Summary::default() };
        Self { summary, ..Self::default() }
    }

    /// The counts so far, without what is only known at the end.
    pub fn so_far(&self) -> &Summary {
        &self.summary
    }

    /// All of it; packing is planned for samples of at most so many tokens.
    pub fn finish(self, max_length: Option<usize>) -> Summary {
        Summary { packing: self.lengths.plan(max_length), ..self.summary }
    }

    pub(crate) fn add(&mut self, finished: Finished) {
        let Finished { source, conversations, left_out, counts, refused, warned, compared, pairs, .. } =
            finished;
        let Self { summary, lengths, seen } = self;
        summary.conversations += conversations;
        summary.left_out += left_out;
        summary.compared += compared;
        summary.pairs += pairs;
        summary.samples += counts.samples;
        summary.validation_samples += counts.validation_samples;
        summary.tokens += counts.tokens;
        summary.trained_tokens += counts.trained_tokens;
        summary.longest = summary.longest.max(counts.longest);
        counts.lengths.iter().for_each(|length| lengths.add(*length));
        let mut from = 0;
        for &end in &counts.block_ends {
            summary.repeated_prefix_tokens += seen.repeated_tokens(&counts.blocks[from..end]);
            from = end;
        }
        let mut name = String::new();
        if let Some(of_source) = summary.sources.get_mut(source) {
            of_source.conversations += conversations;
            of_source.left_out += left_out;
            of_source.samples += counts.samples;
            name.clone_from(&of_source.source);
        }
        for (place, findings) in refused {
            summary.refuse(&name, place, findings);
        }
        for (place, findings) in warned {
            summary.warn(&name, place, findings);
        }
    }
}

/// Counts over some rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowCounts {
    samples: usize,
    validation_samples: usize,
    tokens: usize,
    trained_tokens: usize,
    longest: usize,
    /// How long each sample to train on is.
    lengths: Vec<usize>,
    /// The blocks that each of them begins with: sample `i` has those from `block_ends[i - 1]` to `block_ends[i]`.
    blocks: Vec<u64>,
    block_ends: Vec<usize>,
}

impl RowCounts {
    pub(crate) fn of(sides: &Sides) -> Self {
        let mut counts = Self { validation_samples: sides.validation.len(), ..Self::default() };
        for row in sides.train.iter().chain(sides.validation.iter()) {
            counts.samples += 1;
            counts.tokens += row.input_ids.len();
            counts.trained_tokens += row.trained_tokens();
            counts.longest = counts.longest.max(row.input_ids.len());
        }
        for row in sides.train.iter() {
            counts.lengths.push(row.input_ids.len());
            leading_blocks(&row, &mut counts.blocks);
            counts.block_ends.push(counts.blocks.len());
        }
        counts
    }
}

fn note(
    by_code: &mut BTreeMap<String, usize>,
    list: &mut Vec<LocatedFinding>,
    source: &str,
    place: Place,
    findings: Vec<Finding>,
) {
    for finding in findings {
        *by_code.entry(finding.code.as_str().to_owned()).or_default() += 1;
        if list.len() < MAX_LISTED {
            list.push(LocatedFinding {
                source: source.to_owned(),
                line: place.line,
                index: place.index,
                finding,
            });
        }
    }
}
