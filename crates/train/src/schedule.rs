//! The learning rate of each step.
//!
//! In: options and a step's number. Out: a rate. Warm-up and decay are those of `transformers.get_scheduler`, which
//! counts steps from 0, so that the first step of a warm-up has rate 0. It knows nothing of gradients.

use std::f64::consts::PI;

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Half a cosine, to 0 at the end.
    Cosine,
    /// A straight line, to 0 at the end.
    Linear,
    /// Not at all.
    Constant,
}

/// How long the learning rate rises from 0 to its full height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warmup {
    /// In steps.
    Steps(u64),
    /// As a part of all steps, from 0 to 1; rounded up to whole steps.
    Ratio(f64),
}

/// Height and shape of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleOptions {
    /// The rate at its highest.
    pub learning_rate: f64,
    /// How it falls.
    pub kind: ScheduleKind,
    /// How it rises.
    pub warmup: Warmup,
}

impl ScheduleOptions {
    /// The rate of step `step` (from 1) of `total_steps`.
    pub fn learning_rate_at(&self, step: u64, total_steps: u64) -> f64 {
        let (done, total) = ((step - 1) as f64, total_steps as f64);
        let warmup = match self.warmup {
            Warmup::Steps(steps) => steps as f64,
            Warmup::Ratio(ratio) => (total * ratio).ceil(),
        };
        if done < warmup {
            return self.learning_rate * done / warmup;
        }
        let progress = (done - warmup) / (total - warmup).max(1.0);
        let height = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => (1.0 - progress).max(0.0),
            ScheduleKind::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
        };
        self.learning_rate * height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(kind: ScheduleKind, warmup: Warmup, total: u64) -> Vec<f64> {
        let schedule = ScheduleOptions { learning_rate: 1.0, kind, warmup };
        (1..=total).map(|step| schedule.learning_rate_at(step, total)).collect()
    }

    /// The numbers of benches/peers/schedule.py.
    #[test]
    fn rates_equal_those_of_transformers() {
        let close = |found: Vec<f64>, expected: [f64; 8]| {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
            }
        };
        close(rates(ScheduleKind::Constant, Warmup::Steps(2), 8), CONSTANT);
        close(rates(ScheduleKind::Linear, Warmup::Steps(2), 8), LINEAR);
        close(rates(ScheduleKind::Cosine, Warmup::Steps(2), 8), COSINE);
    }

    const CONSTANT: [f64; 8] = [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    const LINEAR: [f64; 8] =
        [0.0, 0.5, 1.0, 0.8333333333333334, 0.6666666666666666, 0.5, 0.3333333333333333, 0.16666666666666666];
    const COSINE: [f64; 8] =
        [0.0, 0.5, 1.0, 0.9330127018922194, 0.75, 0.5, 0.2500000000000001, 0.06698729810778065];

    #[test]
    fn a_ratio_is_rounded_up_to_whole_steps() {
        let linear = ScheduleKind::Linear;
        assert_eq!(rates(linear, Warmup::Ratio(0.21), 10), rates(linear, Warmup::Steps(3), 10));
        assert_eq!(rates(linear, Warmup::Ratio(0.0), 10)[0], 1.0);
    }

    #[test]
    fn a_warmup_longer_than_the_run_only_rises() {
        assert_eq!(rates(ScheduleKind::Cosine, Warmup::Steps(8), 3), [0.0, 0.125, 0.25]);
    }
}
