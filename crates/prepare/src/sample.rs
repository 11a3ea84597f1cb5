//! One record to its samples: checked, rendered, encoded.
//!
//! In: a record's bytes and the model's tokenizer and template. Out: token ids with labels, or every reason against it.
//! Does not know files or threads.

use std::sync::Arc;

use toolsmith_chat::batch::{self, Fit, Truncation};
use toolsmith_chat::check::{self, Checker, Code, Finding, Level};
use toolsmith_chat::compat::Mode;
use toolsmith_chat::data::{Conversation, InputOutput, TrainOn};
use toolsmith_chat::template::{
    ChatTemplate, ModelTemplate, RenderError, RenderOptions, Rendered, TemplateName, TrainingSample,
    first_difference,
};
use toolsmith_chat::tokens::{ChatTokenizer, PartWeights, TokenizerError};

use crate::compat;
use crate::record::{self, Record};
use crate::{Accepted, Answers, IGNORE_INDEX, Place, RecordFormat, Sample};

/// Records whose rendering is compared with the model's own template: so many first ones, then one in so many.
const COMPARED_FIRST: usize = 100;
const COMPARED_EVERY: usize = 1000;

/// Makes samples the way one model needs them.
pub struct SampleMaker<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a ChatTokenizer,
    /// The model's chat format; a model that has none can be trained on plain text alone.
    pub template: Option<ChatTemplate>,
    /// The model's own chat template, with which the native one is compared on some of the records.
    pub own_template: Option<Arc<ModelTemplate>>,
    /// The token that ends a plain text.
    pub eos: Option<u32>,
    /// What the user chooses.
    pub options: SampleOptions,
    /// The earlier trainer whose samples are made instead.
    pub compat: Option<Mode>,
    /// The rules that each record is checked by.
    pub checker: Checker<'a>,
}

/// What a user chooses about samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleOptions {
    /// The shape of the records; told record by record where absent.
    pub format: Option<RecordFormat>,
    /// Longest sample, in tokens.
    pub max_length: Option<usize>,
    /// What becomes of longer ones.
    pub truncation: Truncation,
    /// Which answers are trained.
    pub train_on: TrainOn,
    /// What the parts of an answer count in the loss; `None` where all count the same.
    pub part_weights: Option<PartWeights>,
    /// Rules that are left out: what they find is neither told nor refused, where samples can be made all the same.
    pub ignored: Vec<Code>,
    /// Whether the records hold one answer to learn or two to compare.
    pub answers: Answers,
}

