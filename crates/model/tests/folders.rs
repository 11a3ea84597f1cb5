//! Model and adapter folders: written, read back, and refused with a reason when something is wrong with them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use std::path::Path;

use serde_json::{Value, json};
use toolsmith_kernels::{CpuDevice, MeasuringDevice};
use toolsmith_model::{
    Decoder, DecoderConfig, LoraConfig, ModelError, PrefixConfig, PrefixPositions, Quantization, Target,
    TargetModules, TokenBatch, TokenWeights, TrainMethod, TrainableModel, WeightType,
};

fn config() -> Value {
    let text = r#"{
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 40, "hidden_size": 16,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "tie_word_embeddings": false, "rope_theta": 1000000.0, "a key of somebody else": [1, 2.50]
    }"#;
    serde_json::from_str(text).unwrap()
}

fn decoder() -> Decoder<CpuDevice> {
    Decoder::random(DecoderConfig::from_json(&config()).unwrap(), 5, CpuDevice::new())
}

fn batch() -> TokenBatch {
    let ids: Vec<u32> = (0..20).map(|i| i * 7 % 40).collect();
    let targets = (0..19).map(|row| Target { row, token: ids[row as usize + 1] }).collect();
    TokenBatch::packed(&[ids], targets)
}

fn logprobs(decoder: Decoder<CpuDevice>) -> Vec<f32> {
    TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap().logprobs(&batch()).unwrap()
}

fn lora(names: &[&str]) -> TrainMethod {
    let target_modules = TargetModules::Names(names.iter().map(|&name| name.to_owned()).collect());
    TrainMethod::Lora(LoraConfig {
        r: 3,
        lora_alpha: 4.5,
        lora_dropout: 0.25,
        target_modules,
        ..Default::default()
    })
}

fn load(dir: &Path) -> Result<Decoder<CpuDevice>, ModelError> {
    Decoder::load(dir, CpuDevice::new())
}

fn error(dir: &Path) -> String {
    match load(dir) {
        Ok(_) => panic!("it loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_saved_model_is_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    decoder().save(dir.path(), WeightType::F32).unwrap();
    assert_eq!(logprobs(load(dir.path()).unwrap()), logprobs(decoder()));
    let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    decoder().save(dir.path(), WeightType::F32).unwrap();
    assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), bytes, "same model, same bytes");

    // config.json stays as given, but for the number type.
    let saved = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    assert!(
        saved.contains("\"a key of somebody else\": [\n    1,\n    2.50\n  ]") && saved.contains("1000000.0"),
        "{saved}"
    );
    assert!(saved.contains("\"torch_dtype\": \"float32\""), "{saved}");
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing half-written stays: {names:?}");
}

#[test]
fn half_precision_rounds_once() {
    for (dtype, tolerance) in [(WeightType::Bf16, 0.05), (WeightType::F16, 0.005)] {
        let dir = tempfile::tempdir().unwrap();
        decoder().save(dir.path(), dtype).unwrap();
        let once = logprobs(load(dir.path()).unwrap());
        for (rounded, exact) in once.iter().zip(logprobs(decoder())) {
            assert!((rounded - exact).abs() < tolerance, "{dtype:?}: {rounded} {exact}");
        }
        load(dir.path()).unwrap().save(dir.path(), dtype).unwrap();
        assert_eq!(logprobs(load(dir.path()).unwrap()), once);
    }
}

