//! Products with packed weights. Many rows: pieces are unpacked into a thread's own scratch and multiplied as any
//! matrix. Few rows (decoding): weights are unpacked in registers, 32 at a time, and multiplied there.
//!
//! In: packed weights, plain matrices. Out: plain matrices, the same for any number of threads: the pieces depend on
//! the shapes alone. Not known: the formats (`unpack` is).

use std::cell::RefCell;

use rayon::prelude::*;

use super::attention::Shared;
use super::matmul::{Factor, PARALLEL_FROM, Threads, product};
use super::panels::Engine;
use super::rows::{check_ids, for_each_row, row};
use super::simd::{fold_apart, vectorised};
use super::unpack::{UNIT, Unpack, with_format};
#[cfg(target_arch = "x86_64")]
use super::unpack_avx512::{self, Registers};
use super::{Read, Write};
use crate::blocks::{BlockFormat, PackedMatrix};
use crate::device::{Matrix, Transpose};

/// Up to this many rows are multiplied in registers: unpacking for each is cheaper than a product of so few rows.
const FEW_ROWS: usize = 8;
/// Rows that meet weights while they are in registers.
#[cfg(target_arch = "x86_64")]
const TOGETHER: usize = 4;
/// Weights of a task of the few-rows way.
const TASK_WEIGHTS: usize = 1 << 15;
/// Largest piece that is unpacked: output columns and inner length. 1 MB, which a core's own cache holds.
const PIECE: (usize, usize) = (256, 1024);

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `c = beta * c + alpha * a · op(packed)`.
pub(super) fn matmul(
    engine: Option<Engine>,
    alpha: f32,
    a: Read<'_>,
    packed: &PackedMatrix,
    transpose: Transpose,
    beta: f32,
    c: Write<'_>,
) {
    let (inner, outer) = match transpose {
        Transpose::No => (packed.rows(), packed.cols()),
        Transpose::Yes => (packed.cols(), packed.rows()),
    };
    assert!(
        a.at.rows == c.at.rows && a.at.cols == inner && c.at.cols == outer,
        "matmul_packed: [{}, {}] times [{inner}, {outer}] into [{}, {}]",
        a.at.rows,
        a.at.cols,
        c.at.rows,
        c.at.cols
    );
    let (at, len) = (c.at, c.buffer.values.len());
    assert!(at.end() <= len && at.cols <= at.stride.max(1), "matmul_packed: {at:?} in a buffer of {len}");
    assert!(a.at.end() <= a.buffer.values.len(), "matmul_packed: {:?} outside its buffer", a.at);
    let call = Call { engine, alpha, a, packed, transpose, beta, to: Shared::new(&mut c.buffer.values), at };
    if at.rows == 0 || at.cols == 0 {
        return;
    }
    if transpose == Transpose::Yes && at.rows <= FEW_ROWS {
        with_format!(packed.format(), few_rows::<_>(&call));
    } else {
        with_format!(packed.format(), by_piece::<_>(&call));
    }
}

/// A product whose shapes agree; `to` is the buffer that `at` lies inside.
struct Call<'a> {
    engine: Option<Engine>,
    alpha: f32,
    a: Read<'a>,
    packed: &'a PackedMatrix,
    transpose: Transpose,
    beta: f32,
    to: Shared,
    at: Matrix,
}

impl Call<'_> {
    /// Calls `task(first, count)` for pieces of the output's columns, on all cores where that pays.
    fn over_columns(&self, piece: usize, task: impl Fn(usize, usize) + Sync) {
        let tasks = self.at.cols.div_ceil(piece);
        let run = |index: usize| task(index * piece, piece.min(self.at.cols - index * piece));
        if tasks > 1 && self.a.at.rows * self.packed.rows() * self.packed.cols() >= PARALLEL_FROM {
            (0..tasks).into_par_iter().for_each(run);
        } else {
            (0..tasks).for_each(run);
        }
    }
}

/// The product by pieces of unpacked weights.
fn by_piece<F: Unpack>(call: &Call<'_>) {
    let Call { engine, alpha, a, packed, transpose, beta, to, at } = *call;
    let (width, depth) = PIECE;
    // At least eight tasks where the matrix is large enough for them.
    let width = at.cols.div_ceil(8).next_multiple_of(UNIT).min(width);
    let factor =
        |first: usize, inner: usize| Factor::new(&a.buffer.values, a.at.columns(first, inner), Transpose::No);
    call.over_columns(width, |column, columns| {
        SCRATCH.with_borrow_mut(|scratch| {
            let (target, target_at) = (to.from(at.offset + column), at.columns(column, columns));
            let mut first = 0;
            loop {
                let inner = depth.min(a.at.cols - first);
                let [rows, cols] = match transpose {
                    Transpose::Yes => [(column, columns), (first, inner)],
                    Transpose::No => [(first, inner), (column, columns)],
                };
                unpack::<F>(packed, rows, cols, scratch);
                let weights = Factor::new(scratch, Matrix::dense(rows.1, cols.1), transpose);
                let beta = if first == 0 { beta } else { 1.0 };
                // SAFETY: these columns of the output, which lies inside its buffer (checked by `matmul`), belong to
                // this task alone.
                unsafe {
                    let inputs = factor(first, inner);
                    product(engine, alpha, inputs, weights, beta, target, target_at, Threads::One);
                }
                first += inner;
                if first >= a.at.cols {
                    break;
                }
            }
        });
    });
}

