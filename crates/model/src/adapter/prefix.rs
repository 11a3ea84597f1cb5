//! Prefixes (P-Tuning v2) on a decoder, and their folders: PEFT's `PREFIX_TUNING` where positions begin after the
//! prefix, ChatGLM3's own where they begin at 0. The two are never mixed: a folder says which by its layout.
//!
//! In: settings and a seed, or a folder. Out: a prefix on a decoder, or such a folder. Not known: what it computes.

use std::path::Path;

use serde_json::{Value, json};
use toolsmith_kernels::{CounterRng, Device};

use super::{AdapterConfig, CONFIG, WEIGHTS, open, wrong};
use crate::prefix_tuning::{PrefixAdapter, PrefixConfig, PrefixPositions, width};
use crate::weights::{self, WeightFiles};
use crate::{Decoder, ModelError, WeightType};

pub(super) fn attach_new<D: Device>(
    decoder: &mut Decoder<D>,
    config: PrefixConfig,
    rng: CounterRng,
) -> Result<(), ModelError> {
    config.check()?;
    decoder.prefix = Some(PrefixAdapter::new(config.clone(), &decoder.config, &decoder.device, rng));
    decoder.adapter = Some(AdapterConfig::Prefix(config));
    Ok(())
}

pub(super) fn load<D: Device>(
    decoder: &mut Decoder<D>,
    config: PrefixConfig,
    dir: &Path,
) -> Result<(), ModelError> {
    let wide = width(&decoder.config);
    let values = decoder.device.upload(&read(&config, wide, dir)?);
    decoder.prefix = Some(PrefixAdapter::given(config.clone(), wide, values));
    decoder.adapter = Some(AdapterConfig::Prefix(config));
    Ok(())
}

/// Reads the folder's keys and values over those of the attached prefix.
pub(super) fn load_into<D: Device>(
    decoder: &mut Decoder<D>,
    config: &PrefixConfig,
    dir: &Path,
) -> Result<(), ModelError> {
    let wide = width(&decoder.config);
    let Some(prefix) = &mut decoder.prefix else { return Ok(()) };
    if config.num_virtual_tokens != prefix.config.num_virtual_tokens {
        let (found, expected) = (config.num_virtual_tokens, prefix.config.num_virtual_tokens);
        return Err(wrong(
            "num_virtual_tokens",
            format!("the folder has {found}, the prefix in training {expected}"),
        ));
    }
    let values = read(config, wide, dir)?;
    decoder.device.write(&mut prefix.embeddings.value, 0, &values);
    Ok(())
}

fn read(config: &PrefixConfig, wide: usize, dir: &Path) -> Result<Vec<f32>, ModelError> {
    let files = match config.positions {
        PrefixPositions::AfterPrefix => open(dir)?,
        PrefixPositions::FromZero => WeightFiles::open(dir)?,
    };
    let name = config.positions.tensor_name();
    let values = files.tensor(name, &[config.num_virtual_tokens, wide])?;
    files.refuse_unknown(|found| found == name)?;
    Ok(values)
}

pub(super) fn save<D: Device>(decoder: &Decoder<D>, dir: &Path, base: &str) -> Result<(), ModelError> {
    let Some(prefix) = &decoder.prefix else { return Ok(()) };
    let (config, rows) = (&decoder.config, prefix.config.num_virtual_tokens);
    let (file, json_file, json) = match prefix.config.positions {
        PrefixPositions::AfterPrefix => (
            WEIGHTS,
            CONFIG,
            json!({
                "peft_type": "PREFIX_TUNING",
                "task_type": "CAUSAL_LM",
                "base_model_name_or_path": base,
                "num_virtual_tokens": rows,
                "token_dim": config.key_value_size(),
                "num_transformer_submodules": 1,
                "num_attention_heads": config.num_key_value_heads,
                "num_layers": config.num_hidden_layers,
                "encoder_hidden_size": prefix.config.encoder_hidden_size,
                "prefix_projection": prefix.config.encoder_hidden_size.is_some(),
                "inference_mode": true,
                "revision": null
            }),
        ),
        PrefixPositions::FromZero => (
            "model.safetensors",
            "config.json",
            json!({
                "model_type": config.family.model_type(),
                "base_model_name_or_path": base,
                "pre_seq_len": rows,
                "prefix_projection": false
            }),
        ),
    };
    let tensor = std::iter::once((prefix.embeddings.name.clone(), prefix.embeddings.as_ref()));
    weights::write(&dir.join(file), &decoder.device, tensor, WeightType::F32)?;
    weights::write_json(&dir.join(json_file), &json)
}

fn count(json: &Value, key: &str) -> Result<usize, ModelError> {
    let value = json.get(key).unwrap_or(&Value::Null);
    let largest = PrefixConfig::LARGEST;
    let found = value.as_u64().and_then(|count| usize::try_from(count).ok());
    found
        .filter(|count| (1..=largest).contains(count))
        .ok_or_else(|| wrong(key, format!("found {value}, expected a whole number from 1 to {largest}")))
}

/// Reads PEFT's adapter_config.json.
pub(super) fn config_from_json(json: &Value) -> Result<PrefixConfig, ModelError> {
    if let Some(value) =
        json.get("num_transformer_submodules").filter(|value| value.as_u64().is_some_and(|n| n != 1))
    {
        return Err(wrong("num_transformer_submodules", format!("found {value}; only 1, a decoder's")));
    }
    let projected = json.get("prefix_projection").and_then(Value::as_bool) == Some(true);
    let config = PrefixConfig {
        num_virtual_tokens: count(json, "num_virtual_tokens")?,
        encoder_hidden_size: projected.then(|| count(json, "encoder_hidden_size")).transpose()?,
        positions: PrefixPositions::AfterPrefix,
    };
    config.check()?;
    Ok(config)
}

/// Reads the config.json of a folder in ChatGLM3's layout, which has `pre_seq_len`.
pub(super) fn read_chatglm_config(dir: &Path) -> Result<Option<PrefixConfig>, ModelError> {
    let path = dir.join("config.json");
    if dir.join(CONFIG).exists() || !path.exists() {
        return Ok(None);
    }
    let json = weights::read_json(&path)?;
    if json.get("pre_seq_len").is_none_or(Value::is_null) {
        return Ok(None);
    }
    if json.get("prefix_projection").and_then(Value::as_bool) == Some(true) {
        let detail = "found true; its checkpoint holds the projection's layers, not keys and values: save it again without \
                      the projection";
        return Err(wrong("prefix_projection", detail.to_owned()));
    }
    if !dir.join("model.safetensors").exists() && dir.join("pytorch_model.bin").exists() {
        let detail = format!(
            "{} holds a pickle (pytorch_model.bin) only; save its tensors again as model.safetensors",
            dir.display()
        );
        return Err(wrong("model.safetensors", detail));
    }
    Ok(Some(PrefixConfig {
        num_virtual_tokens: count(&json, "pre_seq_len")?,
        encoder_hidden_size: None,
        positions: PrefixPositions::FromZero,
    }))
}