#[test]
fn shards_are_read() {
    let dir = tempfile::tempdir().unwrap();
    decoder().save(dir.path(), WeightType::F32).unwrap();
    let whole = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
    names.sort();
    let (first, second) = names.split_at(names.len() / 2);
    let mut map = serde_json::Map::new();
    for (file, names) in [("a.safetensors", first), ("b.safetensors", second)] {
        let part: Vec<_> = names.iter().map(|name| (name, tensors.tensor(name).unwrap())).collect();
        safetensors::serialize_to_file(part, None, &dir.path().join(file)).unwrap();
        map.extend(names.iter().map(|name| (name.clone(), json!(file))));
    }
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
    assert_eq!(logprobs(load(dir.path()).unwrap()), logprobs(decoder()));

    std::fs::remove_file(dir.path().join("b.safetensors")).unwrap();
    assert!(error(dir.path()).contains("b.safetensors: cannot read"));
    std::fs::write(&index, r#"{"weight_map": {"x": "../a.safetensors"}}"#).unwrap();
    assert!(error(dir.path()).contains("without folders"));
    std::fs::write(&index, r#"{"weight_map": {"x": 3}}"#).unwrap();
    assert!(error(dir.path()).contains("`weight_map`"));
}

#[test]
fn damaged_and_foreign_weights_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("model.safetensors");
    assert!(error(dir.path()).contains("has no config.json"));
    std::fs::write(dir.path().join("config.json"), "{\"model_type\": ").unwrap();
    assert!(error(dir.path()).contains("config.json: not valid JSON"));
    std::fs::write(dir.path().join("config.json"), config().to_string()).unwrap();
    assert!(error(dir.path()).contains("neither model.safetensors nor"));

    decoder().save(dir.path(), WeightType::F32).unwrap();
    let whole = std::fs::read(&weights).unwrap();
    for cut in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&weights, &whole[..cut]).unwrap();
        assert!(error(dir.path()).contains("model.safetensors: "), "cut at {cut}");
    }
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&weights, &huge).unwrap();
    assert!(error(dir.path()).contains("not a readable safetensors file"));
    std::fs::write(&weights, &whole).unwrap();

    let other = |key: &str, value: Value, expected: &str| {
        let mut json = config();
        json[key] = value;
        std::fs::write(dir.path().join("config.json"), json.to_string()).unwrap();
        let message = error(dir.path());
        assert!(message.contains(expected), "{message}");
    };
    other(
        "vocab_size",
        json!(41),
        "tensor `model.embed_tokens.weight` has shape [40, 16], expected [41, 16]",
    );
    other(
        "num_hidden_layers",
        json!(3),
        "tensor `model.layers.2.self_attn.q_proj.weight` [16, 16] is missing",
    );
    other(
        "num_hidden_layers",
        json!(1),
        "tensors that config.json does not account for, first `model.layers.1.",
    );
    other("model_type", json!("llama"), "does not account for, first `model.layers.0.self_attn.k_proj.bias`");
}

#[test]
fn whole_numbers_are_no_weights() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config().to_string()).unwrap();
    let bytes = vec![0; 40 * 16];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![40, 16], &bytes).unwrap();
    let file = dir.path().join("model.safetensors");
    safetensors::serialize_to_file([("model.embed_tokens.weight", view)], None, &file).unwrap();
    assert!(error(dir.path()).contains("`model.embed_tokens.weight` has type U8; expected F32, F16 or BF16"));
}

fn trained() -> TrainableModel<CpuDevice> {
    let mut model = TrainableModel::new(decoder(), lora(&["q_proj", "mlp.down_proj"]), 1).unwrap();
    for (which, parameter) in model.parameters_mut().into_iter().enumerate() {
        let values: Vec<f32> =
            (0..parameter.value.as_slice().len()).map(|i| ((which + i) as f32).sin() * 0.3).collect();
        toolsmith_kernels::Device::write(&CpuDevice::new(), parameter.value, 0, &values);
    }
    model
}

