//! The metadata of a GGUF file as the config.json that Transformers would have for the same model.
//!
//! In: keys and values, and the tensors' shapes. Out: JSON for [`crate::DecoderConfig`], which checks it as it checks
//! any other. Not known: how the JSON is read.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::header::{Metadata, TensorInfo};
use super::names::Architecture;
use super::reader::MetadataValue;

/// What config.json would say.
pub(super) fn config(
    architecture: Architecture,
    metadata: &Metadata,
    tensors: &BTreeMap<String, TensorInfo>,
) -> Result<Value, String> {
    let keys = Keys { prefix: architecture.name(), metadata };
    keys.refuse_what_is_not_done()?;
    let vocab_size = tensors
        .get("token_embd.weight")
        .and_then(|embedding| embedding.shape.first())
        .ok_or("the tensor `token_embd.weight` is missing; is this a language model?")?;
    let hidden_size = keys.whole("embedding_length")?;
    let heads = keys.whole("attention.head_count")?;
    let kv_heads = keys.optional_whole("attention.head_count_kv")?.unwrap_or(heads);
    let head_dim = match keys.optional_whole("attention.key_length")? {
        Some(size) => size,
        None => hidden_size.checked_div(heads).unwrap_or(0),
    };
    let rotary = keys.optional_whole("rope.dimension_count")?.unwrap_or(head_dim);
    let has = |name: &str| tensors.contains_key(name);
    let epsilon = keys.number("attention.layer_norm_rms_epsilon")?;
    let theta = keys.optional_number("rope.freq_base")?.unwrap_or(10_000.0);
    let inner = keys.whole("feed_forward_length")?;
    if has("blk.0.attn_qkv.weight") {
        return chatglm(architecture, &keys, [heads, kv_heads, head_dim, rotary]).map(|mut json| {
            json["padded_vocab_size"] = json!(vocab_size);
            json["add_qkv_bias"] = json!(has("blk.0.attn_qkv.bias"));
            json["tie_word_embeddings"] = json!(!has("output.weight"));
            json
        });
    }
    let mut json = Map::new();
    let mut set = |key: &str, value: Value| json.insert(key.to_owned(), value);
    let (class, model_type) = class(architecture);
    set("architectures", json!([class]));
    set("model_type", json!(model_type));
    set("vocab_size", json!(vocab_size));
    set("hidden_size", json!(hidden_size));
    set("intermediate_size", json!(inner));
    set("num_hidden_layers", json!(keys.whole("block_count")?));
    set("num_attention_heads", json!(heads));
    set("num_key_value_heads", json!(kv_heads));
    set("head_dim", json!(head_dim));
    set("hidden_act", json!("silu"));
    set("max_position_embeddings", json!(keys.whole("context_length")?));
    set("rms_norm_eps", json!(epsilon));
    set("rope_theta", json!(theta));
    if rotary != head_dim || matches!(architecture, Architecture::ChatGlm | Architecture::Glm4) {
        set("partial_rotary_factor", json!(rotary as f64 / head_dim as f64));
    }
    if let Some(factor) = keys.linear_scaling()? {
        set("rope_scaling", json!({"rope_type": "linear", "factor": factor}));
    }
    set("attention_bias", json!(has("blk.0.attn_q.bias")));
    if architecture == Architecture::Llama {
        set("mlp_bias", json!(has("blk.0.ffn_up.bias")));
    }
    set("tie_word_embeddings", json!(!has("output.weight")));
    for (key, name) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
        if let Some(MetadataValue::Whole(id)) = metadata.get(&format!("tokenizer.ggml.{name}_token_id")) {
            set(key, json!(u32::try_from(*id).ok()));
        }
    }
    Ok(Value::Object(json))
}

/// The class of Transformers that holds such a model, and its `model_type`.
fn class(architecture: Architecture) -> (&'static str, &'static str) {
    match architecture {
        Architecture::Llama => ("LlamaForCausalLM", "llama"),
        Architecture::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
        Architecture::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
        Architecture::ChatGlm => ("GlmForCausalLM", "glm"),
        Architecture::Glm4 => ("Glm4ForCausalLM", "glm4"),
    }
}

