//! What preparation did: counts, and every record it refused with the reason.
//!
//! In: results in input order. Out: numbers and a list for people and for `--json`. Does not print and has no clock.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::{Place, Row};

/// Refusals that are kept word for word; beyond it they are only counted.
pub const MAX_LISTED: usize = 1000;

/// Why a record was refused, or something about it worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Stable name of the rule.
    pub code: String,
    /// Where inside the record, what was found, what was expected, how to mend it.
    pub message: String,
}

impl Reason {
    /// A reason under the rule `code`.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// A reason with the record it concerns.
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
    pub reason: Reason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: record {}: {}", self.source, self.line, self.index, self.reason.message)
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
    /// Notes a record that gave no sample; `conversations` is counted by the caller.
    pub fn refuse(&mut self, source: &str, place: Place, reasons: Vec<Reason>) {
        self.refused += 1;
        note(&mut self.refused_by_code, &mut self.refusals, source, place, reasons);
    }

    /// Notes what is odd about a record that was kept.
    pub fn warn(&mut self, source: &str, place: Place, reasons: Vec<Reason>) {
        note(&mut self.warnings_by_code, &mut self.warnings, source, place, reasons);
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
    reasons: Vec<Reason>,
) {
    for reason in reasons {
        *by_code.entry(reason.code.clone()).or_default() += 1;
        if list.len() < MAX_LISTED {
            list.push(Refusal { source: source.to_owned(), line: place.line, index: place.index, reason });
        }
    }
}
