//! What a run writes down of its method: the weights, and what a resumed run has to share.
//!
//! In: a method and its model. Out: folders of weights, JSON, a fingerprint. It does not know when they are written.

use std::path::Path;

use serde_json::{Value, json};
use toolsmith_kernels::Device;
use toolsmith_model::{
    LoraConfig, PrefixConfig, PrefixPositions, TargetModules, TrainMethod, TrainableModel, WeightType,
};

use crate::TrainError;
use crate::data::fnv1a;

/// Writes the model, or its adapter alone.
pub(crate) fn save<D: Device>(
    model: &mut TrainableModel<D>,
    method: &TrainMethod,
    base_model_name_or_path: &str,
    dtype: WeightType,
    path: &Path,
) -> Result<(), TrainError> {
    let saved = if method.is_whole() {
        model.save_full(path, dtype)
    } else {
        model.save_adapter(path, base_model_name_or_path)
    };
    Ok(saved?)
}

/// The file of a saved folder that holds the trained weights.
pub(crate) fn weights_file(method: &TrainMethod) -> &'static str {
    match method {
        TrainMethod::Prefix(PrefixConfig { positions: PrefixPositions::FromZero, .. }) => "model.safetensors",
        method if method.is_whole() => "model.safetensors",
        _ => "adapter_model.safetensors",
    }
}

/// What a resumed run has to share of it.
pub(crate) fn settings(method: &TrainMethod) -> Value {
    match method {
        TrainMethod::Full => json!("full"),
        TrainMethod::FullExcept(patterns) => json!({"freeze": patterns}),
        TrainMethod::Lora(LoraConfig {
            r,
            lora_alpha,
            lora_dropout,
            target_modules,
            use_rslora,
            use_dora,
            modules_to_save,
        }) => {
            let target_modules = match target_modules {
                TargetModules::AllLinear => json!("all-linear"),
                TargetModules::Names(names) => json!(names),
            };
            json!({"lora": {"r": r, "lora_alpha": lora_alpha, "lora_dropout": lora_dropout,
                "target_modules": target_modules, "use_rslora": use_rslora, "use_dora": use_dora,
                "modules_to_save": modules_to_save}})
        }
        TrainMethod::Prefix(PrefixConfig { num_virtual_tokens, encoder_hidden_size, positions }) => {
            json!({"prefix": {"num_virtual_tokens": num_virtual_tokens, "encoder_hidden_size": encoder_hidden_size,
                "positions": positions.as_str()}})
        }
    }
}

/// A number that changes when any trained number changes.
pub(crate) fn weights_fingerprint<D: Device>(model: &mut TrainableModel<D>) -> u64 {
    let device = model.device().clone();
    let words = model.parameters_mut().into_iter().flat_map(|parameter| {
        let mut numbers = vec![0.0; device.len(parameter.value)];
        device.read(parameter.value, 0, &mut numbers);
        numbers.into_iter().map(f32::to_bits)
    });
    fnv1a(words)
}