/// A model with fused layers, in the words of ChatGLM's own config.json: the file was made from such a folder.
fn chatglm(architecture: Architecture, keys: &Keys<'_>, sizes: [u64; 4]) -> Result<Value, String> {
    let [heads, kv_heads, head_dim, rotary] = sizes;
    if architecture != Architecture::ChatGlm {
        return Err(format!(
            "tensor `blk.0.attn_qkv.weight`: fused layers are known of chatglm, not of {}",
            architecture.name()
        ));
    }
    if keys.linear_scaling()?.is_some() {
        return keys.wrong("rope.scaling.type", "\"none\" for chatglm");
    }
    if 2 * rotary != head_dim {
        return keys.wrong("rope.dimension_count", "half of a head");
    }
    Ok(json!({
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "hidden_size": keys.whole("embedding_length")?,
        "ffn_hidden_size": keys.whole("feed_forward_length")?,
        "num_layers": keys.whole("block_count")?,
        "num_attention_heads": heads,
        "multi_query_attention": true,
        "multi_query_group_num": kv_heads,
        "kv_channels": head_dim,
        "layernorm_epsilon": keys.number("attention.layer_norm_rms_epsilon")?,
        "rope_ratio": keys.optional_number("rope.freq_base")?.map_or(1.0, |base| base / 10_000.0),
        "rmsnorm": true,
        "seq_length": keys.whole("context_length")?,
    }))
}

/// Typed access to the keys of an architecture, each failure naming its key.
struct Keys<'a> {
    prefix: &'static str,
    metadata: &'a Metadata,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.metadata.get(&format!("{}.{key}", self.prefix))
    }

    fn wrong<T>(&self, key: &str, expected: &str) -> Result<T, String> {
        let found = self.get(key).map_or_else(|| "is missing".to_owned(), |value| format!("is {value:?}"));
        Err(format!("the key `{}.{key}` {found}; expected {expected}", self.prefix))
    }

    fn whole(&self, key: &str) -> Result<u64, String> {
        match self.optional_whole(key)? {
            Some(value) => Ok(value),
            None => self.wrong(key, "a whole number of at least 1"),
        }
    }

    /// A size; a list with one size for each layer must say the same for all.
    fn optional_whole(&self, key: &str) -> Result<Option<u64>, String> {
        let value = match self.get(key) {
            None => return Ok(None),
            Some(MetadataValue::Whole(value)) => *value,
            Some(MetadataValue::Wholes(values)) => match values.first() {
                Some(first) if values.iter().all(|value| value == first) => *first,
                _ => return self.wrong(key, "the same number for all layers"),
            },
            Some(_) => return self.wrong(key, "a whole number"),
        };
        match u64::try_from(value) {
            Ok(value) if value > 0 => Ok(Some(value)),
            _ => self.wrong(key, "a whole number of at least 1"),
        }
    }

    fn number(&self, key: &str) -> Result<f64, String> {
        match self.optional_number(key)? {
            Some(value) => Ok(value),
            None => self.wrong(key, "a number above 0"),
        }
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(MetadataValue::Float(value)) if value.is_finite() && *value > 0.0 => Ok(Some(*value)),
            Some(_) => self.wrong(key, "a number above 0"),
        }
    }

    /// What all rotary frequencies are divided by.
    fn linear_scaling(&self) -> Result<Option<f64>, String> {
        match self.get("rope.scaling.type") {
            None => self.optional_number("rope.scale_linear"),
            Some(MetadataValue::Text(kind)) if kind == "none" => Ok(None),
            Some(MetadataValue::Text(kind)) if kind == "linear" => {
                self.number("rope.scaling.factor").map(Some)
            }
            Some(_) => self.wrong("rope.scaling.type", "\"none\" or \"linear\""),
        }
    }

    fn refuse_what_is_not_done(&self) -> Result<(), String> {
        for key in ["attention.sliding_window", "expert_count"] {
            if self.optional_whole(key).ok().flatten().is_some() {
                return self.wrong(key, "none: this program does not do it");
            }
        }
        let [keys, values] = ["attention.key_length", "attention.value_length"]
            .map(|key| self.optional_whole(key).ok().flatten());
        if values.is_some() && keys != values {
            return self.wrong("attention.value_length", "the length of the keys");
        }
        Ok(())
    }
}
