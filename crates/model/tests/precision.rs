//! A training step with products in bf16 against the same step in f32.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use serde_json::json;
use toolsmith_kernels::{CpuDevice, Device, Precision};
use toolsmith_model::{
    Decoder, DecoderConfig, Target, TokenBatch, TokenWeights, TrainMethod, TrainableModel,
};

/// Loss and all gradients of one step.
fn step(device: &CpuDevice) -> (f64, Vec<f64>) {
    let config = DecoderConfig::from_json(&json!({
        "model_type": "qwen2", "vocab_size": 300, "hidden_size": 128, "intermediate_size": 352,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true
    }))
    .unwrap();
    let decoder = Decoder::random(config, 5, device.clone());
    let mut model = TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap();
    let ids: Vec<u32> = (0..100).map(|i| i * 37 % 300).collect();
    let targets = (0..99).map(|row| Target { row, token: ids[row as usize + 1] }).collect();
    let batch = TokenBatch::packed(&[ids], targets);
    let logprobs = model.forward_backward(&batch, TokenWeights::Fixed(&[1.0 / 99.0; 99])).unwrap();
    let loss = -logprobs.iter().map(|&x| f64::from(x)).sum::<f64>() / 99.0;
    let mut gradients = Vec::new();
    for parameter in model.parameters_mut() {
        let mut values = vec![0.0; device.len(parameter.grad)];
        device.read(parameter.grad, 0, &mut values);
        gradients.extend(values.into_iter().map(f64::from));
    }
    (loss, gradients)
}

#[test]
fn a_step_in_bf16_is_close_to_one_in_f32() {
    let plain = CpuDevice::new();
    if !Precision::Bf16.is_available() {
        eprintln!("bf16 not tested: this CPU multiplies none");
        let refusal = plain.with_precision(Precision::Bf16).unwrap_err().to_string();
        assert!(refusal.contains("AVX512-BF16"), "{refusal}");
        return;
    }
    let rounding = plain.clone().with_precision(Precision::Bf16).unwrap();
    assert_eq!((plain.precision(), rounding.precision()), (Precision::F32, Precision::Bf16));
    let ((loss, exact), (rounded_loss, rounded)) = (step(&plain), step(&rounding));
    assert!((loss - rounded_loss).abs() < 1e-2 * loss, "{loss} {rounded_loss}");
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let distance: Vec<f64> = exact.iter().zip(&rounded).map(|(a, b)| a - b).collect();
    let error = norm(&distance) / norm(&exact);
    assert!(error < 2e-2, "gradients differ by {error} of their length");
    assert!(error > 1e-5, "nothing was rounded");
    assert_eq!(step(&rounding).1, rounded, "a second run differs");
}
