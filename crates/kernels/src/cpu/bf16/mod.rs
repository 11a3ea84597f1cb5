//! The matrix product with factors rounded to bf16 and sums in f32.
//!
//! In: f32 factors and a destination. Out: the f32 product of the factors rounded to bf16 (to nearest, ties to even).
//! Both factors are packed into panels as the multiplying instructions want them: the shorter side once for all
//! threads, the longer side panel by panel on the thread that multiplies it. Each element is summed in the same order
//! for any number of threads. Not known: who asked for bf16.

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
mod panels;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use elsewhere::product;
pub(super) use engine::Engine;
pub use engine::{Precision, UnsupportedPrecision};
#[cfg(target_arch = "x86_64")]
pub(super) use panels::product;

/// Whether a product of these sizes gains by bf16: a thin one spends its time on reading its factors, which packing
/// does not shorten.
pub(super) fn worth_it(rows: usize, cols: usize, depth: usize) -> bool {
    rows.min(cols).min(depth) >= THIN
}

/// Sizes below this make a product thin.
const THIN: usize = 32;
