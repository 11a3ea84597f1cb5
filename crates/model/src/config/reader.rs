//! Typed access to config.json: each failure names its key, and what is asked for and not done is refused by name.
//!
//! In: the JSON. Out: values, or the reading of ChatGLM's own keys. Not known: how the families differ in computing.

use serde_json::Value;
use toolsmith_kernels::RopeStyle;

use super::{DecoderConfig, ModelFamily, Projections, RopeScaling};
use crate::ModelError;

pub(super) fn config(key: &'static str, detail: String) -> ModelError {
    ModelError::Config { key, detail }
}

/// Most blocks, other sizes, and weights in all: beyond any model, and small enough that no product of them overflows.
const LARGEST_DEPTH: u64 = 1 << 14;
const LARGEST_SIZE: u64 = 1 << 24;
const LARGEST_MODEL: u64 = 1 << 42;

/// Refuses sizes that are too large together.
pub(super) fn check_together(read: DecoderConfig) -> Result<DecoderConfig, ModelError> {
    if read.query_size() as u64 > LARGEST_SIZE {
        let detail = format!(
            "{} heads of {} together are wider than {LARGEST_SIZE}",
            read.num_attention_heads, read.head_dim
        );
        return Err(config("num_attention_heads", detail));
    }
    match read.parameter_count() {
        0..=LARGEST_MODEL => Ok(read),
        count => Err(config(
            "hidden_size",
            format!(
                "all sizes together make {count} weights, expected at most {LARGEST_MODEL}; is the file damaged?"
            ),
        )),
    }
}

pub(super) fn check_heads(key: &'static str, heads: usize, kv_heads: usize) -> Result<(), ModelError> {
    if heads.is_multiple_of(kv_heads) {
        return Ok(());
    }
    Err(config(key, format!("found {kv_heads}, expected a divisor of num_attention_heads {heads}")))
}

fn unsupported(key: &'static str, found: impl ToString, hint: &str) -> ModelError {
    ModelError::Unsupported { key, found: found.to_string(), hint: hint.to_owned() }
}

/// Typed access to config.json, each failure naming its key.
pub(super) struct Reader<'a> {
    json: &'a Value,
}

