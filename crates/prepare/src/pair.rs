//! A preference to its pair of samples: two answers to one prompt.
//!
//! In: a [`Preference`] and the model's tokenizer and template. Out: the sample of the chosen answer and that of the
//! rejected one, each as fine-tuning on it would make it, with the same tokens before the answers. Where they do not fit
//! the limit, both lose the same parts of their prompt. Does not know objectives.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use toolsmith_chat::batch::{self, Fit, Truncation};
use toolsmith_chat::check::{Code, Finding};
use toolsmith_chat::data::preference::Side;
use toolsmith_chat::data::{Conversation, Message, Preference, Role};
use toolsmith_chat::template::{ChatTemplate, RenderOptions};

use crate::sample::{no_template, tokenizer_failed, too_long, unwritable};
use crate::{
    Accepted, FileRecords, IGNORE_INDEX, PipelineOptions, Place, Record, RecordFormat, Sample, SampleMaker,
    record,
};

/// Which records samples are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// Those with one answer to learn.
    #[default]
    Single,
    /// Those with two to compare: each gives a pair of samples, the chosen one first.
    Pairs,
    /// Both, side by side: to look at, not to train on.
    Any,
}

impl Answers {
    /// What the first record that can be read has; the other records must have the same.
    pub fn of_first_record(sources: &[PathBuf], formats: &[Option<RecordFormat>]) -> Self {
        let max_record_bytes = PipelineOptions::default().max_record_bytes;
        for (index, path) in sources.iter().enumerate() {
            let format = formats.get(index).and_then(Option::as_ref);
            // What cannot be read is told when all of it is.
            let Ok(records) = FileRecords::open(path, max_record_bytes, &Arc::new(AtomicU64::new(0))) else {
                continue;
            };
            let read = |raw: crate::RawRecord| record::read(&raw.bytes.ok()?, raw.place, format).ok();
            match records.filter_map(|raw| raw.ok()).find_map(read) {
                Some(Record::Preference(_)) => return Self::Pairs,
                Some(_) => return Self::Single,
                None => {}
            }
        }
        Self::Single
    }

    /// Why a record with a single answer (or with two) is not wanted, where it is not.
    pub(crate) fn refuse(self, two: bool) -> Option<Finding> {
        let text = match (self, two) {
            (Self::Single, true) => {
                "two answers to compare (chosen and rejected), where single ones are trained. Prepare such records apart, \
                 and train on them with objective: dpo or orpo"
            }
            (Self::Pairs, false) => {
                "no two answers to compare; expected \"chosen\" and \"rejected\". Prepare such records apart, and train on \
                 them with objective: sft"
            }
            _ => return None,
        };
        Some(Finding::new(Code::Preference, text))
    }
}

/// Something for each side, the chosen one's first.
type Both<T> = [T; 2];

