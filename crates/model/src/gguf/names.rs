//! What GGUF calls the tensors of a Hugging Face folder, and how it orders their rows.
//!
//! In: a checkpoint's name. Out: the name in the file and which rows. The names are those of llama.cpp's
//! `gguf-py/gguf/tensor_mapping.py`, the rows' order that of its `convert_hf_to_gguf.py`. Not known: bytes.

use super::header::Metadata;
use super::reader::MetadataValue;
use crate::DecoderConfig;

/// Architectures that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    ChatGlm,
    Glm4,
}

impl Architecture {
    const ALL: [Self; 5] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::ChatGlm, Self::Glm4];

    /// `general.architecture`, which is also what the architecture's own keys begin with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::ChatGlm => "chatglm",
            Self::Glm4 => "glm4",
        }
    }

    /// The `model_type` whose names and arithmetic a model of this architecture has.
    pub(super) fn model_type(self) -> &'static str {
        match self {
            Self::ChatGlm => "glm",
            other => other.name(),
        }
    }

    pub(super) fn of(metadata: &Metadata) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        match metadata.get("general.architecture") {
            Some(MetadataValue::Text(name)) => {
                Self::ALL.into_iter().find(|architecture| architecture.name() == name).ok_or_else(|| {
                    format!("`general.architecture` is {name:?}; this program knows {}", known())
                })
            }
            _ => Err(format!("the key `general.architecture` is missing; expected one of {}", known())),
        }
    }
}

/// Which rows of a tensor of the file make the checkpoint's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// All, as they lie.
    Whole,
    /// As many as are asked for, from `first` on: one layer of a fused tensor.
    Part {
        /// The first row.
        first: usize,
    },
    /// All, but in each head the elements that rotate together lie side by side: row `2i + p` is the checkpoint's row
    /// `p * head_dim / 2 + i`.
    Paired {
        /// Rows of a head.
        head_dim: usize,
    },
}

/// Where a tensor of the checkpoint lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) rows: Rows,
}

/// Rows of the attention's projections.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowSizes {
    query: usize,
    key: usize,
    head_dim: usize,
    /// Whether queries and keys lie in pairs: llama.cpp rotates `llama` models so.
    paired: bool,
}

impl RowSizes {
    pub(super) fn of(config: &DecoderConfig) -> Self {
        Self {
            query: config.query_size(),
            key: config.key_value_size(),
            head_dim: config.head_dim,
            paired: config.family == crate::ModelFamily::Llama,
        }
    }
}

/// The file's row that is row `row` of the checkpoint, where heads lie in pairs.
pub(super) fn paired_row(row: usize, head_dim: usize) -> usize {
    let (head, within, half) = (row / head_dim, row % head_dim, head_dim / 2);
    head * head_dim + 2 * (within % half) + within / half
}

/// Where the tensor `name` of the checkpoint lies in a file that has the tensors for which `has` is true.
pub(super) fn place(name: &str, sizes: RowSizes, has: impl Fn(&str) -> bool) -> Option<Place> {
    let whole = |name: String| Some(Place { name, rows: Rows::Whole });
    match name {
        "model.embed_tokens.weight" => return whole("token_embd.weight".to_owned()),
        "model.norm.weight" => return whole("output_norm.weight".to_owned()),
        "lm_head.weight" => return whole("output.weight".to_owned()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let in_layer = |part: &str| format!("blk.{layer}.{part}.{kind}");
    let projection = match part {
        "self_attn.q_proj" => Some((0, "attn_q")),
        "self_attn.k_proj" => Some((sizes.query, "attn_k")),
        "self_attn.v_proj" => Some((sizes.query + sizes.key, "attn_v")),
        _ => None,
    };
    if let Some((first, own)) = projection {
        let fused = in_layer("attn_qkv");
        if has(&fused) {
            return Some(Place { name: fused, rows: Rows::Part { first } });
        }
        let paired = sizes.paired && own != "attn_v";
        let rows = if paired { Rows::Paired { head_dim: sizes.head_dim } } else { Rows::Whole };
        return Some(Place { name: in_layer(own), rows });
    }
    whole(in_layer(match part {
        "input_layernorm" => "attn_norm",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "self_attn.o_proj" => "attn_output",
        "post_self_attn_layernorm" => "post_attention_norm",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "post_mlp_layernorm" => "post_ffw_norm",
        _ => return None,
    }))
}
