//! What the optimizer does to whole parameters.

use rayon::prelude::*;

use super::simd::{dot, vectorised};
use crate::device::AdamWStep;
use crate::moment::{MOMENT_BLOCK, Moment8};

const CHUNK: usize = 1 << 14;
/// Blocks of 8-bit moments in a chunk.
const BLOCKS: usize = CHUNK / MOMENT_BLOCK;

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
    let update = Update::new(step);
    value
        .par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK))
        .zip(moment1.par_chunks_mut(CHUNK))
        .zip(moment2.par_chunks_mut(CHUNK))
        .for_each(|(((value, grad), moment1), moment2)| {
            vectorised(
                #[inline(always)]
                || update.apply(value, grad, moment1, moment2),
            );
        });
}

/// One AdamW step with moments in 8 bits.
pub(super) fn adamw_8bit(
    step: &AdamWStep,
    value: &mut [f32],
    grad: &[f32],
    moment1: &mut Moment8,
    moment2: &mut Moment8,
) {
    let len = value.len();
    let moments = [moment1.codes().len(), moment2.codes().len()];
    assert!(grad.len() == len && moments == [len, len], "adamw_8bit: lengths differ");
    let update = Update::new(step);
    let (book1, book2) = (moment1.map().book(), moment2.map().book());
    let ((codes1, scales1), (codes2, scales2)) = (moment1.parts_mut(), moment2.parts_mut());
    let codes = codes1.par_chunks_mut(CHUNK).zip(codes2.par_chunks_mut(CHUNK));
    let scales = scales1.par_chunks_mut(BLOCKS).zip(scales2.par_chunks_mut(BLOCKS));
    let moments = codes.zip(scales);
    value.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK)).zip(moments).for_each(
        |((value, grad), moments)| {
            vectorised(
                #[inline(always)]
                || {
                    let ((codes1, codes2), (scales1, scales2)) = moments;
                    let values = value.chunks_mut(MOMENT_BLOCK).zip(grad.chunks(MOMENT_BLOCK));
                    let codes = codes1.chunks_mut(MOMENT_BLOCK).zip(codes2.chunks_mut(MOMENT_BLOCK));
                    let scales = scales1.iter_mut().zip(scales2);
                    for (((value, grad), (codes1, codes2)), (scale1, scale2)) in values.zip(codes).zip(scales)
                    {
                        let (mut m, mut v) = ([0.0; MOMENT_BLOCK], [0.0; MOMENT_BLOCK]);
                        let (m, v) = (&mut m[..value.len()], &mut v[..value.len()]);
                        book1.decode(codes1, *scale1, m);
                        book2.decode(codes2, *scale2, v);
                        update.apply(value, grad, m, v);
                        *scale1 = book1.encode(m, codes1);
                        *scale2 = book2.encode(v, codes2);
                    }
                },
            );
        },
    );
}

/// The numbers of one AdamW step.
struct Update {
    step: AdamWStep,
    step_size: f32,
    root_correction: f32,
    keep: f32,
}

impl Update {
    fn new(step: &AdamWStep) -> Self {
        let (step_size, root_correction) = step.corrections();
        let keep = 1.0 - step.learning_rate * step.weight_decay;
        Self { step: *step, step_size, root_correction, keep }
    }

    #[inline(always)]
    fn apply(&self, value: &mut [f32], grad: &[f32], moment1: &mut [f32], moment2: &mut [f32]) {
        let Self { step, step_size, root_correction, keep } = *self;
        let AdamWStep { beta1, beta2, epsilon, grad_scale, .. } = step;
        for (((value, &grad), m), v) in value.iter_mut().zip(grad).zip(moment1).zip(moment2) {
            let grad = grad * grad_scale;
            *m = beta1 * *m + (1.0 - beta1) * grad;
            *v = beta2 * *v + (1.0 - beta2) * grad * grad;
            *value = *value * keep - step_size * *m / (v.sqrt() * root_correction + epsilon);
        }
    }
}