impl<'a> Reader<'a> {
    pub(super) fn new(json: &'a Value) -> Self {
        Self { json }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn family(&self) -> Result<ModelFamily, ModelError> {
        let known = || ModelFamily::ALL.map(ModelFamily::model_type).join(", ");
        let Some(value) = self.get("model_type") else {
            return Err(config("model_type", format!("missing; expected one of {}", known())));
        };
        ModelFamily::ALL
            .into_iter()
            .find(|family| value.as_str() == Some(family.model_type()))
            .ok_or_else(|| unsupported("model_type", value, &format!("; families it knows: {}", known())))
    }

    /// ChatGLM3 and GLM-4 9B as first published: `configuration_chatglm.py` and `modeling_chatglm.py` of their
    /// repositories (ChatGLM3-6B of December 2023, glm-4-9b-chat of 2024).
    pub(super) fn chatglm(&self) -> Result<DecoderConfig, ModelError> {
        for (key, done) in [
            ("multi_query_attention", true),
            ("rmsnorm", true),
            ("post_layer_norm", true),
            ("original_rope", true),
            ("apply_residual_connection_post_layernorm", false),
            ("add_bias_linear", false),
            ("quantization_bit", false),
        ] {
            // Absent means what every published ChatGLM3 and GLM-4 says; zero bits mean no quantisation.
            let found = self.get(key).filter(|value| value.as_u64() != Some(0));
            if let Some(value) = found.filter(|value| value.as_bool() != Some(done)) {
                return Err(unsupported(key, value, &format!("; only {done}")));
            }
        }
        let num_attention_heads = self.size("num_attention_heads")?;
        let num_key_value_heads = self.size("multi_query_group_num")?;
        check_heads("multi_query_group_num", num_attention_heads, num_key_value_heads)?;
        let head_dim = self.size("kv_channels")?;
        if !head_dim.is_multiple_of(4) {
            return Err(config("kv_channels", format!("found {head_dim}, expected a multiple of 4")));
        }
        Ok(DecoderConfig {
            family: ModelFamily::ChatGlm,
            vocab_size: self.size("padded_vocab_size")?,
            hidden_size: self.size("hidden_size")?,
            intermediate_size: self.size("ffn_hidden_size")?,
            num_hidden_layers: self.size("num_layers")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rotary_dim: head_dim / 2,
            rope_style: RopeStyle::Interleaved,
            rope_theta: 10_000.0 * self.number("rope_ratio")?.unwrap_or(1.0),
            rope_scaling: RopeScaling::None,
            rms_norm_eps: self.number("layernorm_epsilon")?.unwrap_or(1e-5) as f32,
            qkv_bias: self.flag("add_qkv_bias")?.unwrap_or(false),
            output_bias: false,
            mlp_bias: false,
            qk_norm: false,
            sandwich_norms: false,
            qkv_projections: Projections::Fused,
            gate_up_projections: Projections::Fused,
            tie_word_embeddings: self.flag("tie_word_embeddings")?.unwrap_or(false),
            max_position_embeddings: self.optional_size("seq_length")?.unwrap_or(2048),
            initializer_range: self.number("initializer_range")?.unwrap_or(0.02),
            json: self.json.clone(),
        })
    }

    /// `rope_scaling` (Transformers 4) or `rope_parameters` (Transformers 5).
    pub(super) fn rope_scaling(&self) -> Result<RopeScaling, ModelError> {
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = self.get(key) else { continue };
            let kind = value.get("rope_type").or_else(|| value.get("type")).and_then(Value::as_str);
            let inner = Reader { json: value };
            let number = |name: &'static str| {
                inner
                    .number(name)?
                    .ok_or_else(|| config(name, format!("missing in {key}; expected a number above 0")))
            };
            match kind {
                Some("default") => {}
                None if key == "rope_parameters" => {}
                Some("linear") => return Ok(RopeScaling::Linear { factor: number("factor")? }),
                Some("llama3") => {
                    return Ok(RopeScaling::Llama3 {
                        factor: number("factor")?,
                        low_freq_factor: number("low_freq_factor")?,
                        high_freq_factor: number("high_freq_factor")?,
                        original_max_position_embeddings: number("original_max_position_embeddings")?,
                    });
                }
                _ => {
                    return Err(unsupported(
                        key,
                        value,
                        "; rotary embeddings it knows: \"default\", \"linear\", \"llama3\"",
                    ));
                }
            }
        }
        Ok(RopeScaling::None)
    }

    pub(super) fn size(&self, key: &'static str) -> Result<usize, ModelError> {
        self.optional_size(key)?
            .ok_or_else(|| config(key, "missing; expected a whole number of at least 1".to_owned()))
    }

    pub(super) fn optional_size(&self, key: &'static str) -> Result<Option<usize>, ModelError> {
        let largest =
            if matches!(key, "num_hidden_layers" | "num_layers") { LARGEST_DEPTH } else { LARGEST_SIZE };
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64() {
            Some(size) if (1..=largest).contains(&size) => Ok(Some(size as usize)),
            _ => Err(config(key, format!("found {value}, expected a whole number from 1 to {largest}"))),
        }
    }

    pub(super) fn number(&self, key: &'static str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(config(key, format!("found {value}, expected a number above 0"))),
        }
    }

    /// A rotary setting, at the top (Transformers 4) or in `rope_parameters` (Transformers 5).
    pub(super) fn rope_number(&self, key: &'static str) -> Result<Option<f64>, ModelError> {
        match self.get("rope_parameters").filter(|parameters| parameters.get(key).is_some()) {
            Some(parameters) => Reader { json: parameters }.number(key),
            None => self.number(key),
        }
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| config(key, format!("found {value}, expected true or false")))
    }

    pub(super) fn refuse_what_is_not_done(&self) -> Result<(), ModelError> {
        if let Some(value) =
            self.get("hidden_act").filter(|value| !matches!(value.as_str(), Some("silu" | "swish")))
        {
            return Err(unsupported("hidden_act", value, "; only \"silu\""));
        }
        if self.flag("use_sliding_window")? == Some(true) {
            return Err(unsupported("use_sliding_window", true, "; every token must see all before it"));
        }
        let other_layer = self
            .get("layer_types")
            .and_then(Value::as_array)
            .and_then(|layers| layers.iter().find(|layer| layer.as_str() != Some("full_attention")));
        if let Some(layer) = other_layer {
            return Err(unsupported("layer_types", layer, "; only \"full_attention\""));
        }
        if let Some(value) = self.get("pretraining_tp").filter(|value| value.as_u64() != Some(1)) {
            return Err(unsupported("pretraining_tp", value, "; only 1"));
        }
        if let Some(value) = self.get("quantization_config") {
            return Err(unsupported("quantization_config", value, "; give the unquantised model"));
        }
        for key in ["attention_dropout", "hidden_dropout"] {
            if let Some(value) = self.get(key).filter(|value| value.as_f64() != Some(0.0)) {
                return Err(unsupported(key, value, "; only 0"));
            }
        }
        Ok(())
    }
}
