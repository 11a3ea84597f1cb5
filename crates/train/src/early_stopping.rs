//! The best evaluation so far, and when waiting for a better one ends.
//!
//! In: an evaluation loss after some step. Out: whether it is the best, and whether it is time to stop, as
//! `EarlyStoppingCallback` of transformers decides. It does not know who measures, or what is saved.

use serde::{Deserialize, Serialize};

/// When a run ends before its last step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    /// Evaluations in a row without improvement after which the run ends.
    pub patience: u64,
    /// By how much an evaluation loss has to fall below the best one to count as an improvement (nats).
    pub threshold: f64,
}

/// What the evaluations so far came to. Names as in transformers' `trainer_state.json` where that has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluations {
    /// The lowest evaluation loss.
    pub(crate) best_metric: Option<f64>,
    /// The step after which it was measured.
    pub(crate) best_global_step: Option<u64>,
    /// Evaluations since the last improvement.
    pub(crate) without_improvement: u64,
}

impl Evaluations {
    /// Takes note of an evaluation, and says whether it is the best.
    pub(crate) fn note(&mut self, step: u64, eval_loss: f64, stopping: Option<EarlyStopping>) -> bool {
        let threshold = stopping.map_or(0.0, |stopping| stopping.threshold);
        let best = self.best_metric.unwrap_or(f64::INFINITY);
        if eval_loss < best && best - eval_loss > threshold {
            self.without_improvement = 0;
        } else {
            self.without_improvement += 1;
        }
        let is_best = eval_loss < best;
        if is_best {
            (self.best_metric, self.best_global_step) = (Some(eval_loss), Some(step));
        }
        is_best
    }

    /// Whether the run ends here.
    pub(crate) fn end(&self, stopping: Option<EarlyStopping>) -> bool {
        stopping.is_some_and(|stopping| self.without_improvement >= stopping.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_after(losses: &[f64], stopping: EarlyStopping) -> (Option<usize>, Evaluations) {
        let mut evaluations = Evaluations::default();
        for (index, &loss) in losses.iter().enumerate() {
            evaluations.note(index as u64, loss, Some(stopping));
            if evaluations.end(Some(stopping)) {
                return (Some(index), evaluations);
            }
        }
        (None, evaluations)
    }

    #[test]
    fn patience_counts_evaluations_in_a_row() {
        let losses = [3.0, 2.0, 2.5, 1.9, 2.0, 1.9, 1.8];
        let stopping = EarlyStopping { patience: 2, threshold: 0.0 };
        let (end, evaluations) = ends_after(&losses, stopping);
        assert_eq!(end, Some(5));
        assert_eq!((evaluations.best_metric, evaluations.best_global_step), (Some(1.9), Some(3)));
        assert_eq!(ends_after(&losses, EarlyStopping { patience: 3, ..stopping }).0, None);
    }

    #[test]
    fn a_small_improvement_is_the_best_but_does_not_count_as_one() {
        let stopping = EarlyStopping { patience: 2, threshold: 0.5 };
        let (end, evaluations) = ends_after(&[3.0, 2.9, 2.8, 1.0], stopping);
        assert_eq!(end, Some(2));
        assert_eq!(evaluations.best_metric, Some(2.8));
    }

    #[test]
    fn a_loss_that_is_no_number_is_no_improvement() {
        let stopping = EarlyStopping { patience: 1, threshold: 0.0 };
        assert_eq!(ends_after(&[1.0, f64::NAN], stopping).0, Some(1));
    }

    #[test]
    fn the_state_survives_its_file() {
        let mut evaluations = Evaluations::default();
        evaluations.note(7, 0.1 + 0.2, None);
        let text = serde_json::to_string(&evaluations).unwrap();
        assert_eq!(serde_json::from_str::<Evaluations>(&text).unwrap(), evaluations);
    }
}
