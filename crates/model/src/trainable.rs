//! A decoder with trained weights and the buffers of its passes.

use std::path::Path;

use toolsmith_kernels::Device;

use crate::{Decoder, LoraConfig, ModelError, Parameter, TokenBatch, TokenWeights};

/// Which weights are trained.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainMethod {
    /// All of them.
    Full,
    /// A new LoRA adapter; everything else stays frozen.
    Lora(LoraConfig),
}

/// A decoder in training.
pub struct TrainableModel<D: Device> {
    decoder: Decoder<D>,
}

impl<D: Device> TrainableModel<D> {
    /// Prepares `decoder` for training; `seed` draws a new adapter's weights and all dropout masks.
    ///
    /// # Errors
    /// A LoRA setting that makes no sense or meets no layer.
    pub fn new(_decoder: Decoder<D>, _method: TrainMethod, _seed: u64) -> Result<Self, ModelError> {
        unimplemented!()
    }
    /// Runs the batch forward and backward, adds into the gradients, and returns the log-probability of each target.
    ///
    /// # Errors
    /// A batch that does not fit itself or the model.
    pub fn forward_backward(&mut self, _batch: &TokenBatch, _weights: TokenWeights<'_>) -> Result<Vec<f32>, ModelError> {
        unimplemented!()
    }
    /// Log-probability of each target, without gradients and without dropout.
    ///
    /// # Errors
    /// A batch that does not fit itself or the model.
    pub fn logprobs(&mut self, _batch: &TokenBatch) -> Result<Vec<f32>, ModelError> {
        unimplemented!()
    }
    /// Forgets the gradients.
    pub fn zero_grads(&mut self) {
        unimplemented!()
    }
    /// The trained tensors, always in the same order.
    pub fn parameters_mut(&mut self) -> Vec<Parameter<'_, D>> {
        unimplemented!()
    }
    /// Number of passes with dropout so far: part of the state that an exact resume needs.
    #[must_use]
    pub fn dropout_counter(&self) -> u64 {
        unimplemented!()
    }
    /// Sets the number of passes with dropout so far.
    pub fn set_dropout_counter(&mut self, _counter: u64) {
        unimplemented!()
    }
    /// The decoder, to generate with (an adapter in training takes part).
    pub fn decoder(&self) -> &Decoder<D> {
        &self.decoder
    }
    /// The decoder back, its adapter still attached.
    pub fn into_decoder(self) -> Decoder<D> {
        self.decoder
    }
    /// The device.
    pub fn device(&self) -> &D {
        unimplemented!()
    }
    /// Writes the adapter in PEFT's layout (`adapter_config.json`, `adapter_model.safetensors`).
    ///
    /// # Errors
    /// No adapter, or a folder that cannot be written.
    pub fn save_adapter(&self, _dir: &Path, _base_model_name_or_path: &str) -> Result<(), ModelError> {
        unimplemented!()
    }
    /// Reads an adapter's weights over those in training (same rank and layers).
    ///
    /// # Errors
    /// Files that are missing, damaged, or of another adapter.
    pub fn load_adapter(&mut self, _dir: &Path) -> Result<(), ModelError> {
        unimplemented!()
    }
    /// Writes the whole model as a Hugging Face folder (config.json and model.safetensors).
    ///
    /// # Errors
    /// A folder that cannot be written, or an adapter that is not merged.
    pub fn save_full(&self, _dir: &Path) -> Result<(), ModelError> {
        unimplemented!()
    }
}
