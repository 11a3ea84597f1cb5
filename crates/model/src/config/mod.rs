//! What a decoder looks like, read from config.json.
//!
//! In: the JSON of a Hugging Face model folder. Out: a [`DecoderConfig`] that this crate can run, or an error that
//! names the setting it cannot. The families differ only in the values here. Not known: weights, devices.

mod reader;

use serde_json::Value;
use toolsmith_kernels::RopeStyle;

use self::reader::{Reader, check_heads, check_together, config};
use crate::ModelError;

/// Families whose checkpoints are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFamily {
    /// `llama`: Llama, SmolLM2.
    Llama,
    /// `qwen2`: Qwen2 and Qwen2.5.
    Qwen2,
    /// `qwen3`: Qwen3, dense.
    Qwen3,
    /// `glm`: GLM-4 9B in the Transformers port.
    Glm,
    /// `glm4`: GLM-4-0414.
    Glm4,
    /// `chatglm`: ChatGLM3 and GLM-4 9B as first published, with Megatron's names and fused layers.
    ChatGlm,
}

impl ModelFamily {
    const ALL: [Self; 6] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Glm, Self::Glm4, Self::ChatGlm];

    /// The `model_type` of config.json.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Glm => "glm",
            Self::Glm4 => "glm4",
            Self::ChatGlm => "chatglm",
        }
    }

    fn is_glm(self) -> bool {
        matches!(self, Self::Glm | Self::Glm4 | Self::ChatGlm)
    }
}

/// How the checkpoint keeps layers that read the same input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projections {
    /// A matrix each.
    Separate,
    /// One matrix, their rows one below the other.
    Fused,
}

/// How rotary frequencies differ from `theta^(-2i / rotary_dim)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All divided by a factor (Chen et al., 2023).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Long wavelengths divided, short ones kept, those between blended (Llama 3.1; Transformers 5.23,
    /// `modeling_rope_utils.py`).
    Llama3 {
        /// The divisor of long wavelengths.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Positions of the model before its context was extended.
        original_max_position_embeddings: f64,
    },
}

