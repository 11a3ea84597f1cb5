//! LoRA adapters (Hu et al., 2021) on a decoder, and their folder in PEFT's layout.
//!
//! In: settings and a seed, or a folder's tensors. Out: factors on linear layers, whole modules trained beside them.
//! Not known: how a layer uses its factors (`linear`).

use std::collections::BTreeSet;
use std::path::Path;

use toolsmith_kernels::{CounterRng, Device, Matrix, View, ViewMut};

use super::{AdapterConfig, CONFIG, LoraConfig, PREFIX, TargetModules, WEIGHTS, open, wrong};
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

/// The tensors of a layer's adapter, by their names in PEFT's file, with their shapes.
fn factors<D: Device>(linear: &Linear<D>, config: &LoraConfig) -> Vec<(Factor, String, Vec<usize>)> {
    let name = |part: &str| format!("{PREFIX}{}.{part}", linear.name);
    let mut factors = vec![
        (Factor::A, name("lora_A.weight"), vec![config.r, linear.in_features]),
        (Factor::B, name("lora_B.weight"), vec![linear.out_features, config.r]),
    ];
    if config.use_dora {
        factors.push((Factor::Magnitude, name("lora_magnitude_vector"), vec![linear.out_features]));
    }
    factors
}

/// Puts an adapter on each targeted layer; `weight` gives each tensor by the layer's number, the name in PEFT's file and
/// the shape.
fn attach<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    mut weight: impl FnMut(&D, u64, Factor, &str, &[usize]) -> Result<D::Buffer, ModelError>,
) -> Result<(), ModelError> {
    let device = decoder.device.clone();
    let linears = decoder.blocks.iter_mut().flat_map(Block::linears_mut);
    for (index, linear) in (0..).zip(linears.filter(|linear| config.targets(&linear.name))) {
        let tensors = factors(linear, &config).into_iter().map(|(factor, name, shape)| {
            let value = weight(&device, index, factor, &name, &shape)?;
            Ok::<_, ModelError>(Tensor { name, shape, value, grad: None })
        });
        let mut tensors = tensors.collect::<Result<Vec<_>, _>>()?.into_iter();
        let (Some(a), Some(b)) = (tensors.next(), tensors.next()) else { continue };
        linear.adapter = Some(LoraWeights {
            a,
            b,
            magnitude: tensors
                .next()
                .map(|lengths| Magnitude { lengths, norms: device.zeros(linear.out_features) }),
            rank: config.r,
            scale: config.scale(),
            dropout: config.lora_dropout,
            index,
        });
    }
    decoder.adapter = Some(AdapterConfig::Lora(config));
    decoder.stale = true;
    Ok(())
}

/// Refuses names that meet nothing, and layers that would be trained whole and adapted at once.
fn check_names<D: Device>(decoder: &Decoder<D>, config: &LoraConfig) -> Result<(), ModelError> {
    let linears = || decoder.blocks.iter().flat_map(Block::linears);
    if !linears().any(|linear| config.targets(&linear.name)) {
        let names: Vec<&str> = linears().map(last_part).take(7).collect();
        let outside = if config.modules_to_save.is_empty() { "" } else { " outside modules_to_save" };
        let targets = match &config.target_modules {
            TargetModules::AllLinear => "all-linear".to_owned(),
            TargetModules::Names(targets) => targets.join(", "),
        };
        let detail = format!("{targets} meets no linear layer{outside}; this model has {}", names.join(", "));
        return Err(wrong("target_modules", detail));
    }
    for wanted in &config.modules_to_save {
        let alone = LoraConfig { modules_to_save: vec![wanted.clone()], ..config.clone() };
        if !decoder.tensors().any(|tensor| alone.saves(tensor.name())) && !alone.saves(&decoder.head_name()) {
            return Err(wrong("modules_to_save", format!("no module of this model ends with {wanted:?}")));
        }
    }
    let both =
        |linear: &&Linear<D>| config.targets(&linear.name) && config.saves(linear.weight.as_ref().name());
    linears().find(both).map_or(Ok(()), |linear| {
        let name = last_part(linear);
        Err(wrong(
            "modules_to_save",
            format!(
                "{name:?} ends with one of them and is a target too; give {name:?} itself, or another name"
            ),
        ))
    })
}

