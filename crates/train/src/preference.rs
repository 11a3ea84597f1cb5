//! The part of a run that compares answers: pairs instead of samples, rewards beside the loss.
//!
//! In: pairs, an objective over them, the model. Out: gradients and means of steps and evaluations. It does not know the
//! optimizer or when an evaluation is due.

use std::path::Path;

use toolsmith_kernels::Device;
use toolsmith_model::TrainableModel;

use crate::data::fingerprint;
use crate::objective::{Objective, Rewards};
use crate::pairs::{self, Comparison, PairRun};
use crate::reference::Reference;
use crate::{Observer, RunOptions, Sample, TrainError};

/// What a pass over some samples gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Computed {
    pub(crate) loss: f64,
    /// Where pairs are compared.
    pub(crate) rewards: Option<Rewards>,
    /// Supervised tokens.
    pub(crate) trained_tokens: usize,
    /// Tokens that went through the model.
    pub(crate) computed_tokens: usize,
    /// How many runs they took.
    pub(crate) runs: usize,
}

/// What a run over pairs holds beside the others.
pub(crate) struct Preference {
    objective: Objective,
    eval_samples: Vec<Sample>,
    eval_runs: Vec<PairRun>,
    /// `None` until it is measured or read.
    reference: Option<Reference>,
}

impl Preference {
    pub(crate) fn new(options: &RunOptions, eval_samples: Vec<Sample>) -> Result<Self, TrainError> {
        let eval_runs = pairs::lay_out(&eval_samples.iter().collect::<Vec<_>>(), options)?;
        let objective = options.objective;
        let reference = (!objective.needs_reference()).then(Reference::default);
        Ok(Self { objective, eval_samples, eval_runs, reference })
    }

    /// Whether there is anything to evaluate.
    pub(crate) fn evaluates(&self) -> bool {
        !self.eval_runs.is_empty()
    }

    /// Reads what an earlier part of this run measured.
    pub(crate) fn load_reference(&mut self, path: &Path, train: &[Sample]) -> Result<(), TrainError> {
        if self.objective.needs_reference() {
            let fingerprint = self.fingerprint(train);
            self.reference = Some(Reference::load(path, fingerprint, train, &self.eval_samples)?);
        }
        Ok(())
    }

    /// Measures it with a model that was not trained yet, where that was not done.
    pub(crate) fn measure_reference<D: Device>(
        &mut self,
        model: &mut TrainableModel<D>,
        train: &[Sample],
        options: &RunOptions,
        path: &Path,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        if self.reference.is_none() {
            let reference = Reference::measure(model, train, &self.eval_samples, options, observer)?;
            reference.save(path, self.fingerprint(train))?;
            self.reference = Some(reference);
        }
        Ok(())
    }

    fn fingerprint(&self, train: &[Sample]) -> u64 {
        fingerprint(train).rotate_left(1) ^ fingerprint(&self.eval_samples)
    }

    /// Adds the gradients of the step that takes these samples.
    pub(crate) fn step<D: Device>(
        &self,
        model: &mut TrainableModel<D>,
        train: &[Sample],
        taken: &[usize],
        options: &RunOptions,
    ) -> Result<Computed, TrainError> {
        let samples: Vec<&Sample> = taken.iter().map(|&index| &train[index]).collect();
        let runs = pairs::lay_out(&samples, options)?;
        let known = self.reference.as_ref().map_or(&[][..], |reference| &reference.train);
        let reference = taken.iter().filter_map(|&index| known.get(index)).collect();
        let comparison = Comparison { objective: self.objective, reference };
        let (loss, rewards) = comparison.forward_backward(model, &runs)?.means();
        Ok(computed(loss, rewards, &runs))
    }

    /// Losses and rewards of the evaluation's pairs; `None` where there are none.
    pub(crate) fn evaluate<D: Device>(
        &self,
        model: &mut TrainableModel<D>,
    ) -> Result<Option<Computed>, TrainError> {
        if self.eval_runs.is_empty() {
            return Ok(None);
        }
        let reference = self.reference.iter().flat_map(|reference| &reference.eval).collect();
        let comparison = Comparison { objective: self.objective, reference };
        let (loss, rewards) = comparison.measure(model, &self.eval_runs)?.means();
        Ok(Some(computed(loss, rewards, &self.eval_runs)))
    }
}

fn computed(loss: f64, rewards: Rewards, runs: &[PairRun]) -> Computed {
    Computed {
        loss,
        rewards: Some(rewards),
        trained_tokens: runs.iter().map(|run| run.batch.targets.len()).sum(),
        computed_tokens: runs.iter().map(|run| run.batch.input_ids.len()).sum(),
        runs: runs.len(),
    }
}

/// Refuses pairs where single answers are trained, and the other way round.
pub(crate) fn check_kind<'a>(
    objective: &Objective,
    mut samples: impl Iterator<Item = &'a Sample>,
) -> Result<(), TrainError> {
    let wanted = objective.compares_answers();
    let Some(other) = samples.find(|sample| sample.is_pair() != wanted) else { return Ok(()) };
    let (found, expected) = if wanted {
        (
            "a single answer",
            "compares two: give it records with `chosen` and `rejected`, or set objective: sft",
        )
    } else {
        (
            "a pair of a chosen and a rejected answer",
            "trains single answers: set objective: dpo or orpo, or write the chosen answers as messages",
        )
    };
    Err(TrainError::WrongData {
        name: other.name().to_owned(),
        found,
        objective: objective.as_str(),
        expected,
    })
}
