//! Unpacking weights, 32 at a time: what `blocks::element` defines, as loops that become vector instructions.
//!
//! In: the bytes of a row and the number of a unit in it. Out: its weights, the same to the last bit. Not known:
//! what they are multiplied with.

use crate::blocks::{NF4, half, q4k_group};

/// Weights that are unpacked together.
pub(super) const UNIT: usize = 32;

/// A format whose rows can be unpacked unit by unit.
pub(super) trait Unpack {
    /// Unit `unit` of a row (beyond the row's end: whatever fills the last block).
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]);
}

/// Runs `$work::<Format>($args)` for a format known only when the program runs.
macro_rules! with_format {
    ($format:expr, $work:ident :: <_> ( $($argument:expr),* $(,)? )) => {
        match $format {
            BlockFormat::Q8_0 => $work::<crate::cpu::unpack::Q8_0>($($argument),*),
            BlockFormat::Q4_0 => $work::<crate::cpu::unpack::Q4_0>($($argument),*),
            BlockFormat::Q4_1 => $work::<crate::cpu::unpack::Q4_1>($($argument),*),
            BlockFormat::Q4K => $work::<crate::cpu::unpack::Q4K>($($argument),*),
            BlockFormat::Q6K => $work::<crate::cpu::unpack::Q6K>($($argument),*),
            BlockFormat::Int8 => $work::<crate::cpu::unpack::Int8>($($argument),*),
            BlockFormat::Nf4 => $work::<crate::cpu::unpack::Nf4>($($argument),*),
        }
    };
}
pub(super) use with_format;

pub(super) struct Q8_0;
pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q4K;
pub(super) struct Q6K;
pub(super) struct Int8;
pub(super) struct Nf4;

#[inline(always)]
pub(super) fn float(bytes: &[u8]) -> f32 {
    f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl Unpack for Q8_0 {
    #[inline(always)]
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]) {
        let block = &row.as_chunks::<34>().0[unit];
        let scale = half([block[0], block[1]]);
        for i in 0..32 {
            out[i] = f32::from(block[2 + i] as i8) * scale;
        }
    }
}

impl Unpack for Q4_0 {
    #[inline(always)]
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]) {
        let block = &row.as_chunks::<18>().0[unit];
        let scale = half([block[0], block[1]]);
        // A half times four bits is exact in f32, and so is this difference.
        let zero = 8.0 * scale;
        for i in 0..16 {
            let byte = block[2 + i];
            out[i] = f32::from(byte & 15) * scale - zero;
            out[16 + i] = f32::from(byte >> 4) * scale - zero;
        }
    }
}

impl Unpack for Q4_1 {
    #[inline(always)]
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]) {
        let block = &row.as_chunks::<20>().0[unit];
        let (scale, minimum) = (half([block[0], block[1]]), half([block[2], block[3]]));
        for i in 0..16 {
            let byte = block[4 + i];
            out[i] = f32::from(byte & 15) * scale + minimum;
            out[16 + i] = f32::from(byte >> 4) * scale + minimum;
        }
    }
}

impl Unpack for Q4K {
    #[inline(always)]
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]) {
        let block = &row.as_chunks::<144>().0[unit / 8];
        let group = unit % 8;
        let (scale, minimum) = q4k_group(&block[4..16], group);
        let scale = half([block[0], block[1]]) * f32::from(scale);
        let minimum = half([block[2], block[3]]) * f32::from(minimum);
        let weights = &block[16 + group / 2 * 32..][..32];
        let shift = group % 2 * 4;
        for i in 0..32 {
            out[i] = (u32::from(weights[i]) >> shift & 15) as f32 * scale - minimum;
        }
    }
}

impl Unpack for Q6K {
    #[inline(always)]
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]) {
        let block = &row.as_chunks::<210>().0[unit / 8];
        let (part, quarter) = (unit % 8 / 4, unit % 4);
        let scale = half([block[208], block[209]]);
        let scales = [0, 1].map(|i| scale * f32::from(block[192 + part * 8 + quarter * 2 + i] as i8));
        let low = &block[part * 64 + quarter % 2 * 32..][..32];
        let high = &block[128 + part * 32..][..32];
        let (low_shift, high_shift) = (quarter / 2 * 4, quarter * 2);
        for i in 0..32 {
            let weight = (i32::from(low[i]) >> low_shift & 15) | (i32::from(high[i]) >> high_shift & 3) << 4;
            out[i] = scales[i / 16] * (weight - 32) as f32;
        }
    }
}

impl Unpack for Int8 {
    #[inline(always)]
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]) {
        let scale = float(row);
        let weights = &row[4..].as_chunks::<32>().0[unit];
        for i in 0..32 {
            out[i] = f32::from(weights[i] as i8) * scale;
        }
    }
}

impl Unpack for Nf4 {
    #[inline(always)]
    fn unpack(row: &[u8], unit: usize, out: &mut [f32; UNIT]) {
        let block = &row.as_chunks::<36>().0[unit / 2];
        let scale = float(block);
        let shift = unit % 2 * 4;
        for i in 0..32 {
            out[i] = NF4[(u32::from(block[4 + i]) >> shift & 15) as usize] * scale;
        }
    }
}
