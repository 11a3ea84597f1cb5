//! Weights in safetensors files.

/// Number type of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// 32 bit.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}
