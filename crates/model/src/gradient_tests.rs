//! Gradients of whole models against central differences in f64: every family's features, full and LoRA, over a tree
//! of segments with several targets a row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use serde_json::{Value, json};
use toolsmith_kernels::{ReferenceDevice, Segment, TokenTree};

use crate::{
    Decoder, DecoderConfig, LoraConfig, PrefixConfig, PrefixPositions, Target, TargetModules, TokenBatch,
    TokenWeights, TrainMethod, TrainableModel,
};

const STEP: f64 = 1e-5;

/// A shared prompt of three tokens, two branches, one of which branches again, and a sample by itself.
fn batch() -> TokenBatch {
    let segment = |start, len, parent| Segment { start, len, parent };
    let segments = vec![
        segment(0, 3, None),
        segment(3, 2, Some(0)),
        segment(5, 2, Some(0)),
        segment(7, 1, Some(2)),
        segment(8, 3, None),
    ];
    let target = |row, token| Target { row, token };
    TokenBatch {
        input_ids: vec![1, 5, 2, 7, 3, 4, 0, 9, 8, 8, 6],
        position_ids: vec![0, 1, 2, 3, 4, 3, 4, 5, 0, 1, 2],
        tree: TokenTree::new(segments).unwrap(),
        targets: vec![
            target(9, 6),
            target(2, 7),
            target(2, 4),
            target(3, 3),
            target(7, 10),
            target(0, 5),
            target(2, 7),
        ],
    }
}

const WEIGHTS: [f32; 7] = [0.5, 1.0, -0.75, 0.25, 2.0, 0.0, 0.3];

fn model(extra: Value, method: TrainMethod) -> TrainableModel<ReferenceDevice> {
    let mut json = json!({
        "vocab_size": 11, "hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 4, "rms_norm_eps": 1e-3, "initializer_range": 0.5
    });
    for (key, value) in extra.as_object().unwrap() {
        json[key] = value.clone();
    }
    let config = DecoderConfig::from_json(&json).unwrap();
    TrainableModel::new(Decoder::random(config, 3, ReferenceDevice::new()), method, 4).unwrap()
}

fn loss(model: &mut TrainableModel<ReferenceDevice>, batch: &TokenBatch) -> f64 {
    let targets = model.prepare(batch).unwrap();
    let seed = model.dropout_seed();
    model.project_prefix();
    let sorted = model.logprobs_here(batch, &targets, Some(seed));
    // The weights in the order in which the head sorts targets: by row, in the batch's order within a row.
    let mut order: Vec<usize> = (0..batch.targets.len()).collect();
    order.sort_by_key(|&i| batch.targets[i].row);
    order.iter().zip(&sorted.values).map(|(&i, logprob)| -f64::from(WEIGHTS[i]) * logprob).sum()
}

fn check(name: &str, mut model: TrainableModel<ReferenceDevice>, expected_parameters: usize) {
    let batch = batch();
    // Adapters begin with B at zero, where A has no gradient; biases and norms begin where symmetry may hide a mistake.
    for (which, parameter) in model.parameters_mut().into_iter().enumerate() {
        for (i, value) in parameter.value.values.iter_mut().enumerate() {
            *value += 0.1 * ((which * 31 + i * 7) as f64).sin();
        }
    }
    let counter = model.dropout_counter();
    model.forward_backward(&batch, TokenWeights::Fixed(&WEIGHTS)).unwrap();
    model.set_dropout_counter(counter);
    let gradients: Vec<(String, Vec<f64>)> =
        model.parameters_mut().into_iter().map(|p| (p.name.into_owned(), p.grad.values.clone())).collect();
    assert_eq!(gradients.len(), expected_parameters, "{name}");
    for (which, (tensor, gradient)) in gradients.iter().enumerate() {
        let scale = gradient.iter().fold(1e-3f64, |a, b| a.max(b.abs()));
        for i in (0..gradient.len()).step_by(7) {
            let mut moved = |by: f64| {
                model.parameters_mut()[which].value.values[i] += by;
                let loss = loss(&mut model, &batch);
                model.parameters_mut()[which].value.values[i] -= by;
                loss
            };
            let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let found = gradient[i];
            assert!(
                (found - expected).abs() <= 1e-6 * scale,
                "{name}: {tensor}[{i}]: found {found}, differences say {expected}"
            );
        }
    }
}

#[test]
fn full_gradients_of_every_family() {
    let llama = json!({"model_type": "llama", "attention_bias": true, "mlp_bias": true});
    check("llama", model(llama, TrainMethod::Full), 1 + 2 * (2 + 7 + 7) + 2);
    let qwen2 = json!({"model_type": "qwen2", "tie_word_embeddings": true});
    check("qwen2", model(qwen2, TrainMethod::Full), 1 + 2 * (2 + 7 + 3) + 1);
    let glm = json!({"model_type": "glm", "attention_bias": true});
    check("glm", model(glm, TrainMethod::Full), 1 + 2 * (2 + 6 + 3) + 2);
    let qwen3 = json!({"model_type": "qwen3", "tie_word_embeddings": true});
    check("qwen3", model(qwen3, TrainMethod::Full), 1 + 2 * (4 + 7) + 1);
    let glm4 = json!({"model_type": "glm4", "attention_bias": true});
    check("glm4", model(glm4, TrainMethod::Full), 1 + 2 * (4 + 6 + 3) + 2);
    check("chatglm", model(chatglm(), TrainMethod::Full), 1 + 2 * (2 + 4 + 1) + 2);
}

