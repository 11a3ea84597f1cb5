//! Machines without bf16 instructions that we use: no engine exists, so no product is ever asked for.

use super::super::attention::Shared;
use super::super::matmul::Factor;
use super::Engine;
use crate::device::Matrix;

/// # Safety
/// None is needed: there is no engine to call it with.
pub(in crate::cpu) unsafe fn product(
    engine: Engine,
    _alpha: f32,
    _a: Factor<'_>,
    _b: Factor<'_>,
    _beta: f32,
    _c: Shared,
    _at: Matrix,
) {
    match engine {}
}
