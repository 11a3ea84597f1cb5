//! What a decoder looks like, read from config.json.
//!
//! In: the JSON of a Hugging Face model folder. Out: a [`DecoderConfig`] that this crate can run, or an error that
//! names the setting it cannot. The families differ only in the values here. Not known: weights, devices.

use serde_json::Value;
use toolsmith_kernels::RopeStyle;

use crate::ModelError;

/// Families whose checkpoints are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFamily {
    /// `llama`: Llama, SmolLM2.
    Llama,
    /// `qwen2`: Qwen2 and Qwen2.5.
    Qwen2,
    /// `glm`: GLM-4 9B in the Transformers port.
    Glm,
}

impl ModelFamily {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Llama, "llama"), (Self::Qwen2, "qwen2"), (Self::Glm, "glm")];

    /// The `model_type` of config.json.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Glm => "glm",
        }
    }
}

/// How the checkpoint keeps the first layer of the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MlpLayout {
    /// `gate_proj` and `up_proj`.
    Separate,
    /// One `gate_up_proj`, gate rows first.
    Fused,
}

/// A dense decoder: pre-norm blocks of attention and SwiGLU.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Whose names the checkpoint uses.
    pub family: ModelFamily,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Elements of a head that rotate.
    pub rotary_dim: usize,
    /// Which of them pair up.
    pub rope_style: RopeStyle,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f32,
    /// Whether q, k and v have a bias.
    pub qkv_bias: bool,
    /// Whether the attention's output has a bias.
    pub output_bias: bool,
    /// Whether the MLP has biases.
    pub mlp_bias: bool,
    /// How the MLP's first layer is kept.
    pub mlp_layout: MlpLayout,
    /// Whether the head uses the embedding's weights.
    pub tie_word_embeddings: bool,
    /// Positions the model was made for.
    pub max_position_embeddings: usize,
    /// Standard deviation of a new model's weights.
    pub initializer_range: f64,
    /// config.json as it was given, written back unchanged.
    pub json: Value,
}

impl DecoderConfig {
    /// Reads config.json.
    ///
    /// # Errors
    /// A key that is missing, of the wrong type or without sense, and any setting that this program does not do.
    pub fn from_json(json: &Value) -> Result<Self, ModelError> {
        let read = Reader { json };
        let family = read.family()?;
        read.refuse_what_is_not_done()?;

        let hidden_size = read.size("hidden_size")?;
        let num_attention_heads = read.size("num_attention_heads")?;
        let num_key_value_heads = read.optional_size("num_key_value_heads")?.unwrap_or(num_attention_heads);
        let head_dim = match read.optional_size("head_dim")? {
            Some(size) => size,
            None if hidden_size.is_multiple_of(num_attention_heads) => hidden_size / num_attention_heads,
            None => {
                return Err(config(
                    "num_attention_heads",
                    format!(
                        "found {num_attention_heads}, which does not divide hidden_size {hidden_size}; give `head_dim` or mend one of them"
                    ),
                ));
            }
        };
        if !num_attention_heads.is_multiple_of(num_key_value_heads) {
            return Err(config(
                "num_key_value_heads",
                format!(
                    "found {num_key_value_heads}, expected a divisor of num_attention_heads {num_attention_heads}"
                ),
            ));
        }
        let rotary_factor = read.rope_number("partial_rotary_factor")?.unwrap_or(match family {
            ModelFamily::Glm => 0.5,
            ModelFamily::Llama | ModelFamily::Qwen2 => 1.0,
        });
        let rotary_dim = (head_dim as f64 * rotary_factor) as usize;
        if rotary_dim == 0 || rotary_dim > head_dim || rotary_dim % 2 == 1 {
            return Err(config(
                "partial_rotary_factor",
                format!(
                    "{rotary_factor} of head_dim {head_dim} is {rotary_dim}; expected an even number from 2 to {head_dim}"
                ),
            ));
        }
        let attention_bias = read.flag("attention_bias")?;
        Ok(Self {
            family,
            vocab_size: read.size("vocab_size")?,
            hidden_size,
            intermediate_size: read.size("intermediate_size")?,
            num_hidden_layers: read.size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rotary_dim,
            rope_style: match family {
                ModelFamily::Glm => RopeStyle::Interleaved,
                ModelFamily::Llama | ModelFamily::Qwen2 => RopeStyle::Half,
            },
            rope_theta: read.rope_number("rope_theta")?.unwrap_or(10_000.0),
            rms_norm_eps: read.number("rms_norm_eps")?.unwrap_or(match family {
                ModelFamily::Glm => 1.5625e-7,
                ModelFamily::Llama | ModelFamily::Qwen2 => 1e-6,
            }) as f32,
            qkv_bias: match family {
                ModelFamily::Qwen2 => true,
                ModelFamily::Llama | ModelFamily::Glm => attention_bias.unwrap_or(false),
            },
            output_bias: family == ModelFamily::Llama && attention_bias.unwrap_or(false),
            mlp_bias: family == ModelFamily::Llama && read.flag("mlp_bias")?.unwrap_or(false),
            mlp_layout: match family {
                ModelFamily::Glm => MlpLayout::Fused,
                ModelFamily::Llama | ModelFamily::Qwen2 => MlpLayout::Separate,
            },
            tie_word_embeddings: read.flag("tie_word_embeddings")?.unwrap_or(false),
            max_position_embeddings: read.optional_size("max_position_embeddings")?.unwrap_or(2048),
            initializer_range: read.number("initializer_range")?.unwrap_or(0.02),
            json: json.clone(),
        })
    }