impl SampleMaker<'_> {
    /// The samples of one record.
    pub fn samples(&self, bytes: &[u8], place: Place) -> Result<Accepted, Vec<Finding>> {
        self.samples_of(bytes, place, self.options.format.as_ref())
    }

    /// The samples of one record in this format, whatever the other records' is.
    pub fn samples_of(
        &self,
        bytes: &[u8],
        place: Place,
        format: Option<&RecordFormat>,
    ) -> Result<Accepted, Vec<Finding>> {
        let made = match &self.compat {
            Some(mode) => self.repeated(mode, bytes, place, format),
            None => self.own(bytes, place, format),
        };
        self.told(made)
    }

    /// What was made or said, without what the ignored rules say beside it.
    fn told(&self, made: Result<Accepted, Vec<Finding>>) -> Result<Accepted, Vec<Finding>> {
        let told = |finding: &Finding| !self.options.ignored.contains(&finding.code);
        match made {
            Ok(mut accepted) => {
                accepted.warnings.retain(told);
                Ok(accepted)
            }
            // Nothing can be made of it, so the reason is told all the same.
            Err(mut findings) => {
                if findings.iter().any(told) {
                    findings.retain(told);
                }
                Err(findings)
            }
        }
    }

    pub(crate) fn has_error(&self, findings: &[Finding]) -> bool {
        let counts = |finding: &Finding| {
            finding.level == Level::Error && !self.options.ignored.contains(&finding.code)
        };
        findings.iter().any(counts)
    }

    /// What an earlier trainer would have made; where it is too long, it is cut blindly or refused.
    fn repeated(
        &self,
        mode: &Mode,
        bytes: &[u8],
        place: Place,
        format: Option<&RecordFormat>,
    ) -> Result<Accepted, Vec<Finding>> {
        let mut accepted = compat::samples(self.tokenizer, mode, bytes, place, format)?;
        for sample in &mut accepted.samples {
            let cut = self.cut_right(sample, &mut accepted.warnings)?;
            accepted.warnings.extend(self.checker.check_stops(&sample.input_ids, &sample.labels, cut));
        }
        Ok(accepted)
    }

    fn own(
        &self,
        bytes: &[u8],
        place: Place,
        format: Option<&RecordFormat>,
    ) -> Result<Accepted, Vec<Finding>> {
        let (record, repeated) =
            record::read_warily(bytes, place, format).map_err(|finding| vec![finding])?;
        let mut accepted = self.samples_of_record(record, place)?;
        accepted.warnings.extend(repeated);
        Ok(accepted)
    }

    /// The samples of a record that was read already, whatever `compat` says.
    pub fn samples_of_record(&self, record: Record, place: Place) -> Result<Accepted, Vec<Finding>> {
        let compares = matches!(record, Record::Preference(_));
        if let Some(unwanted) = self.options.answers.refuse(compares) {
            return Err(vec![unwanted]);
        }
        let made = match record {
            Record::Conversation(conversation) => self.conversation(conversation, place),
            Record::Text(text) => self.text(&text),
            Record::InputOutput(pair) => self.input_output(&pair),
            Record::Preference(preference) => self.preference(&preference, place),
        };
        self.told(made)
    }

    fn conversation(&self, mut conversation: Conversation, place: Place) -> Result<Accepted, Vec<Finding>> {
        let Some(template) = &self.template else {
            return Err(vec![no_template()]);
        };
        self.options.train_on.apply(&mut conversation);
        let mut findings = self.checker.check(&conversation);
        if self.has_error(&findings) {
            return Err(findings);
        }
        let rendered = match template.samples(&conversation, &RenderOptions::TRAINING) {
            Ok(rendered) => rendered,
            Err(error) => return Err(with(findings, unwritable(error))),
        };
        let mut accepted = Accepted::default();
        for TrainingSample { conversation, rendered } in rendered {
            findings.extend(self.checker.check_rendered(&conversation, &rendered));
            let (mut sample, mut found) = self.encode(&rendered)?;
            if self.is_too_long(&sample) && self.options.truncation == Truncation::Structured {
                let shorter = self.shorten(template, &conversation, &mut accepted.warnings)?;
                (sample, found) = self.encode(&shorter)?;
            }
            let cut = self.cut_right(&mut sample, &mut accepted.warnings)?;
            findings.extend(found);
            findings.extend(self.checker.check_stops(&sample.input_ids, &sample.labels, cut));
            accepted.samples.push(sample);
        }
        if self.has_error(&findings) {
            return Err(with(findings, accepted.warnings));
        }
        accepted.warnings.extend(findings);
        let compared = self.compare(&conversation, place);
        accepted.compared = compared.is_some();
        accepted.warnings.extend(compared.flatten());
        Ok(accepted)
    }

    pub(crate) fn encode(&self, rendered: &Rendered) -> Result<(Sample, Vec<Finding>), Vec<Finding>> {
        let encoded = match &self.options.part_weights {
            None => self.tokenizer.encode(rendered).map(|encoded| (encoded, None)),
            Some(weights) => self
                .tokenizer
                .encode_weighted(rendered, weights)
                .map(|(encoded, weights)| (encoded, Some(weights))),
        };
        let (encoded, weights) = encoded.map_err(tokenizer_failed)?;
        let findings = check::check_encoded(&encoded);
        Ok((Sample { input_ids: encoded.input_ids, labels: encoded.labels, weights }, findings))
    }

    pub(crate) fn is_too_long(&self, sample: &Sample) -> bool {
        self.options.max_length.is_some_and(|limit| sample.input_ids.len() > limit)
    }

    /// The rendering of as much of a conversation as fits; what was left out is told.
    fn shorten(
        &self,
        template: &ChatTemplate,
        conversation: &Conversation,
        warnings: &mut Vec<Finding>,
    ) -> Result<Rendered, Vec<Finding>> {
        let limit = self.options.max_length.unwrap_or(usize::MAX);
        let render = |conversation: &Conversation| {
            template.render(conversation, &RenderOptions::TRAINING).map_err(unwritable)
        };
        let fitted = batch::fit(conversation, limit, &mut |conversation| {
            let encoded = self.tokenizer.encode(&render(conversation)?).map_err(tokenizer_failed)?;
            Ok::<_, Vec<Finding>>(encoded.input_ids.len())
        })?;
        match fitted {
            Fit::Whole => render(conversation),
            Fit::Cut(shorter, cuts) => {
                warnings.extend(cuts.iter().map(|cut| Finding::new(cut.code(), cut.to_string())));
                render(&shorter)
            }
            Fit::TooLong(tokens) => Err(vec![too_long(tokens, limit, self.options.truncation)]),
        }
    }

    /// Cuts what is still too long, or refuses it; says whether it was cut.
    pub(crate) fn cut_right(
        &self,
        sample: &mut Sample,
        warnings: &mut Vec<Finding>,
    ) -> Result<bool, Vec<Finding>> {
        let tokens = sample.input_ids.len();
        let Some(limit) = self.options.max_length.filter(|limit| tokens > *limit) else {
            return Ok(false);
        };
        if self.options.truncation != Truncation::Right {
            return Err(vec![too_long(tokens, limit, self.options.truncation)]);
        }
        let trained = sample.labels[limit..].iter().filter(|label| **label != IGNORE_INDEX).count();
        let inside = sample.labels[limit] != IGNORE_INDEX && sample.labels[limit - 1] != IGNORE_INDEX;
        let text = format!(
            "cut {} tokens at the end, {trained} of them trained{}",
            tokens - limit,
            if inside { "; the cut goes through a trained answer, whose end is never learned" } else { "" }
        );
        warnings.push(Finding::new(Code::CutRight, text));
        sample.input_ids.truncate(limit);
        sample.labels.truncate(limit);
        if let Some(weights) = &mut sample.weights {
            weights.truncate(limit);
        }
        if sample.labels.iter().all(|label| *label == IGNORE_INDEX) {
            let text = format!("nothing that is trained stands in the first {limit} tokens (max_length)");
            return Err(vec![Finding::new(Code::NothingTrained, text)]);
        }
        if inside {
            warnings.extend(self.checker.check_cut(&sample.input_ids, &sample.labels));
        }
        Ok(true)
    }

    /// The prompt, the response, and the token that ends it: nothing else stands around them.
    fn input_output(&self, pair: &InputOutput) -> Result<Accepted, Vec<Finding>> {
        if pair.response.is_empty() {
            return Err(vec![Finding::new(
                Code::NothingTrained,
                "response: is empty; expected some text to learn. Drop the record",
            )]);
        }
        let mut input_ids = self.tokenizer.encode_text(&pair.prompt).map_err(tokenizer_failed)?;
        let mut labels = vec![IGNORE_INDEX; input_ids.len()];
        let response = self.tokenizer.encode_text(&pair.response).map_err(tokenizer_failed)?;
        input_ids.extend(response.into_iter().chain(self.eos));
        labels.extend(input_ids[labels.len()..].iter().map(|id| id.cast_signed()));
        self.whole(Sample { input_ids, labels, weights: None })
    }

    /// A sample without turns that could be left out.
    fn whole(&self, mut sample: Sample) -> Result<Accepted, Vec<Finding>> {
        let mut warnings = Vec::new();
        self.cut_right(&mut sample, &mut warnings)?;
        Ok(Accepted { samples: vec![sample], warnings, ..Accepted::default() })
    }

    /// Compares the native rendering with what the model's own template prints; `None` where it is not this record's
    /// turn, or there is nothing to compare.
    pub(crate) fn compare(&self, conversation: &Conversation, place: Place) -> Option<Option<Finding>> {
        let own = self.own_template.as_ref()?;
        let native = self.template.as_ref()?.native()?;
        if place.index >= COMPARED_FIRST && !place.index.is_multiple_of(COMPARED_EVERY) {
            return None;
        }
        let options = RenderOptions::PLAIN;
        let ours = native.render(conversation, &options).ok()?;
        let said = match own.text(conversation, &options) {
            Ok(theirs) => match first_difference(ours.text(), &theirs) {
                Some(difference) => difference.to_string(),
                None => return Some(None),
            },
            Err(error) => error.to_string(),
        };
        let message = format!(
            "{native} and the model's own chat template differ: {said}. A server that uses the model's template would \
             show the model something else than it was trained on; --template {} trains with the model's own",
            TemplateName::Jinja
        );
        Some(Some(Finding::new(Code::TemplateDiffers, message)))
    }

    fn text(&self, text: &str) -> Result<Accepted, Vec<Finding>> {
        let mut input_ids = self.tokenizer.encode_text(text).map_err(tokenizer_failed)?;
        if input_ids.is_empty() {
            return Err(vec![Finding::new(
                Code::NothingTrained,
                "text: is empty; expected some text. Drop the record",
            )]);
        }
        input_ids.extend(self.eos);
        let labels = input_ids.iter().map(|id| id.cast_signed()).collect();
        self.whole(Sample { input_ids, labels, weights: None })
    }
}

fn with(mut findings: Vec<Finding>, others: Vec<Finding>) -> Vec<Finding> {
    findings.extend(others);
    findings
}

pub(crate) fn unwritable(error: RenderError) -> Vec<Finding> {
    vec![Finding::new(Code::Unwritable, error.to_string())]
}

pub(crate) fn tokenizer_failed(error: TokenizerError) -> Vec<Finding> {
    vec![Finding::new(Code::Tokenizer, error.to_string())]
}

pub(crate) fn too_long(tokens: usize, limit: usize, truncation: Truncation) -> Finding {
    let tried = match truncation {
        Truncation::Structured => {
            " even without the turns, tools and parts of results that may be left out (truncate: structured)"
        }
        Truncation::Right | Truncation::Refuse => "",
    };
    let text = format!(
        "the sample has {tokens} tokens{tried}, and at most {limit} are asked for (max_length). \
         Raise the limit, shorten the record, or cut it blindly with truncate: right"
    );
    Finding::new(Code::TooLong, text)
}

pub(crate) fn no_template() -> Finding {
    Finding::new(
        Code::NoTemplate,
        format!(
            "a conversation, but the model's chat template is not known. \
             Name the one it was trained with by --template: {}",
            TemplateName::all().join(", ")
        ),
    )
}
