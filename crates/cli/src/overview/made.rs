//! What one record says, and what becomes of it.
//!
//! In: a raw record. Out: the record as read, its samples with warnings or the findings against it, and for a refused
//! conversation the samples it would have given, so that one can see why. Does not know other records.

use toolsmith_chat::check::{Code, Finding};
use toolsmith_chat::template::RenderOptions;
use toolsmith_prepare::{
    Accepted, IGNORE_INDEX, RawRecord, Record, RecordFormat, Sample, SampleMaker, record,
};

/// A record and what became of it.
pub(crate) struct Made {
    /// What it says, with the user's choice of trained answers applied; `None` where it cannot be read.
    pub(crate) record: Option<Record>,
    /// Whether it gives no sample.
    pub(crate) refused: bool,
    /// Whether its rendering was compared with what the model's own template prints.
    pub(crate) compared: bool,
    /// Why it is refused, or what is odd about it.
    pub(crate) findings: Vec<Finding>,
    /// Its samples; of a refused record those that it would have given, where they can be made.
    pub(crate) samples: Vec<Sample>,
}

impl Made {
    /// Reads a record and makes its samples as `prepare` does.
    pub(crate) fn new(maker: &SampleMaker<'_>, format: Option<&RecordFormat>, raw: &RawRecord) -> Self {
        let bytes = match &raw.bytes {
            Ok(bytes) => bytes,
            Err(message) => {
                let findings = vec![Finding::new(Code::Unreadable, message)];
                return Self { record: None, refused: true, compared: false, findings, samples: Vec::new() };
            }
        };
        let mut record = record::read(bytes, raw.place, format).ok();
        if let Some(Record::Conversation(conversation)) = &mut record {
            maker.options.train_on.apply(conversation);
        }
        match maker.samples_of(bytes, raw.place, format) {
            Ok(Accepted { samples, warnings: findings, compared, .. }) => {
                Self { record, refused: false, compared, findings, samples }
            }
            Err(findings) => {
                let samples = record.as_ref().map(|record| would_be(maker, record)).unwrap_or_default();
                Self { record, refused: true, compared: false, findings, samples }
            }
        }
    }
}

/// The samples of a conversation without regard to what is wrong with it.
fn would_be(maker: &SampleMaker<'_>, record: &Record) -> Vec<Sample> {
    let (Record::Conversation(conversation), Some(template), None) = (record, &maker.template, &maker.compat)
    else {
        return Vec::new();
    };
    let rendered = template.samples(conversation, &RenderOptions::TRAINING).unwrap_or_default();
    let encoded = rendered.iter().filter_map(|sample| maker.tokenizer.encode(&sample.rendered).ok());
    encoded
        .map(|encoded| Sample { input_ids: encoded.input_ids, labels: encoded.labels, weights: None })
        .collect()
}

/// How many positions of a sample are trained.
pub(crate) fn trained_tokens(sample: &Sample) -> usize {
    sample.labels.iter().filter(|&&label| label != IGNORE_INDEX).count()
}
