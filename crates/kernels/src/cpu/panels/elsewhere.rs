//! Machines without AVX512-BF16: no engine exists, so no product is ever asked for.

use super::super::attention::Shared;
use super::super::matmul::{Factor, Threads};
use super::Engine;
use crate::device::Matrix;

/// # Safety
/// None is needed: there is no engine to call it with.
#[expect(clippy::too_many_arguments, reason = "the BLAS signature and what multiplies")]
pub(in crate::cpu) unsafe fn product(
    engine: Engine,
    _alpha: f32,
    _a: Factor<'_>,
    _b: Factor<'_>,
    _beta: f32,
    _c: Shared,
    _at: Matrix,
    _threads: Threads,
) {
    match engine {}
}
