//! A factor for each column, and lengths of rows: what an adapter of direction and magnitude needs (Liu et al., 2024).

use rayon::prelude::*;

use super::pointwise::add_partial;
use super::rows::{for_each_row, row, rows_per_task};
use super::simd::{dot, vectorised};
use super::{Read, Write};

pub(super) fn row_norms(x: Read<'_>, norms: &mut [f32]) {
    norms[..x.at.rows].par_iter_mut().with_min_len(rows_per_task(x.at.cols)).enumerate().for_each(
        |(r, norm)| {
            vectorised(
                #[inline(always)]
                || *norm = dot(row(x, r), row(x, r)).sqrt(),
            );
        },
    );
}

pub(super) fn scale_rows(numerators: &[f32], denominators: &[f32], x: Write<'_>) {
    for_each_row(
        &mut x.buffer.values,
        x.at,
        #[inline(always)]
        |r, row| {
            let factor = numerators[r] / denominators[r];
            row.iter_mut().for_each(|x| *x *= factor);
        },
    );
}

pub(super) fn scale(numerators: &[f32], denominators: &[f32], x: Read<'_>, beta: f32, y: Write<'_>) {
    assert!(x.at.rows == y.at.rows && x.at.cols == y.at.cols, "scale_columns: {:?} into {:?}", x.at, y.at);
    let factors: Vec<f32> = numerators[..x.at.cols].iter().zip(denominators).map(|(n, d)| n / d).collect();
    for_each_row(
        &mut y.buffer.values,
        y.at,
        #[inline(always)]
        |r, y| {
            for ((y, x), factor) in y.iter_mut().zip(row(x, r)).zip(&factors) {
                *y = x * factor + if beta == 0.0 { 0.0 } else { beta * *y };
            }
        },
    );
}

/// Sums over blocks of rows whose size depends on the width alone, then over the blocks in order.
pub(super) fn scale_backward(denominators: &[f32], x: Read<'_>, d_y: Read<'_>, d_numerators: &mut [f32]) {
    assert!(x.at.rows == d_y.at.rows && x.at.cols == d_y.at.cols, "scale_columns: {:?}, {:?}", x.at, d_y.at);
    let cols = x.at.cols;
    let block = 4 * rows_per_task(cols);
    let partial: Vec<Vec<f32>> = (0..x.at.rows.div_ceil(block))
        .into_par_iter()
        .map(|index| {
            let mut sums = vec![0.0; cols];
            vectorised(
                #[inline(always)]
                || {
                    for r in index * block..((index + 1) * block).min(x.at.rows) {
                        for ((sum, x), d_y) in sums.iter_mut().zip(row(x, r)).zip(row(d_y, r)) {
                            *sum += x * d_y;
                        }
                    }
                },
            );
            sums.iter_mut().zip(denominators).for_each(|(sum, denominator)| *sum /= denominator);
            sums
        })
        .collect();
    add_partial(&partial, d_numerators);
}
