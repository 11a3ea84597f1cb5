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
    AdapterConfig, Decoder, GenerationOptions, PrefixConfig, Target, TokenBatch, TokenWeights, TrainMethod,
    TrainableModel, generate,
};

const FAMILIES: [&str; 6] = ["llama", "llama3", "qwen2", "qwen3", "glm", "glm4"];

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
        let wanted = gradients.get(&*parameter.name);
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

/// What PEFT calls a parameter, by the name in the folder that it saves.
fn peft_name(name: &str) -> String {
    let module = name.trim_end_matches(".weight");
    if name == "prompt_embeddings" {
        "prompt_encoder.default.embedding.weight".to_owned()
    } else if module.contains(".lora_") {
        format!("{module}.default.weight")
    } else {
        format!("{module}.modules_to_save.default.weight")
    }
}

#[test]
fn adapters_of_peft_give_its_logprobs_and_gradients() {
    for (family, adapters) in [
        ("qwen2", &["lora", "rslora", "dora", "modules", "prefix", "projected"][..]),
        ("glm", &["lora", "prefix"]),
    ] {
        let json = expected(family);
        for adapter in adapters {
            let (case, folder) = (format!("{family} with {adapter}"), golden(family).join(adapter));
            let method = match AdapterConfig::read(&folder).unwrap() {
                AdapterConfig::Lora(config) => TrainMethod::Lora(config),
                // The file holds what the projection gave, not its layers.
                AdapterConfig::Prefix(config) => {
                    TrainMethod::Prefix(PrefixConfig { encoder_hidden_size: None, ..config })
                }
            };
            let decoder = Decoder::load(&golden(family), CpuDevice::new()).unwrap();
            let mut model = TrainableModel::new(decoder, method, 0).unwrap();
            model.load_adapter(&folder).unwrap();
            let mut numbers = json["adapters"][adapter].clone();
            if *adapter == "projected" {
                let found = model.logprobs(&batch(&samples(&json))).unwrap();
                for (found, wanted) in found.iter().zip(self::numbers(&numbers["logprobs"])) {
                    close(f64::from(*found), wanted, 1e-4, &case);
                }
                continue;
            }
            for parameter in model.parameters_mut() {
                let gradient = numbers["gradients"][peft_name(&parameter.name)].take();
                numbers["gradients"].as_object_mut().unwrap().remove(&peft_name(&parameter.name));
                numbers["gradients"][&*parameter.name] = gradient;
            }
            compare(model, &numbers, &samples(&json), &case);

            let mut decoder = Decoder::load(&golden(family), CpuDevice::new()).unwrap();
            decoder.load_adapter(&folder).unwrap();
            if decoder.merge_adapter().is_ok() {
                let mut merged = TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap();
                let found = merged.logprobs(&batch(&samples(&json))).unwrap();
                for (found, wanted) in found.iter().zip(self::numbers(&numbers["logprobs"])) {
                    close(f64::from(*found), wanted, 1e-4, &format!("{case}, merged"));
                }
            }
        }
    }
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

/// The tensors of the `glm` case under ChatGLM's own names, projections fused.
fn as_chatglm(dir: &Path) {
    let bytes = std::fs::read(golden("glm").join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let fused = |names: &[&str], shape: Vec<usize>| {
        let data: Vec<u8> =
            names.iter().flat_map(|name| file.tensor(name).unwrap().data().to_vec()).collect();
        (data, shape)
    };
    type Raw = (Vec<u8>, Vec<usize>);
    let mut tensors: Vec<(String, Raw)> = Vec::new();
    for name in file.names() {
        let tensor = file.tensor(name).unwrap();
        let renamed = name
            .replace("model.embed_tokens", "transformer.embedding.word_embeddings")
            .replace("model.layers", "transformer.encoder.layers")
            .replace("model.norm", "transformer.encoder.final_layernorm")
            .replace("lm_head", "transformer.output_layer")
            .replace("self_attn.o_proj", "self_attention.dense")
            .replace("gate_up_proj", "dense_h_to_4h")
            .replace("down_proj", "dense_4h_to_h");
        let Some((layer, kind)) = renamed.split_once("self_attn.q_proj.") else {
            if !renamed.contains("self_attn.") {
                tensors.push((renamed, (tensor.data().to_vec(), tensor.shape().to_vec())));
            }
            continue;
        };
        let parts = ["q", "k", "v"].map(|part| name.replace("q_proj", &format!("{part}_proj")));
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let rows = parts.iter().map(|name| file.tensor(name).unwrap().shape()[0]).sum();
        let shape = if kind == "weight" { vec![rows, 16] } else { vec![rows] };
        tensors.push((format!("{layer}self_attention.query_key_value.{kind}"), fused(&parts, shape)));
    }
    let views = tensors.iter().map(|(name, (data, shape))| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize_to_file(views, None, &dir.join("model.safetensors")).unwrap();
    let config = serde_json::json!({
        "model_type": "chatglm", "padded_vocab_size": 61, "hidden_size": 16, "ffn_hidden_size": 24, "num_layers": 2,
        "num_attention_heads": 2, "kv_channels": 8, "multi_query_attention": true, "multi_query_group_num": 2,
        "add_qkv_bias": true, "add_bias_linear": false, "rmsnorm": true, "rope_ratio": 1.0,
        "layernorm_epsilon": 1.5625e-7
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn chatglm_computes_what_glm_does_with_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    as_chatglm(dir.path());
    let json = expected("glm");
    let decoder = Decoder::load(dir.path(), CpuDevice::new()).unwrap();
    let mut model = TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap();
    let found = model.logprobs(&batch(&samples(&json))).unwrap();
    for (found, wanted) in found.iter().zip(numbers(&json["logprobs"])) {
        close(f64::from(*found), wanted, 1e-4, "chatglm");
    }
    let saved = tempfile::tempdir().unwrap();
    model.save_full(saved.path(), toolsmith_model::WeightType::F32).unwrap();
    let again = Decoder::load(saved.path(), CpuDevice::new()).unwrap();
    let mut again = TrainableModel::new(again, TrainMethod::Full, 0).unwrap();
    assert_eq!(again.logprobs(&batch(&samples(&json))).unwrap(), found);
}
