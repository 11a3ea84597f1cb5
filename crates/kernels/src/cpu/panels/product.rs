//! The order in which panels are packed and multiplied.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::super::attention::Shared;
use super::super::matmul::{Factor, Threads};
use super::pack::{Line, PANEL, STEP, Side};
use super::{Engine, amx, avx512};
use crate::device::Matrix;

/// Depth of a block: a panel of it (32 KiB) stays in the first cache while it meets all panels of the other
/// side.
const DEPTH: usize = 512;
/// Rows (or columns) of the shared side that are packed at a time: a block of them (1 MiB) stays in the second cache.
const SHARED: usize = 1024;
/// Panels of the other side that one task packs and multiplies at most: rows of the destination are then written in
/// runs of 512 bytes.
const OWN: usize = 4;
thread_local! {
    static PACKED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    static OWN_PACKED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// The destination and what becomes of its old content.
#[derive(Clone, Copy)]
struct Target {
    c: Shared,
    at: Matrix,
    alpha: f32,
    beta: f32,
}

/// `c = beta * c + alpha * a · b` with `a` and `b` rounded to bf16.
///
/// # Safety
/// `c` points to the first element of a matrix shaped as `at` (its offset aside) that this call alone may touch.
/// `engine` was detected on this machine.
#[expect(clippy::too_many_arguments, reason = "the BLAS signature and what multiplies")]
pub(in crate::cpu) unsafe fn product(
    engine: Engine,
    alpha: f32,
    a: Factor<'_>,
    b: Factor<'_>,
    beta: f32,
    c: Shared,
    at: Matrix,
    threads: Threads,
) {
    let (left, right) = (Side::left(a), Side::right(b));
    assert!(
        left.outer == at.rows && right.outer == at.cols && left.depth == right.depth && left.depth > 0,
        "matmul: [{}, {}] times [{}, {}] into [{}, {}]",
        left.outer,
        left.depth,
        right.depth,
        right.outer,
        at.rows,
        at.cols
    );
    let left_is_shared = at.rows <= at.cols;
    let (shared, own) = if left_is_shared { (left, right) } else { (right, left) };
    let one_thread = threads == Threads::One;
    let own_panels = own.outer.div_ceil(PANEL);
    // How tasks are cut changes no sum, so it may depend on the number of threads.
    let group = (own_panels / (4 * rayon::current_num_threads())).clamp(1, OWN);
    let tasks = own_panels.div_ceil(group);

    // Taken out, not borrowed: while this thread waits for others it may begin another product.
    let mut packed = PACKED.take();
    for shared_from in (0..shared.outer).step_by(SHARED) {
        let shared_panels = SHARED.min(shared.outer - shared_from).div_ceil(PANEL);
        for depth in cuts(left.depth) {
            let lines = depth.len().div_ceil(STEP) * PANEL;
            if packed.len() < shared_panels * lines {
                packed.resize(shared_panels * lines, Line::ZERO);
            }
            let packed = &mut packed[..shared_panels * lines];
            let pack = |(panel, to): (usize, &mut [Line])| {
                // SAFETY: every engine has AVX512-BF16.
                unsafe { shared.pack_pairs(shared_from + panel * PANEL, depth.clone(), to) };
            };
            if one_thread {
                packed.chunks_exact_mut(lines).enumerate().for_each(pack);
            } else {
                packed.par_chunks_exact_mut(lines).enumerate().for_each(pack);
            }
            let beta = if depth.start == 0 { beta } else { 1.0 };
            let target = Target { c, at, alpha, beta };
            let task = |task: usize| {
                let panels = task * group..own_panels.min((task + 1) * group);
                with_own(panels.len() * lines, |mine| {
                    for (panel, to) in panels.clone().zip(mine.chunks_exact_mut(lines)) {
                        // SAFETY: every engine has AVX512-BF16.
                        unsafe { own.pack_pairs(panel * PANEL, depth.clone(), to) };
                    }
                    let (mine, first) = (&*mine, panels.start * PANEL);
                    let (lefts, rights, row, col) = if left_is_shared {
                        (&*packed, mine, shared_from, first)
                    } else {
                        (mine, &*packed, first, shared_from)
                    };
                    let all = || {
                        for (i, a) in lefts.chunks_exact(lines).enumerate() {
                            for (j, b) in rights.chunks_exact(lines).enumerate() {
                                // SAFETY: this task's rows (or columns) of the destination are its alone.
                                unsafe { block(engine, a, b, row + i * PANEL, col + j * PANEL, target) };
                            }
                        }
                    };
                    match engine {
                        // SAFETY: the engine was detected, and the closure stays here.
                        Engine::Amx => unsafe { amx::with_tiles(all) },
                        Engine::Avx512 => all(),
                    }
                });
            };
            if one_thread {
                (0..tasks).for_each(task);
            } else {
                (0..tasks).into_par_iter().for_each(task);
            }
        }
    }
    PACKED.set(packed);
}

/// Cuts a depth into about equal parts of whole steps.
fn cuts(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = depth.div_ceil(DEPTH);
    let part = depth.div_ceil(parts).next_multiple_of(STEP);
    (0..depth).step_by(part).map(move |from| from..depth.min(from + part))
}

/// Lends this thread's place for its panels.
fn with_own(lines: usize, work: impl FnOnce(&mut [Line])) {
    OWN_PACKED.with_borrow_mut(|own| {
        if own.len() < lines {
            own.resize(lines, Line::ZERO);
        }
        work(&mut own[..lines]);
    });
}

/// Multiplies two panels into the block at (`row`, `col`) of the destination.
///
/// # Safety
/// The engine is this machine's and ready, and nothing else touches the block.
unsafe fn block(engine: Engine, a: &[Line], b: &[Line], row: usize, col: usize, target: Target) {
    let Target { c, at, alpha, beta } = target;
    let to = c.at(row * at.stride + col);
    let (rows, cols) = (PANEL.min(at.rows - row), PANEL.min(at.cols - col));
    // SAFETY: the caller's promise; a whole block lies inside the destination.
    unsafe {
        if rows == PANEL && cols == PANEL && alpha == 1.0 && (beta == 0.0 || beta == 1.0) {
            multiply(engine, a, b, to, at.stride, beta == 1.0);
            return;
        }
        let mut sums = [0.0f32; PANEL * PANEL];
        multiply(engine, a, b, sums.as_mut_ptr(), PANEL, false);
        for (r, sums) in sums.chunks_exact(PANEL).enumerate().take(rows) {
            let to = std::slice::from_raw_parts_mut(to.add(r * at.stride), cols);
            if beta == 0.0 {
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to = alpha * sum);
            } else {
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to = beta * *to + alpha * sum);
            }
        }
    }
}

/// # Safety
/// As for [`amx::multiply`] and [`avx512::multiply`].
unsafe fn multiply(engine: Engine, a: &[Line], b: &[Line], c: *mut f32, stride: usize, add: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        match engine {
            Engine::Amx => amx::multiply(a, b, c, stride, add),
            Engine::Avx512 => avx512::multiply(a, b, c, stride, add),
        }
    }
}
