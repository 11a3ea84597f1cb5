//! The description of a LoRA adapter (Hu et al., 2021), as PEFT's adapter_config.json states it.
//!
//! In: settings or that file's JSON. Out: which linear layers get one and how it is scaled, or the JSON. Not known: its
//! weights.

use serde_json::{Value, json};

use super::wrong;
use crate::ModelError;

/// Highest rank: no layer is as wide.
const LARGEST_RANK: usize = 1 << 16;

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

/// A LoRA adapter: `y += scale * dropout(x) · Aᵀ · Bᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// Scale before division by the rank (or by its root).
    pub lora_alpha: f32,
    /// Share of the input's elements that are dropped in training, from 0 to below 1.
    pub lora_dropout: f32,
    /// Which layers.
    pub target_modules: TargetModules,
    /// Divide `lora_alpha` by the rank's root instead of the rank (Kalajdzievski, 2023).
    pub use_rslora: bool,
    /// Train the length of each output's weights apart from their direction (Liu et al., 2024).
    pub use_dora: bool,
    /// Modules trained whole and saved beside the adapter: those whose name ends so, as in PEFT.
    pub modules_to_save: Vec<String>,
}

impl Default for LoraConfig {
    /// Rank 8, alpha 16, every linear layer of the blocks.
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 16.0,
            lora_dropout: 0.0,
            target_modules: TargetModules::AllLinear,
            use_rslora: false,
            use_dora: false,
            modules_to_save: Vec::new(),
        }
    }
}

impl LoraConfig {
    /// What the product of the factors is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f32 {
        let rank = self.r as f32;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    pub(crate) fn check(&self) -> Result<(), ModelError> {
        if !(1..=LARGEST_RANK).contains(&self.r) {
            return Err(wrong("r", format!("found {}, expected a rank from 1 to {LARGEST_RANK}", self.r)));
        }
        if !(self.lora_alpha.is_finite() && self.lora_alpha > 0.0) {
            return Err(wrong("lora_alpha", format!("found {}, expected a number above 0", self.lora_alpha)));
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return Err(wrong("lora_dropout", format!("found {}, expected 0 to below 1", self.lora_dropout)));
        }
        Ok(())
    }

    /// Refuses an adapter whose numbers would mean something else here.
    pub(crate) fn check_same_arithmetic(&self, found: &Self) -> Result<(), ModelError> {
        let of = |config: &Self| (config.r, config.lora_alpha, config.use_rslora, config.use_dora);
        if of(self) == of(found) {
            return Ok(());
        }
        let show = |config: &Self| {
            format!(
                "r {}, lora_alpha {}, use_rslora {}, use_dora {}",
                config.r, config.lora_alpha, config.use_rslora, config.use_dora
            )
        };
        Err(wrong("r", format!("the folder has {}; the adapter in training {}", show(found), show(self))))
    }

    /// Whether the linear layer `name` gets an adapter: a target that is neither a module to save nor inside one, as in
    /// PEFT.
    pub(crate) fn targets(&self, name: &str) -> bool {
        let inside = |wanted: &String| format!(".{name}.").contains(&format!(".{wanted}."));
        self.target_modules.contains(name) && !self.modules_to_save.iter().any(inside)
    }

    /// Whether the tensor `name` belongs to a module that is trained whole.
    pub(crate) fn saves(&self, name: &str) -> bool {
        let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
        self.modules_to_save.iter().any(|wanted| module.ends_with(wanted.as_str()))
    }

    /// Reads adapter_config.json; what it asks for and we do not do is refused by name.
    pub(crate) fn from_json(json: &Value) -> Result<Self, ModelError> {
        let neutral = [Value::Null, json!(false), json!("none"), json!({}), json!([])];
        let entries = json.as_object().into_iter().flatten();
        for (key, value) in entries.filter(|(key, _)| !UNDERSTOOD.contains(&key.as_str())) {
            if !neutral.contains(value) {
                return Err(wrong(key, format!("found {value}, which this program does not do")));
            }
        }
        let number = |key: &str| {
            let value = json.get(key).unwrap_or(&Value::Null);
            value.as_f64().ok_or_else(|| wrong(key, format!("found {value}, expected a number")))
        };
        let flag = |key: &str| match json.get(key).unwrap_or(&Value::Null) {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            other => Err(wrong(key, format!("found {other}, expected true or false"))),
        };
        let names = |key: &str, expected: &str| match json.get(key) {
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            other => Err(wrong(key, format!("found {}, expected {expected}", other.unwrap_or(&Value::Null)))),
        };
        let target_modules = match json.get("target_modules") {
            Some(Value::String(name)) if name == "all-linear" => TargetModules::AllLinear,
            _ => TargetModules::Names(names("target_modules", "a list of layer names or \"all-linear\"")?),
        };
        let modules_to_save = match json.get("modules_to_save") {
            None | Some(Value::Null) => Vec::new(),
            Some(_) => names("modules_to_save", "a list of module names")?,
        };
        let r = number("r")?;
        if r.fract() != 0.0 || !(1.0..=LARGEST_RANK as f64).contains(&r) {
            return Err(wrong("r", format!("found {r}, expected a whole number from 1 to {LARGEST_RANK}")));
        }
        let config = Self {
            r: r as usize,
            lora_alpha: number("lora_alpha")? as f32,
            lora_dropout: json.get("lora_dropout").map_or(Ok(0.0), |_| number("lora_dropout"))? as f32,
            target_modules,
            use_rslora: flag("use_rslora")?,
            use_dora: flag("use_dora")?,
            modules_to_save,
        };
        config.check()?;
        Ok(config)
    }

    /// adapter_config.json; `linears` are the names that `all-linear` means.
    pub(crate) fn to_json(&self, base: &str, linears: Vec<String>) -> Value {
        let names = match &self.target_modules {
            TargetModules::Names(names) => names.clone(),
            TargetModules::AllLinear => linears,
        };
        let whole = self.lora_alpha.fract() == 0.0 && self.lora_alpha < 1e9;
        let alpha = if whole { json!(self.lora_alpha as u64) } else { json!(self.lora_alpha) };
        let modules_to_save =
            if self.modules_to_save.is_empty() { Value::Null } else { json!(self.modules_to_save) };
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": self.r,
            "lora_alpha": alpha,
            "lora_dropout": self.lora_dropout,
            "target_modules": names,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "use_rslora": self.use_rslora,
            "use_dora": self.use_dora,
            "modules_to_save": modules_to_save,
            "layers_to_transform": null,
            "layers_pattern": null,
            "rank_pattern": {},
            "alpha_pattern": {},
            "revision": null
        })
    }
}

/// Keys of adapter_config.json that are read, or that say nothing about the arithmetic.
const UNDERSTOOD: &[&str] = &[
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "use_rslora",
    "use_dora",
    "modules_to_save",
    "inference_mode",
    "init_lora_weights",
    "auto_mapping",
    "revision",
    "peft_version",
    "megatron_core",
    "qalora_group_size",
];

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

    #[test]
    fn modules_to_save_are_no_targets() {
        let modules_to_save = vec!["q_proj".into(), "layers.1.mlp".into(), "proj".into()];
        let config = LoraConfig { modules_to_save, ..LoraConfig::default() };
        assert!(!config.targets("model.layers.0.self_attn.q_proj"));
        assert!(!config.targets("model.layers.1.mlp.up_proj"));
        assert!(config.targets("model.layers.11.mlp.up_proj"));
        assert!(config.targets("model.layers.0.self_attn.k_proj"));
    }
}