/// A new adapter to train: A uniform as `torch.nn.Linear` draws it, B zero, lengths as the weights have them, as in PEFT.
pub(super) fn attach_new<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    rng: CounterRng,
) -> Result<(), ModelError> {
    config.check()?;
    if config.use_dora && config.lora_dropout > 0.0 {
        let detail = format!("found {}; with use_dora only 0 is done, so set it to 0", config.lora_dropout);
        return Err(wrong("lora_dropout", detail));
    }
    check_names(decoder, &config)?;
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
    decoder.refresh();
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
    for tensor in whole_modules_mut(decoder) {
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

/// Names and shapes of the tensors of `modules_to_save`; a head that shares the embedding's weights is one by itself.
fn whole_modules<D: Device>(decoder: &Decoder<D>, config: &LoraConfig) -> Vec<(String, Vec<usize>)> {
    let shared_head = decoder.head.is_none().then(|| decoder.head_name());
    let shared_head = shared_head.map(|name| (name, decoder.embedding.as_ref().shape().to_vec()));
    let own = decoder.tensors().map(|tensor| (tensor.name().to_owned(), tensor.shape().to_vec()));
    own.chain(shared_head).filter(|(name, _)| config.saves(name)).collect()
}

/// The plain tensors of `modules_to_save`. A head that shares the embedding's weights gets its own first, as in PEFT;
/// packed ones become plain, for blocks take no small steps.
fn whole_modules_mut<D: Device>(decoder: &mut Decoder<D>) -> Vec<&mut Tensor<D>> {
    let Some(AdapterConfig::Lora(config)) = decoder.adapter.clone() else { return Vec::new() };
    if config.modules_to_save.is_empty() {
        return Vec::new();
    }
    if config.saves(decoder.embedding.as_ref().name()) || config.saves(&decoder.head_name()) {
        decoder.untie();
    }
    let device = decoder.device.clone();
    for matrix in decoder.matrices_mut().filter(|matrix| config.saves(matrix.as_ref().name())) {
        matrix.make_plain(&device, |_| ());
    }
    decoder.tensors_mut().filter(|tensor| config.saves(&tensor.name)).collect()
}

/// Attaches the adapter of a folder, frozen. The whole folder is checked before the decoder changes.
pub(super) fn load<D: Device>(
    decoder: &mut Decoder<D>,
    config: LoraConfig,
    dir: &Path,
) -> Result<(), ModelError> {
    let files = open(dir)?;
    check_names(decoder, &config)?;
    let linears = decoder.blocks.iter().flat_map(Block::linears);
    let targets = linears.filter(|linear| config.targets(&linear.name));
    let factors = targets.flat_map(|linear| factors(linear, &config)).map(|(_, name, shape)| (name, shape));
    let modules = whole_modules(decoder, &config);
    let modules = modules.into_iter().map(|(name, shape)| (format!("{PREFIX}{name}"), shape));
    let mut known = BTreeSet::new();
    for (name, shape) in factors.chain(modules) {
        files.check(&name, &shape)?;
        known.insert(name);
    }
    files.refuse_unknown(|name| known.contains(name))?;

    attach(decoder, config, |device, _, _, name, shape| Ok(device.upload(&files.tensor(name, shape)?)))?;
    let device = decoder.device.clone();
    for tensor in whole_modules_mut(decoder) {
        let values = files.tensor(&format!("{PREFIX}{}", tensor.name), &tensor.shape)?;
        device.write(&mut tensor.value, 0, &values);
    }
    decoder.refresh();
    Ok(())
}

/// Reads the folder's tensors over those of the attached adapter.
pub(super) fn load_into<D: Device>(decoder: &mut Decoder<D>, dir: &Path) -> Result<(), ModelError> {
    let (files, device) = (open(dir)?, decoder.device.clone());
    let mut wanted: Vec<(String, Vec<usize>)> =
        tensors(decoder).map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
    let modules = whole_modules_mut(decoder);
    wanted.extend(modules.iter().map(|tensor| (format!("{PREFIX}{}", tensor.name), tensor.shape.clone())));
    files.refuse_unknown(|name| wanted.iter().any(|(known, _)| known == name))?;
    let values: Vec<Vec<f32>> =
        wanted.iter().map(|(name, shape)| files.tensor(name, shape)).collect::<Result<_, _>>()?;
    let mut values = values.into_iter();
    for (tensor, values) in tensors_mut(decoder).zip(values.by_ref()) {
        device.write(&mut tensor.value, 0, &values);
    }
    for (tensor, values) in whole_modules_mut(decoder).into_iter().zip(values) {
        device.write(&mut tensor.value, 0, &values);
    }
    decoder.stale = true;
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
