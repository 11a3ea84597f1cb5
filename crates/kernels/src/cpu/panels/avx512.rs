//! The product of two packed panels with vectors of 16 pairs of bf16.

use std::arch::x86_64::*;

use super::pack::Line;

/// Rows whose sums are held in registers together: 8 rows of 32 columns take 16 of the 32 registers.
const ROWS: usize = 8;

/// `c = a · bᵀ` of two panels, 32 × 32, or with `add` `c += a · bᵀ`.
///
/// # Safety
/// The CPU has AVX512-BF16. `a` and `b` hold as many lines; `c` is the first element of 32 rows of 32 numbers, `stride` elements apart, that
/// this call alone touches.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn multiply(a: &[Line], b: &[Line], c: *mut f32, stride: usize, add: bool) {
    for first in (0..32).step_by(ROWS) {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        for (a, b) in a.chunks_exact(32).zip(b.chunks_exact(32)) {
            let a = &a[first..first + ROWS];
            for pair in 0..16 {
                let right = [bits(load(&b[pair])), bits(load(&b[16 + pair]))];
                for (sums, a) in sums.iter_mut().zip(a) {
                    let left: __m512bh = bits(_mm512_set1_epi32(a.0[pair] as i32));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = _mm512_dpbf16_ps(*sum, left, right);
                    }
                }
            }
        }
        // SAFETY: the destination is the caller's promise.
        unsafe { put(sums, c.add(first * stride), stride, add) };
    }
}

/// Writes or adds sums.
///
/// # Safety
/// As for [`multiply`], with 8 rows.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn put(sums: [[__m512; 2]; ROWS], c: *mut f32, stride: usize, add: bool) {
    for (row, sums) in sums.into_iter().enumerate() {
        for (half, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let to = c.add(row * stride + 16 * half);
                let before = if add { _mm512_loadu_ps(to) } else { _mm512_setzero_ps() };
                _mm512_storeu_ps(to, _mm512_add_ps(before, sum));
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes and aligned so.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

/// The same bits as pairs of bf16.
#[inline(always)]
fn bits(x: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits, and all bits are valid.
    unsafe { std::mem::transmute(x) }
}
