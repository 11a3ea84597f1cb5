//! The description of a LoRA adapter (Hu et al., 2021), as PEFT's adapter_config.json states it.
//!
//! In: settings. Out: which linear layers get one and how it is scaled. Not known: its weights.

/// Which linear layers get an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetModules {
    /// Every linear layer except the head (PEFT's `all-linear`).
    AllLinear,
    /// Layers whose name is one of these, or ends with a dot and one of these.
    Names(Vec<String>),
}

impl TargetModules {
    /// Whether the layer `name` (as in the checkpoint, without `.weight`) is meant.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::AllLinear => true,
            Self::Names(names) => names.iter().any(|target| {
                name.strip_suffix(target.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
        }
    }
}

/// A LoRA adapter: `y += (lora_alpha / r) * dropout(x) · Aᵀ · Bᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// Scale before division by the rank.
    pub lora_alpha: f32,
    /// Share of the input's elements that are dropped in training, from 0 to below 1.
    pub lora_dropout: f32,
    /// Which layers.
    pub target_modules: TargetModules,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_whole_parts() {
        let targets = TargetModules::Names(vec!["q_proj".into(), "mlp.up_proj".into()]);
        assert!(targets.contains("model.layers.0.self_attn.q_proj"));
        assert!(targets.contains("model.layers.0.mlp.up_proj"));
        assert!(!targets.contains("model.layers.0.mlp.gate_up_proj"));
        assert!(!targets.contains("model.layers.0.self_attn.kq_proj"));
    }
}
