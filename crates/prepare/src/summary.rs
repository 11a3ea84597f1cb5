//! What preparation did: counts, and every record it refused with the reason.
//!
//! In: results in input order. Out: numbers and a list for people and for `--json`. Does not print and has no clock.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use toolsmith_chat::check::{Finding, Level};

use crate::{Place, Row};

/// Refusals that are kept word for word; beyond it they are only counted.
pub const MAX_LISTED: usize = 1000;

/// A finding with the record it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: record {}: {}", self.source, self.line, self.index, self.finding)
    }
}

/// Counts over one preparation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records found in the sources, refused ones included.
    pub conversations: usize,
    /// Records that gave no sample because something is wrong with them.
    pub refused: usize,
    /// How many records each rule refused; one record can break several.
    pub refused_by_code: BTreeMap<String, usize>,
    /// The first refusals, in input order.
    pub refusals: Vec<Refusal>,
    /// How often each rule warned about a record that was kept.
    pub warnings_by_code: BTreeMap<String, usize>,
    /// The first warnings, in input order.
    pub warnings: Vec<Refusal>,
    /// Records on which the native rendering was compared with what the model's own template prints; where they
    /// differ, `template-differs` warns.
    pub compared: usize,
    /// Samples made.
    pub samples: usize,
    /// Tokens in all samples.
    pub tokens: usize,
    /// Tokens whose label is trained.
    pub trained_tokens: usize,
    /// Tokens in the longest sample.
    pub longest: usize,
}

impl Summary {
    pub(crate) fn refuse(&mut self, source: &str, place: Place, findings: Vec<Finding>) {
        self.refused += 1;
        let findings = findings.into_iter().filter(|finding| finding.level == Level::Error).collect();
        note(&mut self.refused_by_code, &mut self.refusals, source, place, findings);
    }

    pub(crate) fn warn(&mut self, source: &str, place: Place, findings: Vec<Finding>) {
        note(&mut self.warnings_by_code, &mut self.warnings, source, place, findings);
    }

    pub(crate) fn count(&mut self, row: &Row<'_>) {
        self.samples += 1;
        self.tokens += row.input_ids.len();
        self.trained_tokens += row.trained_tokens();
        self.longest = self.longest.max(row.input_ids.len());
    }
}

fn note(
    by_code: &mut BTreeMap<String, usize>,
    list: &mut Vec<Refusal>,
    source: &str,
    place: Place,
    findings: Vec<Finding>,
) {
    for finding in findings {
        *by_code.entry(finding.code.as_str().to_owned()).or_default() += 1;
        if list.len() < MAX_LISTED {
            list.push(Refusal { source: source.to_owned(), line: place.line, index: place.index, finding });
        }
    }
}
