//! Adapters: made new, read and written in PEFT's layout; prefixes also in ChatGLM3's.
//!
//! In: settings and a seed, or a folder. Out: an adapter on a decoder, or such a folder. Not known: the training that
//! fills it.

mod lora;
mod lora_config;
mod prefix;

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;
use toolsmith_kernels::{CounterRng, Device};

pub use self::lora_config::{LoraConfig, TargetModules};
use crate::prefix_tuning::PrefixConfig;
use crate::weights::{self, WeightFiles};
use crate::{Decoder, ModelError};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What is attached to a model.
#[derive(Debug, Clone, PartialEq)]
pub enum AdapterConfig {
    /// Low-rank factors beside linear layers.
    Lora(LoraConfig),
    /// Keys and values before all tokens (P-Tuning v2).
    Prefix(PrefixConfig),
}

impl AdapterConfig {
    /// What kind of adapter a folder holds.
    ///
    /// # Errors
    /// A file that is missing or damaged; settings that are not done, each by its name.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        read_config(dir)
    }
}

/// What PEFT puts before the names of the model's own tensors.
const PREFIX: &str = "base_model.model.";

/// The name under which an adapter's folder holds a tensor.
pub(crate) fn saved_name(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.starts_with(PREFIX) { name } else { Cow::Owned(format!("{PREFIX}{name}")) }
}

fn wrong(key: &str, detail: String) -> ModelError {
    ModelError::Adapter { key: key.to_owned(), detail }
}

/// A new adapter to train.
pub(crate) fn attach_new<D: Device>(
    decoder: &mut Decoder<D>,
    config: AdapterConfig,
    rng: CounterRng,
) -> Result<(), ModelError> {
    match config {
        AdapterConfig::Lora(config) => lora::attach_new(decoder, config, rng),
        AdapterConfig::Prefix(config) => prefix::attach_new(decoder, config, rng),
    }
}

/// Attaches the adapter of a folder, frozen.
pub(crate) fn load<D: Device>(decoder: &mut Decoder<D>, dir: &Path) -> Result<(), ModelError> {
    if decoder.adapter.is_some() {
        return Err(wrong("model", "an adapter is attached already; merge it first".to_owned()));
    }
    match read_config(dir)? {
        AdapterConfig::Lora(config) => lora::load(decoder, config, dir),
        AdapterConfig::Prefix(config) => prefix::load(decoder, config, dir),
    }
}

/// Reads an adapter's weights over those of the attached one.
pub(crate) fn load_into<D: Device>(decoder: &mut Decoder<D>, dir: &Path) -> Result<(), ModelError> {
    let found = read_config(dir)?;
    match (&decoder.adapter, found) {
        (Some(AdapterConfig::Lora(attached)), AdapterConfig::Lora(found)) => {
            attached.check_same_arithmetic(&found)?;
            lora::load_into(decoder, dir)
        }
        (Some(AdapterConfig::Prefix(attached)), AdapterConfig::Prefix(found)) => {
            if attached.encoder_hidden_size.is_some() {
                return Err(wrong(
                    "prefix_projection",
                    "the folder holds keys and values, from which the projection's layers cannot be told; start \
                     without projection"
                        .to_owned(),
                ));
            }
            if found.positions != attached.positions {
                let (found, attached) = (found.positions.as_str(), attached.positions.as_str());
                let detail = format!("the folder has {found}, the prefix in training {attached}");
                return Err(wrong("positions", detail));
            }
            prefix::load_into(decoder, &found, dir)
        }
        (None, _) => {
            let detail = "no adapter is attached that the folder could be read into; merge it into the model to train \
                          all weights";
            Err(wrong("model", detail.to_owned()))
        }
        (Some(_), _) => Err(wrong("peft_type", "the folder holds another kind of adapter".to_owned())),
    }
}

/// Writes the attached adapter.
pub(crate) fn save<D: Device>(decoder: &Decoder<D>, dir: &Path, base: &str) -> Result<(), ModelError> {
    std::fs::create_dir_all(dir).map_err(ModelError::write(dir))?;
    match &decoder.adapter {
        Some(AdapterConfig::Lora(config)) => lora::save(decoder, config, dir, base),
        Some(AdapterConfig::Prefix(_)) => prefix::save(decoder, dir, base),
        None => Err(wrong("model", "no adapter is attached that could be saved".to_owned())),
    }
}

/// What kind of adapter a folder holds; what it asks for and we do not do is refused by name.
fn read_config(dir: &Path) -> Result<AdapterConfig, ModelError> {
    if let Some(config) = prefix::read_chatglm_config(dir)? {
        return Ok(AdapterConfig::Prefix(config));
    }
    let json = weights::read_json(&dir.join(CONFIG))?;
    match json.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => LoraConfig::from_json(&json).map(AdapterConfig::Lora),
        Some("PREFIX_TUNING") => prefix::config_from_json(&json).map(AdapterConfig::Prefix),
        _ => {
            let found = json.get("peft_type").unwrap_or(&Value::Null);
            Err(wrong("peft_type", format!("found {found}, expected \"LORA\" or \"PREFIX_TUNING\"")))
        }
    }
}

fn open(dir: &Path) -> Result<WeightFiles, ModelError> {
    let path = dir.join(WEIGHTS);
    if !path.exists() && dir.join("adapter_model.bin").exists() {
        return Err(wrong(
            WEIGHTS,
            format!(
                "{} holds a pickle (adapter_model.bin) only; save the adapter again as safetensors",
                dir.display()
            ),
        ));
    }
    WeightFiles::open_file(&path, CONFIG)
}
