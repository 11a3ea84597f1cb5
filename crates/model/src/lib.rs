//! One decoder for every family: weights, adapters, training passes and generation. Token ids, never text.
//!
//! In: a model folder in Hugging Face's layout or a GGUF file, token ids, token weights. Out: log-probabilities, gradients in place,
//! adapter and model folders, generated ids. Deliberately unknown here: tokenizers, templates, optimizers, schedules.

mod adapter;
mod batch;
mod block;
mod cache;
mod checkpoint;
mod config;
mod decoder;
mod error;
mod generate;
mod gguf;
#[cfg(test)]
mod gradient_tests;
mod head;
mod linear;
mod names;
mod parameter;
mod prefix;
mod prefix_tuning;
mod rope;
mod sampling;
mod trainable;
mod weight;
mod weights;
mod workspace;

pub use adapter::{AdapterConfig, LoraConfig, TargetModules};
pub use batch::{Target, TokenBatch, TokenWeights};
pub use config::{DecoderConfig, ModelFamily, Projections, RopeScaling};
pub use decoder::Decoder;
pub use error::ModelError;
pub use generate::{Generated, GenerationOptions, StopReason, generate};
pub use parameter::Parameter;
pub use prefix_tuning::{PrefixConfig, PrefixPositions};
pub use trainable::{Activations, TrainMethod, TrainableModel};
pub use weight::Quantization;
pub use weights::WeightType;
