//! Divisors of the rotary frequencies that a GGUF file has as a tensor, as config.json would state them.
//!
//! In: the divisors. Out: `rope_scaling`, if they are Llama 3.1's: a list of numbers has no name in config.json. The
//! formula is that of llama.cpp's `convert_hf_to_gguf.py`, which writes the tensor. Not known: files.

use serde_json::{Value, json};

use crate::{DecoderConfig, RopeScaling, rope};

/// What Llama 3.1, 3.2 and 3.3 share; they differ in the factor.
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const POSITIONS: f64 = 8192.0;

/// The `rope_scaling` that divides the frequencies of `config` by `divisors`.
pub(super) fn scaling(config: &DecoderConfig, divisors: &[f32]) -> Option<Value> {
    let factor = f64::from(divisors.iter().copied().fold(1.0, f32::max));
    let scaling = RopeScaling::Llama3 {
        factor,
        low_freq_factor: LOW,
        high_freq_factor: HIGH,
        original_max_position_embeddings: POSITIONS,
    };
    let agrees = |(frequency, &found): (f64, &f32)| {
        let expected = frequency / rope::scaled(scaling, frequency);
        (f64::from(found) / expected - 1.0).abs() < 1e-4
    };
    let agree = config.rope_scaling == RopeScaling::None
        && divisors.len() == config.rotary_dim / 2
        && rope::frequencies(config).zip(divisors).all(agrees);
    agree.then(|| {
        json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": LOW,
            "high_freq_factor": HIGH,
            "original_max_position_embeddings": POSITIONS as u64,
        })
    })
}
