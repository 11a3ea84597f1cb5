//! Times full training steps (forward, backward, AdamW) of a small Qwen2-shaped decoder, or LoRA steps.
//!
//! `cargo run --release -p toolsmith-model --example training_speed -- [full|lora] [tokens] [sample length] [supervised share]`
//! prints one JSON object; benches/peers/engine_speed.py runs the same shape in PyTorch. Environment: `DTYPE` (`f32` or
//! `bf16`), `VOCAB`, `HIDDEN`, `INTERMEDIATE`, `LAYERS`, `HEADS`, `KV_HEADS`.

use std::time::Instant;

use serde_json::json;
use toolsmith_kernels::{AdamWStep, CpuDevice, Device, Precision};
use toolsmith_model::{
    Decoder, DecoderConfig, LoraConfig, Target, TargetModules, TokenBatch, TokenWeights, TrainMethod,
    TrainableModel,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: f64| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let method = arguments.first().map_or("full", String::as_str);
    let (tokens, length, share) = (number(1, 4096.0)? as usize, number(2, 256.0)? as usize, number(3, 1.0)?);
    let environment =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let vocab = environment("VOCAB", 4096) as u32;
    let config = DecoderConfig::from_json(&json!({
        "model_type": "qwen2", "vocab_size": vocab, "hidden_size": environment("HIDDEN", 256),
        "intermediate_size": environment("INTERMEDIATE", 704), "num_hidden_layers": environment("LAYERS", 4),
        "num_attention_heads": environment("HEADS", 4), "num_key_value_heads": environment("KV_HEADS", 2),
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true
    }))?;
    let precision = match std::env::var("DTYPE").as_deref() {
        Err(_) | Ok("f32") => Precision::F32,
        Ok("bf16") => Precision::Bf16,
        Ok(other) => return Err(format!("DTYPE is {other:?}; give f32 or bf16").into()),
    };
    let device = CpuDevice::new().with_precision(precision)?;
    let method = match method {
        "lora" => TrainMethod::Lora(LoraConfig {
            r: 8,
            lora_alpha: 16.0,
            lora_dropout: 0.0,
            target_modules: TargetModules::Names(vec!["q_proj".into(), "v_proj".into()]),
            ..Default::default()
        }),
        _ => TrainMethod::Full,
    };
    let mut model = TrainableModel::new(Decoder::random(config, 0, device.clone()), method, 0)?;

    let lengths: Vec<usize> = (0..tokens).step_by(length).map(|start| length.min(tokens - start)).collect();
    let mut next = 1u32;
    let mut token = || {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (next >> 8) % vocab
    };
    let samples: Vec<Vec<u32>> = lengths.iter().map(|&len| (0..len).map(|_| token()).collect()).collect();
    let (mut targets, mut first) = (Vec::new(), 0);
    for sample in &samples {
        let from = ((1.0 - share) * sample.len() as f64) as usize;
        targets.extend(
            (from..sample.len() - 1).map(|i| Target { row: (first + i) as u32, token: sample[i + 1] }),
        );
        first += sample.len();
    }
    let batch = TokenBatch::packed(&samples, targets);
    let weights = vec![1.0 / batch.targets.len() as f32; batch.targets.len()];

    let mut moments: Vec<_> = model
        .parameters_mut()
        .iter()
        .map(|p| (device.zeros(device.len(p.value)), device.zeros(device.len(p.value))))
        .collect();
    let (mut passes, mut updates, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let started = Instant::now();
    for step in 1..=200 {
        let at = Instant::now();
        let logprobs = model.forward_backward(&batch, TokenWeights::Fixed(&weights))?;
        passes.push(at.elapsed().as_secs_f64());
        losses.push(-logprobs.iter().sum::<f32>() / logprobs.len() as f32);
        let at = Instant::now();
        let update = AdamWStep {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            step,
            grad_scale: 1.0,
        };
        for (parameter, (m, v)) in model.parameters_mut().into_iter().zip(&mut moments) {
            device.adamw(&update, parameter.value, parameter.grad, m, v);
        }
        model.zero_grads();
        updates.push(at.elapsed().as_secs_f64());
        if started.elapsed().as_secs_f64() > 8.0 && step >= 3 {
            break;
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (steps, pass, update) = (passes.len(), median(&mut passes), median(&mut updates));
    println!(
        "{}",
        json!({
            "tokens": tokens, "targets": batch.targets.len(), "steps": steps,
            "forward_backward_seconds": pass, "update_seconds": update, "tokens_per_second": tokens as f64 / (pass + update),
            "first_loss": losses[0], "last_loss": losses[steps - 1], "fastest_pass": passes[0],
        })
    );
    Ok(())
}
