//! Log-probabilities of chosen tokens and their gradient.

use rayon::prelude::*;

use super::rows::{for_each_row, row, rows_per_task};
use super::simd::{exp, max, sum_exp, vectorised};
use super::{Read, Write};
use crate::device::HeadRows;

fn targets(rows: &HeadRows<'_, Vec<u32>>, r: usize) -> std::ops::Range<usize> {
    rows.offsets[rows.first_row + r] as usize..rows.offsets[rows.first_row + r + 1] as usize
}

pub(super) fn forward(
    rows: &HeadRows<'_, Vec<u32>>,
    logits: Read<'_>,
    logprobs: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    let at = logits.at;
    let log_sum_exp = &mut log_sum_exp[rows.first_row..rows.first_row + at.rows];
    log_sum_exp.par_iter_mut().with_min_len(rows_per_task(at.cols)).enumerate().for_each(|(r, out)| {
        vectorised(
            #[inline(always)]
            || {
                let logits = row(logits, r);
                let largest = max(logits);
                *out = largest + sum_exp(logits, largest).ln();
            },
        );
    });
    for (r, log_sum) in log_sum_exp.iter().enumerate() {
        for target in targets(rows, r) {
            logprobs[target] = row(logits, r)[rows.tokens[target] as usize] - log_sum;
        }
    }
}

pub(super) fn backward(
    rows: &HeadRows<'_, Vec<u32>>,
    weights: &[f32],
    log_sum_exp: &[f32],
    logits: Write<'_>,
) {
    for_each_row(
        &mut logits.buffer.values,
        logits.at,
        #[inline(always)]
        |r, row| {
            let total: f32 = targets(rows, r).map(|target| weights[target]).sum();
            let shift = log_sum_exp[rows.first_row + r];
            for value in row.iter_mut() {
                *value = total * exp(*value - shift);
            }
            for target in targets(rows, r) {
                row[rows.tokens[target] as usize] -= weights[target];
            }
        },
    );
}
