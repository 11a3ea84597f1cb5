//! Root-mean-square normalisation (Zhang and Sennrich, 2019).

use rayon::prelude::*;

use super::pointwise::add_partial;
use super::rows::{for_each_row_with, row, rows_per_task};
use super::simd::{dot, vectorised};
use super::{Read, Write};
use crate::device::Matrix;

/// `y = x * weight / sqrt(mean(x²) + epsilon)` for each group of a row that is as wide as the weight.
pub(super) fn forward(epsilon: f32, x: Read<'_>, weight: &[f32], y: Write<'_>, inverse_rms: &mut [f32]) {
    assert!(x.at.rows == y.at.rows && x.at.cols == y.at.cols, "rms_norm: {:?} into {:?}", x.at, y.at);
    let groups = groups(x.at, weight);
    for_each_row_with(
        &mut y.buffer.values,
        y.at,
        inverse_rms,
        groups,
        #[inline(always)]
        |r, y, inverse_rms| {
            let parts = y.chunks_exact_mut(weight.len()).zip(row(x, r).chunks_exact(weight.len()));
            for ((y, x), inverse_rms) in parts.zip(inverse_rms) {
                let inverse = 1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt();
                *inverse_rms = inverse;
                for ((y, &x), &weight) in y.iter_mut().zip(x).zip(weight) {
                    *y = x * inverse * weight;
                }
            }
        },
    );
}

/// How many groups a row has.
fn groups(at: Matrix, weight: &[f32]) -> usize {
    let whole = !weight.is_empty() && at.cols.is_multiple_of(weight.len());
    assert!(whole, "rms_norm: {at:?} in groups of {}", weight.len());
    at.cols / weight.len()
}

/// Adds `d_x = inverse * (d_y * weight - x̂ * mean(d_y * weight * x̂))` with `x̂ = x * inverse`.
pub(super) fn backward(
    x: Read<'_>,
    weight: &[f32],
    inverse_rms: &[f32],
    d_y: Read<'_>,
    d_x: Write<'_>,
    d_weight: Option<&mut [f32]>,
) {
    let (cols, width) = (x.at.cols, weight.len());
    assert!(
        x.at.rows == d_y.at.rows && x.at.rows == d_x.at.rows && cols == d_x.at.cols,
        "rms_norm: {:?}",
        x.at
    );
    let groups = groups(x.at, weight);
    if x.at.rows == 0 {
        return;
    }
    let wants_weight = d_weight.is_some();
    let at = d_x.at;
    let block = 4 * rows_per_task(cols);
    let partial: Vec<Vec<f32>> = d_x.buffer.values[at.offset..at.end()]
        .par_chunks_mut(block * at.stride)
        .enumerate()
        .map(|(index, chunk)| {
            let mut sums = vec![0.0; if wants_weight { width } else { 0 }];
            vectorised(
                #[inline(always)]
                || {
                    for (local, d_x) in chunk.chunks_mut(at.stride).enumerate() {
                        let r = index * block + local;
                        for group in 0..groups {
                            let part = group * width..(group + 1) * width;
                            let (x, d_y) = (&row(x, r)[part.clone()], &row(d_y, r)[part.clone()]);
                            let (d_x, inverse) = (&mut d_x[part], inverse_rms[r * groups + group]);
                            let mean = weighted_dot(x, d_y, weight) * inverse * inverse / width as f32;
                            for (((d_x, &x), &d_y), &weight) in d_x.iter_mut().zip(x).zip(d_y).zip(weight) {
                                *d_x += inverse * (d_y * weight - x * mean);
                            }
                            for ((sum, &x), &d_y) in sums.iter_mut().zip(x).zip(d_y) {
                                *sum += d_y * x * inverse;
                            }
                        }
                    }
                },
            );
            sums
        })
        .collect();
    if let Some(d_weight) = d_weight {
        add_partial(&partial, d_weight);
    }
}

#[inline(always)]
fn weighted_dot(x: &[f32], d_y: &[f32], weight: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let whole = x.len() / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        let (x, d_y, weight) = (&x[start..][..LANES], &d_y[start..][..LANES], &weight[start..][..LANES]);
        for i in 0..LANES {
            lanes[i] += x[i] * d_y[i] * weight[i];
        }
    }
    let tail: f32 = (whole..x.len()).map(|i| x[i] * d_y[i] * weight[i]).sum();
    lanes.iter().sum::<f32>() + tail
}
