//! Angles of the rotary embedding, as Transformers computes them.

use toolsmith_kernels::Device;

use crate::{DecoderConfig, RopeScaling};

/// Cosines and sines of all positions seen so far.
pub(crate) struct RopeTable<D: Device> {
    /// `[positions, rotary_dim / 2]`
    pub(crate) cos: D::Buffer,
    /// `[positions, rotary_dim / 2]`
    pub(crate) sin: D::Buffer,
    positions: usize,
}

impl<D: Device> RopeTable<D> {
    pub(crate) fn new(device: &D) -> Self {
        Self { cos: device.zeros(0), sin: device.zeros(0), positions: 0 }
    }

    /// Makes room for the positions below `positions`.
    pub(crate) fn reach(&mut self, device: &D, config: &DecoderConfig, positions: usize) {
        if positions <= self.positions {
            return;
        }
        let positions = positions.next_power_of_two();
        let half = config.rotary_dim / 2;
        let (mut cos, mut sin) = (Vec::with_capacity(positions * half), Vec::with_capacity(positions * half));
        // Frequencies and angles are rounded to f32 where the reference rounds them.
        let frequencies: Vec<f32> =
            frequencies(config).map(|frequency| scaled(config.rope_scaling, frequency) as f32).collect();
        for position in 0..positions {
            for frequency in &frequencies {
                let (s, c) = f64::from(frequency * position as f32).sin_cos();
                cos.push(c as f32);
                sin.push(s as f32);
            }
        }
        self.cos = device.upload(&cos);
        self.sin = device.upload(&sin);
        self.positions = positions;
    }
}

/// Radians a position, before any scaling.
pub(crate) fn frequencies(config: &DecoderConfig) -> impl Iterator<Item = f64> {
    let (theta, dim) = (config.rope_theta, config.rotary_dim);
    (0..dim / 2).map(move |i| theta.powf(-2.0 * i as f64 / dim as f64))
}

/// What a frequency becomes.
pub(crate) fn scaled(scaling: RopeScaling, frequency: f64) -> f64 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let turns = original_max_position_embeddings * frequency / std::f64::consts::TAU;
            let kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
            let kept = if high_freq_factor > low_freq_factor { kept.clamp(0.0, 1.0) } else { 1.0 };
            frequency * (kept + (1.0 - kept) / factor)
        }
    }
}
