//! `metrics.jsonl`: one JSON object a line, appended as the run goes on.
//!
//! In: metrics. Out: lines. A resumed run first cuts the file back to its checkpoint, so that the file ends up as if
//! there had been no interruption. It does not know what the numbers mean.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::objective::Rewards;
use crate::{TrainError, run_folder};

/// One optimizer step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepMetrics {
    /// Number of the step, from 1.
    pub step: u64,
    /// Passes over the data so far, in parts.
    pub epoch: f64,
    /// Mean loss of a supervised token (of a pair, where pairs are trained) of this step, before the step's update (nats).
    pub loss: f64,
    /// Where pairs are trained: the rewards of their answers, before the step's update.
    #[serde(flatten)]
    pub rewards: Option<Rewards>,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Length of the gradient (2-norm over all trained weights) before clipping.
    pub grad_norm: f64,
    /// Tokens of the step's samples.
    pub tokens: usize,
    /// Supervised tokens among them.
    pub trained_tokens: usize,
    /// Tokens that were computed: shared prefixes once, and nothing after a sample's last supervised token.
    pub computed_tokens: usize,
    /// Runs into which the step was divided.
    pub runs: usize,
    /// How full they were: `computed_tokens` by what the runs could hold.
    pub fill: f64,
    /// `tokens` a second of this step's time.
    pub tokens_per_second: f64,
}

/// One measurement of the evaluation loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalMetrics {
    /// Steps done.
    pub step: u64,
    /// Mean loss of a supervised token (of a pair) of the evaluation samples (nats).
    pub eval_loss: f64,
    /// Where pairs are trained: the rewards of their answers, as `eval_rewards/…`.
    #[serde(flatten, serialize_with = "eval_rewards")]
    pub rewards: Option<Rewards>,
    /// Supervised tokens among them.
    pub eval_trained_tokens: usize,
}

fn eval_rewards<S: Serializer>(rewards: &Option<Rewards>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(Rewards { chosen, rejected, accuracies, margins }) = rewards else {
        return serializer.serialize_none();
    };
    let mut map = serializer.serialize_map(Some(4))?;
    map.serialize_entry("eval_rewards/chosen", chosen)?;
    map.serialize_entry("eval_rewards/rejected", rejected)?;
    map.serialize_entry("eval_rewards/accuracies", accuracies)?;
    map.serialize_entry("eval_rewards/margins", margins)?;
    map.end()
}

/// The open file.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the file, keeping only the lines of steps up to `done_steps`.
    pub(crate) fn open(path: &Path, done_steps: u64) -> Result<Self, TrainError> {
        if path.exists() {
            let text = fs::read_to_string(path).map_err(TrainError::file(path, "read"))?;
            let kept = lines_up_to(&text, done_steps);
            if kept != text {
                run_folder::replace_file(path, kept.as_bytes())?;
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(TrainError::file(path, "write"))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line in one write, so that a reader never sees half of one.
    pub(crate) fn append(&mut self, metrics: &impl Serialize) -> Result<(), TrainError> {
        let line = serde_json::to_string(metrics).map_err(std::io::Error::other);
        line.and_then(|line| self.file.write_all(format!("{line}\n").as_bytes()))
            .map_err(TrainError::file(&self.path, "write"))
    }
}

/// The leading lines that are whole and of a step that counts.
fn lines_up_to(text: &str, done_steps: u64) -> String {
    let counts = |line: &&str| {
        let step = serde_json::from_str::<serde_json::Value>(line)
            .ok()
            .and_then(|value| value.get("step")?.as_u64());
        line.ends_with('\n') && step.is_some_and(|step| step <= done_steps)
    };
    text.split_inclusive('\n').take_while(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_log_keeps_whole_lines_up_to_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3}\n{\"ste")
            .unwrap();
        let mut log = MetricsLog::open(&path, 2).unwrap();
        log.append(&EvalMetrics { step: 3, eval_loss: 0.5, rewards: None, eval_trained_tokens: 4 }).unwrap();
        let expected = "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3,\"eval_loss\":0.5,\"eval_trained_tokens\":4}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn rewards_have_the_names_of_trl() {
        let rewards = Some(Rewards { chosen: 1.0, rejected: -1.0, accuracies: 0.5, margins: 2.0 });
        let text =
            serde_json::to_string(&EvalMetrics { step: 3, eval_loss: 0.5, rewards, eval_trained_tokens: 4 });
        let expected = "{\"step\":3,\"eval_loss\":0.5,\"eval_rewards/chosen\":1.0,\"eval_rewards/rejected\":-1.0,\
            \"eval_rewards/accuracies\":0.5,\"eval_rewards/margins\":2.0,\"eval_trained_tokens\":4}";
        assert_eq!(text.unwrap(), expected);
    }

    #[test]
    fn a_torn_line_is_no_line() {
        assert_eq!(lines_up_to("{\"step\":1}\n{\"step\":1}", 5), "{\"step\":1}\n");
    }
}
