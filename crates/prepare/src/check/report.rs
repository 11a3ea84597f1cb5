//! What `check` found, rule by rule: counts, and the first places of each.

use std::collections::BTreeMap;

use serde::Serialize;
use toolsmith_chat::check::{Code, Finding, Level};

use super::inspector::Seen;
use super::nowhere;
use crate::{LocatedFinding, Place};

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// Records read, of the evaluation data too.
    pub conversations: usize,
    /// Records with an error in themselves.
    pub with_errors: usize,
    /// Findings that are errors.
    pub errors: usize,
    /// Findings that are warnings.
    pub warnings: usize,
    /// Samples that the records without errors give; 0 where no model was given.
    pub samples: usize,
    /// Tokens in all of them.
    pub tokens: usize,
    /// Tokens that are trained.
    pub trained_tokens: usize,
    /// Tokens in the longest.
    pub longest: usize,
    /// The rules that found something: errors first, then by the number of records.
    pub rules: Vec<RuleFindings>,
    #[serde(skip)]
    by_code: BTreeMap<Code, RuleFindings>,
    #[serde(skip)]
    most_places: usize,
    #[serde(skip)]
    ignored: Vec<Code>,
}

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleFindings {
    /// The rule.
    pub code: Code,
    /// How bad it is.
    pub level: Level,
    /// Records in which it found something; 0 for a rule about all the data.
    pub records: usize,
    /// What it found, in all of them.
    pub findings: usize,
    /// The first places, in the order of the data.
    pub places: Vec<LocatedFinding>,
}

impl CheckReport {
    pub(super) fn new(most_places: usize, ignored: Vec<Code>) -> Self {
        Self { most_places, ignored, ..Self::default() }
    }

    pub(super) fn count(&mut self, seen: Seen) {
        self.samples += 1;
        self.tokens += seen.tokens;
        self.trained_tokens += seen.trained;
        self.longest = self.longest.max(seen.tokens);
    }

    /// What was found about one record by looking at it alone.
    pub(super) fn record(&mut self, source: &str, place: Place, findings: Vec<Finding>) {
        let told: Vec<_> = findings.into_iter().filter(|finding| !self.is_ignored(finding.code)).collect();
        let bad = told.iter().any(|finding| finding.level == Level::Error);
        self.with_errors += usize::from(bad);
        let mut codes: Vec<Code> = told.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        codes.dedup();
        for finding in told {
            let (line, index) = (place.line, place.index);
            self.note(LocatedFinding { source: source.to_owned(), line, index, finding });
        }
        for code in codes {
            self.by_code.entry(code).and_modify(|rule| rule.records += 1);
        }
    }

    /// What was found about one record by comparing it with others.
    pub(super) fn compared(&mut self, found: LocatedFinding) {
        let code = found.finding.code;
        if !self.is_ignored(code) {
            self.note(found);
            self.by_code.entry(code).and_modify(|rule| rule.records += 1);
        }
    }

    /// What was found about all the data.
    pub(super) fn whole(&mut self, finding: Finding) {
        if !self.is_ignored(finding.code) {
            self.note(nowhere(finding));
        }
    }

    fn is_ignored(&self, code: Code) -> bool {
        self.ignored.contains(&code)
    }

    fn note(&mut self, found: LocatedFinding) {
        let (code, level) = (found.finding.code, found.finding.level);
        match level {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
        }
        let none = RuleFindings { code, level, records: 0, findings: 0, places: Vec::new() };
        let rule = self.by_code.entry(code).or_insert(none);
        rule.findings += 1;
        if rule.places.len() < self.most_places {
            rule.places.push(found);
        }
    }

    pub(super) fn finish(&mut self) {
        self.rules = std::mem::take(&mut self.by_code).into_values().collect();
        self.rules.sort_by_key(|rule| (std::cmp::Reverse((rule.level, rule.records)), rule.code));
    }
}
