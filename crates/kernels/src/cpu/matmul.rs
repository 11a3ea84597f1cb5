//! The matrix product: by the `gemm` crate, or (bf16) by packed panels where the shape gains by it.

use gemm_common::Parallelism;

use super::attention::Shared;
use super::panels::{self, Engine};
use super::{Read, Write};
use crate::device::{Matrix, Transpose};

/// Products below this many multiplications run on one thread: waking the others costs more.
pub(super) const PARALLEL_FROM: usize = 1 << 19;

/// How many threads work on a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// The calling one.
    One,
    /// All of the pool.
    All,
}

/// `c = beta * c + alpha * op(a) · op(b)`.
#[expect(clippy::too_many_arguments, reason = "the BLAS signature and what multiplies")]
pub(super) fn matmul(
    engine: Option<Engine>,
    alpha: f32,
    a: Read<'_>,
    transpose_a: Transpose,
    b: Read<'_>,
    transpose_b: Transpose,
    beta: f32,
    c: Write<'_>,
) {
    let (a_values, b_values, c_values) =
        (&a.buffer.values[..], &b.buffer.values[..], &mut c.buffer.values[..]);
    let (a, b) = (Factor::new(a_values, a.at, transpose_a), Factor::new(b_values, b.at, transpose_b));
    let work = a.rows * a.cols * b.cols;
    let threads = if work < PARALLEL_FROM { Threads::One } else { Threads::All };
    assert!(c.at.cols <= c.at.stride || c.at.rows == 1, "matmul: rows of {:?} overlap", c.at);
    assert!(c.at.end() <= c_values.len(), "matmul: {:?} outside a buffer of {}", c.at, c_values.len());
    let offset = if c.at.rows == 0 || c.at.cols == 0 { 0 } else { c.at.offset };
    let to = Shared::new(&mut c_values[offset..]);
    // SAFETY: `c` lies inside its buffer (checked above) and is borrowed mutably, so nothing else touches it.
    unsafe { product(engine, alpha, a, b, beta, to, c.at, threads) }
}

/// One side of a product: a slice and how to step through it.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Factor<'a> {
    /// The part `at` of `values`.
    pub(super) fn new(values: &'a [f32], at: Matrix, transpose: Transpose) -> Self {
        assert!(at.end() <= values.len(), "matmul: {at:?} outside a buffer of {}", values.len());
        let values = if at.rows == 0 || at.cols == 0 { &values[..0] } else { &values[at.offset..at.end()] };
        match transpose {
            Transpose::No => {
                Self { values, rows: at.rows, cols: at.cols, row_stride: at.stride, col_stride: 1 }
            }
            Transpose::Yes => {
                Self { values, rows: at.cols, cols: at.rows, row_stride: 1, col_stride: at.stride }
            }
        }
    }
}

/// The product into raw memory, for callers that write disjoint parts of one buffer from several threads.
///
/// # Safety
/// `c` points to the first element of a matrix shaped as `at` (its offset aside) that this call alone may touch.
#[expect(clippy::too_many_arguments, reason = "the BLAS signature and what multiplies")]
pub(super) unsafe fn product(
    engine: Option<Engine>,
    alpha: f32,
    a: Factor<'_>,
    b: Factor<'_>,
    beta: f32,
    c: Shared,
    at: Matrix,
    threads: Threads,
) {
    assert!(
        a.rows == at.rows && b.cols == at.cols && a.cols == b.rows,
        "matmul: [{}, {}] times [{}, {}] into [{}, {}]",
        a.rows,
        a.cols,
        b.rows,
        b.cols,
        at.rows,
        at.cols
    );
    if at.rows == 0 || at.cols == 0 {
        return;
    }
    if let Some(engine) = engine.filter(|_| panels::worth_it(at.rows, at.cols, a.cols)) {
        // SAFETY: the caller's promise; an engine exists only where it was detected.
        unsafe { panels::product(engine, alpha, a, b, beta, c, at, threads) };
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    let stride = |value: usize| value as isize;
    // The microkernels like a column-major destination, so the transposed product is asked for.
    // SAFETY: the factors lie inside their slices (checked when made), the destination is the caller's promise, and
    // the shapes agree (checked above).
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            at.cols,
            at.rows,
            a.cols,
            c.at(0),
            stride(at.stride),
            1,
            beta != 0.0,
            b.values.as_ptr(),
            stride(b.row_stride),
            stride(b.col_stride),
            a.values.as_ptr(),
            stride(a.row_stride),
            stride(a.col_stride),
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