    /// Columns of the attention's input projections side by side: queries, keys, values.
    #[must_use]
    pub fn qkv_size(&self) -> usize {
        self.query_size() + 2 * self.key_value_size()
    }

    /// Columns of all query heads.
    #[must_use]
    pub fn query_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Columns of all key heads (as many as of all value heads).
    #[must_use]
    pub fn key_value_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Number of weights, a tied head counted once.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        let (hidden, inner) = (self.hidden_size as u64, self.intermediate_size as u64);
        let (query, qkv) = (self.query_size() as u64, self.qkv_size() as u64);
        let bias = |on: bool, size: u64| if on { size } else { 0 };
        let block = hidden * qkv
            + bias(self.qkv_bias, qkv)
            + query * hidden
            + bias(self.output_bias, hidden)
            + 3 * hidden * inner
            + bias(self.mlp_bias, 2 * inner + hidden)
            + 2 * hidden;
        let embeddings = self.vocab_size as u64 * hidden * if self.tie_word_embeddings { 1 } else { 2 };
        embeddings + hidden + self.num_hidden_layers as u64 * block
    }
}

fn config(key: &'static str, detail: String) -> ModelError {
    ModelError::Config { key, detail }
}

fn unsupported(key: &'static str, found: impl ToString, hint: &str) -> ModelError {
    ModelError::Unsupported { key, found: found.to_string(), hint: hint.to_owned() }
}