#[test]
fn a_saved_adapter_is_the_same_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = trained();
    let expected = model.logprobs(&batch()).unwrap();
    model.save_adapter(dir.path(), "some/base").unwrap();

    let json: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(json["peft_type"], "LORA");
    assert_eq!((json["r"].as_u64(), json["lora_alpha"].as_f64()), (Some(3), Some(4.5)));
    assert_eq!(json["base_model_name_or_path"], "some/base");
    assert_eq!(json["target_modules"], json!(["q_proj", "mlp.down_proj"]));
    let bytes = std::fs::read(dir.path().join("adapter_model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.names().len(), 2 * 2 * 2);
    let a = tensors.tensor("base_model.model.model.layers.1.mlp.down_proj.lora_A.weight").unwrap();
    assert_eq!(a.shape(), [3, 24]);

    let mut again = TrainableModel::new(decoder(), lora(&["q_proj", "mlp.down_proj"]), 2).unwrap();
    again.load_adapter(dir.path()).unwrap();
    assert_eq!(again.logprobs(&batch()).unwrap(), expected);
    let mut plain = decoder();
    plain.load_adapter(dir.path()).unwrap();
    assert!(plain.save(dir.path(), WeightType::F32).unwrap_err().to_string().contains("merge it first"));
    plain.merge_adapter().unwrap();
    for (merged, attached) in logprobs(plain).iter().zip(&expected) {
        assert!((merged - attached).abs() < 1e-4);
    }
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    trained().save_adapter(dir.path(), "base").unwrap();
    let file = dir.path().join("adapter_config.json");
    let good: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let refuse = |key: &str, value: Value, expected: &str| {
        let mut json = good.clone();
        json[key] = value;
        std::fs::write(&file, json.to_string()).unwrap();
        let mut model = decoder();
        let message = model.load_adapter(dir.path()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(logprobs(model), logprobs(decoder()), "a failed load leaves the model as it was");
    };
    refuse("peft_type", json!("IA3"), "`peft_type`: found \"IA3\", expected \"LORA\" or \"PREFIX_TUNING\"");
    refuse("peft_type", json!("PREFIX_TUNING"), "`num_virtual_tokens`: found null");
    refuse("use_rslora", json!("yes"), "`use_rslora`: found \"yes\"");
    refuse("modules_to_save", json!(["lm_haed"]), "no module of this model ends with \"lm_haed\"");
    refuse("rank_pattern", json!({"q_proj": 4}), "`rank_pattern`");
    refuse("modules_to_save", json!(["lm_head"]), "base_model.model.lm_head.weight");
    refuse("bias", json!("all"), "`bias`");
    refuse("a_later_invention", json!(1), "`a_later_invention`");
    refuse("r", json!(4), "has shape [3, 16], expected [4, 16]");
    refuse("r", json!(0), "`r`: found 0");
    refuse("lora_alpha", json!("much"), "`lora_alpha`: found \"much\"");
    refuse("target_modules", json!(["k_proj"]), "k_proj.lora_A.weight` [3, 16] is missing");
    refuse("target_modules", json!(["q_proj"]), "does not account for");
    refuse("target_modules", json!(["c_attn"]), "meets no linear layer; this model has q_proj, k_proj");
    refuse("target_modules", json!(".*q_proj"), "`target_modules`: found \".*q_proj\"");

    let mut other = TrainableModel::new(decoder(), lora(&["v_proj"]), 0).unwrap();
    std::fs::write(&file, good.to_string()).unwrap();
    assert!(other.load_adapter(dir.path()).unwrap_err().to_string().contains("does not account for"));
    std::fs::rename(dir.path().join("adapter_model.safetensors"), dir.path().join("adapter_model.bin"))
        .unwrap();
    assert!(decoder().load_adapter(dir.path()).unwrap_err().to_string().contains("pickle"));
}

#[test]
fn a_failed_load_changes_nothing() {
    // The folder lacks the head of its modules_to_save; a tied head would get its own weights, packed ones become plain.
    let dir = tempfile::tempdir().unwrap();
    let mut json = config();
    json["tie_word_embeddings"] = json!(true);
    let tied = DecoderConfig::from_json(&json).unwrap();
    let method = TrainMethod::Lora(LoraConfig::default());
    let decoder = Decoder::random(tied.clone(), 5, CpuDevice::new());
    TrainableModel::new(decoder, method, 1).unwrap().save_adapter(dir.path(), "base").unwrap();
    let file = dir.path().join("adapter_config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for modules in [json!(["lm_head"]), json!(["embed_tokens"]), json!(["q_proj"])] {
        json["modules_to_save"] = modules;
        std::fs::write(&file, json.to_string()).unwrap();
        let device = MeasuringDevice::new();
        let mut decoder = Decoder::zeros(tied.clone(), Quantization::Int8, device.clone()).unwrap();
        let before = device.bytes();
        let error = decoder.load_adapter(dir.path()).unwrap_err();
        assert!(
            matches!(error, ModelError::MissingTensor { .. } | ModelError::UnknownTensors { .. }),
            "{error}"
        );
        assert_eq!((device.bytes(), decoder.config(), decoder.adapter()), (before, &tied, None));
    }
}

#[test]
fn modules_to_save_get_no_factors() {
    let names: Vec<String> = vec!["q_proj".into(), "v_proj".into()];
    let config = LoraConfig {
        r: 2,
        target_modules: TargetModules::Names(names),
        use_dora: true,
        modules_to_save: vec!["v_proj".into()],
        ..Default::default()
    };
    let mut model = TrainableModel::new(decoder(), TrainMethod::Lora(config.clone()), 1).unwrap();
    assert_eq!(model.parameters_mut().len(), 2 * (3 + 2));
    let device = CpuDevice::new();
    let before = model.logprobs(&batch()).unwrap();
    for (which, parameter) in model.parameters_mut().into_iter().enumerate() {
        let saved_whole = parameter.name.contains("v_proj");
        assert!(parameter.name.contains(if saved_whole { "v_proj." } else { "q_proj.lora_" }));
        let values: Vec<f32> =
            (0..parameter.value.as_slice().len()).map(|i| ((which + i) as f32).sin() * 0.3).collect();
        toolsmith_kernels::Device::write(&device, parameter.value, 0, &values);
    }
    let expected = model.logprobs(&batch()).unwrap();
    assert_ne!(before, expected);

    let dir = tempfile::tempdir().unwrap();
    model.save_adapter(dir.path(), "base").unwrap();
    let mut plain = decoder();
    plain.load_adapter(dir.path()).unwrap();
    plain.merge_adapter().unwrap();
    for (merged, attached) in logprobs(plain).iter().zip(&expected) {
        assert!((merged - attached).abs() < 1e-4, "{merged} {attached}");
    }

    let part = LoraConfig { modules_to_save: vec!["_proj".into()], ..config };
    let error = TrainableModel::new(decoder(), TrainMethod::Lora(part), 1).err().unwrap().to_string();
    assert!(error.contains("\"q_proj\" ends with one of them and is a target too"), "{error}");
}

#[test]
fn lora_settings_without_sense_are_refused() {
    let refuse = |config: LoraConfig, expected: &str| match TrainableModel::new(
        decoder(),
        TrainMethod::Lora(config),
        0,
    ) {
        Ok(_) => panic!("accepted"),
        Err(error) => assert!(error.to_string().contains(expected), "{error}"),
    };
    let good = LoraConfig {
        r: 3,
        lora_alpha: 4.0,
        lora_dropout: 0.0,
        target_modules: TargetModules::AllLinear,
        ..Default::default()
    };
    refuse(LoraConfig { r: 0, ..good.clone() }, "`r`: found 0");
    refuse(
        LoraConfig { r: 1 << 40, ..good.clone() },
        "`r`: found 1099511627776, expected a rank from 1 to 65536",
    );
    refuse(LoraConfig { lora_dropout: 1.0, ..good.clone() }, "`lora_dropout`: found 1");
    refuse(LoraConfig { lora_alpha: f32::NAN, ..good.clone() }, "`lora_alpha`: found NaN");
    refuse(
        LoraConfig { target_modules: TargetModules::Names(vec!["x".into()]), ..good },
        "meets no linear layer",
    );
}

#[test]
fn prefix_settings_without_sense_are_refused() {
    let good = PrefixConfig {
        num_virtual_tokens: 4,
        encoder_hidden_size: Some(8),
        positions: PrefixPositions::AfterPrefix,
    };
    let model = |config| TrainableModel::new(decoder(), TrainMethod::Prefix(config), 0);
    let mut trained = model(good.clone()).unwrap();
    assert_eq!((trained.decoder().first_position(), decoder().first_position()), (4, 0));
    let from_zero = PrefixConfig { positions: PrefixPositions::FromZero, ..good.clone() };
    assert_eq!(model(from_zero).unwrap().decoder().first_position(), 0);
    let refuse = |config, expected: &str| {
        let error = model(config).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let many = PrefixConfig { num_virtual_tokens: 1 << 40, ..good.clone() };
    refuse(many, "`num_virtual_tokens`: found 1099511627776, expected a whole number from 1 to 1048576");
    refuse(PrefixConfig { encoder_hidden_size: Some(0), ..good }, "`encoder_hidden_size`: found 0");
}

#[test]
fn a_folder_that_cannot_be_written_says_so_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "x").unwrap();
    let message = decoder().save(&blocked, WeightType::F32).unwrap_err().to_string();
    assert!(message.contains("cannot write"), "{message}");
    // A folder where the file should go.
    std::fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    assert!(decoder().save(dir.path(), WeightType::F32).is_err());
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let mut plain = TrainableModel::new(decoder(), TrainMethod::Full, 0).unwrap();
    assert!(plain.save_adapter(dir.path(), "x").unwrap_err().to_string().contains("no adapter"));
    let mut fresh = TrainableModel::new(decoder(), TrainMethod::Full, 0).unwrap();
    assert_eq!(fresh.forward_backward(&batch(), TokenWeights::Fixed(&[0.0; 19])).unwrap().len(), 19);
}
