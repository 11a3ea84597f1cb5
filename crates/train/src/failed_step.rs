//! The samples of a step that failed, kept so that it can be looked into.
//!
//! In: the samples of the step and what was found. Out: one JSON file, and the error that names it. It does
//! not know why the step failed.

use serde::Serialize;

use crate::run_folder::{self, RunFolder};
use crate::{Sample, TrainError};

/// What `failed_step_N.json` holds.
#[derive(Debug, Serialize)]
struct FailedStep<'a> {
    step: u64,
    /// What is no number.
    what: &'a str,
    /// Its value, as text: JSON knows neither NaN nor infinity.
    value: String,
    learning_rate: f64,
    samples: Vec<FailedSample<'a>>,
}

#[derive(Debug, Serialize)]
struct FailedSample<'a> {
    name: &'a str,
    input_ids: &'a [u32],
    labels: &'a [i32],
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_weights: Option<&'a [f32]>,
}

impl<'a> FailedSample<'a> {
    /// The sample; of a pair, both answers.
    fn of(sample: &'a Sample) -> impl Iterator<Item = Self> {
        sample.answers().map(|tokens| Self {
            name: sample.name(),
            input_ids: tokens.input_ids(),
            labels: tokens.labels(),
            loss_weights: tokens.weights(),
        })
    }
}

/// Writes the samples of step `step` down, and says what happened: `value` is no number.
pub(crate) fn keep(
    folder: &RunFolder,
    step: u64,
    what: String,
    value: f64,
    learning_rate: f64,
    samples: &[&Sample],
) -> TrainError {
    let saved = folder.failed_step(step);
    let failed = FailedStep {
        step,
        what: &what,
        value: value.to_string(),
        learning_rate,
        samples: samples.iter().flat_map(|&sample| FailedSample::of(sample)).collect(),
    };
    let text = serde_json::to_string(&failed)
        .map_err(std::io::Error::other)
        .map_err(TrainError::file(&saved, "write"));
    if let Err(error) = text.and_then(|text| run_folder::replace_file(&saved, (text + "\n").as_bytes())) {
        return error;
    }
    let names: Vec<&str> = samples.iter().map(|sample| sample.name()).collect();
    TrainError::NotFinite { step, what, value, samples: names.join(", "), learning_rate, saved }
}
