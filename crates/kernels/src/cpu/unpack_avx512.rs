//! Unpacking weights into registers with AVX-512: the numbers of `unpack`, to the last bit.
//!
//! In: the bytes of a row and the number of a unit in it. Out: its 32 weights in two vectors, or their product with
//! rows of inputs. Four bits choose one of sixteen numbers in a register, so that a unit costs a handful of
//! instructions. Not known: where results go.

use std::arch::x86_64::*;

use super::unpack::{Int8, Nf4, Q4_0, Q4_1, Q4K, Q6K, Q8_0, UNIT, float};
use crate::blocks::{NF4, q4k_group};

/// A format whose units can be unpacked into registers.
pub(super) trait Registers {
    /// Unit `unit` of a row.
    ///
    /// # Safety
    /// The CPU has AVX512.
    unsafe fn registers(row: &[u8], unit: usize) -> [__m512; 2];
}

/// Whether this machine can run what is here.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Inner products of a row of weights with `ROWS` inputs of whole units.
///
/// # Safety
/// The CPU has AVX512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn dots<F: Registers, const ROWS: usize>(
    weights: &[u8],
    inputs: [&[f32]; ROWS],
) -> [f32; ROWS] {
    let units = inputs[0].len() / UNIT;
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for unit in 0..units {
        // SAFETY: the caller's promise.
        let weights = unsafe { F::registers(weights, unit) };
        for (sums, input) in sums.iter_mut().zip(inputs) {
            let input = input[unit * UNIT..][..UNIT].as_chunks::<16>().0;
            sums[0] = _mm512_fmadd_ps(weights[0], load(&input[0]), sums[0]);
            sums[1] = _mm512_fmadd_ps(weights[1], load(&input[1]), sums[1]);
        }
    }
    let mut results = [0.0; ROWS];
    for (result, sums) in results.iter_mut().zip(sums) {
        *result = _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
    }
    results
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(values: &[f32; 16]) -> __m512 {
    // SAFETY: 16 numbers.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn bytes(values: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

/// 16 bytes as numbers of 32 bits, shifted right.
#[target_feature(enable = "avx512f")]
#[inline]
fn shifted(values: &[u8; 16], shift: u32) -> __m512i {
    _mm512_srl_epi32(_mm512_cvtepu8_epi32(bytes(values)), _mm_cvtsi32_si128(shift as i32))
}

/// An IEEE half in every lane.
#[target_feature(enable = "avx512f")]
#[inline]
fn half(bytes: [u8; 2]) -> __m512 {
    let bits = _mm_cvtsi32_si128(i32::from(u16::from_le_bytes(bytes)));
    _mm512_cvtph_ps(_mm256_broadcastw_epi16(bits))
}

/// What the numbers 0 to 15 stand for: `scale * i + minimum`. Four bits and a scale multiply exactly.
#[target_feature(enable = "avx512f")]
#[inline]
fn steps(scale: __m512, minimum: __m512) -> __m512 {
    let numbers =
        _mm512_set_ps(15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0);
    _mm512_fmadd_ps(numbers, scale, minimum)
}

/// The weights of 16 bytes: the lower four bits of all, then the upper four.
#[target_feature(enable = "avx512f")]
#[inline]
fn nibbles(values: &[u8; 16], table: __m512) -> [__m512; 2] {
    // Choosing looks at the last four bits alone.
    let low = _mm512_cvtepu8_epi32(bytes(values));
    let high = _mm512_srli_epi32::<4>(low);
    [_mm512_permutexvar_ps(low, table), _mm512_permutexvar_ps(high, table)]
}

/// The weights of four bits of each of 32 bytes, from `shift` on.
#[target_feature(enable = "avx512f")]
#[inline]
fn chosen(values: &[u8; 32], shift: u32, table: __m512) -> [__m512; 2] {
    let parts = values.as_chunks::<16>().0;
    let (first, second) = (shifted(&parts[0], shift), shifted(&parts[1], shift));
    [_mm512_permutexvar_ps(first, table), _mm512_permutexvar_ps(second, table)]
}

/// 32 whole numbers times a scale.
#[target_feature(enable = "avx512f")]
#[inline]
fn scaled(values: &[u8; 32], scale: __m512) -> [__m512; 2] {
    let parts = values.as_chunks::<16>().0;
    let (first, second) = (_mm512_cvtepi8_epi32(bytes(&parts[0])), _mm512_cvtepi8_epi32(bytes(&parts[1])));
    [_mm512_mul_ps(_mm512_cvtepi32_ps(first), scale), _mm512_mul_ps(_mm512_cvtepi32_ps(second), scale)]
}

/// 16 weights of six bits, four of them from `low` and two from `high`, around zero, times a scale.
#[target_feature(enable = "avx512f")]
#[inline]
fn six_bits(low: (&[u8; 16], u32), high: (&[u8; 16], u32), scale: __m512) -> __m512 {
    let low = _mm512_and_si512(shifted(low.0, low.1), _mm512_set1_epi32(15));
    let high = _mm512_and_si512(shifted(high.0, high.1), _mm512_set1_epi32(3));
    let weights = _mm512_or_si512(low, _mm512_slli_epi32::<4>(high));
    let weights = _mm512_sub_epi32(weights, _mm512_set1_epi32(32));
    _mm512_mul_ps(_mm512_cvtepi32_ps(weights), scale)
}

/// Implements [`Registers`] by a function with AVX-512 enabled.
macro_rules! registers {
    ($($format:ident => |$row:ident, $unit:ident| $body:block)*) => {$(
        impl Registers for $format {
            #[target_feature(enable = "avx512f")]
            #[inline]
            unsafe fn registers($row: &[u8], $unit: usize) -> [__m512; 2] $body
        }
    )*};
}

registers! {
    Q8_0 => |row, unit| {
        let [low, high, weights @ ..] = &row.as_chunks::<34>().0[unit];
        scaled(weights, half([*low, *high]))
    }
    Q4_0 => |row, unit| {
        let [low, high, weights @ ..] = &row.as_chunks::<18>().0[unit];
        let scale = half([*low, *high]);
        nibbles(weights, steps(scale, _mm512_mul_ps(_mm512_set1_ps(-8.0), scale)))
    }
    Q4_1 => |row, unit| {
        let [a, b, c, d, weights @ ..] = &row.as_chunks::<20>().0[unit];
        nibbles(weights, steps(half([*a, *b]), half([*c, *d])))
    }
    Q4K => |row, unit| {
        let block = &row.as_chunks::<144>().0[unit / 8];
        let group = unit % 8;
        let (scale, minimum) = q4k_group(&block[4..16], group);
        let scale = _mm512_mul_ps(half([block[0], block[1]]), _mm512_set1_ps(f32::from(scale)));
        let minimum = _mm512_mul_ps(half([block[2], block[3]]), _mm512_set1_ps(-f32::from(minimum)));
        let weights = &block[16..].as_chunks::<32>().0[group / 2];
        chosen(weights, (group % 2 * 4) as u32, steps(scale, minimum))
    }
    Q6K => |row, unit| {
        let block = &row.as_chunks::<210>().0[unit / 8];
        let (part, quarter) = (unit % 8 / 4, unit % 4);
        let scale = half([block[208], block[209]]);
        let low = block[part * 64 + quarter % 2 * 32..].as_chunks::<16>().0;
        let high = block[128 + part * 32..].as_chunks::<16>().0;
        let (low_shift, high_shift) = ((quarter / 2 * 4) as u32, (quarter * 2) as u32);
        let scales = &block[192 + part * 8 + quarter * 2..];
        let first = _mm512_mul_ps(scale, _mm512_set1_ps(f32::from(scales[0] as i8)));
        let second = _mm512_mul_ps(scale, _mm512_set1_ps(f32::from(scales[1] as i8)));
        [
            six_bits((&low[0], low_shift), (&high[0], high_shift), first),
            six_bits((&low[1], low_shift), (&high[1], high_shift), second),
        ]
    }
    Int8 => |row, unit| {
        scaled(&row[4..].as_chunks::<32>().0[unit], _mm512_set1_ps(float(row)))
    }
    Nf4 => |row, unit| {
        let block = &row.as_chunks::<36>().0[unit / 2];
        let table = _mm512_mul_ps(load(&NF4), _mm512_set1_ps(float(block)));
        let weights = &block[4..].as_chunks::<32>().0[0];
        chosen(weights, (unit % 2 * 4) as u32, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CounterRng;
    use crate::blocks::BlockFormat;
    use crate::cpu::unpack::{Unpack, with_format};

    fn compare<F: Unpack + Registers>(format: BlockFormat, row: &[u8], units: usize) {
        for unit in 0..units {
            let (mut expected, mut found) = ([0.0; UNIT], [0.0; UNIT]);
            F::unpack(row, unit, &mut expected);
            // SAFETY: the test goes on only where it is available; two vectors are 32 numbers.
            unsafe {
                let weights = F::registers(row, unit);
                _mm512_storeu_ps(found.as_mut_ptr(), weights[0]);
                _mm512_storeu_ps(found.as_mut_ptr().add(16), weights[1]);
            }
            for (found, expected) in found.into_iter().zip(expected) {
                let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
                assert!(same, "{format:?}, unit {unit}: found {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn registers_hold_what_is_unpacked_to_the_last_bit() {
        if !is_available() {
            eprintln!("not tested: this CPU has no AVX512");
            return;
        }
        let rng = CounterRng::new(5);
        for format in BlockFormat::ALL {
            let units = 64;
            let length = format.row_bytes(units * UNIT).unwrap_or_default();
            for round in 0..50 {
                let byte = |i: usize| (rng.uniform((round * length + i) as u64) * 256.0) as u8;
                let row: Vec<u8> = (0..length).map(byte).collect();
                with_format!(format, compare::<_>(format, &row, units));
            }
        }
    }
}
