//! Packing: a factor's panel of 32 rows (or columns) in the order in which it is multiplied.
//!
//! A panel is a run of steps; a step is two tiles (16 rows or columns each) of 16 lines of 64 bytes. Its 16 units of
//! depth are pairs of bf16. In the left factor's tile a line is one row: its 16 units. In the right
//! factor's tile a line is one unit of 16 columns side by side. What lies outside the factor is zero.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::matmul::Factor;

/// Rows or columns of a panel.
pub(super) const PANEL: usize = 32;
/// Depth of a step, in numbers.
pub(super) const STEP: usize = 2 * TILE;
/// Rows or columns of a tile, and the units of depth of a step.
const TILE: usize = 16;

/// 16 pairs of bf16.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; 16]);

impl Line {
    pub(super) const ZERO: Self = Self([0; 16]);
}

/// What the lines of a tile are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// One row (or column), 16 units deep.
    Rows,
    /// One unit of 16 rows (or columns).
    Units,
}

/// One factor: `outer` counts the rows of the left or the columns of the right one.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    values: &'a [f32],
    pub(super) outer: usize,
    pub(super) depth: usize,
    outer_stride: usize,
    depth_stride: usize,
    /// How the engine wants tiles of this side.
    lines: Lines,
}

impl<'a> Side<'a> {
    pub(super) fn left(a: Factor<'a>) -> Self {
        let Factor { values, rows, cols, row_stride, col_stride } = a;
        let lines = Lines::Rows;
        Self { values, outer: rows, depth: cols, outer_stride: row_stride, depth_stride: col_stride, lines }
    }

    pub(super) fn right(b: Factor<'a>) -> Self {
        let Factor { values, rows, cols, row_stride, col_stride } = b;
        let lines = Lines::Units;
        Self { values, outer: cols, depth: rows, outer_stride: col_stride, depth_stride: row_stride, lines }
    }

    /// Fills a panel with pairs of bf16: rows (or columns) from `first` on, over a part of the depth.
    ///
    /// # Safety
    /// The CPU has AVX512-BF16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn pack_pairs(&self, first: usize, depth: Range<usize>, panel: &mut [Line]) {
        for Step { start, count, deep, lines } in self.steps(first, depth, panel) {
            // SAFETY: a step names numbers of the factor.
            unsafe {
                match self.found() {
                    Lines::Rows => rows_of_pairs(start, self.outer_stride, count, deep, lines),
                    Lines::Units => pairs(start, self.depth_stride, count, deep, lines),
                }
            }
            if self.found() != self.lines {
                lines.chunks_exact_mut(TILE).for_each(|tile| transpose(tile));
            }
        }
    }

    /// What the factor's own memory makes the easier lines.
    fn found(&self) -> Lines {
        if self.depth_stride == 1 { Lines::Rows } else { Lines::Units }
    }

    /// The steps of a panel; the last may be less deep.
    fn steps<'p>(
        &'p self,
        first: usize,
        depth: Range<usize>,
        panel: &'p mut [Line],
    ) -> impl Iterator<Item = Step<'p>> {
        assert!(
            first < self.outer
                && depth.end <= self.depth
                && panel.len() == depth.len().div_ceil(STEP) * PANEL,
            "matmul: a panel outside its factor"
        );
        // The end of the factor lies inside `values`: checked when the factor was made.
        let count = (self.outer - first).min(PANEL);
        panel.chunks_exact_mut(PANEL).zip(depth.clone().step_by(STEP)).map(move |(lines, from)| {
            let at = first * self.outer_stride + from * self.depth_stride;
            Step { start: self.values[at..].as_ptr(), count, deep: STEP.min(depth.end - from), lines }
        })
    }
}

/// A step of a panel: `count` rows (or columns) from `start` on, `deep` numbers deep.
struct Step<'p> {
    start: *const f32,
    count: usize,
    deep: usize,
    lines: &'p mut [Line],
}

#[inline(always)]
fn mask(count: usize) -> u16 {
    ((1u32 << count.min(16)) - 1) as u16
}

/// Two vectors as bf16, `low`'s first.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn round(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both are 512 bits, and all bits are valid.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(line: &mut Line, value: __m512i) {
    // SAFETY: a line is 64 bytes and aligned so.
    unsafe { _mm512_store_si512(line.0.as_mut_ptr().cast(), value) };
}

