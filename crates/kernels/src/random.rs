//! Random numbers that depend on a seed and a place alone, so that any thread can draw any of them.
//!
//! In: a seed and a counter. Out: uniform or normal numbers. Not known: what they are used for.

/// A counter-based generator: the `n`th number is a mix of seed and `n` (SplitMix64's finaliser, Steele et al., 2014).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterRng {
    key: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline(always)]
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl CounterRng {
    /// A generator for `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { key: mix(seed.wrapping_add(GOLDEN)) }
    }

    /// A generator whose numbers have nothing to do with this one's, for the part `stream` of the work.
    #[must_use]
    pub const fn stream(self, stream: u64) -> Self {
        Self { key: mix(self.key ^ mix(stream.wrapping_mul(GOLDEN).wrapping_add(1))) }
    }

    /// 64 random bits.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self, counter: u64) -> u64 {
        mix(self.key.wrapping_add(counter.wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)`, 53 bits.
    #[must_use]
    pub fn uniform(self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal (Box and Muller, 1958).
    #[must_use]
    pub fn normal(self, counter: u64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform(2 * counter)).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform(2 * counter + 1)).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_uniform_and_normal() {
        let rng = CounterRng::new(7);
        let count = 100_000u64;
        let mean = (0..count).map(|i| rng.uniform(i)).sum::<f64>() / count as f64;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        let normal: Vec<f64> = (0..count).map(|i| rng.normal(i)).collect();
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / count as f64;
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
        assert_ne!(rng.bits(0), rng.stream(1).bits(0));
        assert_ne!(rng.stream(1).bits(0), rng.stream(2).bits(0));
    }
}
