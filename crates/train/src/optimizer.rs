//! AdamW (Loshchilov and Hutter, 2019) over the trained tensors, with the gradient's length held below a limit.
//!
//! In: parameters with gradients, a learning rate. Out: parameters. Moments stay on the device, in its own
//! numbers or in 8 bits. It does not know what the parameters mean; each says itself whether decay is customary for it.

use toolsmith_kernels::{AdamWStep, Device, DynamicMap, Moment8};
use toolsmith_model::Parameter;

/// AdamW's values, by PyTorch's names; the defaults are PyTorch's, without weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Decoupled weight decay of matrices; norms and biases have none.
    pub weight_decay: f32,
    /// How the moments are kept.
    pub moments: MomentType,
}

/// How moments are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MomentType {
    /// 4 bytes each.
    Float32,
    /// A byte each and a scale for 256 of them (Dettmers et al., 2022). Those of tensors below 4,096 elements, which
    /// are sensitive and take no room, stay float32.
    EightBit,
}

/// The smallest tensor whose moments are kept in 8 bits.
const SMALLEST_8BIT: usize = 4096;

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, moments: MomentType::Float32 }
    }
}

/// The moments of one parameter: first the mean of gradients, then that of squared gradients.
pub(crate) enum Moments<D: Device> {
    Float32([D::Buffer; 2]),
    EightBit([D::Moment8; 2]),
}

impl<D: Device> Moments<D> {
    fn new(device: &D, len: usize, kept: MomentType) -> Self {
        if kept == MomentType::Float32 || len < SMALLEST_8BIT {
            return Self::Float32([device.zeros(len), device.zeros(len)]);
        }
        let zeros = |map| device.upload_moment8(Moment8::zeros(map, len));
        Self::EightBit([DynamicMap::Signed, DynamicMap::Unsigned].map(zeros))
    }
}

/// The optimizer's state: one pair of moments a parameter, in the model's order.
pub(crate) struct AdamW<D: Device> {
    device: D,
    options: AdamWOptions,
    pub(crate) moments: Vec<Moments<D>>,
}

impl<D: Device> AdamW<D> {
    pub(crate) fn new(device: D, options: AdamWOptions, parameters: &[Parameter<'_, D>]) -> Self {
        let zeros = |parameter: &Parameter<'_, D>| {
            Moments::new(&device, device.len(parameter.value), options.moments)
        };
        let moments = parameters.iter().map(zeros).collect();
        Self { device, options, moments }
    }

    /// The length of the whole gradient.
    pub(crate) fn grad_norm(&self, parameters: &[Parameter<'_, D>]) -> f64 {
        let device = &self.device;
        device
            .scope(|| parameters.iter().map(|parameter| device.sum_of_squares(parameter.grad)).sum::<f64>())
            .sqrt()
    }

    /// Which gradient is the first that is no number, in words.
    pub(crate) fn not_finite(&self, parameters: &[Parameter<'_, D>]) -> String {
        let bad = parameters.iter().find(|parameter| !self.device.sum_of_squares(parameter.grad).is_finite());
        bad.map_or_else(|| "gradient norm".to_owned(), |parameter| format!("gradient of {}", parameter.name))
    }

    /// One update; `step` counts from 1.
    pub(crate) fn step(
        &mut self,
        parameters: &mut [Parameter<'_, D>],
        step: u64,
        learning_rate: f64,
        grad_scale: f32,
    ) {
        let Self { device, options, moments } = self;
        device.scope(|| {
            for (parameter, moments) in parameters.iter_mut().zip(moments) {
                let update = AdamWStep {
                    learning_rate: learning_rate as f32,
                    beta1: options.beta1,
                    beta2: options.beta2,
                    epsilon: options.epsilon,
                    weight_decay: if parameter.decay { options.weight_decay } else { 0.0 },
                    step,
                    grad_scale,
                };
                let Parameter { value, grad, .. } = parameter;
                match moments {
                    Moments::Float32([first, second]) => device.adamw(&update, value, grad, first, second),
                    Moments::EightBit([first, second]) => {
                        device.adamw_8bit(&update, value, grad, first, second);
                    }
                }
            }
        });
    }
}

/// What gradients are multiplied by so that their length stays within `max_grad_norm` (`clip_grad_norm_` of PyTorch).
pub(crate) fn clip_scale(grad_norm: f64, max_grad_norm: f64) -> f32 {
    if max_grad_norm == 0.0 {
        return 1.0;
    }
    (max_grad_norm / (grad_norm + 1e-6)).min(1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_gradients_are_scaled() {
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert_eq!(clip_scale(0.0, 1.0), 1.0);
        assert_eq!(clip_scale(100.0, 0.0), 1.0);
        assert!((clip_scale(4.0, 1.0) - 0.25).abs() < 1e-6);
    }
}
