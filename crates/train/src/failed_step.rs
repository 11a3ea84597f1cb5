//! The samples of a step that failed, kept so that it can be looked into.
//!
//! In: the samples of the step and what was found. Out: one JSON file. It does not know why the step failed.

use std::path::Path;

use serde::Serialize;

use crate::{Sample, TrainError, run_folder};

/// What `failed_step_N.json` holds.
#[derive(Debug, Serialize)]
pub(crate) struct FailedStep<'a> {
    pub(crate) step: u64,
    /// What is no number.
    pub(crate) what: &'a str,
    /// Its value, as text: JSON knows neither NaN nor infinity.
    pub(crate) value: String,
    pub(crate) learning_rate: f64,
    pub(crate) samples: Vec<FailedSample<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FailedSample<'a> {
    name: &'a str,
    input_ids: &'a [u32],
    labels: &'a [i32],
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_weights: Option<&'a [f32]>,
}

impl<'a> From<&'a Sample> for FailedSample<'a> {
    fn from(sample: &'a Sample) -> Self {
        let tokens = sample.tokens();
        Self {
            name: sample.name(),
            input_ids: tokens.input_ids(),
            labels: tokens.labels(),
            loss_weights: tokens.weights(),
        }
    }
}

impl FailedStep<'_> {
    pub(crate) fn save(&self, path: &Path) -> Result<(), TrainError> {
        let text = serde_json::to_string(self).map_err(std::io::Error::other);
        run_folder::replace_file(path, (text.map_err(TrainError::file(path, "write"))? + "\n").as_bytes())
    }
}
