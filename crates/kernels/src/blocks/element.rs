//! One weight of a row, as each format defines it: the plain way, which the tests compare the fast one with.
//!
//! In: the bytes of a row and a column. Out: the weight. ggml's layouts are those of its `ggml-common.h` and
//! `ggml-quants.c`; the order of roundings is theirs, so that the numbers are the same to the last bit.

use super::BlockFormat;

/// The sixteen values of NormalFloat4: quantiles of the normal distribution scaled to `[-1, 1]`, 0 among them
/// (QLoRA, appendix E; `benches/peers/block_golden.py` computes them).
pub(crate) const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// An IEEE half as f32: exact.
#[inline(always)]
pub(crate) fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = bits & 0x7fff;
    let normal = (magnitude << 13) + (112 << 23);
    // A half below the normal ones counts units of 2^-24, the last bit of a number from 1/2 on.
    let tiny = (f32::from_bits(magnitude | (126 << 23)) - 0.5).to_bits();
    let endless = (magnitude << 13) | (255 << 23);
    let value = if magnitude < 0x0400 { tiny } else { normal };
    let value = if magnitude >= 0x7c00 { endless } else { value };
    f32::from_bits(value | (bits & 0x8000) << 16)
}

/// Weight `col` of a row.
pub(super) fn element(format: BlockFormat, row: &[u8], col: usize) -> f32 {
    let (weights, bytes) = format.block();
    let (block, i) = (&row[col / weights * bytes..], col % weights);
    let half_at = |at: usize| half([block[at], block[at + 1]]);
    let float = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    // Two weights a byte: the low halves of all bytes come first, the high halves after them.
    let nibble = |start: usize, bytes: usize, i: usize| {
        let byte = block[start + i % bytes];
        if i < bytes { byte & 15 } else { byte >> 4 }
    };
    match format {
        BlockFormat::Q8_0 => f32::from(block[2 + i] as i8) * half_at(0),
        BlockFormat::Q4_0 => (f32::from(nibble(2, 16, i)) - 8.0) * half_at(0),
        BlockFormat::Q4_1 => f32::from(nibble(4, 16, i)) * half_at(0) + half_at(2),
        BlockFormat::Q4K => {
            let (scale, minimum) = q4k_group(&block[4..16], i / 32);
            // Two groups share 32 bytes.
            let weight = nibble(16 + i / 64 * 32, 32, i % 64);
            half_at(0) * f32::from(scale) * f32::from(weight) - half_at(2) * f32::from(minimum)
        }
        BlockFormat::Q6K => {
            // 128 weights: their low four bits in 64 bytes, their high two bits in 32 bytes.
            let (part, i) = (i / 128, i % 128);
            let low = nibble(part * 64, 64, i);
            let high = block[128 + part * 32 + i % 32] >> (2 * (i / 32)) & 3;
            let scale = block[192 + part * 8 + i / 16] as i8;
            half_at(208) * f32::from(scale) * (f32::from(low | high << 4) - 32.0)
        }
        BlockFormat::Int8 => f32::from(row[4 + col] as i8) * float(row),
        BlockFormat::Nf4 => NF4[usize::from(nibble(4, 32, i))] * float(block),
    }
}

/// Scale and minimum of one of the eight groups of a `Q4_K` block: 6 bit each, in 12 bytes.
#[inline(always)]
pub(crate) fn q4k_group(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let (low, high) = (packed[group + 4], [packed[group - 4] >> 6, packed[group] >> 6]);
        (low & 15 | high[0] << 4, low >> 4 | high[1] << 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_exact() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (half(bits.to_le_bytes()), half::f16::from_bits(bits).to_f32());
            assert!(found == expected || (found.is_nan() && expected.is_nan()), "{bits:#06x}");
            assert_eq!(found.is_sign_negative(), expected.is_sign_negative(), "{bits:#06x}");
        }
    }
}
