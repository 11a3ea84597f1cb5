//! The matrix product by packed panels, with factors rounded to bf16 and sums in f32.
//!
//! In: f32 factors and a destination. Out: the f32 product of the factors rounded to nearest, ties to even. Both
//! factors are packed into panels as the multiplying instructions want them: the shorter side once for all threads,
//! the longer side a few panels at a time on the thread that multiplies them. Each element is summed in the same order
//! for any number of threads. Not known: what the product is for.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;
mod engine;
#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use elsewhere::product;
pub(super) use engine::Engine;
pub use engine::{Precision, UnsupportedPrecision};
#[cfg(target_arch = "x86_64")]
pub(super) use product::product;

/// Whether a product of these sizes gains by panels: a thin one spends its time on reading its factors, and most of a
/// panel would be zeros.
pub(super) fn worth_it(rows: usize, cols: usize, depth: usize) -> bool {
    rows.min(cols).min(depth) >= THIN
}

/// Sizes below this make a product thin.
const THIN: usize = 32;
