//! The decoder: its weights and how they are named.

use std::path::Path;

use toolsmith_kernels::Device;

use crate::{DecoderConfig, ModelError, WeightType};

/// A decoder on a device.
pub struct Decoder<D: Device> {
    device: D,
    config: DecoderConfig,
}

impl<D: Device> Decoder<D> {
    /// Reads a model folder: config.json, model.safetensors (or its sharded index).
    ///
    /// # Errors
    /// Files that are missing, damaged or do not fit each other; settings that are not done.
    pub fn load(_dir: &Path, _device: D) -> Result<Self, ModelError> {
        unimplemented!()
    }
    /// A new model, weights normal with `initializer_range`, norms 1, biases 0 (Hugging Face's way).
    pub fn random(_config: DecoderConfig, _seed: u64, _device: D) -> Self {
        unimplemented!()
    }
    /// Writes config.json as it was given (its `torch_dtype` changed) and model.safetensors.
    ///
    /// # Errors
    /// A folder that cannot be written, or an adapter that is not merged.
    pub fn save(&self, _dir: &Path, _dtype: WeightType) -> Result<(), ModelError> {
        unimplemented!()
    }
    /// Attaches an adapter in PEFT's layout.
    ///
    /// # Errors
    /// Files that are missing, damaged or of another model; adapter settings that are not done.
    pub fn load_adapter(&mut self, _dir: &Path) -> Result<(), ModelError> {
        unimplemented!()
    }
    /// Adds the attached adapter into the weights; nothing changes in what the model computes.
    pub fn merge_adapter(&mut self) {
        unimplemented!()
    }
    /// What it looks like.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }
    /// Where it lies.
    pub fn device(&self) -> &D {
        &self.device
    }
}
