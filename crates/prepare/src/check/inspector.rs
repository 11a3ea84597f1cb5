//! One record to everything that is wrong with it.
//!
//! In: a record's bytes. Out: its findings, errors and warnings, and the lengths of the samples it would give.

use toolsmith_chat::check::{Checker, Code, Finding};
use toolsmith_chat::data::Conversation;
use toolsmith_chat::data::preference::Side;
use toolsmith_chat::template::{ChatTemplate, RenderOptions};

use crate::{Accepted, IGNORE_INDEX, Place, Record, RecordFormat, SampleMaker, record};

/// What looks at records.
pub enum Inspector<'a> {
    /// For a model: each record becomes samples, as for training.
    Model(Box<SampleMaker<'a>>),
    /// Without a model: the rules that need no token ids, and with a template those about what it can write.
    Structure(Checker<'a>, Option<ChatTemplate>),
}

/// The length of a sample, and how much of it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) tokens: usize,
    pub(super) trained: usize,
}

impl<'a> Inspector<'a> {
    /// The rules.
    pub fn checker(&self) -> &Checker<'a> {
        match self {
            Self::Model(maker) => &maker.checker,
            Self::Structure(checker, _) => checker,
        }
    }

    /// What is wrong with a record; `conversation` is shown the conversation in it, where there is one.
    pub(super) fn inspect(
        &self,
        bytes: &[u8],
        place: Place,
        format: Option<&RecordFormat>,
        conversation: &mut dyn FnMut(&Conversation),
        samples: &mut Vec<Seen>,
    ) -> Vec<Finding> {
        let (record, mut findings) = match record::read_warily(bytes, place, format) {
            Ok(read) => read,
            Err(finding) => return vec![finding],
        };
        if let Record::Conversation(read) = &record {
            conversation(read);
        }
        let told = match self {
            Self::Structure(checker, template) => match record {
                Record::Conversation(read) => structure(checker, template.as_ref(), &read),
                Record::Preference(read) => {
                    structure(checker, template.as_ref(), &read.conversation(Side::Chosen))
                }
                Record::Text(_) | Record::InputOutput(_) => Vec::new(),
            },
            Self::Model(maker) => {
                let made = match &maker.compat {
                    // It reads the record itself, and tells the same again.
                    Some(_) => {
                        findings.clear();
                        maker.samples_of(bytes, place, format)
                    }
                    None => maker.samples_of_record(record, place),
                };
                match made {
                    Err(findings) => findings,
                    Ok(Accepted { samples: made, warnings, .. }) => {
                        samples.extend(made.iter().map(|sample| Seen {
                            tokens: sample.input_ids.len(),
                            trained: sample.labels.iter().filter(|label| **label != IGNORE_INDEX).count(),
                        }));
                        warnings
                    }
                }
            }
        };
        findings.extend(told);
        findings
    }
}

fn structure(
    checker: &Checker<'_>,
    template: Option<&ChatTemplate>,
    conversation: &Conversation,
) -> Vec<Finding> {
    let mut findings = checker.check(conversation);
    let Some(template) = template else { return findings };
    match template.samples(conversation, &RenderOptions::TRAINING) {
        Err(error) => findings.push(Finding::new(Code::Unwritable, error.to_string())),
        Ok(samples) => {
            for sample in samples {
                findings.extend(checker.check_rendered(&sample.conversation, &sample.rendered));
            }
        }
    }
    findings
}