fn chatglm() -> Value {
    json!({
        "model_type": "chatglm", "padded_vocab_size": 11, "ffn_hidden_size": 10, "num_layers": 2, "kv_channels": 4,
        "multi_query_attention": true, "multi_query_group_num": 2, "add_qkv_bias": true
    })
}

#[test]
fn gradients_of_parts_and_prefixes() {
    let qwen3 = || json!({"model_type": "qwen3", "tie_word_embeddings": true});
    let except =
        |patterns: &[&str]| TrainMethod::FullExcept(patterns.iter().map(|&p| p.to_owned()).collect());
    check("no embedding, no first layer", model(qwen3(), except(&["model.embed*", "*layers.0.*"])), 11 + 1);
    check("heads' norms", model(qwen3(), except(&["*_proj*", "*layernorm*", "model.norm*", "*embed*"])), 4);
    let prefix = |encoder_hidden_size, positions| {
        TrainMethod::Prefix(PrefixConfig { num_virtual_tokens: 3, encoder_hidden_size, positions })
    };
    for positions in [PrefixPositions::AfterPrefix, PrefixPositions::FromZero] {
        check("prefix", model(qwen3(), prefix(None, positions)), 1);
        check("projected prefix", model(chatglm(), prefix(Some(5), positions)), 5);
    }
    let lora = LoraConfig {
        r: 2,
        use_rslora: true,
        target_modules: TargetModules::Names(vec!["q_proj".to_owned()]),
        modules_to_save: vec!["lm_head".to_owned(), "0.input_layernorm".to_owned()],
        ..Default::default()
    };
    let dora = LoraConfig { r: 2, use_dora: true, ..Default::default() };
    // The differences keep the norms of the pass before, as the definition does.
    check("directions and magnitudes", model(chatglm(), TrainMethod::Lora(dora)), 2 * 4 * 3);
    check("rank-stabilised, with whole modules", model(qwen3(), TrainMethod::Lora(lora)), 2 * 2 + 2);
}

#[test]
fn adapter_gradients_with_dropout() {
    let lora = |target_modules, lora_dropout| {
        TrainMethod::Lora(LoraConfig {
            r: 2,
            lora_alpha: 3.0,
            lora_dropout,
            target_modules,
            ..Default::default()
        })
    };
    let names = |names: &[&str]| TargetModules::Names(names.iter().map(|&name| name.to_owned()).collect());
    let qwen2 = || json!({"model_type": "qwen2", "tie_word_embeddings": true});
    check("all, dropout", model(qwen2(), lora(TargetModules::AllLinear, 0.3)), 2 * 7 * 2);
    check("q and v", model(qwen2(), lora(names(&["q_proj", "v_proj"]), 0.0)), 2 * 2 * 2);
    // Below the lowest adapter nothing runs backward; these stop it at each place of the block.
    check("o of one layer", model(qwen2(), lora(names(&["1.self_attn.o_proj"]), 0.0)), 2);
    check("down of one layer", model(qwen2(), lora(names(&["layers.1.mlp.down_proj"]), 0.2)), 2);
    check("k of one layer", model(qwen2(), lora(names(&["layers.1.self_attn.k_proj"]), 0.2)), 2);
    let glm = json!({"model_type": "glm", "attention_bias": true});
    check("glm", model(glm, lora(TargetModules::AllLinear, 0.1)), 2 * 6 * 2);
}

#[test]
fn a_projection_that_changed_is_seen_without_a_backward_pass() {
    let prefix = |encoder_hidden_size| {
        let positions = PrefixPositions::AfterPrefix;
        let config = PrefixConfig { num_virtual_tokens: 3, encoder_hidden_size, positions };
        model(json!({"model_type": "llama"}), TrainMethod::Prefix(config))
    };
    let (mut model, batch, folder) = (prefix(Some(4)), batch(), tempfile::tempdir().unwrap());
    let before = model.logprobs(&batch).unwrap();
    assert_eq!(model.logprobs(&batch).unwrap(), before);
    for parameter in model.parameters_mut() {
        parameter.value.values.iter_mut().for_each(|value| *value += 0.5);
    }
    let after = model.logprobs(&batch).unwrap();
    assert_ne!(after, before);
    model.save_adapter(folder.path(), "base").unwrap();
    let mut given = prefix(None);
    given.load_adapter(folder.path()).unwrap();
    for (found, after) in given.logprobs(&batch).unwrap().iter().zip(&after) {
        assert!((found - after).abs() < 1e-4, "{found} is not {after}");
    }
}