impl SampleMaker<'_> {
    /// The pair of a preference. What makes a good answer is asked of the chosen one alone: the other is there because it is
    /// bad.
    pub(crate) fn preference(&self, preference: &Preference, place: Place) -> Result<Accepted, Vec<Finding>> {
        let Some(template) = &self.template else { return Err(vec![no_template()]) };
        if self.options.part_weights.is_some() {
            let text = "answers are compared as a whole, so their parts cannot be weighed. Leave the loss weights out";
            return Err(vec![Finding::new(Code::Preference, text)]);
        }
        let [chosen, _] = self.conversations(preference);
        let mut findings = self.checker.check(&chosen);
        if self.has_error(&findings) {
            return Err(findings);
        }
        let mut accepted = Accepted { is_pair: true, ..Accepted::default() };
        let mut pair = self.encode_pair(template, preference)?;
        let too_long = pair.iter().any(|(sample, _)| self.is_too_long(sample));
        if too_long && self.options.truncation == Truncation::Structured {
            let shorter = self.shorten_pair(template, preference, &mut accepted.warnings)?;
            pair = self.encode_pair(template, &shorter)?;
        }
        for (side, (mut sample, found)) in Side::BOTH.into_iter().zip(pair) {
            let of_side = |finding: Finding| finding_of(side, finding);
            let mut warnings = Vec::new();
            let cut = self.cut_right(&mut sample, &mut warnings);
            let cut = cut.map_err(|findings| findings.into_iter().map(of_side).collect::<Vec<_>>())?;
            warnings.extend(self.checker.check_stops(&sample.input_ids, &sample.labels, cut));
            findings.extend(found.into_iter().chain(warnings).map(of_side));
            accepted.samples.push(sample);
        }
        findings.extend(incomparable(&accepted.samples));
        if self.has_error(&findings) {
            return Err(findings);
        }
        accepted.warnings.extend(findings);
        let compared = self.compare(&chosen, place);
        accepted.compared = compared.is_some();
        accepted.warnings.extend(compared.flatten());
        Ok(accepted)
    }

    fn conversations(&self, preference: &Preference) -> Both<Conversation> {
        Side::BOTH.map(|side| {
            let mut conversation = preference.conversation(side);
            self.options.train_on.apply(&mut conversation);
            conversation
        })
    }

    fn encode_pair(
        &self,
        template: &ChatTemplate,
        preference: &Preference,
    ) -> Result<Both<(Sample, Vec<Finding>)>, Vec<Finding>> {
        let [chosen, rejected] = self.conversations(preference);
        let encode = |side: Side, conversation: &Conversation| {
            let of_side = |findings: Vec<Finding>| -> Vec<Finding> {
                findings.into_iter().map(|finding| finding_of(side, finding)).collect()
            };
            let samples = template
                .samples(conversation, &RenderOptions::TRAINING)
                .map_err(|error| of_side(unwritable(error)))?;
            match samples.as_slice() {
                [sample] => {
                    let mut found = Vec::new();
                    if side == Side::Chosen {
                        found = self.checker.check_rendered(&sample.conversation, &sample.rendered);
                    }
                    let (encoded, more) = self.encode(&sample.rendered).map_err(of_side)?;
                    found.extend(more);
                    Ok((encoded, found))
                }
                several => {
                    let count = several.len();
                    let text = format!(
                        "the template writes earlier parts of the answer in another way once later ones follow, so it would \
                         take {count} samples. End the answer at its first message, and put that into the prompt of the next pair"
                    );
                    Err(of_side(vec![Finding::new(Code::Preference, text)]))
                }
            }
        };
        Ok([encode(Side::Chosen, &chosen)?, encode(Side::Rejected, &rejected)?])
    }

    /// A preference of which as little of the prompt is left out as makes both sides fit; what was left out is told.
    fn shorten_pair(
        &self,
        template: &ChatTemplate,
        preference: &Preference,
        warnings: &mut Vec<Finding>,
    ) -> Result<Preference, Vec<Finding>> {
        let limit = self.options.max_length.unwrap_or(usize::MAX);
        let Preference { tools, chosen, rejected, .. } = preference;
        let asks = |answer: &[Message]| answer.iter().any(|message| message.role == Role::User);
        // Both answers behind the prompt, so that whatever one of them needs stays.
        let [first, _] = self.conversations(preference);
        let messages = [first.messages.as_slice(), rejected].concat();
        let all = Conversation { tools: tools.clone(), messages };
        let apart = |all: &Conversation| {
            let answers = all.messages.len() - chosen.len() - rejected.len();
            let (prompt, answers) = all.messages.split_at(answers);
            let (chosen, rejected) = answers.split_at(chosen.len());
            Preference {
                tools: all.tools.clone(),
                prompt: prompt.to_vec(),
                chosen: chosen.to_vec(),
                rejected: rejected.to_vec(),
            }
        };
        let longest = |all: &Conversation| {
            let mut longest = 0;
            for conversation in self.conversations(&apart(all)) {
                let rendered =
                    template.render(&conversation, &RenderOptions::TRAINING).map_err(unwritable)?;
                let encoded = self.tokenizer.encode(&rendered).map_err(tokenizer_failed)?;
                longest = longest.max(encoded.input_ids.len());
            }
            Ok::<_, Vec<Finding>>(longest)
        };
        if asks(chosen) || asks(rejected) {
            return Err(vec![too_long(longest(&all)?, limit, Truncation::Refuse)]);
        }
        match batch::fit(&all, limit, &mut |all| longest(all))? {
            Fit::Whole => Ok(preference.clone()),
            Fit::Cut(shorter, cuts) => {
                warnings.extend(cuts.iter().map(|cut| Finding::new(cut.code(), cut.to_string())));
                Ok(apart(&shorter))
            }
            Fit::TooLong(tokens) => Err(vec![too_long(tokens, limit, self.options.truncation)]),
        }
    }
}

fn finding_of(side: Side, finding: Finding) -> Finding {
    Finding { text: format!("{}: {}", side.as_str(), finding.text), ..finding }
}

/// Why two samples are no pair: they begin differently before their answers, or have the same answer.
fn incomparable(pair: &[Sample]) -> Option<Finding> {
    let [chosen, rejected] = pair else { return None };
    let prompt = |sample: &Sample| {
        let trained = sample.labels.iter().position(|label| *label != IGNORE_INDEX);
        sample.input_ids[..trained.unwrap_or(sample.input_ids.len())].to_vec()
    };
    let (one, other) = (prompt(chosen), prompt(rejected));
    if one != other {
        let common = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        let text = format!(
            "what stands before the trained tokens differs from token {common} on ({} tokens for chosen, {} for rejected), so \
             the answers would be given different prompts. Mark the same messages as trained in both",
            one.len(),
            other.len()
        );
        return Some(Finding::new(Code::Preference, text));
    }
    (chosen == rejected).then(|| {
        let text = "chosen and rejected are the same tokens, so there is nothing to prefer. Drop the record, or raise the limit \
                    that cut what differed";
        Finding::new(Code::Preference, text)
    })
}
