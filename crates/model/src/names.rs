//! What a family's checkpoints call their tensors.
//!
//! In: a family and a part. Out: the part's name in the checkpoint. Not known: shapes, and which parts a model has.

use crate::ModelFamily;

/// A part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    InputNorm,
    Query,
    Key,
    Value,
    QueryKeyValue,
    QueryNorm,
    KeyNorm,
    Output,
    AttentionOutputNorm,
    MiddleNorm,
    Gate,
    Up,
    GateUp,
    Down,
    MlpOutputNorm,
}

/// The names of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As Transformers names Llama's and most others'.
    Llama,
    /// As ChatGLM's own code names them, after Megatron.
    ChatGlm,
}

impl Names {
    pub(crate) fn of(family: ModelFamily) -> Self {
        if family == ModelFamily::ChatGlm { Self::ChatGlm } else { Self::Llama }
    }

    pub(crate) fn embedding(self) -> String {
        match self {
            Self::Llama => "model.embed_tokens.weight",
            Self::ChatGlm => "transformer.embedding.word_embeddings.weight",
        }
        .to_owned()
    }

    /// The norm after the last block.
    pub(crate) fn norm(self) -> String {
        match self {
            Self::Llama => "model.norm.weight",
            Self::ChatGlm => "transformer.encoder.final_layernorm.weight",
        }
        .to_owned()
    }

    pub(crate) fn head(self) -> String {
        match self {
            Self::Llama => "lm_head.weight",
            Self::ChatGlm => "transformer.output_layer.weight",
        }
        .to_owned()
    }

    /// A part of block `index`, without `.weight` or `.bias`.
    pub(crate) fn in_block(self, index: usize, part: Part) -> String {
        match self {
            Self::Llama => format!("model.layers.{index}.{}", llama(part)),
            Self::ChatGlm => format!("transformer.encoder.layers.{index}.{}", chatglm(part)),
        }
    }
}

fn llama(part: Part) -> &'static str {
    match part {
        Part::InputNorm => "input_layernorm",
        Part::Query => "self_attn.q_proj",
        Part::Key => "self_attn.k_proj",
        Part::Value => "self_attn.v_proj",
        Part::QueryKeyValue => "self_attn.qkv_proj",
        Part::QueryNorm => "self_attn.q_norm",
        Part::KeyNorm => "self_attn.k_norm",
        Part::Output => "self_attn.o_proj",
        Part::AttentionOutputNorm => "post_self_attn_layernorm",
        Part::MiddleNorm => "post_attention_layernorm",
        Part::Gate => "mlp.gate_proj",
        Part::Up => "mlp.up_proj",
        Part::GateUp => "mlp.gate_up_proj",
        Part::Down => "mlp.down_proj",
        Part::MlpOutputNorm => "post_mlp_layernorm",
    }
}

/// Parts that no ChatGLM has keep their usual name.
fn chatglm(part: Part) -> &'static str {
    match part {
        Part::QueryKeyValue => "self_attention.query_key_value",
        Part::Output => "self_attention.dense",
        Part::GateUp => "mlp.dense_h_to_4h",
        Part::Down => "mlp.dense_4h_to_h",
        other => llama(other),
    }
}
