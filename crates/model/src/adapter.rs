//! LoRA adapters: made new, read and written in PEFT's layout.
//!
//! In: settings and a seed, or a folder with adapter_config.json and adapter_model.safetensors. Out: adapters on a
//! decoder's linear layers, or such a folder. Not known: the training that fills them.

use std::path::Path;

use serde_json::{Value, json};
use toolsmith_kernels::{CounterRng, Device};

use crate::block::Block;
use crate::linear::{Linear, LoraWeights};
use crate::parameter::Tensor;
use crate::weights::{self, WeightFiles};
use crate::{Decoder, LoraConfig, ModelError, TargetModules, WeightType};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

fn wrong(key: &str, detail: String) -> ModelError {
    ModelError::Adapter { key: key.to_owned(), detail }
}

/// Puts an adapter on each targeted layer; `weights` gives A and B of the layer.
fn attach<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    mut weights: impl FnMut(&D, u64, [&str; 2], [[usize; 2]; 2]) -> Result<[D::Buffer; 2], ModelError>,
) -> Result<(), ModelError> {
    let device = decoder.device.clone();
    let scale = config.lora_alpha / config.r as f32;
    let mut index = 0;
    for linear in decoder.blocks.iter_mut().flat_map(Block::linears_mut) {
        if !config.target_modules.contains(&linear.name) {
            continue;
        }
        let names = ["A", "B"].map(|factor| format!("base_model.model.{}.lora_{factor}.weight", linear.name));
        let shapes = [[config.r, linear.in_features], [linear.out_features, config.r]];
        let [a, b] = weights(&device, index, [&names[0], &names[1]], shapes)?;
        let [a_name, b_name] = names;
        let tensor =
            |name, shape: [usize; 2], value| Tensor { name, shape: shape.to_vec(), value, grad: None };
        linear.adapter = Some(LoraWeights {
            a: tensor(a_name, shapes[0], a),
            b: tensor(b_name, shapes[1], b),
            rank: config.r,
            scale,
            dropout: config.lora_dropout,
            index,
        });
        index += 1;
    }
    if index == 0 {
        let names: Vec<&str> =
            decoder.blocks.iter().flat_map(Block::linears).map(last_part).take(7).collect();
        return Err(wrong(
            "target_modules",
            format!("{:?} meets no linear layer; this model has {}", config.target_modules, names.join(", ")),
        ));
    }
    decoder.adapter = Some(config);
    Ok(())
}

/// A new adapter to train: A uniform as `torch.nn.Linear` draws it, B zero, as in PEFT.
pub(crate) fn attach_new<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    rng: CounterRng,
) -> Result<(), ModelError> {
    check(&config)?;
    attach(decoder, config, |device, index, _, [a, b]| {
        let (rng, bound) = (rng.stream(index), 1.0 / (a[1] as f64).sqrt());
        let len = (a[0] * a[1]) as u64;
        let values: Vec<f32> = (0..len).map(|i| (bound * (2.0 * rng.uniform(i) - 1.0)) as f32).collect();
        Ok([device.upload(&values), device.zeros(b[0] * b[1])])
    })?;
    let device = decoder.device.clone();
    for tensor in tensors_mut(decoder) {
        tensor.train(&device);
    }
    Ok(())
}

fn check(config: &LoraConfig) -> Result<(), ModelError> {
    if config.r == 0 {
        return Err(wrong("r", "found 0, expected a rank of at least 1".to_owned()));
    }
    if !(config.lora_alpha.is_finite() && config.lora_alpha > 0.0) {
        return Err(wrong("lora_alpha", format!("found {}, expected a number above 0", config.lora_alpha)));
    }
    if !(0.0..1.0).contains(&config.lora_dropout) {
        return Err(wrong("lora_dropout", format!("found {}, expected 0 to below 1", config.lora_dropout)));
    }
    Ok(())
}

fn tensors<D: Device>(decoder: &Decoder<D>) -> impl Iterator<Item = &Tensor<D>> {
    let linears = decoder.blocks.iter().flat_map(Block::linears);
    linears.filter_map(|linear| linear.adapter.as_ref()).flat_map(|lora| [&lora.a, &lora.b])
}

fn tensors_mut<D: Device>(decoder: &mut Decoder<D>) -> impl Iterator<Item = &mut Tensor<D>> {
    let linears = decoder.blocks.iter_mut().flat_map(Block::linears_mut);
    linears.filter_map(|linear| linear.adapter.as_mut()).flat_map(|lora| [&mut lora.a, &mut lora.b])
}

/// Attaches the adapter of a folder, frozen.
pub(crate) fn load<D: Device>(decoder: &mut Decoder<D>, dir: &Path) -> Result<(), ModelError> {
    if decoder.adapter.is_some() {
        return Err(wrong("model", "an adapter is attached already; merge it first".to_owned()));
    }
    let config = read_config(dir)?;
    let files = open(dir)?;
    let loaded = attach(decoder, config, |device, _, [a, b], [a_shape, b_shape]| {
        Ok([device.upload(&files.tensor(a, &a_shape)?), device.upload(&files.tensor(b, &b_shape)?)])
    });
    let checked = loaded.and_then(|()| {
        let known: Vec<&str> = tensors(decoder).map(|tensor| tensor.name.as_str()).collect();
        files.refuse_unknown(|name| known.contains(&name))
    });
    if checked.is_err() {
        decoder.blocks.iter_mut().flat_map(Block::linears_mut).for_each(|linear| linear.adapter = None);
        decoder.adapter = None;
    }
    checked
}