/// Typed access to config.json, each failure naming its key.
struct Reader<'a> {
    json: &'a Value,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn family(&self) -> Result<ModelFamily, ModelError> {
        let known = || ModelFamily::ALL.map(|(_, name)| name).join(", ");
        let Some(value) = self.get("model_type") else {
            return Err(config("model_type", format!("missing; expected one of {}", known())));
        };
        ModelFamily::ALL
            .iter()
            .find(|(_, name)| value.as_str() == Some(name))
            .map(|(family, _)| *family)
            .ok_or_else(|| unsupported("model_type", value, &format!("; families it knows: {}", known())))
    }

    fn size(&self, key: &'static str) -> Result<usize, ModelError> {
        self.optional_size(key)?
            .ok_or_else(|| config(key, "missing; expected a whole number of at least 1".to_owned()))
    }

    fn optional_size(&self, key: &'static str) -> Result<Option<usize>, ModelError> {
        const LARGEST: u64 = 1 << 31;
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64() {
            Some(size @ 1..=LARGEST) => Ok(Some(size as usize)),
            _ => Err(config(key, format!("found {value}, expected a whole number from 1 to {LARGEST}"))),
        }
    }

    fn number(&self, key: &'static str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(config(key, format!("found {value}, expected a number above 0"))),
        }
    }

    /// A rotary setting, at the top (Transformers 4) or in `rope_parameters` (Transformers 5).
    fn rope_number(&self, key: &'static str) -> Result<Option<f64>, ModelError> {
        match self.get("rope_parameters").filter(|parameters| parameters.get(key).is_some()) {
            Some(parameters) => Reader { json: parameters }.number(key),
            None => self.number(key),
        }
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| config(key, format!("found {value}, expected true or false")))
    }

    fn refuse_what_is_not_done(&self) -> Result<(), ModelError> {
        if let Some(value) =
            self.get("hidden_act").filter(|value| !matches!(value.as_str(), Some("silu" | "swish")))
        {
            return Err(unsupported("hidden_act", value, "; only \"silu\""));
        }
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = self.get(key) else { continue };
            let kind = value.get("rope_type").or_else(|| value.get("type")).and_then(Value::as_str);
            if !matches!(kind, None | Some("default")) || (kind.is_none() && key == "rope_scaling") {
                return Err(unsupported(key, value, "; only rope_type \"default\""));
            }
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
        if let Some(value) = self.get("attention_dropout").filter(|value| value.as_f64() != Some(0.0)) {
            return Err(unsupported("attention_dropout", value, "; only 0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn qwen2() -> Value {
        json!({
            "model_type": "qwen2", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
            "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "use_sliding_window": false, "sliding_window": 32768,
            "tie_word_embeddings": true
        })
    }

    #[test]
    fn qwen2_is_read() {
        let config = DecoderConfig::from_json(&qwen2()).unwrap();
        assert!(config.qkv_bias && !config.output_bias && config.tie_word_embeddings);
        assert_eq!((config.head_dim, config.rotary_dim, config.rope_theta), (8, 8, 1e6));
    }

    #[test]
    fn glm_rotates_half_of_each_head_in_pairs() {
        let json = json!({
            "model_type": "glm", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "head_dim": 16,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": true,
            "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default", "partial_rotary_factor": 0.5}
        });
        let config = DecoderConfig::from_json(&json).unwrap();
        assert_eq!(
            (config.rotary_dim, config.rope_style, config.rope_theta),
            (8, RopeStyle::Interleaved, 5000.0)
        );
        assert!(config.qkv_bias && !config.output_bias);
        assert_eq!(config.mlp_layout, MlpLayout::Fused);
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let cases = [
            ("model_type", json!("mamba")),
            ("hidden_act", json!("gelu")),
            ("rope_scaling", json!({"type": "yarn", "factor": 4.0})),
            ("rope_parameters", json!({"rope_type": "llama3"})),
            ("use_sliding_window", json!(true)),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("quantization_config", json!({"bits": 4})),
            ("num_key_value_heads", json!(3)),
            ("hidden_size", json!(-1)),
            ("hidden_size", json!(33)),
            ("vocab_size", json!("many")),
            ("tie_word_embeddings", json!("no")),
        ];
        for (key, value) in cases {
            let mut json = qwen2();
            json[key] = value;
            let message = DecoderConfig::from_json(&json).unwrap_err().to_string();
            let named = if message.contains("hidden_size 33") { "hidden_size" } else { key };
            assert!(message.contains(named), "{key}: {message}");
        }
        let mut json = qwen2();
        json.as_object_mut().unwrap().remove("num_hidden_layers");
        assert!(
            DecoderConfig::from_json(&json).unwrap_err().to_string().contains("`num_hidden_layers`: missing")
        );
    }
}
