//! Samples as an earlier trainer made them, in place of our own.
//!
//! In: a record's bytes and the [`Mode`]. Out: its samples, or the reason why the trainer had none. What `check` would
//! refuse is only warned about here, since the trainer kept it.

use toolsmith_chat::check::{self, Code, Finding};
use toolsmith_chat::compat::{CompatError, Mode};
use toolsmith_chat::tokens::ChatTokenizer;

use crate::record;
use crate::{Accepted, Place, RecordFormat, Sample};

pub(crate) fn samples(
    tokenizer: &ChatTokenizer,
    mode: &Mode,
    bytes: &[u8],
    place: Place,
    format: Option<&RecordFormat>,
) -> Result<Accepted, Vec<Finding>> {
    let (json, repeated) = record::parse_noting_repeats(bytes, place).map_err(|finding| vec![finding])?;
    let format = match format {
        Some(RecordFormat::Conversation(format)) => Some(*format),
        _ => None,
    };
    let encoded = mode.encode(json, format, tokenizer).map_err(|error| {
        let code = match &error {
            CompatError::Data(error) => error.code(),
            CompatError::Tokenizer(_) | CompatError::NoControlToken { .. } => Code::Tokenizer,
            _ => Code::Compat,
        };
        vec![Finding::new(code, error.to_string())]
    })?;
    let mut accepted = Accepted { samples: Vec::with_capacity(encoded.len()), ..Accepted::default() };
    accepted.warnings.extend(repeated.into_iter().map(record::repeated_key));
    for sample in encoded {
        accepted.warnings.extend(check::check_encoded(&sample));
        accepted.samples.push(Sample { input_ids: sample.input_ids, labels: sample.labels, weights: None });
    }
    Ok(accepted)
}