/// Reads an adapter's weights over those of the attached one.
pub(crate) fn load_into<D: Device>(decoder: &mut Decoder<D>, dir: &Path) -> Result<(), ModelError> {
    let Some(attached) = &decoder.adapter else {
        return Err(wrong("model", "no adapter is attached that the file could be read into".to_owned()));
    };
    let found = read_config(dir)?;
    if (found.r, found.lora_alpha) != (attached.r, attached.lora_alpha) {
        return Err(wrong(
            "r",
            format!(
                "{} has r {} and lora_alpha {}, the adapter in training r {} and lora_alpha {}",
                dir.display(),
                found.r,
                found.lora_alpha,
                attached.r,
                attached.lora_alpha
            ),
        ));
    }
    let files = open(dir)?;
    let known: Vec<&str> = tensors(decoder).map(|tensor| tensor.name.as_str()).collect();
    files.refuse_unknown(|name| known.contains(&name))?;
    let values: Vec<Vec<f32>> =
        tensors(decoder).map(|tensor| files.tensor(&tensor.name, &tensor.shape)).collect::<Result<_, _>>()?;
    let device = decoder.device.clone();
    for (tensor, values) in tensors_mut(decoder).zip(values) {
        device.write(&mut tensor.value, 0, &values);
    }
    Ok(())
}

fn open(dir: &Path) -> Result<WeightFiles, ModelError> {
    let path = dir.join(WEIGHTS);
    if !path.exists() && dir.join("adapter_model.bin").exists() {
        return Err(wrong(
            WEIGHTS,
            format!(
                "{} holds a pickle (adapter_model.bin) only; save the adapter again as safetensors",
                dir.display()
            ),
        ));
    }
    WeightFiles::open_file(&path)
}

/// Writes the attached adapter.
pub(crate) fn save<D: Device>(decoder: &Decoder<D>, dir: &Path, base: &str) -> Result<(), ModelError> {
    let Some(config) = &decoder.adapter else {
        return Err(wrong("model", "no adapter is attached that could be saved".to_owned()));
    };
    std::fs::create_dir_all(dir).map_err(ModelError::write(dir))?;
    weights::write(&dir.join(WEIGHTS), &decoder.device, tensors(decoder), WeightType::F32)?;
    weights::write_json(&dir.join(CONFIG), &config_json(decoder, config, base))
}

fn last_part<D: Device>(linear: &Linear<D>) -> &str {
    linear.name.rsplit('.').next().unwrap_or(&linear.name)
}

fn config_json<D: Device>(decoder: &Decoder<D>, config: &LoraConfig, base: &str) -> Value {
    let names = match &config.target_modules {
        TargetModules::Names(names) => names.clone(),
        TargetModules::AllLinear => {
            let linears = decoder.blocks.iter().take(1).flat_map(Block::linears);
            linears.map(|linear| last_part(linear).to_owned()).collect()
        }
    };
    let whole = config.lora_alpha.fract() == 0.0 && config.lora_alpha < 1e9;
    let alpha = if whole { json!(config.lora_alpha as u64) } else { json!(config.lora_alpha) };
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.r,
        "lora_alpha": alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": names,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
        "layers_to_transform": null,
        "layers_pattern": null,
        "rank_pattern": {},
        "alpha_pattern": {},
        "revision": null
    })
}

/// Reads adapter_config.json; what it asks for and we do not do is refused by name.
fn read_config(dir: &Path) -> Result<LoraConfig, ModelError> {
    let json = weights::read_json(&dir.join(CONFIG))?;
    if json.get("peft_type").and_then(Value::as_str) != Some("LORA") {
        let found = json.get("peft_type").unwrap_or(&Value::Null);
        return Err(wrong("peft_type", format!("found {found}, expected \"LORA\"")));
    }
    let neutral = [Value::Null, json!(false), json!("none"), json!({}), json!([])];
    // Keys that say what we read below, or nothing about the arithmetic.
    let understood = [
        "peft_type",
        "task_type",
        "base_model_name_or_path",
        "r",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "inference_mode",
        "init_lora_weights",
        "auto_mapping",
        "revision",
        "peft_version",
        "megatron_core",
        "qalora_group_size",
    ];
    let entries = json.as_object().into_iter().flatten();
    for (key, value) in entries.filter(|(key, _)| !understood.contains(&key.as_str())) {
        if !neutral.contains(value) {
            return Err(wrong(key, format!("found {value}, which this program does not do")));
        }
    }
    let number = |key: &str| {
        let value = json.get(key).unwrap_or(&Value::Null);
        value.as_f64().ok_or_else(|| wrong(key, format!("found {value}, expected a number")))
    };
    let target_modules = match json.get("target_modules") {
        Some(Value::String(name)) if name == "all-linear" => TargetModules::AllLinear,
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            TargetModules::Names(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        other => {
            let found = other.unwrap_or(&Value::Null);
            return Err(wrong(
                "target_modules",
                format!("found {found}, expected a list of layer names or \"all-linear\""),
            ));
        }
    };
    let r = number("r")?;
    if r.fract() != 0.0 || !(1.0..=65_536.0).contains(&r) {
        return Err(wrong("r", format!("found {r}, expected a whole number from 1 to 65536")));
    }
    let lora_dropout = json.get("lora_dropout").map_or(Ok(0.0), |_| number("lora_dropout"))? as f32;
    let config =
        LoraConfig { r: r as usize, lora_alpha: number("lora_alpha")? as f32, lora_dropout, target_modules };
    check(&config)?;
    Ok(config)
}
