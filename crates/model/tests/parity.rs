//! Log-probabilities and gradients against Transformers and PEFT: benches/peers/engine_parity.py made the numbers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use toolsmith_kernels::{CpuDevice, Device, ReferenceDevice};
use toolsmith_model::{
    Decoder, GenerationOptions, LoraConfig, Target, TargetModules, TokenBatch, TokenWeights, TrainMethod,
    TrainableModel, generate,
};

const FAMILIES: [&str; 3] = ["llama", "qwen2", "glm"];

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

fn expected(case: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden(case).join("expected.json")).unwrap()).unwrap()
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
}

fn samples(json: &Value) -> Vec<Vec<u32>> {
    let samples = json["samples"].as_array().unwrap();
    samples.iter().map(|sample| numbers(sample).into_iter().map(|id| id as u32).collect()).collect()
}

/// All samples in one run, every next token a target, in order.
fn batch(samples: &[Vec<u32>]) -> TokenBatch {
    let (mut targets, mut first) = (Vec::new(), 0);
    for sample in samples {
        targets.extend((0..sample.len() - 1).map(|i| Target { row: first + i as u32, token: sample[i + 1] }));
        first += sample.len() as u32;
    }
    TokenBatch::packed(samples, targets)
}

/// The norm of a gradient and its product with the script's pattern.
fn checksum(values: &[f32]) -> (f64, f64) {
    let norm = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let pattern =
        values.iter().enumerate().map(|(i, &x)| f64::from(x) * ((i as f64 * 0.37).cos() + 0.1)).sum();
    (norm, pattern)
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: found {found}, expected {expected}");
}

fn compare<D: Device>(mut model: TrainableModel<D>, json: &Value, samples: &[Vec<u32>], case: &str) {
    let batch = batch(samples);
    let wanted = numbers(&json["logprobs"]);
    let weights: Vec<f32> = (0..wanted.len()).map(|i| i as f32 * 0.125).collect();
    let found = model.forward_backward(&batch, TokenWeights::Fixed(&weights)).unwrap();
    assert_eq!(found.len(), wanted.len());
    for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        close(f64::from(*found), *wanted, 1e-4, &format!("{case}: logprob {i}"));
    }
    let gradients = json["gradients"].as_object().unwrap();
    let device = model.device().clone();
    let parameters = model.parameters_mut();
    assert_eq!(parameters.len(), gradients.len(), "{case}");
    for parameter in parameters {
        let peft_name = parameter.name.replace(".weight", ".default.weight");
        let wanted = gradients.get(parameter.name).or_else(|| gradients.get(&peft_name));
        let wanted = wanted.unwrap_or_else(|| panic!("{case}: no gradient of {}", parameter.name));
        let mut values = vec![0.0; device.len(parameter.grad)];
        device.read(parameter.grad, 0, &mut values);
        let (norm, pattern) = checksum(&values);
        let (wanted_norm, wanted_pattern) =
            (wanted["norm"].as_f64().unwrap(), wanted["pattern"].as_f64().unwrap());
        let tolerance = 1e-3 * wanted_norm.max(1e-3);
        close(norm, wanted_norm, tolerance, &format!("{case}: norm of the gradient of {}", parameter.name));
        close(pattern, wanted_pattern, tolerance, &format!("{case}: gradient of {}", parameter.name));
    }
}

#[test]
fn logprobs_and_gradients_equal_transformers() {
    for case in FAMILIES {
        let json = expected(case);
        let samples = samples(&json);
        let decoder = Decoder::load(&golden(case), CpuDevice::new()).unwrap();
        compare(TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap(), &json, &samples, case);
        let decoder = Decoder::load(&golden(case), ReferenceDevice::new()).unwrap();
        compare(TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap(), &json, &samples, case);
    }
}

fn lora() -> LoraConfig {
    let names = ["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec();
    LoraConfig { r: 3, lora_alpha: 5.0, lora_dropout: 0.0, target_modules: TargetModules::Names(names) }
}

#[test]
fn an_adapter_of_peft_gives_its_logprobs_and_gradients() {
    let json = expected("qwen2");
    let decoder = Decoder::load(&golden("qwen2"), CpuDevice::new()).unwrap();
    let mut model = TrainableModel::new(decoder, TrainMethod::Lora(lora()), 0).unwrap();
    model.load_adapter(&golden("qwen2").join("adapter")).unwrap();
    compare(model, &json["lora"], &samples(&json), "qwen2 with LoRA");
}

#[test]
fn all_logits_of_the_last_row_equal_transformers() {
    for case in FAMILIES {
        let json = expected(case);
        let sample = samples(&json).remove(0);
        let logits = numbers(&json["last_logits"]);
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + logits.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
        let row = sample.len() as u32 - 1;
        let targets = (0..logits.len() as u32).map(|token| Target { row, token }).collect();
        let decoder = Decoder::load(&golden(case), CpuDevice::new()).unwrap();
        let mut model = TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap();
        let found = model.logprobs(&TokenBatch::packed(&[sample], targets)).unwrap();
        for (i, (found, wanted)) in found.iter().zip(&logits).enumerate() {
            close(f64::from(*found), wanted - log_sum, 1e-4, &format!("{case}: logit {i}"));
        }
    }
}

#[test]
fn greedy_generation_equals_transformers() {
    for case in FAMILIES {
        let json = expected(case);
        let sample = samples(&json).remove(0);
        let greedy: Vec<u32> = numbers(&json["greedy"]).into_iter().map(|id| id as u32).collect();
        let decoder = Decoder::load(&golden(case), CpuDevice::new()).unwrap();
        let options = GenerationOptions { max_new_tokens: greedy.len(), ..Default::default() };
        let found = generate(&decoder, &[sample], &options, &mut |_, _| ()).unwrap();
        assert_eq!(found[0].ids, greedy, "{case}");
    }
}
