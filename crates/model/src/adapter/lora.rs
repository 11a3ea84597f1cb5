//! LoRA adapters (Hu et al., 2021) on a decoder, and their folder in PEFT's layout.
//!
//! In: settings and a seed, or a folder's tensors. Out: factors on linear layers, whole modules trained beside them.
//! Not known: how a layer uses its factors (`linear`).

use std::path::Path;

use toolsmith_kernels::{CounterRng, Device, Matrix, View, ViewMut};

use super::{AdapterConfig, CONFIG, LoraConfig, PREFIX, WEIGHTS, open, wrong};
use crate::block::Block;
use crate::linear::{Linear, LoraWeights, Magnitude};
use crate::parameter::Tensor;
use crate::weights;
use crate::{Decoder, ModelError, WeightType};

/// A tensor of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Factor {
    A,
    B,
    Magnitude,
}

/// Puts an adapter on each targeted layer; `weight` gives each tensor by the layer's number, the name in PEFT's file and
/// the shape.
fn attach<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    mut weight: impl FnMut(&D, u64, Factor, &str, &[usize]) -> Result<D::Buffer, ModelError>,
) -> Result<(), ModelError> {
    let device = decoder.device.clone();
    let mut index = 0;
    for linear in decoder.blocks.iter_mut().flat_map(Block::linears_mut) {
        if !config.target_modules.contains(&linear.name) {
            continue;
        }
        let mut tensor = |factor, name: &str, shape: Vec<usize>| {
            let name = format!("{PREFIX}{}.{name}", linear.name);
            let value = weight(&device, index, factor, &name, &shape)?;
            Ok::<_, ModelError>(Tensor { name, shape, value, grad: None })
        };
        let a = tensor(Factor::A, "lora_A.weight", vec![config.r, linear.in_features])?;
        let b = tensor(Factor::B, "lora_B.weight", vec![linear.out_features, config.r])?;
        let lengths = config
            .use_dora
            .then(|| tensor(Factor::Magnitude, "lora_magnitude_vector", vec![linear.out_features]))
            .transpose()?;
        linear.adapter = Some(LoraWeights {
            a,
            b,
            magnitude: lengths.map(|lengths| Magnitude { lengths, norms: device.zeros(linear.out_features) }),
            rank: config.r,
            scale: config.scale(),
            dropout: config.lora_dropout,
            index,
        });
        linear.refresh(&device);
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
    decoder.adapter = Some(AdapterConfig::Lora(config));
    Ok(())
}

/// A new adapter to train: A uniform as `torch.nn.Linear` draws it, B zero, lengths as the weights have them, as in PEFT.
pub(super) fn attach_new<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    rng: CounterRng,
) -> Result<(), ModelError> {
    config.check()?;
    if config.use_dora && config.lora_dropout > 0.0 {
        let detail = format!("found {}; with use_dora only 0 is done", config.lora_dropout);
        return Err(wrong("lora_dropout", detail));
    }
    attach(decoder, config, |device, index, factor, _, shape| {
        let len: usize = shape.iter().product();
        if factor != Factor::A {
            return Ok(device.zeros(len));
        }
        let (rng, bound) = (rng.stream(index), 1.0 / (shape[1] as f64).sqrt());
        let values: Vec<f32> =
            (0..len as u64).map(|i| (bound * (2.0 * rng.uniform(i) - 1.0)) as f32).collect();
        Ok(device.upload(&values))
    })?;
    let linears = decoder.blocks.iter_mut().flat_map(Block::linears_mut);
    for magnitude in linears.filter_map(|linear| linear.adapter.as_mut()?.magnitude.as_mut()) {
        let at = Matrix::dense(1, magnitude.lengths.len());
        let lengths = ViewMut::new(&mut magnitude.lengths.value, at);
        decoder.device.copy(View::new(&magnitude.norms, at), lengths);
    }
    let device = decoder.device.clone();
    for tensor in tensors_mut(decoder) {
        tensor.train(&device);
    }
    for tensor in whole_modules_mut(decoder)? {
        tensor.train(&device);
    }
    Ok(())
}

fn tensors<D: Device>(decoder: &Decoder<D>) -> impl Iterator<Item = &Tensor<D>> {
    let linears = decoder.blocks.iter().flat_map(Block::linears);
    linears.filter_map(|linear| linear.adapter.as_ref()).flat_map(LoraWeights::tensors)
}

fn tensors_mut<D: Device>(decoder: &mut Decoder<D>) -> impl Iterator<Item = &mut Tensor<D>> {
    let linears = decoder.blocks.iter_mut().flat_map(Block::linears_mut);
    linears.filter_map(|linear| linear.adapter.as_mut()).flat_map(LoraWeights::tensors_mut)
}

