//! One record to its samples: checked, rendered, encoded.
//!
//! In: a record's bytes and the model's tokenizer and template. Out: token ids with labels, or every reason against it.
//! Does not know files or threads.

use toolsmith_chat::check::{self, Finding, Level};
use toolsmith_chat::data::{Conversation, InputOutput};
use toolsmith_chat::template::{RenderOptions, Template};
use toolsmith_chat::tokens::ChatTokenizer;

use crate::record::{self, Record};
use crate::{Accepted, IGNORE_INDEX, Place, Reason, RecordFormat, Sample};

/// Makes samples the way one model needs them.
pub struct SampleMaker<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a ChatTokenizer,
    /// The model's chat format; a model that has none can be trained on plain text alone.
    pub template: Option<Template>,
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
        self.samples_of(bytes, place, self.format.as_ref())
    }

    /// The samples of one record in this format, whatever the other records' is.
    pub fn samples_of(
        &self,
        bytes: &[u8],
        place: Place,
        format: Option<&RecordFormat>,
    ) -> Result<Accepted, Vec<Reason>> {
        let record = record::read(bytes, place, format).map_err(|reason| vec![reason])?;
        let accepted = match record {
            Record::Conversation(conversation) => self.conversation(&conversation)?,
            Record::Text(text) => self.text(&text)?,
            Record::InputOutput(pair) => self.input_output(&pair)?,
            Record::Preference(_) => return Err(vec![not_trained_yet()]),
        };
        let longest = accepted.samples.iter().map(|sample| sample.input_ids.len()).max().unwrap_or(0);
        match self.max_length {
            Some(limit) if longest > limit => Err(vec![too_long(longest, limit)]),
            _ => Ok(accepted),
        }
    }

    fn conversation(&self, conversation: &Conversation) -> Result<Accepted, Vec<Reason>> {
        let Some(template) = self.template else {
            return Err(vec![no_template()]);
        };
        let mut findings = check::check(conversation, Some(template));
        if findings.iter().any(|finding| finding.level == Level::Error) {
            return Err(errors(&findings));
        }
        let rendered = template
            .render(conversation, &RenderOptions::TRAINING)
            .map_err(|error| vec![Reason::new("unwritable", error.to_string())])?;
        let encoded = self
            .tokenizer
            .encode(&rendered)
            .map_err(|error| vec![Reason::new("tokenizer", error.to_string())])?;
        findings.extend(check::check_encoded(&encoded));
        if findings.iter().any(|finding| finding.level == Level::Error) {
            return Err(errors(&findings));
        }
        let warnings = findings.iter().map(reason).collect();
        let sample = Sample { input_ids: encoded.input_ids, labels: encoded.labels };
        Ok(Accepted { samples: vec![sample], warnings })
    }

    /// The prompt, the response, and the token that ends it: nothing else stands around them.
    fn input_output(&self, pair: &InputOutput) -> Result<Accepted, Vec<Reason>> {
        let broken =
            |error: toolsmith_chat::tokens::TokenizerError| vec![Reason::new("tokenizer", error.to_string())];
        if pair.response.is_empty() {
            return Err(vec![Reason::new(
                "nothing-trained",
                "response: is empty; expected some text to learn. Drop the record",
            )]);
        }
        let mut input_ids = self.tokenizer.encode_text(&pair.prompt).map_err(broken)?;
        let mut labels = vec![IGNORE_INDEX; input_ids.len()];
        let response = self.tokenizer.encode_text(&pair.response).map_err(broken)?;
        input_ids.extend(response.into_iter().chain(self.eos));
        labels.extend(input_ids[labels.len()..].iter().map(|id| id.cast_signed()));
        Ok(Accepted { samples: vec![Sample { input_ids, labels }], warnings: Vec::new() })
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
        Ok(Accepted { samples: vec![Sample { input_ids, labels }], warnings: Vec::new() })
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

fn not_trained_yet() -> Reason {
    Reason::new(
        "preference",
        "a preference (chosen and rejected); training on these is not there yet. `toolsmith render` shows both sides; \
         to train on the chosen answers alone, write them as messages",
    )
}

fn no_template() -> Reason {
    Reason::new(
        "no-template",
        format!(
            "a conversation, but the model's chat template is not known. \
             Name the one it was trained with by --template: {}",
            Template::ALL.map(Template::as_str).join(", ")
        ),
    )
}
