//! One record to its samples: checked, rendered, encoded.
//!
//! In: a record's bytes and the model's tokenizer and template. Out: token ids with labels, or every reason against it.
//! Does not know files or threads.

use std::sync::Arc;

use toolsmith_chat::check::{self, Finding, Level};
use toolsmith_chat::data::Conversation;
use toolsmith_chat::template::{ChatTemplate, ModelTemplate, RenderOptions, TemplateName, first_difference};
use toolsmith_chat::tokens::ChatTokenizer;

use crate::record::{self, Record};
use crate::{Accepted, Place, Reason, RecordFormat, Sample};

/// The rule that warns where the native rendering is not what the model's own template prints.
pub const TEMPLATE_DIFFERS: &str = "template-differs";

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
    /// The shape of the records; told record by record where absent.
    pub format: Option<RecordFormat>,
    /// The token that ends a plain text.
    pub eos: Option<u32>,
    /// Longest sample, in tokens; longer ones are refused.
    pub max_length: Option<usize>,
}

impl SampleMaker<'_> {
    /// The samples of one record.
    pub fn samples(&self, bytes: &[u8], place: Place) -> Result<Accepted, Vec<Reason>> {
        let record = record::read(bytes, place, self.format).map_err(|reason| vec![reason])?;
        let accepted = match record {
            Record::Conversation(conversation) => self.conversation(&conversation, place)?,
            Record::Text(text) => self.text(&text)?,
        };
        let longest = accepted.samples.iter().map(|sample| sample.input_ids.len()).max().unwrap_or(0);
        match self.max_length {
            Some(limit) if longest > limit => Err(vec![too_long(longest, limit)]),
            _ => Ok(accepted),
        }
    }

    fn conversation(&self, conversation: &Conversation, place: Place) -> Result<Accepted, Vec<Reason>> {
        let Some(template) = &self.template else {
            return Err(vec![no_template()]);
        };
        let mut findings = check::check(conversation, template.native());
        if findings.iter().any(|finding| finding.level == Level::Error) {
            return Err(errors(&findings));
        }
        let rendered = template
            .samples(conversation, &RenderOptions::TRAINING)
            .map_err(|error| vec![Reason::new("unwritable", error.to_string())])?;
        let mut samples = Vec::with_capacity(rendered.len());
        for rendered in &rendered {
            let encoded = self
                .tokenizer
                .encode(rendered)
                .map_err(|error| vec![Reason::new("tokenizer", error.to_string())])?;
            findings.extend(check::check_encoded(&encoded));
            samples.push(Sample { input_ids: encoded.input_ids, labels: encoded.labels });
        }
        if findings.iter().any(|finding| finding.level == Level::Error) {
            return Err(errors(&findings));
        }
        let mut warnings: Vec<Reason> = findings.iter().map(reason).collect();
        let compared = self.compare(conversation, place);
        let is_compared = compared.is_some();
        warnings.extend(compared.flatten());
        Ok(Accepted { samples, warnings, compared: is_compared })
    }

    /// Compares the native rendering with what the model's own template prints; `None` where it is not this record's
    /// turn, or there is nothing to compare.
    fn compare(&self, conversation: &Conversation, place: Place) -> Option<Option<Reason>> {
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
        Some(Some(Reason::new(TEMPLATE_DIFFERS, message)))
    }

    fn text(&self, text: &str) -> Result<Accepted, Vec<Reason>> {
        let mut input_ids = self
            .tokenizer
            .encode_text(text)
            .map_err(|error| vec![Reason::new("tokenizer", error.to_string())])?;
        if input_ids.is_empty() {
            return Err(vec![Reason::new(
                "nothing-trained",
                "text: is empty; expected some text. Drop the record",
            )]);
        }
        input_ids.extend(self.eos);
        let labels = input_ids.iter().map(|id| id.cast_signed()).collect();
        Ok(Accepted { samples: vec![Sample { input_ids, labels }], ..Accepted::default() })
    }
}

fn errors(findings: &[Finding]) -> Vec<Reason> {
    findings.iter().filter(|finding| finding.level == Level::Error).map(reason).collect()
}

fn reason(finding: &Finding) -> Reason {
    Reason::new(finding.code.as_str(), finding.to_string())
}

fn too_long(tokens: usize, limit: usize) -> Reason {
    Reason::new(
        "too-long",
        format!(
            "the sample has {tokens} tokens, and at most {limit} are asked for (max_length). \
             Raise the limit or shorten the record; samples are never cut"
        ),
    )
}

fn no_template() -> Reason {
    Reason::new(
        "no-template",
        format!(
            "a conversation, but the model's chat template is not known. \
             Name the one it was trained with by --template: {}",
            TemplateName::all().join(", ")
        ),
    )
}