/// The plain tensors of `modules_to_save`. A head that shares the embedding's weights gets its own first, as in PEFT;
/// packed ones become plain, for blocks take no small steps.
fn whole_modules_mut<D: Device>(decoder: &mut Decoder<D>) -> Result<Vec<&mut Tensor<D>>, ModelError> {
    let Some(AdapterConfig::Lora(config)) = decoder.adapter.clone() else { return Ok(Vec::new()) };
    if config.modules_to_save.is_empty() {
        return Ok(Vec::new());
    }
    if config.saves(decoder.embedding.as_ref().name()) || config.saves(&decoder.head_name()) {
        decoder.untie();
    }
    for wanted in &config.modules_to_save {
        let alone = LoraConfig { modules_to_save: vec![wanted.clone()], ..config.clone() };
        if !decoder.tensors().any(|tensor| alone.saves(tensor.name())) {
            return Err(wrong("modules_to_save", format!("no module of this model ends with {wanted:?}")));
        }
    }
    let device = decoder.device.clone();
    for matrix in decoder.matrices_mut().filter(|matrix| config.saves(matrix.as_ref().name())) {
        matrix.make_plain(&device, |_| ());
    }
    Ok(decoder.tensors_mut().filter(|tensor| config.saves(&tensor.name)).collect())
}

/// Attaches the adapter of a folder, frozen.
pub(super) fn load<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    dir: &Path,
) -> Result<(), ModelError> {
    let files = open(dir)?;
    let loaded =
        attach(decoder, config, |device, _, _, name, shape| Ok(device.upload(&files.tensor(name, shape)?)));
    let checked = loaded.and_then(|()| {
        let device = decoder.device.clone();
        let mut known: Vec<String> = tensors(decoder).map(|tensor| tensor.name.clone()).collect();
        let mut modules = Vec::new();
        for tensor in whole_modules_mut(decoder)? {
            let name = format!("{PREFIX}{}", tensor.name);
            modules.push((files.tensor(&name, &tensor.shape)?, tensor));
            known.push(name);
        }
        files.refuse_unknown(|name| known.iter().any(|known| known == name))?;
        for (values, tensor) in modules {
            device.write(&mut tensor.value, 0, &values);
        }
        Ok(())
    });
    if checked.is_err() {
        decoder.blocks.iter_mut().flat_map(Block::linears_mut).for_each(|linear| linear.adapter = None);
        decoder.adapter = None;
    }
    checked
}

/// Reads the folder's tensors over those of the attached adapter.
pub(super) fn load_into<D: Device>(decoder: &mut Decoder<D>, dir: &Path) -> Result<(), ModelError> {
    let (files, device) = (open(dir)?, decoder.device.clone());
    let mut wanted: Vec<(String, Vec<usize>)> =
        tensors(decoder).map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
    let modules = whole_modules_mut(decoder)?;
    wanted.extend(modules.iter().map(|tensor| (format!("{PREFIX}{}", tensor.name), tensor.shape.clone())));
    files.refuse_unknown(|name| wanted.iter().any(|(known, _)| known == name))?;
    let values: Vec<Vec<f32>> =
        wanted.iter().map(|(name, shape)| files.tensor(name, shape)).collect::<Result<_, _>>()?;
    let mut values = values.into_iter();
    for (tensor, values) in tensors_mut(decoder).zip(values.by_ref()) {
        device.write(&mut tensor.value, 0, &values);
    }
    for (tensor, values) in whole_modules_mut(decoder)?.into_iter().zip(values) {
        device.write(&mut tensor.value, 0, &values);
    }
    decoder.refresh();
    Ok(())
}

/// Writes the attached adapter.
pub(super) fn save<D: Device>(
    decoder: &Decoder<D>,
    config: &LoraConfig,
    dir: &Path,
    base: &str,
) -> Result<(), ModelError> {
    let factors = tensors(decoder).map(|tensor| (tensor.name.clone(), tensor.as_ref()));
    let modules = decoder.tensors().filter(|tensor| config.saves(tensor.name()));
    let modules = modules.map(|tensor| (format!("{PREFIX}{}", tensor.name()), tensor));
    weights::write(&dir.join(WEIGHTS), &decoder.device, factors.chain(modules), WeightType::F32)?;
    let first = decoder.blocks.iter().take(1).flat_map(Block::linears);
    let linears = first.map(|linear| last_part(linear).to_owned()).collect();
    weights::write_json(&dir.join(CONFIG), &config.to_json(base, linears))
}

fn last_part<D: Device>(linear: &Linear<D>) -> &str {
    linear.name.rsplit('.').next().unwrap_or(&linear.name)
}