/// Asks for what the next step reads: rows of a wide factor lie too far apart for the machine to foresee it.
#[inline(always)]
fn prefetch(at: *const f32) {
    // SAFETY: a hint, which may name any address.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
        _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(16).cast());
    }
}

/// A step of a factor whose depth is contiguous.
///
/// # Safety
/// `count` (at most 32) rows of `deep` (at most 32) numbers lie at `start`, `stride` apart.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn rows_of_pairs(start: *const f32, stride: usize, count: usize, deep: usize, step: &mut [Line]) {
    let (low, high) = (mask(deep), mask(deep.saturating_sub(16)));
    for (row, line) in step.iter_mut().enumerate() {
        let at = start.wrapping_add(row * stride);
        let (low, high) = if row < count { (low, high) } else { (0, 0) };
        prefetch(at.wrapping_add(STEP));
        // SAFETY: the caller's promise; masked elements are not touched.
        let (low, high) =
            unsafe { (_mm512_maskz_loadu_ps(low, at), _mm512_maskz_loadu_ps(high, at.wrapping_add(16))) };
        store(line, round(low, high));
    }
}

/// A step of a factor whose rows (or columns) are contiguous.
///
/// # Safety
/// `deep` (at most 32) runs of `count` (at most 32) numbers lie at `start`, `stride` apart.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn pairs(start: *const f32, stride: usize, count: usize, deep: usize, step: &mut [Line]) {
    let interleave = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18,
        2, 17, 1, 16, 0,
    );
    let present = [mask(count), mask(count.saturating_sub(16))];
    let (left, right) = step.split_at_mut(TILE);
    for (pair, lines) in left.iter_mut().zip(right).enumerate() {
        let depths = [2 * pair, 2 * pair + 1];
        let [even, odd] = depths.map(|depth| start.wrapping_add(depth * stride));
        prefetch(even.wrapping_add(STEP * stride));
        prefetch(odd.wrapping_add(STEP * stride));
        for (half, line) in [lines.0, lines.1].into_iter().enumerate() {
            let [even_mask, odd_mask] = depths.map(|depth| if depth < deep { present[half] } else { 0 });
            // SAFETY: the caller's promise; masked elements are not touched.
            let (even, odd) = unsafe {
                (
                    _mm512_maskz_loadu_ps(even_mask, even.wrapping_add(half * TILE)),
                    _mm512_maskz_loadu_ps(odd_mask, odd.wrapping_add(half * TILE)),
                )
            };
            store(line, _mm512_permutexvar_epi16(interleave, round(even, odd)));
        }
    }
}

/// Exchanges rows and units: a 16 × 16 transpose of 32-bit numbers.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(tile: &mut [Line]) {
    let mut x = [_mm512_setzero_si512(); TILE];
    for (x, line) in x.iter_mut().zip(&*tile) {
        // SAFETY: a line is 64 bytes and aligned so.
        *x = unsafe { _mm512_load_si512(line.0.as_ptr().cast()) };
    }
    let mut a = x;
    for i in (0..TILE).step_by(2) {
        a[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    // b[4g + j]: column j of every group of four columns, of rows 4g to 4g + 3.
    let mut b = a;
    for g in (0..TILE).step_by(4) {
        b[g] = _mm512_unpacklo_epi64(a[g], a[g + 2]);
        b[g + 1] = _mm512_unpackhi_epi64(a[g], a[g + 2]);
        b[g + 2] = _mm512_unpacklo_epi64(a[g + 1], a[g + 3]);
        b[g + 3] = _mm512_unpackhi_epi64(a[g + 1], a[g + 3]);
    }
    let mut out = b;
    for j in 0..4 {
        let even =
            [_mm512_shuffle_i32x4::<0x88>(b[j], b[4 + j]), _mm512_shuffle_i32x4::<0x88>(b[8 + j], b[12 + j])];
        let odd =
            [_mm512_shuffle_i32x4::<0xdd>(b[j], b[4 + j]), _mm512_shuffle_i32x4::<0xdd>(b[8 + j], b[12 + j])];
        out[j] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        out[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    for (line, value) in tile.iter_mut().zip(out) {
        store(line, value);
    }
}
