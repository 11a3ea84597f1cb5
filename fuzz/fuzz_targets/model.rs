//! A model folder: `config.json`, `model.safetensors`, and an adapter's `adapter_config.json` laid over it.
//!
//! Input: three files, zero bytes between the two of JSON and behind them. Nothing for a file means a good one.
#![no_main]

use std::sync::LazyLock;

use serde_json::{Value, json};
use toolsmith_fuzz::{folder, fuzz_target};
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{Decoder, DecoderConfig, LoraConfig, TrainMethod, TrainableModel, WeightType};

/// A good config.json, and the weights of a model and of an adapter that go with it.
static GOOD: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let config = json!({"model_type": "qwen2", "vocab_size": 3, "hidden_size": 4, "intermediate_size": 2,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": true});
    let decoder = Decoder::random(DecoderConfig::from_json(&config).expect("a config"), 1, CpuDevice::new());
    decoder.save(folder::path(), WeightType::F32).expect("a saved model");
    let read = |name| std::fs::read(folder::path().join(name)).expect("a saved file");
    let weights = read("model.safetensors");
    let lora = LoraConfig { r: 1, lora_alpha: 1.0, ..LoraConfig::default() };
    let mut model = TrainableModel::new(decoder, TrainMethod::Lora(lora), 1).expect("an adapter");
    model.save_adapter(folder::path(), "base").expect("a saved adapter");
    [config.to_string().into_bytes(), weights, read("adapter_config.json")]
});

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let mut part = |good: usize| match parts.next() {
        None | Some([]) => GOOD[good].as_slice(),
        Some(part) => part,
    };
    let (config, adapter, weights) = (part(0), part(2), part(1));
    let json: Value = serde_json::from_slice(config).unwrap_or_default();
    if let Ok(config) = DecoderConfig::from_json(&json) {
        let _sizes = (config.qkv_size(), config.query_size(), config.parameter_count());
    }
    folder::write("config.json", config);
    folder::write("adapter_config.json", adapter);
    folder::write("model.safetensors", weights);
    match Decoder::load(folder::path(), CpuDevice::new()) {
        Ok(mut decoder) => drop(decoder.load_adapter(folder::path())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
