//! Operations that look at each element by itself, and the bias.

use rayon::prelude::*;

use super::rows::{for_each_row, row, rows_per_task};
use super::simd::{sigmoid, vectorised};
use super::{Read, Write};
use crate::device::Matrix;
use crate::random::CounterRng;

const CHUNK: usize = 1 << 15;

fn same_shape(a: Matrix, b: Matrix) {
    assert!(a.rows == b.rows && a.cols == b.cols, "shapes differ: {a:?} and {b:?}");
}

pub(super) fn fill(values: &mut [f32], value: f32) {
    values.par_chunks_mut(CHUNK).for_each(|chunk| chunk.fill(value));
}

pub(super) fn scale(values: &mut [f32], factor: f32) {
    values.par_chunks_mut(CHUNK).for_each(|chunk| {
        vectorised(
            #[inline(always)]
            || chunk.iter_mut().for_each(|value| *value *= factor),
        );
    });
}

pub(super) fn copy(from: Read<'_>, to: Write<'_>) {
    same_shape(from.at, to.at);
    for_each_row(&mut to.buffer.values, to.at, |r, to| to.copy_from_slice(row(from, r)));
}

pub(super) fn add(factor: f32, from: Read<'_>, to: Write<'_>) {
    same_shape(from.at, to.at);
    for_each_row(
        &mut to.buffer.values,
        to.at,
        #[inline(always)]
        |r, to| to.iter_mut().zip(row(from, r)).for_each(|(to, from)| *to += factor * from),
    );
}

pub(super) fn add_bias(bias: &[f32], y: Write<'_>) {
    let bias = &bias[..y.at.cols];
    for_each_row(
        &mut y.buffer.values,
        y.at,
        #[inline(always)]
        |_, y| y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias),
    );
}

/// Sums of rows, taken over blocks of rows whose size depends on the width alone, then over the blocks in order.
pub(super) fn add_bias_backward(d_y: Read<'_>, d_bias: &mut [f32]) {
    let cols = d_y.at.cols;
    let block = 4 * rows_per_task(cols);
    let partial: Vec<Vec<f32>> = (0..d_y.at.rows.div_ceil(block))
        .into_par_iter()
        .map(|index| {
            let mut sum = vec![0.0; cols];
            vectorised(
                #[inline(always)]
                || {
                    for r in index * block..((index + 1) * block).min(d_y.at.rows) {
                        sum.iter_mut().zip(row(d_y, r)).for_each(|(sum, d_y)| *sum += d_y);
                    }
                },
            );
            sum
        })
        .collect();
    add_partial(&partial, d_bias);
}

/// Adds partial sums in their order.
pub(super) fn add_partial(partial: &[Vec<f32>], total: &mut [f32]) {
    for sum in partial {
        total[..sum.len()].iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
    }
}

/// `out = silu(gate) * up`.
pub(super) fn swiglu(gate: Read<'_>, up: Read<'_>, out: Write<'_>) {
    same_shape(gate.at, out.at);
    same_shape(up.at, out.at);
    for_each_row(
        &mut out.buffer.values,
        out.at,
        #[inline(always)]
        |r, out| {
            for ((out, &gate), &up) in out.iter_mut().zip(row(gate, r)).zip(row(up, r)) {
                *out = gate * sigmoid(gate) * up;
            }
        },
    );
}

/// Replaces gate and up by their gradients.
pub(super) fn swiglu_backward(d_out: Read<'_>, gate_up: &mut [f32], gate: Matrix, up: Matrix) {
    same_shape(gate, d_out.at);
    same_shape(up, d_out.at);
    let cols = gate.cols;
    assert!(
        gate.stride == up.stride
            && gate.offset + cols <= up.offset
            && up.offset - gate.offset + cols <= gate.stride,
        "swiglu: gate {gate:?} must lie left of up {up:?} in the same rows"
    );
    let distance = up.offset - gate.offset;
    let both = Matrix { cols: distance + cols, ..gate };
    for_each_row(
        gate_up,
        both,
        #[inline(always)]
        |r, both| {
            let (gate, up) = both.split_at_mut(distance);
            for ((gate, up), &d_out) in gate.iter_mut().zip(up).zip(row(d_out, r)) {
                let sigmoid = sigmoid(*gate);
                let silu = *gate * sigmoid;
                let d_gate = d_out * *up * (sigmoid + silu * (1.0 - sigmoid));
                *up = d_out * silu;
                *gate = d_gate;
            }
        },
    );
}

pub(super) fn tanh(values: &mut [f32]) {
    values.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|x| *x = x.tanh()));
}

pub(super) fn tanh_backward(y: &[f32], d_y: &mut [f32]) {
    assert_eq!(y.len(), d_y.len(), "tanh: gradients of another size");
    d_y.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(d_y, y)| {
        d_y.iter_mut().zip(y).for_each(|(d_y, y)| *d_y *= 1.0 - y * y);
    });
}

/// `out = beta * out + mask * x / (1 - rate)`.
pub(super) fn dropout(rate: f32, seed: u64, x: Read<'_>, beta: f32, out: Write<'_>) {
    same_shape(x.at, out.at);
    let (rng, cols) = (CounterRng::new(seed), x.at.cols as u64);
    let keep_from = (f64::from(rate) * (1u64 << 32) as f64) as u64;
    let factor = 1.0 / (1.0 - rate);
    for_each_row(
        &mut out.buffer.values,
        out.at,
        #[inline(always)]
        |r, out| {
            for (c, (out, &x)) in out.iter_mut().zip(row(x, r)).enumerate() {
                let kept = rng.bits(r as u64 * cols + c as u64) >> 32 >= keep_from;
                let value = if kept { x * factor } else { 0.0 };
                *out = if beta == 0.0 { value } else { beta * *out + value };
            }
        },
    );
}
