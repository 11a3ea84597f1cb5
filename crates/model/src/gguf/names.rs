//! What GGUF calls the tensors of a Hugging Face folder, and how it orders their rows.
//!
//! In: a checkpoint's name. Out: the name in the file and which rows. The names are those of llama.cpp's
//! `gguf-py/gguf/tensor_mapping.py`, the rows' order that of its `convert_hf_to_gguf.py`. Not known: bytes.

use super::header::Metadata;
use super::reader::MetadataValue;

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

    pub(super) fn of(metadata: &Metadata) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        match metadata.get("general.architecture") {
            Some(MetadataValue::Text(name)) => Self::ALL
                .into_iter()
                .find(|architecture| architecture.name() == name)
                .ok_or_else(|| format!("`general.architecture` is {name:?}; this program knows {}", known())),
            _ => Err(format!("the key `general.architecture` is missing; expected one of {}", known())),
        }
    }
}

/// Which rows of a tensor of the file make the checkpoint's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// All, as they lie.
    Whole,
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

/// The file's row that is row `row` of the checkpoint, where heads lie in pairs.
pub(super) fn paired_row(row: usize, head_dim: usize) -> usize {
    let (head, within, half) = (row / head_dim, row % head_dim, head_dim / 2);
    head * head_dim + 2 * (within % half) + within / half
}

/// Where the tensor `name` of a checkpoint lies. llama.cpp rotates `llama` models in pairs.
pub(super) fn place(architecture: Architecture, name: &str, head_dim: usize) -> Option<Place> {
    let whole = |name: String| Some(Place { name, rows: Rows::Whole });
    match name {
        "model.embed_tokens.weight" | "transformer.embedding.word_embeddings.weight" => {
            return whole("token_embd.weight".to_owned());
        }
        "model.norm.weight" | "transformer.encoder.final_layernorm.weight" => {
            return whole("output_norm.weight".to_owned());
        }
        "lm_head.weight" | "transformer.output_layer.weight" => return whole("output.weight".to_owned()),
        _ => {}
    }
    let layers = ["model.layers.", "transformer.encoder.layers."];
    let (layer, rest) = layers.iter().find_map(|layers| name.strip_prefix(layers))?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let own = match part {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attention.query_key_value" => "attn_qkv",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "self_attn.o_proj" | "self_attention.dense" => "attn_output",
        "post_self_attn_layernorm" => "post_attention_norm",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" | "mlp.gate_up_proj" | "mlp.dense_h_to_4h" => "ffn_up",
        "mlp.down_proj" | "mlp.dense_4h_to_h" => "ffn_down",
        "post_mlp_layernorm" => "post_ffw_norm",
        _ => return None,
    };
    let paired = architecture == Architecture::Llama && matches!(own, "attn_q" | "attn_k");
    let rows = if paired { Rows::Paired { head_dim } } else { Rows::Whole };
    Some(Place { name: format!("blk.{layer}.{own}.{kind}"), rows })
}
