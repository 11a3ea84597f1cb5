//! Packing: plain numbers into blocks, rounded as each format's own reference rounds.

use half::f16;
use rayon::prelude::*;

use super::{BlockError, BlockFormat, NF4, PackedMatrix};

/// Packs `[rows, cols]` numbers.
pub(super) fn pack(
    format: BlockFormat,
    rows: usize,
    cols: usize,
    values: &[f32],
) -> Result<PackedMatrix, BlockError> {
    if matches!(format, BlockFormat::Q4K | BlockFormat::Q6K) {
        return Err(BlockError::NotPacked { format });
    }
    let block = format.block().0;
    let row_bytes = format.row_bytes(cols).ok_or(BlockError::RowLength { format, cols, block })?;
    if values.len() != rows * cols {
        let (unit, found, expected) = ("numbers", values.len(), rows * cols);
        return Err(BlockError::Length { format, rows, cols, unit, found, expected });
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let value = values[index].to_string();
        return Err(BlockError::NotFinite { row: index / cols, col: index % cols, value });
    }
    let mut bytes = vec![0; rows * row_bytes];
    if cols > 0 {
        bytes.par_chunks_mut(row_bytes).zip(values.par_chunks(cols)).for_each(|(bytes, row)| match format {
            BlockFormat::Int8 => int8(row, bytes),
            BlockFormat::Nf4 => by_block(row, bytes, 64, 36, nf4),
            BlockFormat::Q8_0 => by_block(row, bytes, 32, 34, q8_0),
            BlockFormat::Q4_0 => by_block(row, bytes, 32, 18, q4_0),
            BlockFormat::Q4_1 => by_block(row, bytes, 32, 20, q4_1),
            BlockFormat::Q4K | BlockFormat::Q6K => {}
        });
    }
    PackedMatrix::new(format, rows, cols, bytes)
}

fn by_block(row: &[f32], bytes: &mut [u8], weights: usize, size: usize, each: impl Fn(&[f32], &mut [u8])) {
    for (weights, block) in row.chunks(weights).zip(bytes.chunks_exact_mut(size)) {
        each(weights, block);
    }
}

fn absolute_maximum(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |largest, weight| largest.max(weight.abs()))
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

fn int8(row: &[f32], bytes: &mut [u8]) {
    let scale = absolute_maximum(row) / 127.0;
    bytes[..4].copy_from_slice(&scale.to_le_bytes());
    for (weight, byte) in row.iter().zip(&mut bytes[4..]) {
        let steps = if scale == 0.0 { 0.0 } else { (weight / scale).round_ties_even() };
        *byte = steps.clamp(-127.0, 127.0) as i8 as u8;
    }
}

fn nf4(weights: &[f32], block: &mut [u8]) {
    let largest = absolute_maximum(weights);
    block[..4].copy_from_slice(&largest.to_le_bytes());
    let inverse = inverse(largest);
    let nearest = |weight: f32| {
        let above = |pair: &[f32]| u8::from(weight * inverse > (pair[0] + pair[1]) / 2.0);
        NF4.windows(2).map(above).sum::<u8>()
    };
    for i in 0..32 {
        let [low, high] = [i, i + 32].map(|i| nearest(weights.get(i).copied().unwrap_or(0.0)));
        block[4 + i] = low | high << 4;
    }
}

fn q8_0(weights: &[f32], block: &mut [u8]) {
    let scale = absolute_maximum(weights) / 127.0;
    let inverse = inverse(scale);
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (weight, byte) in weights.iter().zip(&mut block[2..]) {
        *byte = (weight * inverse).round() as i8 as u8;
    }
}

fn q4_0(weights: &[f32], block: &mut [u8]) {
    // The weight farthest from 0 becomes exactly -8 steps.
    let farthest =
        weights.iter().fold(0.0f32, |far, &weight| if weight.abs() > far.abs() { weight } else { far });
    let scale = farthest / -8.0;
    let inverse = inverse(scale);
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let steps = |weight: f32| (weight * inverse + 8.5).clamp(0.0, 15.0) as u8;
    for i in 0..16 {
        block[2 + i] = steps(weights[i]) | steps(weights[i + 16]) << 4;
    }
}

fn q4_1(weights: &[f32], block: &mut [u8]) {
    let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
    let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = (most - least) / 15.0;
    let inverse = inverse(scale);
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    block[2..4].copy_from_slice(&f16::from_f32(least).to_le_bytes());
    let steps = |weight: f32| ((weight - least) * inverse + 0.5).clamp(0.0, 15.0) as u8;
    for i in 0..16 {
        block[4 + i] = steps(weights[i]) | steps(weights[i + 16]) << 4;
    }
}