/// A dense decoder: blocks of attention and SwiGLU, each behind a norm.
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
    /// How the frequencies are changed.
    pub rope_scaling: RopeScaling,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f32,
    /// Whether q, k and v have a bias.
    pub qkv_bias: bool,
    /// Whether the attention's output has a bias.
    pub output_bias: bool,
    /// Whether the MLP has biases.
    pub mlp_bias: bool,
    /// Whether each head's queries and keys are normalised before they rotate.
    pub qk_norm: bool,
    /// Whether what attention and MLP give is normalised before it joins the residual stream.
    pub sandwich_norms: bool,
    /// How queries, keys and values are kept.
    pub qkv_projections: Projections,
    /// How the MLP's first layer is kept.
    pub gate_up_projections: Projections,
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
        let read = Reader::new(json);
        let family = read.family()?;
        read.refuse_what_is_not_done()?;
        check_together(if family == ModelFamily::ChatGlm {
            read.chatglm()?
        } else {
            Self::of_transformers(&read, family, json)?
        })
    }

    fn of_transformers(read: &Reader<'_>, family: ModelFamily, json: &Value) -> Result<Self, ModelError> {
        let hidden_size = read.size("hidden_size")?;
        let num_attention_heads = read.size("num_attention_heads")?;
        let num_key_value_heads = read.optional_size("num_key_value_heads")?.unwrap_or(num_attention_heads);
        let head_dim = match (read.optional_size("head_dim")?, family) {
            (Some(size), _) => size,
            (None, ModelFamily::Qwen3 | ModelFamily::Glm | ModelFamily::Glm4) => 128,
            (None, _) if hidden_size.is_multiple_of(num_attention_heads) => hidden_size / num_attention_heads,
            (None, _) => {
                return Err(config(
                    "num_attention_heads",
                    format!(
                        "found {num_attention_heads}, which does not divide hidden_size {hidden_size}; give `head_dim` or mend one of them"
                    ),
                ));
            }
        };
        check_heads("num_key_value_heads", num_attention_heads, num_key_value_heads)?;
        let rotary_factor =
            read.rope_number("partial_rotary_factor")?.unwrap_or(if family.is_glm() { 0.5 } else { 1.0 });
        let rotary_dim = (head_dim as f64 * rotary_factor) as usize;
        if rotary_dim == 0 || rotary_dim > head_dim || rotary_dim % 2 == 1 {
            return Err(config(
                "partial_rotary_factor",
                format!(
                    "{rotary_factor} of head_dim {head_dim} is {rotary_dim}; expected an even number from 2 to {head_dim}"
                ),
            ));
        }
        let attention_bias = read.flag("attention_bias")?.unwrap_or(false);
        let fused_gate_up = matches!(family, ModelFamily::Glm | ModelFamily::Glm4);
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
            rope_style: if family.is_glm() { RopeStyle::Interleaved } else { RopeStyle::Half },
            rope_theta: read.rope_number("rope_theta")?.unwrap_or(10_000.0),
            rope_scaling: read.rope_scaling()?,
            rms_norm_eps: read.number("rms_norm_eps")?.unwrap_or(if family.is_glm() {
                1.5625e-7
            } else {
                1e-6
            }) as f32,
            qkv_bias: family == ModelFamily::Qwen2 || attention_bias,
            output_bias: matches!(family, ModelFamily::Llama | ModelFamily::Qwen3) && attention_bias,
            mlp_bias: family == ModelFamily::Llama && read.flag("mlp_bias")?.unwrap_or(false),
            qk_norm: family == ModelFamily::Qwen3,
            sandwich_norms: family == ModelFamily::Glm4,
            qkv_projections: Projections::Separate,
            gate_up_projections: if fused_gate_up { Projections::Fused } else { Projections::Separate },
            tie_word_embeddings: read.flag("tie_word_embeddings")?.unwrap_or(false),
            max_position_embeddings: read.optional_size("max_position_embeddings")?.unwrap_or(2048),
            initializer_range: read.number("initializer_range")?.unwrap_or(0.02),
            json: json.clone(),
        })
    }

    /// Columns of the attention's input projections side by side: queries, keys, values.
    #[must_use]
    pub fn qkv_size(&self) -> usize {
        self.query_size().saturating_add(self.key_value_size().saturating_mul(2))
    }

    /// Columns of all query heads.
    #[must_use]
    pub fn query_size(&self) -> usize {
        self.num_attention_heads.saturating_mul(self.head_dim)
    }

    /// Columns of all key heads (as many as of all value heads).
    #[must_use]
    pub fn key_value_size(&self) -> usize {
        self.num_key_value_heads.saturating_mul(self.head_dim)
    }

    /// Number of weights, a tied head counted once; the largest number there is, where there are more.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        let sum = |terms: &[[usize; 3]]| {
            let product = |term: &[usize; 3]| term.iter().fold(1u64, |a, &b| a.saturating_mul(b as u64));
            terms.iter().map(product).fold(0u64, u64::saturating_add)
        };
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (query, qkv) = (self.query_size(), self.qkv_size());
        let block = sum(&[
            [1, hidden, qkv],
            [usize::from(self.qkv_bias), 1, qkv],
            [1, query, hidden],
            [usize::from(self.output_bias), 1, hidden],
            [3, hidden, inner],
            [2 * usize::from(self.mlp_bias), 1, inner],
            [usize::from(self.mlp_bias), 1, hidden],
            [if self.sandwich_norms { 4 } else { 2 }, 1, hidden],
            [2 * usize::from(self.qk_norm), 1, self.head_dim],
        ]);
        let embeddings = sum(&[[if self.tie_word_embeddings { 1 } else { 2 }, self.vocab_size, hidden]]);
        let blocks = (self.num_hidden_layers as u64).saturating_mul(block);
        embeddings.saturating_add(hidden as u64).saturating_add(blocks)
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
        assert_eq!(config.gate_up_projections, Projections::Fused);
    }

    #[test]
    fn chatglm_has_its_own_keys() {
        let json = json!({
            "model_type": "chatglm", "padded_vocab_size": 100, "hidden_size": 32, "ffn_hidden_size": 64, "num_layers": 2,
            "num_attention_heads": 4, "multi_query_attention": true, "multi_query_group_num": 2, "kv_channels": 8,
            "add_qkv_bias": true, "rope_ratio": 500, "quantization_bit": 0, "layernorm_epsilon": 1e-5, "rmsnorm": true
        });
        let config = DecoderConfig::from_json(&json).unwrap();
        assert_eq!((config.rotary_dim, config.rope_theta, config.num_key_value_heads), (4, 5e6, 2));
        assert_eq!((config.qkv_projections, config.qkv_bias), (Projections::Fused, true));
        for (key, value) in [
            ("multi_query_attention", json!(false)),
            ("post_layer_norm", json!(false)),
            ("quantization_bit", json!(4)),
            ("multi_query_group_num", json!(3)),
            ("kv_channels", json!(6)),
        ] {
            let mut json = json.clone();
            json[key] = value;
            let message = DecoderConfig::from_json(&json).unwrap_err().to_string();
            assert!(message.contains(key), "{key}: {message}");
        }
    }

    #[test]
    fn sizes_beyond_any_model_are_refused() {
        let refuse = |changes: &[(&str, u64)], expected: &str| {
            let mut json = qwen2();
            changes.iter().for_each(|&(key, size)| json[key] = size.into());
            let message = DecoderConfig::from_json(&json).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        refuse(
            &[("num_hidden_layers", 20_000)],
            "`num_hidden_layers`: found 20000, expected a whole number from 1 to 16384",
        );
        refuse(
            &[("vocab_size", 1 << 40)],
            "`vocab_size`: found 1099511627776, expected a whole number from 1 to 16777216",
        );
        refuse(&[("head_dim", 1 << 23)], "4 heads of 8388608 together are wider");
        let largest = 1 << 24;
        refuse(
            &[("hidden_size", largest), ("intermediate_size", largest), ("num_hidden_layers", 1 << 14)],
            "all sizes together make",
        );
        let config = DecoderConfig { hidden_size: usize::MAX, ..DecoderConfig::from_json(&qwen2()).unwrap() };
        assert_eq!(config.parameter_count(), u64::MAX);
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let cases = [
            ("model_type", json!("mamba")),
            ("hidden_act", json!("gelu")),
            ("rope_scaling", json!({"type": "yarn", "factor": 4.0})),
            ("rope_parameters", json!({"rope_type": "longrope"})),
            ("rope_scaling", json!({"type": "linear"})),
            ("attention_dropout", json!(0.1)),
            ("use_sliding_window", json!(true)),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("quantization_config", json!({"bits": 4})),
            ("num_key_value_heads", json!(3)),
            ("hidden_size", json!(-1)),
            ("hidden_size", json!(33)),
            ("hidden_size", json!(2_000_000_000)),
            ("num_hidden_layers", json!(2_000_000_000)),
            ("num_attention_heads", json!(1 << 24)),
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
