//! What the starting model says of every pair: measured once, before the first step, and kept in the run's folder.
//!
//! In: a model that has not been trained yet, and pairs. Out: [`Answers`] for each pair, and their file
//! `reference_logprobs.safetensors`: a tensor `train` and a tensor `eval` of shape `[pairs, 2]` in f64, the sums of
//! log-probabilities (nats) of chosen and rejected answers. A fingerprint of the pairs lies beside them, so that a
//! resumed run takes these bytes or none. It does not know objectives.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use toolsmith_kernels::Device;
use toolsmith_model::TrainableModel;

use crate::objective::{Answer, Answers};
use crate::{Event, Observer, RunOptions, Sample, TrainError, pairs, run_folder};

/// Key of the fingerprint in the file's metadata.
const FINGERPRINT: &str = "data_fingerprint";

/// What the starting model says of the pairs, in their order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Reference {
    pub(crate) train: Vec<Answers>,
    pub(crate) eval: Vec<Answers>,
}

impl Reference {
    pub(crate) fn measure<D: Device>(
        model: &mut TrainableModel<D>,
        train: &[Sample],
        eval: &[Sample],
        options: &RunOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let total = train.len() + eval.len();
        let mut done = 0;
        let mut measure = |samples: &[Sample]| {
            let samples: Vec<&Sample> = samples.iter().collect();
            let mut answers = vec![Answers::default(); samples.len()];
            for group in pairs::group(&samples, options)? {
                let run = pairs::lay_out_group(&samples, group, options)?;
                let found = run.answers(&model.logprobs(&run.batch)?);
                for (&index, found) in run.pairs.iter().zip(found) {
                    answers[index] = found;
                }
                done += run.pairs.len();
                observer.event(Event::MeasuringReference { done, total });
            }
            Ok::<_, TrainError>(answers)
        };
        Ok(Self { train: measure(train)?, eval: measure(eval)? })
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn save(&self, path: &Path, fingerprint: u64) -> Result<(), TrainError> {
        let bytes = |answers: &[Answers]| -> Vec<u8> {
            let sums = answers.iter().flat_map(|pair| [pair.chosen.logprob, pair.rejected.logprob]);
            sums.flat_map(f64::to_le_bytes).collect()
        };
        let (train, eval) = (bytes(&self.train), bytes(&self.eval));
        let tensor = |count: usize, bytes| TensorView::new(Dtype::F64, vec![count, 2], bytes);
        let broken = |error: safetensors::SafeTensorError| {
            TrainError::file(path, "write")(std::io::Error::other(error))
        };
        let tensors = [
            ("train", tensor(self.train.len(), &train).map_err(broken)?),
            ("eval", tensor(self.eval.len(), &eval).map_err(broken)?),
        ];
        let about = HashMap::from([(FINGERPRINT.to_owned(), format!("{fingerprint:016x}"))]);
        let bytes = safetensors::serialize(tensors, Some(about)).map_err(broken)?;
        run_folder::replace_file(path, &bytes)
    }

    /// Reads the file, and refuses that of other pairs.
    pub(crate) fn load(
        path: &Path,
        fingerprint: u64,
        train: &[Sample],
        eval: &[Sample],
    ) -> Result<Self, TrainError> {
        let refuse = |detail: String| TrainError::Reference { path: path.to_owned(), detail };
        let bytes = fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        let (_, about) =
            SafeTensors::read_metadata(&bytes).map_err(|error| refuse(format!("is damaged: {error}")))?;
        let found = about.metadata().as_ref().and_then(|about| about.get(FINGERPRINT));
        if found != Some(&format!("{fingerprint:016x}")) {
            let detail = "belongs to other pairs than data and eval_data hold now; of a run that compares answers, \
                          eval_data must stay the same, too";
            return Err(refuse(detail.to_owned()));
        }
        let file =
            SafeTensors::deserialize(&bytes).map_err(|error| refuse(format!("is damaged: {error}")))?;
        let read = |name: &str, samples: &[Sample]| {
            let tensor = file.tensor(name).map_err(|error| refuse(format!("tensor `{name}`: {error}")))?;
            if tensor.dtype() != Dtype::F64 || tensor.shape() != [samples.len(), 2] {
                let (dtype, shape) = (tensor.dtype(), tensor.shape());
                let expected = format!("expected F64 [{}, 2]", samples.len());
                return Err(refuse(format!("tensor `{name}` is {dtype:?} {shape:?}; {expected}")));
            }
            let (sums, _) = tensor.data().as_chunks::<16>();
            Ok(samples.iter().zip(sums).map(|(pair, sums)| answers(pair, sums)).collect())
        };
        Ok(Self { train: read("train", train)?, eval: read("eval", eval)? })
    }
}

fn answers(pair: &Sample, sums: &[u8; 16]) -> Answers {
    let (sums, _) = sums.as_chunks::<8>();
    let mut found = pair
        .answers()
        .zip(sums)
        .map(|(answer, sum)| Answer { logprob: f64::from_le_bytes(*sum), tokens: answer.trained_tokens() });
    Answers { chosen: found.next().unwrap_or_default(), rejected: found.next().unwrap_or_default() }
}
