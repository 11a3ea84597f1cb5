//! What the optimizer does to whole parameters.

use rayon::prelude::*;

use super::simd::{dot, vectorised};
use crate::device::AdamWStep;

const CHUNK: usize = 1 << 14;

/// Sum of squares: chunks in f32 lanes, their sums in f64 in order.
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    let partial: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            chunk
                .chunks(1 << 10)
                .map(|part| {
                    f64::from(vectorised(
                        #[inline(always)]
                        || dot(part, part),
                    ))
                })
                .sum()
        })
        .collect();
    partial.iter().sum()
}

/// One AdamW step.
pub(super) fn adamw(
    step: &AdamWStep,
    value: &mut [f32],
    grad: &[f32],
    moment1: &mut [f32],
    moment2: &mut [f32],
) {
    let len = value.len();
    assert!(grad.len() == len && moment1.len() == len && moment2.len() == len, "adamw: lengths differ");
    let AdamWStep { learning_rate, beta1, beta2, epsilon, weight_decay, grad_scale, .. } = *step;
    let (step_size, root_correction) = step.corrections();
    let keep = 1.0 - learning_rate * weight_decay;
    value
        .par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK))
        .zip(moment1.par_chunks_mut(CHUNK))
        .zip(moment2.par_chunks_mut(CHUNK))
        .for_each(|(((value, grad), moment1), moment2)| {
            vectorised(
                #[inline(always)]
                || {
                    for (((value, &grad), m), v) in value.iter_mut().zip(grad).zip(moment1).zip(moment2) {
                        let grad = grad * grad_scale;
                        *m = beta1 * *m + (1.0 - beta1) * grad;
                        *v = beta2 * *v + (1.0 - beta2) * grad * grad;
                        *value = *value * keep - step_size * *m / (v.sqrt() * root_correction + epsilon);
                    }
                },
            );
        });
}
