//! Which numbers products are computed in, and what this machine multiplies bf16 with.

use std::sync::OnceLock;

use thiserror::Error;

/// The numbers that factors of matrix products are rounded to. Everything else, sums and results of products
/// included, is f32 in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Factors stay as they are.
    #[default]
    F32,
    /// Factors are rounded to bf16: 8 bits of mantissa, the range of f32.
    Bf16,
}

impl Precision {
    /// Whether this machine has instructions for it.
    #[must_use]
    pub fn is_available(self) -> bool {
        self == Self::F32 || Engine::of(self).is_some()
    }
}

/// A precision that this machine has no instructions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "this CPU multiplies no bf16: it has neither AMX-BF16 (with leave of the operating system) nor AVX512-BF16; \
     compute in f32, or use a machine that has one of them"
)]
pub struct UnsupportedPrecision;

/// The instructions that multiply panels of bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cpu) enum Engine {
    /// Tiles of 16 rows by 64 bytes (`tdpbf16ps`), packed by AVX512-BF16.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// Vectors of 16 pairs (`vdpbf16ps`).
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Engine {
    /// The best this machine has for a precision; f32 needs none, as the `gemm` crate is as fast.
    pub(in crate::cpu) fn of(precision: Precision) -> Option<Self> {
        static FOUND: OnceLock<Option<Engine>> = OnceLock::new();
        match precision {
            Precision::F32 => None,
            Precision::Bf16 => *FOUND.get_or_init(Self::look),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn look() -> Option<Self> {
        let vectors = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16");
        vectors.then(|| if super::amx::is_granted() { Self::Amx } else { Self::Avx512 })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn look() -> Option<Self> {
        None
    }
}
