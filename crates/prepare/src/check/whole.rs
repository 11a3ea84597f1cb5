//! Rules about all the data together: conversations that come again, and how tools are used.

use toolsmith_chat::check::duplicates::{Fingerprint, Likeness, find_duplicates, find_overlaps};
use toolsmith_chat::check::{Code, DatasetFacts, Finding};

use super::{CheckOptions, CheckReport};
use crate::{LocatedFinding, Place, PrepareError};

/// Where a conversation stands; a million of them are kept.
#[derive(Clone, Copy)]
struct Address {
    source: u32,
    index: u32,
    line: u32,
}

/// What is kept of all the data.
#[derive(Default)]
pub(super) struct Whole {
    data: Vec<Fingerprint>,
    data_addresses: Vec<Address>,
    eval: Vec<Fingerprint>,
    eval_addresses: Vec<Address>,
    facts: DatasetFacts,
}

impl Whole {
    /// Adds a chunk; `facts` are those of the data, and `None` for a chunk of the evaluation data.
    pub(super) fn add(
        &mut self,
        source: usize,
        kept: Vec<(Place, Fingerprint)>,
        facts: Option<DatasetFacts>,
    ) {
        let (fingerprints, addresses) = match &facts {
            Some(_) => (&mut self.data, &mut self.data_addresses),
            None => (&mut self.eval, &mut self.eval_addresses),
        };
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        for (place, fingerprint) in kept {
            fingerprints.push(fingerprint);
            addresses.push(Address {
                source: small(source),
                index: small(place.index),
                line: small(place.line),
            });
        }
        if let Some(facts) = facts {
            self.facts.merge(facts);
        }
    }

    /// Adds what is found to the report.
    pub(super) fn findings(
        &self,
        options: &CheckOptions,
        report: &mut CheckReport,
    ) -> Result<(), PrepareError> {
        let too_many = |error: toolsmith_chat::check::duplicates::DuplicatesError| PrepareError::TooMany {
            detail: error.to_string(),
        };
        let located = |address: Address, finding: Finding| LocatedFinding {
            source: name(options, address),
            line: address.line as usize,
            index: address.index as usize,
            finding,
        };
        let found = find_duplicates(&self.data, options.similarity).map_err(too_many)?;
        for duplicate in found.iter() {
            let (Some(here), Some(there)) =
                (self.data_addresses.get(duplicate.index), self.data_addresses.get(duplicate.earlier))
            else {
                continue;
            };
            let there = described(options, *there);
            let finding = match duplicate.likeness {
                Likeness::Same => Finding::new(Code::Duplicate, format!("the same conversation as {there}")),
                Likeness::Alike { similarity } => {
                    let text = format!("{:.0}% like {there}", similarity * 100.0);
                    Finding::new(Code::NearDuplicate, text)
                }
            };
            report.compared(located(*here, finding));
        }
        let overlaps = find_overlaps(&self.data, &self.eval, options.similarity).map_err(too_many)?;
        for overlap in overlaps {
            let (Some(here), Some(there)) =
                (self.eval_addresses.get(overlap.eval), self.data_addresses.get(overlap.train))
            else {
                continue;
            };
            let there = described(options, *there);
            let text = match overlap.likeness {
                Likeness::Same => format!("the same conversation as {there} of the training data"),
                Likeness::Alike { similarity } => {
                    format!("{:.0}% like {there} of the training data", similarity * 100.0)
                }
            };
            report.compared(located(*here, Finding::new(Code::EvalOverlap, text)));
        }
        for finding in self.facts.findings() {
            report.whole(finding);
        }
        Ok(())
    }
}

fn name(options: &CheckOptions, address: Address) -> String {
    options.sources.get(address.source as usize).map(|path| path.display().to_string()).unwrap_or_default()
}

fn described(options: &CheckOptions, address: Address) -> String {
    format!("{}:{}, record {}", name(options, address), address.line, address.index)
}