/// Rows `(first, count)` and columns `(first, count)` of the weights, row after row; the first column begins a unit.
fn unpack<F: Unpack>(packed: &PackedMatrix, rows: (usize, usize), cols: (usize, usize), out: &mut Vec<f32>) {
    grow(out, rows.1 * cols.1);
    vectorised(
        #[inline(always)]
        || {
            for (r, out) in out.chunks_exact_mut(cols.1.max(1)).take(rows.1).enumerate() {
                unpack_row::<F>(packed.row(rows.0 + r), cols.0 / UNIT, out);
            }
        },
    );
}

/// Makes room in a scratch, which never shrinks: the next piece is as large or nearly.
fn grow(scratch: &mut Vec<f32>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
}

/// `out.len()` weights of a row from unit `first` on.
#[inline(always)]
fn unpack_row<F: Unpack>(row: &[u8], first: usize, out: &mut [f32]) {
    let (whole, rest) = out.as_chunks_mut::<UNIT>();
    let units = whole.len();
    for (unit, out) in whole.iter_mut().enumerate() {
        F::unpack(row, first + unit, out);
    }
    if !rest.is_empty() {
        let mut unit = [0.0; UNIT];
        F::unpack(row, first + units, &mut unit);
        rest.copy_from_slice(&unit[..rest.len()]);
    }
}

/// A format, whatever this machine unpacks it with.
#[cfg(target_arch = "x86_64")]
trait Format: Unpack + Registers {}
#[cfg(target_arch = "x86_64")]
impl<F: Unpack + Registers> Format for F {}
#[cfg(not(target_arch = "x86_64"))]
use Unpack as Format;

/// The product where few rows meet many weights: `a · packedᵀ`.
fn few_rows<F: Format>(call: &Call<'_>) {
    let Call { alpha, a, packed, beta, to, at, .. } = *call;
    // Inputs filled up with zeros, which meet whatever fills the last unit of the weights.
    let width = packed.cols().next_multiple_of(UNIT);
    let pad = |r| [row(a, r), &[0.0; UNIT][..width - packed.cols()]].concat();
    let padded: Vec<Vec<f32>> =
        if width == packed.cols() { Vec::new() } else { (0..a.at.rows).map(pad).collect() };
    let input = |r: usize| padded.get(r).map_or_else(|| row(a, r), Vec::as_slice);
    let write = |r: usize, column: usize, sum: f32| {
        let cell = to.at(at.offset + r * at.stride + column);
        // SAFETY: the element lies inside the output (checked by `matmul`), and its column belongs to one task alone.
        let cell = unsafe { &mut *cell };
        *cell = if beta == 0.0 { alpha * sum } else { beta * *cell + alpha * sum };
    };
    call.over_columns((TASK_WEIGHTS / width.max(1)).max(1), |first, columns| {
        #[cfg(target_arch = "x86_64")]
        if unpack_avx512::is_available() {
            for column in first..first + columns {
                let weights = packed.row(column);
                let mut r = 0;
                while r + TOGETHER <= a.at.rows {
                    let inputs = std::array::from_fn(|i| input(r + i));
                    // SAFETY: detected above.
                    let sums = unsafe { unpack_avx512::dots::<F, TOGETHER>(weights, inputs) };
                    sums.into_iter().enumerate().for_each(|(i, sum)| write(r + i, column, sum));
                    r += TOGETHER;
                }
                for r in r..a.at.rows {
                    // SAFETY: as above.
                    let [sum] = unsafe { unpack_avx512::dots::<F, 1>(weights, [input(r)]) };
                    write(r, column, sum);
                }
            }
            return;
        }
        vectorised(
            #[inline(always)]
            || {
                for column in first..first + columns {
                    let weights = packed.row(column);
                    for r in 0..a.at.rows {
                        write(r, column, packed_dot::<F>(weights, input(r)));
                    }
                }
            },
        );
    });
}

/// Inner product of a row of weights with an input of whole units.
#[inline(always)]
fn packed_dot<F: Unpack>(weights: &[u8], input: &[f32]) -> f32 {
    let mut lanes = [0.0f32; UNIT];
    for (unit, input) in input.as_chunks::<UNIT>().0.iter().enumerate() {
        let mut w = [0.0; UNIT];
        F::unpack(weights, unit, &mut w);
        for i in 0..UNIT {
            lanes[i] += w[i] * input[i];
        }
    }
    fold_apart(&lanes)
}

/// `out[i] = table[ids[i]]`.
pub(super) fn gather(table: &PackedMatrix, ids: &[u32], out: Write<'_>) {
    assert!(
        ids.len() == out.at.rows && table.cols() == out.at.cols,
        "gather_packed: {} ids of {} columns into {:?}",
        ids.len(),
        table.cols(),
        out.at
    );
    check_ids(ids, table.rows());
    with_format!(
        table.format(),
        gather_rows::<_>(table, |r| ids[r] as usize, &mut out.buffer.values, out.at)
    );
}

/// Whole rows from `first_row` on.
pub(super) fn read(packed: &PackedMatrix, first_row: usize, out: &mut [f32]) {
    if packed.cols() == 0 {
        return;
    }
    let at = Matrix::dense(out.len() / packed.cols(), packed.cols());
    assert!(at.rows * at.cols == out.len(), "{} numbers are no whole rows of {}", out.len(), at.cols);
    with_format!(packed.format(), gather_rows::<_>(packed, |r| first_row + r, out, at));
}

fn gather_rows<F: Unpack>(
    table: &PackedMatrix,
    row_of: impl Fn(usize) -> usize + Send + Sync,
    out: &mut [f32],
    at: Matrix,
) {
    for_each_row(
        out,
        at,
        #[inline(always)]
        |r, out| unpack_row::<F>(table.row(row_of(r)), 0, out),
    );
}
